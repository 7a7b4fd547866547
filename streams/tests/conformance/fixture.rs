//! What a sink brings to the suite: an empty database, ways to act on it as the application would, and sinks on
//! it that share nothing but the database, as two processes do. Values are canonical text forms throughout.

use std::future::Future;

use reconverge_streams::{logical::Logical, records::Records, roster::Roster, sink::Sink};

/// A column of a table of the suite.
#[derive(Clone, Debug)]
pub struct Col {
    pub name: &'static str,
    pub logical: Logical,
    pub not_null: bool,
    /// A text that the database fills in where a row does not name the column. Only of text columns.
    pub default: Option<&'static str>,
}

/// A table of the suite, in no dialect.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: &'static str,
    pub columns: Vec<Col>,
    /// Becomes the primary key.
    pub key: Vec<&'static str>,
    /// Each becomes a unique constraint of one column.
    pub unique: Vec<&'static str>,
}

impl Table {
    /// A table of nullable columns without defaults, whose key is the first column.
    pub fn new(name: &'static str, columns: &[(&'static str, Logical)]) -> Self {
        let col = |&(name, logical)| Col { name, logical, not_null: false, default: None };
        Table {
            name,
            columns: columns.iter().map(col).collect(),
            key: vec![columns[0].0],
            unique: Vec::new(),
        }
    }

    pub fn key(mut self, key: &[&'static str]) -> Self {
        self.key = key.to_vec();
        self
    }

    pub fn unique(mut self, column: &'static str) -> Self {
        self.unique.push(column);
        self
    }

    pub fn not_null(mut self, column: &str) -> Self {
        self.at(column).not_null = true;
        self
    }

    pub fn default(mut self, column: &str, value: &'static str) -> Self {
        self.at(column).default = Some(value);
        self
    }

    fn at(&mut self, column: &str) -> &mut Col {
        self.columns.iter_mut().find(|c| c.name == column).expect("a column of the table")
    }

    /// `CREATE TABLE` with the dialect's word for each logical type.
    pub fn ddl(&self, word: impl Fn(Logical) -> String) -> String {
        let mut parts: Vec<String> = Vec::new();
        for c in &self.columns {
            let null = if c.not_null { " NOT NULL" } else { "" };
            let default = c.default.map(|d| format!(" DEFAULT '{d}'")).unwrap_or_default();
            parts.push(format!("\"{}\" {}{null}{default}", c.name, word(c.logical)));
        }
        parts.push(format!("PRIMARY KEY ({})", quoted(&self.key)));
        parts.extend(self.unique.iter().map(|u| format!("UNIQUE (\"{u}\")")));
        format!("CREATE TABLE \"{}\" ({})", self.name, parts.join(", "))
    }
}

/// Column names in double quotes, with commas between.
pub fn quoted(names: &[&str]) -> String {
    names.iter().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ")
}

/// A database for one test, gone when it is dropped.
pub trait Fixture: Send + Sync + Sized {
    type Sink: Sink + Records + Roster + 'static;

    /// An empty database: no sidecar, no tables.
    fn fresh() -> impl Future<Output = Self> + Send;

    /// A sink on it with connections of its own: another process, or the same one after a restart.
    fn open(&self) -> impl Future<Output = Self::Sink> + Send;

    /// Creates a table, as its owner would.
    fn create(&self, table: &Table) -> impl Future<Output = ()> + Send;

    /// Inserts a row as the application, or updates the named columns of the row of that key. `row` has the
    /// key columns.
    fn app_write(
        &self,
        table: &Table,
        row: &[(&'static str, Option<&str>)],
    ) -> impl Future<Output = ()> + Send;

    /// Deletes, as the application, the rows whose key columns have these values.
    fn app_delete(&self, table: &Table, key: &[&str]) -> impl Future<Output = ()> + Send;

    /// The named columns of all rows in the database's own text, sorted by that text; null is `None`. For types
    /// whose own text is the canonical form: int, text, uuid.
    fn rows(
        &self,
        table: &Table,
        columns: &[&'static str],
    ) -> impl Future<Output = Vec<Vec<Option<String>>>> + Send;

    /// Every byte of every sidecar row, in any encoding in which a text would stand as itself and bytes as
    /// themselves or as lower-case hex.
    fn sidecar_bytes(&self) -> impl Future<Output = Vec<u8>> + Send;

    /// Makes every seen event 25 hours older.
    fn age_events(&self) -> impl Future<Output = ()> + Send;

    /// Makes every lease end now, as if nobody had kept it.
    fn end_leases(&self) -> impl Future<Output = ()> + Send;

    /// Adds a nullable column without a default, as the table's owner would.
    fn add_column(&self, table: &Table, name: &str, logical: Logical) -> impl Future<Output = ()> + Send;

    /// Drops a table under the sink, as its owner would.
    fn drop_table(&self, table: &Table) -> impl Future<Output = ()> + Send;
}
