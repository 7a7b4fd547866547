//! A run's tables in a SQLite file of their own.

use std::{collections::BTreeMap, sync::Arc};

use reconverge_oracle::{Key, Row};
use reconverge_servers::scratch;
use reconverge_simulator::{
    place::{Answer, Place, ddl},
    scenario::COLUMNS,
    wire,
};
use reconverge_streams::{sink::Sink as _, sqlite::SqliteSink};
use rusqlite::Connection;
use tempfile::TempDir;

/// See the module.
pub struct InSqlite(TempDir);

impl InSqlite {
    /// An empty file with so many tables.
    pub fn new(tables: usize) -> InSqlite {
        let place = InSqlite(scratch("every_call").unwrap());
        let ddl: String = (0..tables).map(ddl).collect();
        place.open().execute_batch(&ddl).unwrap();
        place
    }

    fn open(&self) -> Connection {
        Connection::open(self.0.path().join("sink.db")).unwrap()
    }
}

impl Place for InSqlite {
    type Sink = SqliteSink;

    fn sink(&self) -> Answer<'_, Arc<SqliteSink>> {
        Box::pin(async {
            let sink = SqliteSink::open(&self.0.path().join("sink.db")).unwrap();
            sink.prepare().await.unwrap();
            Arc::new(sink)
        })
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn rows(&self, tables: usize) -> Answer<'_, BTreeMap<Key, Row>> {
        let connection = self.open();
        let mut found = BTreeMap::new();
        for table in 0..tables {
            let query = format!("SELECT {} FROM {}", COLUMNS.join(", "), wire::name(table));
            let mut statement = connection.prepare(&query).unwrap();
            let cells = |row: &rusqlite::Row<'_>| (0..COLUMNS.len()).map(|c| row.get(c)).collect();
            let rows: Vec<Row> = statement.query_map([], cells).unwrap().map(Result::unwrap).collect();
            found.extend(rows.into_iter().map(|row| ((table, row[0].unwrap()), row)));
        }
        Box::pin(std::future::ready(found))
    }

    fn write<'a>(&'a self, _: usize, _: &'a Row) -> Answer<'a, ()> {
        unreachable!("the script has no writes of the application")
    }
}
