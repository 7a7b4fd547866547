//! A table described in a file of its own, for a plugin that no pipeline names yet: `--table shape.toml`.

use std::{collections::BTreeMap, path::Path};

use reconverge_streams::{
    logical::Logical,
    table::{ColumnShape, TableShape},
};
use serde::Deserialize;

use crate::{
    assemble::Described,
    cli::{exit::Exit, failure::Failure},
    laws::ground::Holds,
};

/// How such a file is written.
const FORM: &str = "write it like: name = \"schedules\", key = [\"id\"], [columns] id = \"int\", \
                    note = { type = \"text\", not_null = true, unsent = false }";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    key: Vec<String>,
    columns: BTreeMap<String, Written>,
}

/// A column: its type, or more about it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Type(String),
    Column(Column),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    #[serde(rename = "type")]
    logical: String,
    /// The database takes no null there.
    #[serde(default)]
    not_null: bool,
    /// The source may leave it out (an unchanged big column).
    unsent: Option<bool>,
    /// The smallest and the greatest integer that it takes.
    range: Option<(i64, i64)>,
}

/// Reads a description.
pub(super) fn read(path: &Path) -> Result<Described, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|cause| {
        Failure::new(Exit::Environment, format!("{shown} cannot be read")).because(&cause).hint(FORM)
    })?;
    parse(&text)
        .map_err(|what| Failure::new(Exit::Configuration, format!("{shown} is no table: {what}")).hint(FORM))
}

fn parse(text: &str) -> Result<Described, String> {
    let file: File = toml::from_str(text).map_err(|cause| cause.to_string().trim_end().to_owned())?;
    let mut shape =
        TableShape { name: file.name, columns: Vec::new(), key: Vec::new(), has_other_unique: false };
    let mut holds = Vec::new();
    for (name, written) in file.columns {
        let column = match written {
            Written::Type(logical) => Column { logical, not_null: false, unsent: None, range: None },
            Written::Column(column) => column,
        };
        let logical: Logical = column.logical.parse().map_err(|cause| format!("column `{name}`: {cause}"))?;
        if let Some(unsent) = column.unsent {
            holds.push((name.clone(), Holds { null: !column.not_null, unsent }));
        }
        let mut planned = ColumnShape::new(name, logical);
        planned.not_null = column.not_null;
        planned.int_range = column.range.unwrap_or(planned.int_range);
        shape.columns.push(planned);
    }
    for key in &file.key {
        let place =
            shape.column(key).ok_or_else(|| format!("key column `{key}` is not among its columns"))?;
        shape.columns[place].not_null = true;
        shape.key.push(place);
    }
    if shape.key.is_empty() { Err("it has no key".into()) } else { Ok(Described { shape, holds }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_with_what_its_columns_hold() {
        let read = parse(
            "name = 't'\nkey = ['id']\n[columns]\nid = 'int'\nnote = { type = 'text', unsent = true }\n\
             epoch = { type = 'int', not_null = true, range = [0, 9] }",
        )
        .unwrap();
        let at = |name| &read.shape.columns[read.shape.column(name).unwrap()];
        assert!(at("epoch").not_null && at("id").not_null && !at("note").not_null);
        assert_eq!(at("epoch").int_range, (0, 9));
        assert_eq!(read.holds, [("note".to_owned(), Holds { null: true, unsent: true })]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, told) in [
            ("name = 't'\nkey = []\n[columns]\nid = 'int'", "no key"),
            ("name = 't'\nkey = ['no']\n[columns]\nid = 'int'", "`no` is not among"),
            ("name = 't'\nkey = ['id']\n[columns]\nid = 'integer'", "`integer` is no logical type"),
            ("name = 't'", "missing field"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
