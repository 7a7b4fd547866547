//! What every case needs: tables in a fresh database, a sink on it, a claimed lane, and batches spelt as text.

use std::{sync::Arc, time::Duration};

use reconverge_streams::{
    canonical,
    checkpoint::{LaneId, PlanDigest},
    columns::{Columns, State},
    family::Keys,
    names::{NameId, Names},
    position::{BEFORE_ALL, Position, Seen},
    sink::{Claim, ClaimRequest, Sink, SinkError, TableName},
    standing::{StandingKind, StandingTable, Version, Wanted, WantedTable},
    table::{TableId, TableShape},
    text,
};

use crate::{
    batch::Batch,
    fixture::{Fixture, Table},
};

/// A lease that no test outlives.
const LEASE: Duration = Duration::from_secs(600);

/// Cells of a row by name; `None` is null.
pub type Row<'a> = &'a [(&'static str, Option<&'a str>)];

/// A database with tables, and a sink on it.
pub struct World<F: Fixture> {
    pub fixture: F,
    pub sink: F::Sink,
    pub tables: Vec<Table>,
    pub shapes: Vec<Arc<TableShape>>,
    pub names: Arc<Names>,
}

impl<F: Fixture> World<F> {
    pub async fn new(tables: Vec<Table>) -> Self {
        let fixture = F::fresh().await;
        for table in &tables {
            fixture.create(table).await;
        }
        let sink = fixture.open().await;
        sink.prepare().await.expect("the sidecar is made");
        assert_eq!(sink.check().await.expect("a check"), []);
        let shapes = shapes(&sink, &tables).await;
        World { fixture, sink, tables, shapes, names: Arc::default() }
    }

    /// Asks for the shapes again, and opens a new sink, as a restart would.
    pub async fn restart(&mut self) {
        self.sink = self.fixture.open().await;
        self.sink.prepare().await.expect("the sidecar is there");
        self.shapes = shapes(&self.sink, &self.tables).await;
        self.names = Arc::default();
    }

    pub fn request(&self, owner: &str) -> ClaimRequest {
        ClaimRequest {
            lane: lane("main"),
            owner: owner.into(),
            lease: LEASE,
            stream: "CDC".into(),
            stream_created: 1_700_000_000_000_000,
            plan: PlanDigest([7; 32]),
            tables: self.shapes.clone(),
            region: "eu-west-1".into(),
            names: Arc::clone(&self.names),
        }
    }

    pub async fn claim(&self) -> <F::Sink as Sink>::Claim {
        self.sink.claim(self.request("one")).await.expect("the lane is free")
    }

    /// Another lane of the same pipeline.
    pub async fn claim_lane(&self, name: &str) -> <F::Sink as Sink>::Claim {
        let request = ClaimRequest { lane: lane(name), ..self.request("one") };
        self.sink.claim(request).await.expect("the lane is free")
    }

    pub async fn claim_as(&self, owner: &str) -> Result<<F::Sink as Sink>::Claim, SinkError> {
        self.sink.claim(self.request(owner)).await
    }

