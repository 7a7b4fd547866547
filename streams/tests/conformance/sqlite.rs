//! SQLite in the suite: a file in a folder of its own.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use reconverge_streams::{logical::Logical, sqlite::SqliteSink};
use rusqlite::{Connection, types::ValueRef};
use tempfile::TempDir;

use crate::fixture::{Fixture, Table, quoted};

pub struct Sqlite {
    folder: TempDir,
    /// The clock of every sink on the file, microseconds since 1970.
    now: Arc<AtomicI64>,
}

impl Sqlite {
    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("sink.db")
    }

    /// Does something to the schema, as its owner would.
    pub fn execute(&self, sql: &str) {
        self.app().execute_batch(sql).expect("a statement of the owner's");
    }

    fn app(&self) -> Connection {
        let conn = Connection::open(self.path()).expect("a database");
        conn.busy_timeout(std::time::Duration::from_secs(5)).expect("a timeout");
        conn
    }
}

/// The word for a logical type: those that a friendly schema would use.
pub fn word(logical: Logical) -> String {
    match logical {
        Logical::Bool => "BOOLEAN".into(),
        Logical::Int => "BIGINT".into(),
        Logical::Float => "DOUBLE PRECISION".into(),
        Logical::Text => "TEXT".into(),
        Logical::Bytes => "BYTEA".into(),
        Logical::Decimal => "TEXT_DECIMAL".into(),
        Logical::Timestamp => "TIMESTAMPTZ".into(),
        Logical::Date => "DATE".into(),
        Logical::Time => "TIME".into(),
        Logical::Uuid => "UUID".into(),
        Logical::Json => "JSONB".into(),
        Logical::Array(element) => format!("{}[]", word(element.logical())),
    }
}

impl Fixture for Sqlite {
    type Sink = SqliteSink;

    async fn fresh() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let fixture = Sqlite { folder, now: Arc::new(AtomicI64::new(1_770_000_000_000_000)) };
        fixture.app().execute_batch("PRAGMA user_version = 1").expect("a file");
        fixture
    }

    async fn open(&self) -> SqliteSink {
        let now = Arc::clone(&self.now);
        let sink = SqliteSink::open(&self.path()).expect("a sink");
        sink.with_clock(move || now.fetch_add(1, Ordering::Relaxed))
    }

    async fn create(&self, table: &Table) {
        self.app().execute_batch(&table.ddl(word)).expect("a table");
    }

    async fn app_write(&self, table: &Table, row: &[(&'static str, Option<&str>)]) {
        let names: Vec<&str> = row.iter().map(|c| c.0).collect();
        let places: Vec<String> = (1..=row.len()).map(|i| format!("?{i}")).collect();
        let set: Vec<String> = names.iter().map(|n| format!("\"{n}\" = excluded.\"{n}\"")).collect();
        let sql = format!(
            "INSERT INTO \"{}\" ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}",
            table.name,
            quoted(&names),
            places.join(", "),
            quoted(&table.key),
            set.join(", ")
        );
        let values = rusqlite::params_from_iter(row.iter().map(|c| c.1));
        self.app().execute(&sql, values).expect("the application writes");
    }

    async fn app_delete(&self, table: &Table, key: &[&str]) {
        let terms: Vec<String> =
            table.key.iter().enumerate().map(|(i, k)| format!("\"{k}\" = ?{}", i + 1)).collect();
        let sql = format!("DELETE FROM \"{}\" WHERE {}", table.name, terms.join(" AND "));
        let gone =
            self.app().execute(&sql, rusqlite::params_from_iter(key)).expect("the application deletes");
        assert_eq!(gone, 1);
    }

    async fn rows(&self, table: &Table, columns: &[&'static str]) -> Vec<Vec<Option<String>>> {
        let casts: Vec<String> = columns.iter().map(|c| format!("CAST(\"{c}\" AS TEXT)")).collect();
        let app = self.app();
        let mut select =
            app.prepare(&format!("SELECT {} FROM \"{}\"", casts.join(", "), table.name)).expect("a query");
        let row = |r: &rusqlite::Row<'_>| (0..columns.len()).map(|i| r.get(i)).collect();
        let mut rows: Vec<Vec<Option<String>>> =
            select.query_map([], row).expect("rows").collect::<Result<_, _>>().expect("texts");
        rows.sort();
        rows
    }

    async fn sidecar_bytes(&self) -> Vec<u8> {
        let app = self.app();
        let mut names = app
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'reconverge%'")
            .expect("tables");
        let names: Vec<String> =
            names.query_map([], |r| r.get(0)).expect("names").collect::<Result<_, _>>().expect("names");
        let mut bytes = Vec::new();
        for name in names {
            let mut all = app.prepare(&format!("SELECT * FROM {name}")).expect("a query");
            let columns = all.column_count();
            let mut rows = all.query([]).expect("rows");
            while let Some(row) = rows.next().expect("a row") {
                for at in 0..columns {
                    match row.get_ref_unwrap(at) {
                        ValueRef::Text(b) | ValueRef::Blob(b) => bytes.extend_from_slice(b),
                        _ => bytes.push(b' '),
                    }
                }
            }
        }
        bytes
    }

    async fn age_events(&self) {
        let sql = "UPDATE reconverge_seen_event SET at = at - 25 * 3600 * 1000000";
        self.app().execute_batch(sql).expect("the sidecar is there");
    }

    async fn end_leases(&self) {
        self.now.fetch_add(86_400 * 1_000_000, Ordering::Relaxed);
    }

    async fn add_column(&self, table: &Table, name: &str, logical: Logical) {
        let sql = format!("ALTER TABLE \"{}\" ADD COLUMN \"{name}\" {}", table.name, word(logical));
        self.app().execute_batch(&sql).expect("a column");
    }

    async fn drop_table(&self, table: &Table) {
        self.app().execute_batch(&format!("DROP TABLE \"{}\"", table.name)).expect("the table goes");
    }
}
