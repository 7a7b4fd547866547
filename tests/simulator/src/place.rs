//! Databases that a run may write to, and how a test reads them back: a memory sink here, real ones in the tests.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use reconverge_oracle::{Key, Row};
use reconverge_streams::{
    columns::{Columns, State},
    logical::Logical,
    memory::{database::MemoryDatabase, sink::MemorySink},
    position::Micros,
    records::{Query, Records},
    sink::Sink,
    table::{ColumnShape, TableShape},
};
use tokio::time::Instant;

use crate::{scenario::COLUMNS, wire};

/// When every run begins, microseconds since 1970.
pub const BEGINNING: Micros = 1_770_000_000_000_000;

/// A future of a place.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An empty database with a scenario's tables.
pub trait Place: Send + Sync + 'static {
    /// Its sink.
    type Sink: Sink + Records + 'static;

    /// A sink on it, as a process opens one; all of them share the database.
    fn sink(&self) -> Answer<'_, Arc<Self::Sink>>;

    /// Whether what is committed can be looked at before anyone else goes on, so that each step is checked.
    fn is_exact(&self) -> bool;

    /// All rows of the first `tables` tables.
    fn rows(&self, tables: usize) -> Answer<'_, BTreeMap<Key, Row>>;

    /// Writes a row as the application; only in a place that is exact.
    fn write<'a>(&'a self, table: usize, row: &'a Row) -> Answer<'a, ()>;
}

/// The clock of a run: time that passes only when everybody waits.
pub fn clock() -> impl Fn() -> Micros + Send + Sync + Clone + 'static {
    let start = Instant::now();
    move || BEGINNING + i64::try_from(start.elapsed().as_micros()).unwrap_or_default()
}

/// The shape of a scenario's table.
#[must_use]
pub fn shape(table: usize) -> TableShape {
    let columns: Vec<ColumnShape> = COLUMNS.map(|name| ColumnShape::new(name, Logical::Int)).into();
    TableShape { name: wire::name(table), columns, key: vec![0], has_other_unique: false }
}

/// A scenario's table as SQL makes it.
#[must_use]
pub fn ddl(table: usize) -> String {
    let others: Vec<String> = COLUMNS[1..].iter().map(|name| format!("{name} bigint")).collect();
    format!("CREATE TABLE {} (id bigint PRIMARY KEY NOT NULL, {});", wire::name(table), others.join(", "))
}

/// A database in memory.
#[derive(Debug)]
pub struct InMemory {
    database: MemoryDatabase,
}

impl InMemory {
    /// Empty tables, so many.
    pub async fn new(tables: usize) -> InMemory {
        let database = MemoryDatabase::with_clock(clock());
        for table in 0..tables {
            let mut defaults = Columns::new([Logical::Int; COLUMNS.len()]);
            defaults.push_row_of(State::Null);
            database.create(shape(table), Vec::new(), defaults).await;
        }
        InMemory { database }
    }
}

impl Place for InMemory {
    type Sink = MemorySink;

    fn sink(&self) -> Answer<'_, Arc<MemorySink>> {
        Box::pin(async { Arc::new(MemorySink::new(self.database.clone())) })
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn rows(&self, tables: usize) -> Answer<'_, BTreeMap<Key, Row>> {
        Box::pin(async move {
            let all = self.database.all_rows().await;
            let mut found = BTreeMap::new();
            for table in 0..tables {
                let Some(rows) = all.get(&wire::name(table)) else { continue };
                for at in 0..rows.rows() {
                    let cell = |c: usize| {
                        let column = &rows.columns[c];
                        (column.state(at) == State::Value).then(|| column.int(at))
                    };
                    let row: Row = (0..COLUMNS.len()).map(cell).collect();
                    found.insert((table, row[0].unwrap()), row);
                }
            }
            found
        })
    }

    fn write<'a>(&'a self, table: usize, row: &'a Row) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut cells = Columns::new([Logical::Int; COLUMNS.len()]);
            for (column, cell) in cells.columns.iter_mut().zip(row) {
                match cell {
                    Some(value) => column.push_int(*value),
                    None => column.push_state(State::Null),
                }
            }
            cells.end_row();
            let columns: Vec<usize> = (0..COLUMNS.len()).collect();
            self.database.write(&wire::name(table), &columns, &cells).await;
        })
    }
}

/// The rows that a sink keeps beside, and whether each counts as orphaned.
pub async fn kept(sink: &impl Records) -> BTreeMap<Key, (Row, bool)> {
    let query = Query { limit: 1_000_000, ..Query::default() };
    let records = sink.parked(&query).await.unwrap();
    let kept = records.into_iter().map(|record| {
        let table: usize = record.table.rsplit('t').next().unwrap().parse().unwrap();
        let json = record.row.unwrap();
        let cell = |name: &str| match &json[name] {
            serde_json::Value::String(text) => Some(text.parse().unwrap()),
            number => number.as_i64(),
        };
        let row: Row = COLUMNS.iter().map(|name| cell(name)).collect();
        ((table, row[0].unwrap()), (row, record.why == "orphaned"))
    });
    kept.collect()
}
