//! How the cells of one sink column are read: its type, taken apart once when a lane starts.

use reconverge_streams::{logical::Logical, table::ColumnShape};

/// One column of a table's batch.
#[derive(Debug)]
pub(super) struct Field {
    /// The name that the source uses.
    pub(super) source_name: String,
    pub(super) shape: ColumnShape,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Bool,
    Int,
    Float {
        /// The column keeps 32 bits: what is read is rounded to that, so that it equals what the sink returns.
        single: bool,
    },
    Text(Spelling),
    Bytes,
    Decimal {
        /// Most digits before the point.
        whole_max: Option<usize>,
    },
    Timestamp,
    Date,
    Time,
    Uuid,
    Json,
    Array(Box<Field>),
}

/// Types that the sink takes as text, by what Debezium sends for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Text as it is: also inet, ranges, xml, tsvector, timetz.
    Plain,
    /// A label of an enum.
    Label,
    /// A bit string; `varying` has no fixed length.
    Bits { varying: bool },
    /// An amount of money.
    Money,
    /// An interval.
    Interval,
    /// A point of the plane.
    Point,
}

impl Field {
    pub(super) fn new(shape: &ColumnShape, source_name: &str) -> Self {
        let kind = match shape.logical {
            Logical::Bool => Kind::Bool,
            Logical::Int => Kind::Int,
            // Sinks say how many bits a float column keeps in `length`: 24 is PostgreSQL's real.
            Logical::Float => Kind::Float { single: shape.length.is_some_and(|bits| bits <= 24) },
            Logical::Text => Kind::Text(spelling(shape)),
            Logical::Bytes => Kind::Bytes,
            Logical::Decimal => Kind::Decimal { whole_max: whole_max(shape) },
            Logical::Timestamp => Kind::Timestamp,
            Logical::Date => Kind::Date,
            Logical::Time => Kind::Time,
            Logical::Uuid => Kind::Uuid,
            Logical::Json => Kind::Json,
            Logical::Array(element) => Kind::Array(Box::new(element_field(shape, element.logical()))),
        };
        Field { source_name: source_name.into(), shape: shape.clone(), kind }
    }
}

/// The elements of an array have the parameters of its type.
fn element_field(array: &ColumnShape, logical: Logical) -> Field {
    let sql_type = array.sql_type.trim_end_matches("[]").to_owned();
    Field::new(&ColumnShape { logical, sql_type, not_null: false, ..array.clone() }, "")
}

fn spelling(shape: &ColumnShape) -> Spelling {
    if !shape.labels.is_empty() {
        return Spelling::Label;
    }
    match shape.base_type() {
        "bit" => Spelling::Bits { varying: false },
        "bit varying" | "varbit" => Spelling::Bits { varying: true },
        "money" => Spelling::Money,
        "point" => Spelling::Point,
        word if word.split(' ').next() == Some("interval") => Spelling::Interval,
        _ => Spelling::Plain,
    }
}

/// Of `numeric(5,3)`: 2.
fn whole_max(shape: &ColumnShape) -> Option<usize> {
    let (_, parameters) = shape.sql_type.split_once('(')?;
    let precision = parameters.split([',', ')']).next()?.trim().parse::<usize>().ok()?;
    Some(precision.saturating_sub(usize::from(shape.scale.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_taken_apart() {
        let field = |logical, sql: &str, scale| {
            let mut shape = ColumnShape::new("c", logical);
            shape.sql_type = sql.into();
            shape.scale = scale;
            Field::new(&shape, "c")
        };
        for (sql, spelling) in [
            ("text", Spelling::Plain),
            ("bit(8)", Spelling::Bits { varying: false }),
            ("bit varying(16)", Spelling::Bits { varying: true }),
            ("money", Spelling::Money),
            ("interval", Spelling::Interval),
            ("interval day to second(3)", Spelling::Interval),
            ("point", Spelling::Point),
            ("inet", Spelling::Plain),
        ] {
            assert!(matches!(field(Logical::Text, sql, None).kind, Kind::Text(s) if s == spelling), "{sql}");
        }
        for (sql, scale, whole) in [
            ("numeric(5,3)", Some(3), Some(2)),
            ("numeric(38,0)", Some(0), Some(38)),
            ("numeric", None, None),
        ] {
            let Kind::Decimal { whole_max } = field(Logical::Decimal, sql, scale).kind else {
                panic!("{sql}")
            };
            assert_eq!(whole_max, whole, "{sql}");
        }
        let Kind::Array(element) =
            field(Logical::Decimal.array_of().unwrap(), "numeric(5,3)[]", Some(3)).kind
        else {
            panic!("no array")
        };
        assert!(matches!(element.kind, Kind::Decimal { whole_max: Some(2) }));
    }
}
