//! The memory sink in the suite.

use reconverge_streams::{
    canonical,
    columns::{Columns, State},
    logical::Logical,
    memory::{database::MemoryDatabase, sink::MemorySink},
    table::{ColumnShape, TableShape},
    text,
};

use crate::fixture::{Fixture, Table};

pub struct Memory(MemoryDatabase);

fn shape(table: &Table) -> TableShape {
    let column = |c: &crate::fixture::Col| ColumnShape {
        not_null: c.not_null || table.key.contains(&c.name),
        has_default: c.default.is_some(),
        ..ColumnShape::new(c.name, c.logical)
    };
    let columns: Vec<ColumnShape> = table.columns.iter().map(column).collect();
    let at = |name: &&str| columns.iter().position(|c| c.name == **name).expect("a column");
    let key = table.key.iter().map(at).collect();
    TableShape { name: table.name.into(), key, columns, has_other_unique: !table.unique.is_empty() }
}

fn cells(shape: &TableShape, row: &[(&str, Option<&str>)]) -> (Vec<usize>, Columns) {
    let columns: Vec<usize> = row.iter().map(|c| shape.column(c.0).expect("a column")).collect();
    let mut cells = Columns::new(columns.iter().map(|&c| shape.columns[c].logical));
    for (at, (_, value)) in row.iter().enumerate() {
        match value {
            None => cells.columns[at].push_state(State::Null),
            Some(value) => {
                text::parse(&shape.columns[columns[at]], value, &mut cells.columns[at])
                    .expect("a readable text");
            }
        }
    }
    cells.end_row();
    (columns, cells)
}

impl Fixture for Memory {
    type Sink = MemorySink;

    async fn fresh() -> Self {
        Memory(MemoryDatabase::default())
    }

    async fn open(&self) -> MemorySink {
        MemorySink::new(self.0.clone())
    }

    async fn create(&self, table: &Table) {
        let shape = shape(table);
        let unique = table.unique.iter().map(|u| vec![shape.column(u).expect("a column")]).collect();
        let mut defaults = Columns::new(shape.logicals());
        for (at, column) in table.columns.iter().enumerate() {
            match column.default {
                Some(text) => defaults.columns[at].push_bytes(text.as_bytes()),
                None => defaults.columns[at].push_state(State::Null),
            }
        }
        defaults.end_row();
        self.0.create(shape, unique, defaults).await;
    }

    async fn app_write(&self, table: &Table, row: &[(&'static str, Option<&str>)]) {
        let (columns, cells) = cells(&shape(table), row);
        self.0.write(table.name, &columns, &cells).await;
    }

    async fn app_delete(&self, table: &Table, key: &[&str]) {
        let named: Vec<_> = table.key.iter().copied().zip(key.iter().map(|k| Some(*k))).collect();
        let (_, cells) = cells(&shape(table), &named);
        let mut bytes = Vec::new();
        canonical::key(&cells.columns.iter().collect::<Vec<_>>(), 0, &mut bytes);
        self.0.delete(table.name, &bytes).await;
    }

    async fn rows(&self, table: &Table, columns: &[&'static str]) -> Vec<Vec<Option<String>>> {
        let shape = shape(table);
        let all = self.0.rows(table.name).await.expect("a table");
        let at: Vec<usize> = columns.iter().map(|c| shape.column(c).expect("a column")).collect();
        let cell = |row: usize, column: usize| {
            let column = &all.columns[column];
            (column.state(row) == State::Value).then(|| {
                let mut out = String::new();
                text::write(column, row, &mut out);
                out
            })
        };
        let mut rows: Vec<Vec<_>> =
            (0..all.rows()).map(|row| at.iter().map(|&c| cell(row, c)).collect()).collect();
        rows.sort();
        rows
    }

    async fn sidecar_bytes(&self) -> Vec<u8> {
        self.0.sidecar().await.into_bytes()
    }

    async fn age_events(&self) {
        self.0.age_events(25 * 3_600_000_000).await;
    }

    async fn end_leases(&self) {
        self.0.end_leases().await;
    }

    async fn add_column(&self, table: &Table, name: &str, logical: Logical) {
        self.0.add_column(table.name, ColumnShape::new(name, logical)).await;
    }

    async fn drop_table(&self, table: &Table) {
        self.0.drop_table(table.name).await;
    }
}
