//! Logical types: what a cell means, and the four physical layouts that hold it.
//!
//! The names are those of contracts (`wit/plugin.wit`); the layouts are the block's kinds, closed for ever.

use std::{fmt, str::FromStr};

/// What a cell means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Logical {
    /// True or false.
    Bool,
    /// A signed integer of up to 64 bits.
    Int,
    /// A 64-bit float.
    Float,
    /// UTF-8 text; also every type that the sink takes as text (enum, inet, ranges, xml).
    Text,
    /// Bytes.
    Bytes,
    /// A decimal in plain digits: `-12.5`, `NaN`, `Infinity`, `-Infinity`.
    Decimal,
    /// Microseconds since 1970 UTC; `i64::MAX` and `i64::MIN` are the infinities.
    Timestamp,
    /// Days since 1970; `i64::MAX` and `i64::MIN` are the infinities.
    Date,
    /// Microseconds since midnight.
    Time,
    /// 16 bytes.
    Uuid,
    /// A JSON document as text, keys sorted, no spaces, numbers as they were written.
    Json,
    /// A JSON array of cells in their text form, as text. The element is none of the arrays.
    Array(Element),
}

/// The element type of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the logical type of the same name")]
pub enum Element {
    Bool,
    Int,
    Float,
    Text,
    Bytes,
    Decimal,
    Timestamp,
    Date,
    Time,
    Uuid,
    Json,
}

/// How the cells of a column lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Layout {
    /// One byte per row, 0 or 1.
    Bits = 1,
    /// Eight bytes per row, signed.
    Int64 = 2,
    /// Eight bytes per row, IEEE 754.
    Float64 = 3,
    /// Offsets into bytes.
    Packed = 4,
}

impl Logical {
    /// The layout of a column of this type.
    #[must_use]
    pub fn layout(self) -> Layout {
        match self {
            Self::Bool => Layout::Bits,
            Self::Int | Self::Timestamp | Self::Date | Self::Time => Layout::Int64,
            Self::Float => Layout::Float64,
            Self::Text | Self::Bytes | Self::Decimal | Self::Uuid | Self::Json | Self::Array(_) => {
                Layout::Packed
            }
        }
    }

    /// Whether the packed bytes of this type are UTF-8, which a plugin may then trust.
    #[must_use]
    pub fn is_utf8(self) -> bool {
        matches!(self, Self::Text | Self::Decimal | Self::Json | Self::Array(_))
    }
}

const SCALARS: [(&str, Logical, Element); 11] = [
    ("bool", Logical::Bool, Element::Bool),
    ("int", Logical::Int, Element::Int),
    ("float", Logical::Float, Element::Float),
    ("text", Logical::Text, Element::Text),
    ("bytes", Logical::Bytes, Element::Bytes),
    ("decimal", Logical::Decimal, Element::Decimal),
    ("timestamp", Logical::Timestamp, Element::Timestamp),
    ("date", Logical::Date, Element::Date),
    ("time", Logical::Time, Element::Time),
    ("uuid", Logical::Uuid, Element::Uuid),
    ("json", Logical::Json, Element::Json),
];

impl Element {
    /// The logical type of one element.
    #[must_use]
    pub fn logical(self) -> Logical {
        SCALARS.iter().find(|s| s.2 == self).expect("every element stands in the table").1
    }
}

impl Logical {
    /// The array whose elements are of this type; `None` for an array, since arrays do not nest.
    #[must_use]
    pub fn array_of(self) -> Option<Logical> {
        SCALARS.iter().find(|s| s.1 == self).map(|s| Logical::Array(s.2))
    }
}

impl fmt::Display for Logical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scalar, tail) = match self {
            Logical::Array(element) => (element.logical(), "[]"),
            scalar => (*scalar, ""),
        };
        let name = SCALARS.iter().find(|s| s.1 == scalar).expect("every scalar stands in the table").0;
        write!(f, "{name}{tail}")
    }
}

/// A word that is no logical type.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no logical type; known: bool int float text bytes decimal timestamp date time uuid json, and each with []"
)]
pub struct UnknownLogical(String);

impl FromStr for Logical {
    type Err = UnknownLogical;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let (name, array) = word.strip_suffix("[]").map_or((word, false), |n| (n, true));
        let found = SCALARS.iter().find(|s| s.0 == name);
        found
            .map(|s| if array { Logical::Array(s.2) } else { s.1 })
            .ok_or_else(|| UnknownLogical(word.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for (name, logical, _) in SCALARS {
            assert_eq!(name.parse::<Logical>().unwrap(), logical);
            assert_eq!(format!("{name}[]").parse::<Logical>().unwrap().to_string(), format!("{name}[]"));
        }
        assert!("text[][]".parse::<Logical>().is_err());
    }
}
