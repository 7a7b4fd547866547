//! Declared types: SQLite keeps any word as a column's type and derives an affinity from it. This says what a
//! word means to Reconverge, and whether the affinity would destroy what is written. The table stands in the
//! documentation of [`crate::sqlite`].

use crate::{logical::Logical, table::ColumnShape};

/// What SQLite makes of values that are stored in a column (<https://www.sqlite.org/datatype3.html>, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    /// Text stays text.
    Text,
    /// Everything stays as it is.
    Blob,
    /// Text that looks like a number becomes one.
    Numeric,
    /// Likewise.
    Integer,
    /// Likewise, and integers become floats.
    Real,
}

impl Affinity {
    /// The affinity of a declared type, by the rules in SQLite's order.
    pub(super) fn of(declared: &str) -> Self {
        let word = declared.to_ascii_uppercase();
        let has = |parts: &[&str]| parts.iter().any(|p| word.contains(p));
        if has(&["INT"]) {
            Self::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if has(&["BLOB"]) || word.trim().is_empty() {
            Self::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// Whether text that spells a number would come back as a number.
    pub(super) fn turns_numbers(self) -> bool {
        matches!(self, Self::Numeric | Self::Integer | Self::Real)
    }
}

/// A type that cannot hold what it promises, and the word that can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destroys {
    /// What SQLite would do.
    pub what: String,
    /// The declaration to use.
    pub declare: String,
}

/// The shape of a column with this name and declared type. Nullability and defaults are the caller's.
///
/// # Errors
/// [`Destroys`] for a type whose affinity would change the digits that are written into it.
pub(super) fn column(name: &str, declared: &str) -> Result<ColumnShape, Destroys> {
    let said = declared.trim().to_ascii_lowercase();
    let as_text = said.strip_prefix("text_");
    let (word, args, array) = parts(as_text.unwrap_or(&said));
    let (logical, canonical) = meaning(word);
    let mut shape = ColumnShape::new(name, logical);
    shape.sql_type = spelt(canonical.unwrap_or(word), &args, array);
    if array {
        shape.logical = logical.array_of().unwrap_or(Logical::Json);
    }
    let affinity = Affinity::of(declared);
    let loses = matches!(logical, Logical::Decimal)
        || matches!(word, "money" | "smallmoney" | "string")
        || is_bits(word);
    if loses && !array && affinity.turns_numbers() {
        return Err(Destroys {
            what: format!("SQLite would store the text of a `{declared}` as a number and lose digits of it"),
            declare: if word == "string" { "TEXT".into() } else { format!("TEXT_{}", declared.trim()) },
        });
    }
    parameters(&mut shape, word, &args);
    Ok(shape)
}

/// The word, its parameters, and whether `[]` follows.
fn parts(said: &str) -> (&str, Vec<u32>, bool) {
    let (said, array) = said.strip_suffix("[]").map_or((said, false), |s| (s.trim_end(), true));
    let Some((word, rest)) = said.split_once('(') else { return (said.trim(), Vec::new(), array) };
    let (args, tail) = rest.split_once(')').unwrap_or((rest, ""));
    let args = args.split(',').filter_map(|a| a.trim().parse().ok()).collect();
    // `timestamp(3) with time zone`: the tail belongs to the word.
    let word = match (word.trim(), tail.trim()) {
        ("timestamp", "with time zone") => "timestamptz",
        ("time", "with time zone") => "timetz",
        (word, _) => word,
    };
    (word, args, array)
}

/// What a word means; the second part is PostgreSQL's word for it where decoders know it by another name.
fn meaning(word: &str) -> (Logical, Option<&'static str>) {
    match word {
        "bool" | "boolean" => (Logical::Bool, Some("boolean")),
        "tinyint" | "smallint" | "int2" | "smallserial" => (Logical::Int, Some("smallint")),
        "mediumint" | "int4" | "serial" => (Logical::Int, Some("integer")),
        "int" | "integer" | "bigint" | "int8" | "bigserial" | "unsigned big int" => {
            (Logical::Int, Some("bigint"))
        }
        "real" | "double" | "double precision" | "float" | "float4" | "float8" => {
            (Logical::Float, Some("double precision"))
        }
        "numeric" | "decimal" | "dec" | "number" => (Logical::Decimal, Some("numeric")),
        "blob" | "bytea" | "binary" | "varbinary" => (Logical::Bytes, Some("bytea")),
        "timestamptz" | "timestamp with time zone" => (Logical::Timestamp, Some("timestamptz")),
        "timestamp" | "datetime" | "timestamp without time zone" => (Logical::Timestamp, Some("timestamp")),
        "date" => (Logical::Date, None),
        "time" | "time without time zone" => (Logical::Time, Some("time")),
        "uuid" | "guid" => (Logical::Uuid, Some("uuid")),
        "json" | "jsonb" => (Logical::Json, None),
        "varchar" | "character varying" | "nvarchar" | "varying character" => {
            (Logical::Text, Some("varchar"))
        }
        "char" | "character" | "nchar" | "native character" => (Logical::Text, Some("char")),
        "" | "clob" | "string" | "any" => (Logical::Text, Some("text")),
        _ => (Logical::Text, None),
    }
}

fn is_bits(word: &str) -> bool {
    matches!(word, "bit" | "varbit" | "bit varying")
}

fn spelt(word: &str, args: &[u32], array: bool) -> String {
    let args: Vec<String> = args.iter().map(u32::to_string).collect();
    let args = if args.is_empty() { String::new() } else { format!("({})", args.join(",")) };
    format!("{word}{args}{}", if array { "[]" } else { "" })
}

fn parameters(shape: &mut ColumnShape, word: &str, args: &[u32]) {
    let first = args.first().copied();
    let element = meaning(word).0;
    match element {
        Logical::Decimal => {
            // `numeric(5)` has no digits after the point, as in PostgreSQL.
            let scale = args.get(1).copied().or(first.map(|_| 0));
            shape.scale = scale.and_then(|s| u8::try_from(s).ok());
        }
        Logical::Timestamp | Logical::Time => {
            shape.precision = first.and_then(|p| u8::try_from(p).ok()).filter(|p| *p <= 6);
        }
        Logical::Text => shape.length = first,
        Logical::Int => {
            shape.int_range = match word {
                "tinyint" => (-128, 255),
                "smallint" | "int2" | "smallserial" => (i64::from(i16::MIN), i64::from(i16::MAX)),
                "mediumint" => (-8_388_608, 8_388_607),
                "int4" | "serial" => (i64::from(i32::MIN), i64::from(i32::MAX)),
                // SQLite's own INT and INTEGER hold 64 bits, whatever they hold elsewhere.
                _ => (i64::MIN, i64::MAX),
            };
        }
        _ => {}
    }
    if word == "bit" && shape.length.is_none() {
        shape.length = Some(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affinities_follow_the_rules_of_sqlite() {
        for (declared, expected) in [
            ("BIGINT", Affinity::Integer),
            ("TEXT_INTERVAL", Affinity::Integer),
            ("CHARACTER VARYING(9)", Affinity::Text),
            ("TEXT_DECIMAL(5,3)", Affinity::Text),
            ("TEXT[]", Affinity::Text),
            ("BLOB", Affinity::Blob),
            ("", Affinity::Blob),
            ("DOUBLE PRECISION", Affinity::Real),
            ("TIMESTAMPTZ", Affinity::Numeric),
            ("BYTEA", Affinity::Numeric),
        ] {
            assert_eq!(Affinity::of(declared), expected, "{declared}");
        }
    }

    #[test]
    fn words_have_meanings() {
        for (declared, logical, sql_type) in [
            ("BOOLEAN", Logical::Bool, "boolean"),
            ("INTEGER", Logical::Int, "bigint"),
            ("REAL", Logical::Float, "double precision"),
            ("VARCHAR(40)", Logical::Text, "varchar(40)"),
            ("TEXT_NUMERIC(5,3)", Logical::Decimal, "numeric(5,3)"),
            ("text_decimal( 5 , 3 )", Logical::Decimal, "numeric(5,3)"),
            ("TIMESTAMP(3) WITH TIME ZONE", Logical::Timestamp, "timestamptz(3)"),
            ("DATETIME", Logical::Timestamp, "timestamp"),
            ("JSONB", Logical::Json, "jsonb"),
            ("TEXT[]", "text[]".parse().unwrap(), "text[]"),
            ("NUMERIC(5,3)[]", "decimal[]".parse().unwrap(), "numeric(5,3)[]"),
            ("INET", Logical::Text, "inet"),
            ("TEXT_BIT(8)", Logical::Text, "bit(8)"),
            ("mood", Logical::Text, "mood"),
            ("", Logical::Text, "text"),
        ] {
            let shape = column("c", declared).unwrap();
            assert_eq!((shape.logical, shape.sql_type.as_str()), (logical, sql_type), "{declared}");
        }
    }

    #[test]
    fn parameters_are_kept() {
        let of = |declared| column("c", declared).unwrap();
        assert_eq!(of("TEXT_DECIMAL(5,3)").scale, Some(3));
        assert_eq!(of("TEXT_DECIMAL(5)").scale, Some(0));
        assert_eq!(of("TEXT_DECIMAL").scale, None);
        assert_eq!(of("NUMERIC(5,3)[]").scale, Some(3));
        assert_eq!(of("TIMESTAMP(3)").precision, Some(3));
        assert_eq!(of("CHAR(5)").length, Some(5));
        assert_eq!(of("TEXT_BIT").length, Some(1));
        assert_eq!(of("SMALLINT").int_range, (-32_768, 32_767));
        assert_eq!(of("INT4").int_range.1, 2_147_483_647);
        assert_eq!(of("INTEGER").int_range.1, i64::MAX);
        assert!(of("TIMESTAMP WITH TIME ZONE").is_zoned());
    }

    #[test]
    fn a_type_that_loses_digits_is_refused_with_the_word_that_does_not() {
        for (declared, instead) in [
            ("NUMERIC(5,3)", "TEXT_NUMERIC(5,3)"),
            ("DECIMAL", "TEXT_DECIMAL"),
            ("MONEY", "TEXT_MONEY"),
            ("BIT(8)", "TEXT_BIT(8)"),
            ("STRING", "TEXT"),
        ] {
            let destroys = column("c", declared).unwrap_err();
            assert_eq!(destroys.declare, instead);
            assert!(column("c", instead).is_ok(), "{instead}");
        }
    }
}
