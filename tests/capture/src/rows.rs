//! A table's rows as text, by key: what is read from a database and what a CSV file says stand in one form, so that
//! they can be compared.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::Form;

/// How null stands in a CSV file.
const NULL: &str = "\\N";

/// A table as it is compared.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name in the sink.
    pub name: &'static str,
    /// The columns of its key.
    pub key: &'static [&'static str],
    /// Its columns, in the order of the CSV file.
    pub columns: &'static [(&'static str, Form)],
}

/// A row's cells in the order of its table's columns; `None` is null.
pub type Row = Vec<Option<String>>;

/// Rows of one table by the text of their keys.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The table.
    pub table: Table,
    rows: BTreeMap<Vec<String>, Row>,
}

impl Table {
    /// Where a column stands in a row.
    ///
    /// # Errors
    /// When the table has no such column.
    pub fn place(&self, column: &str) -> Result<usize> {
        let found = self.columns.iter().position(|(name, _)| *name == column);
        found.with_context(|| format!("table {} has no column {column}", self.name))
    }
}

impl Rows {
    /// No rows.
    #[must_use]
    pub fn none(table: Table) -> Rows {
        Rows { table, rows: BTreeMap::new() }
    }

    /// Reads the rows that a CSV file with a header line holds.
    ///
    /// # Errors
    /// When it cannot be read, has other columns than the table, or holds a key twice.
    pub fn in_csv(table: Table, file: &Path) -> Result<Rows> {
        let opened = csv::Reader::from_path(file).with_context(|| format!("opening {}", file.display()));
        let mut reader = opened?;
        let head = reader.headers().with_context(|| format!("reading {}", file.display()))?;
        if !head.iter().eq(table.columns.iter().map(|(name, _)| *name)) {
            bail!("{} has other columns than table {}", file.display(), table.name);
        }
        let mut rows = Rows::none(table);
        for record in reader.records() {
            let record = record.with_context(|| format!("reading {}", file.display()))?;
            let cell = |cell: &str| (cell != NULL).then(|| cell.to_owned());
            rows.add(record.iter().map(cell).collect())?;
        }
        Ok(rows)
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When a key column is null or the key stands already.
    pub fn add(&mut self, row: Row) -> Result<()> {
        let mut key = Vec::with_capacity(self.table.key.len());
        for column in self.table.key {
            let cell = row.get(self.table.place(column)?).cloned().flatten();
            key.push(cell.with_context(|| format!("a row of {} without {column}", self.table.name))?);
        }
        if let Some(twice) = self.rows.insert(key, row) {
            bail!("table {} has two rows with the key of {twice:?}", self.table.name);
        }
        Ok(())
    }

    /// The row of a key.
    #[must_use]
    pub fn get(&self, key: &[String]) -> Option<&Row> {
        self.rows.get(key)
    }

    /// The cell of a row, where the row and its value are there.
    #[must_use]
    pub fn cell(&self, key: &[String], column: &str) -> Option<&str> {
        self.get(key)?.get(self.table.place(column).ok()?)?.as_deref()
    }

    /// All rows in the order of their keys' text.
    pub fn iter(&self) -> impl Iterator<Item = (&Vec<String>, &Row)> {
        self.rows.iter()
    }

    /// Leaves only the rows that `keep` says true of.
    pub fn retain(&mut self, mut keep: impl FnMut(&Row) -> bool) {
        self.rows.retain(|_, row| keep(row));
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const PAIRS: Table = Table {
        name: "pairs",
        key: &["b", "a"],
        columns: &[("a", Form::Plain), ("b", Form::Plain), ("v", Form::Plain)],
    };

    pub(crate) fn row(cells: [Option<&str>; 3]) -> Row {
        cells.map(|cell| cell.map(str::to_owned)).to_vec()
    }

    fn key(cells: [&str; 2]) -> Vec<String> {
        cells.map(str::to_owned).to_vec()
    }

    #[test]
    fn a_csv_file_tells_null_from_the_empty_text() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a,b,v\n1,x,\\N\n1,y,\n2,y,\"a \"\"b\"\",\nc\"\n").unwrap();
        let rows = Rows::in_csv(PAIRS, file.path()).unwrap();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows.get(&key(["x", "1"])), Some(&row([Some("1"), Some("x"), None])));
        assert_eq!(rows.cell(&key(["y", "1"]), "v"), Some(""));
        assert_eq!(rows.cell(&key(["y", "2"]), "v"), Some("a \"b\",\nc"));
        assert_eq!(rows.cell(&key(["x", "1"]), "v"), None);
    }

    #[test]
    fn other_columns_and_keys_that_are_none_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, words) in [
            ("a,v,b\n", "other columns"),
            ("a,b,v\n1,x,1\n1,x,2\n", "two rows"),
            ("a,b,v\n\\N,x,1\n", "without a"),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let told = format!("{:#}", Rows::in_csv(PAIRS, file.path()).unwrap_err());
            assert!(told.contains(words), "{told}");
        }
    }
}