    /// A batch that begins behind `from`; its changes have the sequences from + 1, from + 2, ..
    pub fn batch(&self, from: u64) -> Batch<'_, F> {
        Batch::new(self, from)
    }

    /// Begins, and gives the transaction up again: what stands for these keys of one table.
    pub async fn stands(
        &self,
        claim: &mut <F::Sink as Sink>::Claim,
        table: usize,
        keys: &[&[&str]],
        order: &[&str],
    ) -> StandingTable {
        let from = claim.checkpoint().sequence;
        let wanted =
            Wanted { from, tables: vec![self.wanted(table, keys, order, true)], ..Wanted::default() };
        let mut standing = claim.begin(wanted).await.expect("the lane is ours");
        claim.abandon().await;
        assert_eq!(standing.tables.len(), 1);
        let found = standing.tables.remove(0);
        assert_eq!(found.keys.len(), keys.len());
        found
    }

    /// The keys in canonical order, as `begin` wants them.
    pub fn wanted(&self, table: usize, keys: &[&[&str]], order: &[&str], versions: bool) -> WantedTable {
        let shape = &self.shapes[table];
        let mut sorted: Vec<(Vec<u8>, &[&str])> = keys.iter().map(|k| (self.key(table, k), *k)).collect();
        sorted.sort();
        sorted.dedup();
        let mut cells = Columns::new(shape.key_logicals());
        for (_, key) in &sorted {
            push_key(shape, key, &mut cells);
        }
        WantedTable {
            table: id(table),
            keys: sorted.into_iter().map(|(bytes, _)| bytes).collect(),
            cells,
            versions,
            order_columns: order.iter().map(|n| shape.column(n).expect("a column")).collect(),
        }
    }

    /// Canonical bytes of a key.
    pub fn key(&self, table: usize, key: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let cells = self.key_cells(table, key);
        canonical::key(&cells.columns.iter().collect::<Vec<_>>(), 0, &mut bytes);
        bytes
    }

    /// The cells of a key, one row.
    pub fn key_cells(&self, table: usize, key: &[&str]) -> Columns {
        let shape = &self.shapes[table];
        let mut cells = Columns::new(shape.key_logicals());
        push_key(shape, key, &mut cells);
        cells
    }

    pub fn name(&self, name: &str) -> NameId {
        self.names.intern(name).expect("few names")
    }

    /// A version as change `n` of `us-east` would leave it.
    pub fn version(&self, standing: StandingKind, n: u64) -> Version {
        let source = self.name("us-east");
        let deleted = standing == StandingKind::Tombstone;
        let position = Position { epoch: 0, commit: (1 << 63) + n, ordinal: n };
        let at = 1_760_000_000_000_000 + i64::try_from(n).expect("a small number");
        let live_at = if deleted { BEFORE_ALL } else { at };
        let seen = Seen { source, position, deleted, live_at };
        Version {
            standing,
            origin: source,
            committed_at: at,
            seen: [seen].into_iter().collect(),
            clock: None,
        }
    }

    /// Keys of a table with their cells, in canonical order.
    pub fn keys(&self, table: usize, keys: &[&[&str]]) -> Keys {
        let wanted = self.wanted(table, keys, &[], true);
        Keys { keys: wanted.keys, cells: wanted.cells }
    }

    /// All rows of a table as the database prints them.
    pub async fn rows(&self, table: usize) -> Vec<Vec<Option<String>>> {
        let columns: Vec<&str> = self.tables[table].columns.iter().map(|c| c.name).collect();
        self.fixture.rows(&self.tables[table], &columns).await
    }
}

pub fn id(table: usize) -> TableId {
    TableId(u16::try_from(table).expect("few tables"))
}

pub fn lane(name: &str) -> LaneId {
    LaneId { pipeline: "pipe".into(), source: "us".into(), lane: name.into(), partition: 0 }
}

/// The text of a standing row's cell; `None` where it is no value.
pub fn cell(table: &StandingTable, row: u32, column: usize) -> Option<String> {
    let column = &table.rows.columns[column];
    (column.state(row as usize) == State::Value).then(|| {
        let mut out = String::new();
        text::write(column, row as usize, &mut out);
        out
    })
}

/// Rows as the fixture's `rows` gives them, for comparison.
pub fn texts(rows: &[&[Option<&str>]]) -> Vec<Vec<Option<String>>> {
    rows.iter().map(|r| r.iter().map(|c| c.map(String::from)).collect()).collect()
}

async fn shapes<S: Sink>(sink: &S, tables: &[Table]) -> Vec<Arc<TableShape>> {
    let name =
        |t: &Table| TableName { name: t.name.into(), key: t.key.iter().map(|k| (*k).into()).collect() };
    let names: Vec<TableName> = tables.iter().map(name).collect();
    let found = sink.shapes(&names).await.expect("shapes");
    found.into_iter().map(|s| Arc::new(s.expect("a table that can be used"))).collect()
}

pub fn push_key(shape: &TableShape, key: &[&str], cells: &mut Columns) {
    for (at, (&column, value)) in shape.key.iter().zip(key).enumerate() {
        push(shape, column, Some(value), cells, at);
    }
    cells.end_row();
}

pub fn push(shape: &TableShape, column: usize, value: Option<&str>, cells: &mut Columns, at: usize) {
    match value {
        None => cells.columns[at].push_state(State::Null),
        Some(value) => {
            text::parse(&shape.columns[column], value, &mut cells.columns[at]).expect("a readable text");
        }
    }
}
