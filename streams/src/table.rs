//! The shape of a sink table: its column types are the schema that change events are decoded to.

use crate::logical::Logical;

/// Index of a table in the pipeline's plan. The same number in the host, in a batch and in a sink's claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u16);

impl TableId {
    /// The number, for tables that are indexed by it.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One column of a sink table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnShape {
    /// The column's name.
    pub name: String,
    /// What its cells mean.
    pub logical: Logical,
    /// The database's own word for the type, lower case, with its parameters: `numeric(5,3)`, `bit(8)`,
    /// `timestamp(3) without time zone`, `mood`. Decoders read scale, length and precision from the fields below.
    pub sql_type: String,
    /// Digits after the point of a decimal or of an array's decimals; `None` where the type leaves it open.
    pub scale: Option<u8>,
    /// Digits of a fraction of a second (0 to 6) of time types; `None` where the type says none, which means 6.
    pub precision: Option<u8>,
    /// Smallest and greatest integer that the column takes.
    pub int_range: (i64, i64),
    /// Greatest number of characters of a text, or of bits of a bit string.
    pub length: Option<u32>,
    /// The labels of an enum, empty for other types.
    pub labels: Vec<String>,
    /// Whether null is refused.
    pub not_null: bool,
    /// Whether the database fills the column where a row does not name it.
    pub has_default: bool,
    /// Whether the database computes it, so that it is never written.
    pub generated: bool,
}

impl ColumnShape {
    /// A nullable column of the widest range without parameters; the sinks fill in what they know.
    #[must_use]
    pub fn new(name: impl Into<String>, logical: Logical) -> Self {
        ColumnShape {
            name: name.into(),
            logical,
            sql_type: logical.to_string(),
            scale: None,
            precision: None,
            int_range: (i64::MIN, i64::MAX),
            length: None,
            labels: Vec::new(),
            not_null: false,
            has_default: false,
            generated: false,
        }
    }

    /// The type's name without parameters and without the tail of time types: `numeric`, `bit`, `timestamp`.
    #[must_use]
    pub fn base_type(&self) -> &str {
        let end = self.sql_type.find(['(', '[']).unwrap_or(self.sql_type.len());
        let word = self.sql_type[..end].trim_end();
        word.strip_suffix(" without time zone").or(word.strip_suffix(" with time zone")).unwrap_or(word)
    }

    /// Whether the type carries a time zone (`timestamptz`, `timestamp with time zone`, `timetz`).
    #[must_use]
    pub fn is_zoned(&self) -> bool {
        self.sql_type.ends_with("with time zone") && !self.sql_type.ends_with("without time zone")
            || matches!(self.base_type(), "timestamptz" | "timetz")
    }
}

/// A table of the sink as the pipeline uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableShape {
    /// Name in the sink, without schema.
    pub name: String,
    /// All columns that the sink's table has, in its order.
    pub columns: Vec<ColumnShape>,
    /// Indexes of the key columns, in the order in which the pipeline declares the key.
    pub key: Vec<usize>,
    /// Whether the table has a unique constraint besides the one on the key, so that the net effect of a
    /// batch cannot always be written in any order.
    pub has_other_unique: bool,
}

impl TableShape {
    /// The index of a column by name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// What keeps this shape, made earlier, from being that of a table that is now `now`: a column that is gone or of
    /// another type. Columns that came are none of its business. `None`: it still is.
    #[must_use]
    pub fn unlike(&self, now: &TableShape) -> Option<String> {
        self.columns.iter().find_map(|column| {
            let Some(at) = now.column(&column.name) else {
                return Some(format!("column `{}` is gone", column.name));
            };
            let found = now.columns[at].logical;
            (found != column.logical)
                .then(|| format!("column `{}` is {found} now, it was {}", column.name, column.logical))
        })
    }

    /// The logical types of all columns, in order.
    pub fn logicals(&self) -> impl Iterator<Item = Logical> + '_ {
        self.columns.iter().map(|c| c.logical)
    }

    /// The logical types of the key columns, in key order.
    pub fn key_logicals(&self) -> impl Iterator<Item = Logical> + '_ {
        self.key.iter().map(|&k| self.columns[k].logical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_that_of_its_table_until_a_column_goes_or_turns() {
        let shape = |columns: &[(&str, Logical)]| TableShape {
            name: "t".into(),
            columns: columns.iter().map(|(name, logical)| ColumnShape::new(*name, *logical)).collect(),
            key: vec![0],
            has_other_unique: false,
        };
        let planned = shape(&[("id", Logical::Int), ("v", Logical::Text)]);
        for (now, unlike) in [
            (vec![("id", Logical::Int), ("v", Logical::Text)], None),
            (vec![("new", Logical::Bool), ("v", Logical::Text), ("id", Logical::Int)], None),
            (vec![("id", Logical::Int)], Some("column `v` is gone")),
            (vec![("id", Logical::Text), ("v", Logical::Text)], Some("column `id` is text now, it was int")),
        ] {
            assert_eq!(planned.unlike(&shape(&now)).as_deref(), unlike);
        }
    }

    #[test]
    fn base_type_leaves_parameters_out() {
        for (sql, base, zoned) in [
            ("numeric(5,3)", "numeric", false),
            ("timestamp(3) without time zone", "timestamp", false),
            ("timestamp with time zone", "timestamp", true),
            ("timestamptz", "timestamptz", true),
            ("text[]", "text", false),
            ("bit varying(16)", "bit varying", false),
        ] {
            let mut c = ColumnShape::new("c", Logical::Text);
            c.sql_type = sql.into();
            assert_eq!((c.base_type(), c.is_zoned()), (base, zoned), "{sql}");
        }
    }
}
