//! Values of the logical types that Rust has no type of its own for: instants, decimals, JSON, arrays, uuids.
//!
//! Each borrows from the block or is a number; none allocates. Comparisons are those of the database, so that
//! `incoming > current` means what it says.

use std::{cmp::Ordering, fmt};

use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};

macro_rules! instant {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl $name {
            /// Later than every other.
            pub const INFINITY: Self = $name(i64::MAX);
            /// Earlier than every other.
            pub const NEGATIVE_INFINITY: Self = $name(i64::MIN);
        }
    };
}

instant! {
    /// Microseconds since 1970 UTC.
    Timestamp
}
instant! {
    /// Days since 1970.
    Date
}

/// Microseconds since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// A uuid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// A JSON document as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Json<'a>(pub &'a str);

impl<'a> Json<'a> {
    /// Reads the document. Allocates; ask for a column of its own where it matters.
    ///
    /// # Errors
    /// The document is not what `T` wants.
    pub fn parse<T: serde::Deserialize<'a>>(self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.0)
    }
}

/// An array of text, as a JSON array; elements may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TextArray<'a>(pub &'a str);

impl TextArray<'_> {
    /// Whether one of the elements is `wanted`. False where the text is no JSON array.
    #[must_use]
    pub fn contains(self, wanted: &str) -> bool {
        struct Search<'w>(&'w str);
        impl<'de> Visitor<'de> for Search<'_> {
            type Value = bool;
            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
                let mut found = false;
                while let Some(is_wanted) = elements.next_element_seed(Element(self.0))? {
                    found |= is_wanted;
                }
                Ok(found)
            }
        }
        serde_json::Deserializer::from_str(self.0).deserialize_seq(Search(wanted)).unwrap_or(false)
    }
}

/// Compares an element of an array with a word, without keeping it.
struct Element<'w>(&'w str);

impl<'de> serde::de::DeserializeSeed<'de> for Element<'_> {
    type Value = bool;
    fn deserialize<D: serde::Deserializer<'de>>(self, element: D) -> Result<bool, D::Error> {
        element.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = bool;
    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("an element of an array")
    }
    fn visit_str<E>(self, element: &str) -> Result<bool, E> {
        Ok(element == self.0)
    }
    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut inner: A) -> Result<bool, A::Error> {
        while inner.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }
    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut inner: A) -> Result<bool, A::Error> {
        while inner.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(false)
    }
}

/// A decimal in plain digits (`-12.5`, also `NaN`, `Infinity`, `-Infinity`), compared by its value: `1.50` equals
/// `1.5`. As in PostgreSQL `NaN` equals itself and is the greatest of all.
#[derive(Clone, Copy, Debug)]
pub struct Decimal<'a>(pub &'a str);

impl<'a> Decimal<'a> {
    /// -1, 0 or 1; and the digits before and after the point, without zeros that say nothing.
    fn parts(self) -> (i8, &'a str, &'a str) {
        let (sign, digits) = match self.0.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, self.0.strip_prefix('+').unwrap_or(self.0)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        (if whole.is_empty() && fraction.is_empty() { 0 } else { sign }, whole, fraction)
    }

    /// Where the special values stand among the others: infinities outside, `NaN` beyond.
    fn rank(self) -> i8 {
        match self.0 {
            "-Infinity" => -1,
            "Infinity" => 1,
            "NaN" => 2,
            _ => 0,
        }
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = self.rank().cmp(&other.rank());
        if rank.is_ne() || self.rank() != 0 {
            return rank;
        }
        let ((sign, whole, fraction), (sign2, whole2, fraction2)) = (self.parts(), other.parts());
        let size = whole.len().cmp(&whole2.len()).then(whole.cmp(whole2)).then(fraction.cmp(fraction2));
        sign.cmp(&sign2).then(if sign < 0 { size.reverse() } else { size })
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_compare_by_value() {
        let rising = [
            "-Infinity",
            "-120",
            "-12.5",
            "-12.05",
            "0",
            "0.05",
            "0.5",
            "9.99",
            "10",
            "100",
            "Infinity",
            "NaN",
        ];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                assert_eq!(Decimal(a).cmp(&Decimal(b)), i.cmp(&j), "{a} and {b}");
            }
        }
        for (a, b) in [("1.50", "1.5"), ("-0", "0.00"), ("007", "7"), ("NaN", "NaN"), ("+3", "3")] {
            assert_eq!(Decimal(a), Decimal(b));
        }
    }

    proptest! {
        #[test]
        fn decimals_compare_as_numbers_do(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000) {
            let plain = |n: i64| format!("{}{}.{:03}", if n < 0 { "-" } else { "" }, n.abs() / 1000, n.abs() % 1000);
            prop_assert_eq!(Decimal(&plain(a)).cmp(&Decimal(&plain(b))), a.cmp(&b));
        }
    }

    #[test]
    fn an_array_is_searched_by_element() {
        for (array, found) in [
            (r#"["eu","us"]"#, true),
            (r#"[null,"us"]"#, true),
            (r#"["\u0075s"]"#, true),
            (r#"["us-east","bus"]"#, false),
            (r#"[["us"],{"us":"us"},1,-2,0.5,true]"#, false),
            ("[]", false),
            (r#""us""#, false),
            (r#"["us""#, false),
            ("", false),
        ] {
            assert_eq!(TextArray(array).contains("us"), found, "{array}");
        }
    }
}
