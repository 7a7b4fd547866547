//! A plugin as a Rust type: what it is, what it asks of each table, and how it answers a batch.
//!
//! The stage attributes (`#[merge]` and its like) implement these traits for the rule of one function. A plugin
//! that makes its contract from the tables it is given, or works on whole columns, implements them by hand and
//! ends with [`export!`](crate::export).

use std::{cell::OnceCell, collections::BTreeMap};

use serde::Deserialize;

use crate::{
    bindings::base::{exports::reconverge::plugin::lifecycle, reconverge::plugin::types},
    block::Block,
};

/// What a plugin is and asks for. One value of it lives as long as an instance.
pub trait Plugin: Sized + 'static {
    /// What the plugin says of itself. Called on an instance of its own.
    fn describe() -> types::Descriptor;

    /// Takes the configuration, which passed the schema of [`Plugin::describe`] (empty = none was given), and
    /// the tables that the pipeline bound the plugin to; answers with the plugin and a contract for each table.
    ///
    /// # Errors
    /// Words for the operator: what is wrong, and what to write instead. The plugin is then refused.
    fn open(config: &str, tables: &[Table]) -> Result<(Self, Vec<types::Contract>), String>;
}

/// A stage that the plugin implements; `S` is one of [`stage`].
pub trait Stage<S>: Plugin {
    /// Answers a batch: one verdict per row. What it answers must depend on the batch and the configuration
    /// alone, not on batches before: they are cut differently in each region.
    ///
    /// # Errors
    /// The whole call failed, and none of it counts. For one bad row, fail that row.
    fn run(&mut self, batch: &Batch<'_>) -> Result<types::Answer, String>;
}

/// The stages, as types.
pub mod stage {
    /// Whether a row belongs here, by what it is.
    #[derive(Clone, Copy, Debug)]
    pub struct Filter;
    /// Whether a row may be in this region.
    #[derive(Clone, Copy, Debug)]
    pub struct Residency;
    /// The form that a row has here.
    #[derive(Clone, Copy, Debug)]
    pub struct Mapping;
    /// Which of two versions stands.
    #[derive(Clone, Copy, Debug)]
    pub struct Merge;
}

/// Changes of one table.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Index into the tables given to [`Plugin::open`].
    pub table: usize,
    /// The columns of the contract's `reads`.
    pub block: Block<'a>,
}

/// A table that the pipeline bound the plugin to.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name, as the pipeline has it.
    pub name: String,
    /// Its key columns, in order.
    pub key: Vec<String>,
    /// All columns of the sink's table: name and logical type.
    pub columns: Vec<(String, String)>,
    extensions: String,
    tags: OnceCell<Result<Tags, String>>,
}

/// The tags of a table and of its columns, as the pipeline's `tags` and `columns` have them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Tags {
    /// Of the table.
    #[serde(default, rename = "tags")]
    pub table: Vec<String>,
    #[serde(default)]
    columns: BTreeMap<String, ColumnTags>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct ColumnTags {
    #[serde(default)]
    tags: Vec<String>,
}

impl Tags {
    /// Of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> &[String] {
        self.columns.get(name).map_or(&[], |column| &column.tags)
    }

    /// The columns that have a tag, by name.
    pub fn columns_with<'t>(&'t self, tag: &'t str) -> impl Iterator<Item = &'t str> {
        let has_tag = move |(_, column): &(&String, &ColumnTags)| column.tags.iter().any(|t| t == tag);
        self.columns.iter().filter(has_tag).map(|(name, _)| name.as_str())
    }
}

impl Table {
    /// A table. `extensions` is a JSON object, empty for nothing.
    #[must_use]
    pub fn new(name: &str, key: &[&str], columns: &[(&str, &str)], extensions: &str) -> Self {
        Table {
            name: name.into(),
            key: key.iter().map(|&k| k.into()).collect(),
            columns: columns.iter().map(|&(name, logical)| (name.into(), logical.into())).collect(),
            extensions: extensions.into(),
            tags: OnceCell::new(),
        }
    }

    /// The logical type of a column of the sink's table.
    #[must_use]
    pub fn logical(&self, column: &str) -> Option<&str> {
        self.columns.iter().find(|(name, _)| name == column).map(|(_, logical)| logical.as_str())
    }

    /// The tags that the pipeline gave the table and its columns. Read once.
    ///
    /// # Errors
    /// The host's `extensions` of the table are not of the form in `wit/plugin.wit`.
    pub fn tags(&self) -> Result<&Tags, String> {
        let read = || match self.extensions.as_str() {
            "" => Ok(Tags::default()),
            json => serde_json::from_str(json).map_err(|e| format!("extensions of table {}: {e}", self.name)),
        };
        self.tags.get_or_init(read).as_ref().map_err(Clone::clone)
    }
}

impl From<lifecycle::Table> for Table {
    fn from(table: lifecycle::Table) -> Self {
        let lifecycle::Table { name, key, columns, extensions } = table;
        Table { name, key, columns, extensions, tags: OnceCell::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_from_extensions() {
        let json = r#"{"tags":["wfm"],"columns":{"email":{"tags":["pii"]},"phone":{"tags":["pii","eu"]},"note":{}},"later":1}"#;
        let table = Table::new("t", &["id"], &[("id", "int")], json);
        let tags = table.tags().unwrap();
        assert_eq!(
            (tags.table.as_slice(), tags.column("phone")),
            (&["wfm".to_string()][..], &["pii".to_string(), "eu".to_string()][..])
        );
        assert_eq!(tags.columns_with("pii").collect::<Vec<_>>(), ["email", "phone"]);
        assert!(tags.column("note").is_empty() && tags.column("none").is_empty());
        assert_eq!(Table::new("t", &[], &[], "").tags(), Ok(&Tags::default()));
        assert!(Table::new("t", &[], &[], "[").tags().unwrap_err().starts_with("extensions of table t: "));
    }
}
