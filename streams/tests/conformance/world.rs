//! What every case needs: tables in a fresh database, a sink on it, a claimed lane, and batches spelt as text.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use reconverge_streams::{
    canonical,
    checkpoint::{LaneId, PlanDigest},
    columns::{Columns, State},
    disposition::Disposition,
    family::Keys,
    names::{NameId, Names},
    position::{BEFORE_ALL, Position, Seen},
    sink::{Claim, ClaimRequest, Sink, SinkError, TableName},
    standing::{Standing, StandingKind, StandingTable, Version, Wanted, WantedTable},
    table::{TableId, TableShape},
    text,
    writes::{Deletes, KeptWrite, TableWrites, Upserts, VersionWrite, Writes},
};

use crate::fixture::{Fixture, Table};

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

    pub async fn claim_as(&self, owner: &str) -> Result<<F::Sink as Sink>::Claim, SinkError> {
        self.sink.claim(self.request(owner)).await
    }

    /// A batch that begins behind `from`; its changes have the sequences from + 1, from + 2, ..
    pub fn batch(&self, from: u64) -> Batch<'_, F> {
        Batch {
            world: self,
            from,
            changes: 0,
            parts: BTreeMap::new(),
            versions: true,
            writes: Writes::default(),
        }
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
        let wanted = Wanted { from, tables: vec![self.wanted(table, keys, order, true)] };
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

/// A batch being written down.
pub struct Batch<'w, F: Fixture> {
    world: &'w World<F>,
    from: u64,
    changes: u32,
    parts: BTreeMap<usize, Part>,
    versions: bool,
    pub writes: Writes,
}

#[derive(Default)]
struct Part {
    keys: Vec<Vec<String>>,
    upserts: BTreeMap<Vec<usize>, Upserts>,
    deletes: Deletes,
    versions: Vec<(VersionWrite, Option<Vec<usize>>)>,
    gate: Vec<Seen>,
}

impl<F: Fixture> Batch<'_, F> {
    /// For tables with one writer: no version rows.
    pub fn without_versions(mut self) -> Self {
        self.versions = false;
        self
    }

    /// The next change writes these columns of a row; returns its number.
    pub fn upsert(&mut self, table: usize, row: Row<'_>) -> u32 {
        let shape = Arc::clone(&self.world.shapes[table]);
        let mut cells: Vec<(usize, Option<&str>)> =
            row.iter().map(|(n, v)| (shape.column(n).expect("a column"), *v)).collect();
        cells.sort_unstable();
        let columns: Vec<usize> = cells.iter().map(|c| c.0).collect();
        let of_key =
            |k: &usize| cells.iter().find(|c| c.0 == *k).and_then(|c| c.1).expect("a key is no null");
        let key: Vec<String> = shape.key.iter().map(of_key).map(String::from).collect();
        let version = self.version_of(table, &key, StandingKind::Row);
        let change = self.next(Disposition::Applied);
        let part = self.parts.entry(table).or_default();
        let upserts = part.upserts.entry(columns.clone()).or_insert_with(|| Upserts {
            rows: Columns::new(columns.iter().map(|&c| shape.columns[c].logical)),
            columns: columns.clone(),
            changes: Vec::new(),
        });
        for (at, (column, value)) in cells.iter().enumerate() {
            push(&shape, *column, *value, &mut upserts.rows, at);
        }
        upserts.rows.end_row();
        upserts.changes.push(change);
        let row = u32::try_from(upserts.changes.len() - 1).expect("few rows");
        if let Some(mut version) = version {
            version.row = Some((0, row));
            part.versions.push((version, Some(columns)));
        }
        part.keys.push(key);
        change
    }

    /// The next change deletes a key and leaves a tombstone with these order columns (a JSON object).
    pub fn delete(&mut self, table: usize, key: &[&str], ordered_by: Option<&str>) -> u32 {
        let key: Vec<String> = key.iter().map(|k| (*k).to_owned()).collect();
        let version = self.version_of(table, &key, StandingKind::Tombstone);
        let change = self.next(Disposition::Deleted);
        let shape = Arc::clone(&self.world.shapes[table]);
        let part = self.parts.entry(table).or_default();
        if part.deletes.changes.is_empty() {
            part.deletes.keys = Columns::new(shape.key_logicals());
        }
        push_key(&shape, &key.iter().map(String::as_str).collect::<Vec<_>>(), &mut part.deletes.keys);
        part.deletes.changes.push(change);
        if let Some(mut version) = version {
            version.ordered_by = ordered_by.map(String::from);
            part.versions.push((version, None));
        }
        part.keys.push(key);
        change
    }

    /// A version row of its own, without a row.
    pub fn version(&mut self, table: usize, key: &[&str], version: Version, ordered_by: Option<&str>) {
        self.next(Disposition::NoOp);
        let write = VersionWrite {
            key: self.world.key(table, key),
            version,
            row: None,
            ordered_by: ordered_by.map(String::from),
        };
        let part = self.parts.entry(table).or_default();
        part.versions.push((write, None));
        part.keys.push(key.iter().map(|k| (*k).to_owned()).collect());
    }

    /// The next change stands and is kept beside until a parent, a row of table `waits.0`, does.
    pub fn keep(&mut self, table: usize, key: &[&str], row: &str, waits: (usize, &[&str]), orphaned: bool) {
        let fate = if orphaned { Disposition::Orphaned } else { Disposition::Parked };
        let change = self.next(fate);
        let sequence = self.sequence(change);
        let version = self.world.version(StandingKind::Kept, sequence);
        let key_bytes = self.world.key(table, key);
        self.writes.kept.push(KeptWrite {
            table: id(table),
            key: key_bytes.clone(),
            row: row.into(),
            orphaned,
            waits: (id(waits.0), self.world.key(waits.0, waits.1)),
            source: version.origin,
            position: version.seen[0].position,
            sequence,
        });
        let part = self.parts.entry(table).or_default();
        part.versions.push((VersionWrite { key: key_bytes, version, row: None, ordered_by: None }, None));
        part.keys.push(key.iter().map(|k| (*k).to_owned()).collect());
    }

    /// A kept row goes: put in by this batch, or removed.
    pub fn unkeep(&mut self, table: usize, key: &[&str]) {
        self.writes.unkept.push((id(table), self.world.key(table, key)));
    }

    pub fn gate(&mut self, table: usize, seen: Seen) {
        self.parts.entry(table).or_default().gate.push(seen);
    }

    /// Counts a change that writes nothing here.
    pub fn next(&mut self, fate: Disposition) -> u32 {
        self.writes.counts.add(fate);
        self.changes += 1;
        self.changes - 1
    }

    /// The sequence of a change of this batch.
    pub fn sequence(&self, change: u32) -> u64 {
        self.from + 1 + u64::from(change)
    }

    /// What `begin` and `commit` take.
    pub fn done(mut self) -> (Wanted, Writes) {
        let through = self.from + u64::from(self.changes);
        self.writes.through = through;
        self.writes.scanned = self.writes.scanned.max(through);
        let mut tables = Vec::new();
        for (table, part) in std::mem::take(&mut self.parts) {
            let keys: Vec<Vec<&str>> =
                part.keys.iter().map(|k| k.iter().map(String::as_str).collect()).collect();
            let keys: Vec<&[&str]> = keys.iter().map(Vec::as_slice).collect();
            tables.push(self.world.wanted(table, &keys, &[], self.versions));
            self.writes.tables.push(part.writes(table));
        }
        (Wanted { from: self.from, tables }, self.writes)
    }

    /// Begins and commits; the batch must go through.
    pub async fn run(self, claim: &mut <F::Sink as Sink>::Claim) -> Standing {
        let (wanted, writes) = self.done();
        let through = writes.through;
        let standing = claim.begin(wanted).await.expect("the lane is ours");
        let after = claim.commit(writes).await.expect("the batch is good");
        assert_eq!((after.sequence, after.delivered), (through, after.counts.sum()));
        assert_eq!(claim.checkpoint(), &after);
        standing
    }

    fn version_of(&self, table: usize, key: &[String], standing: StandingKind) -> Option<VersionWrite> {
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        let n = self.sequence(self.changes);
        self.versions.then(|| VersionWrite {
            key: self.world.key(table, &key),
            version: self.world.version(standing, n),
            row: None,
            ordered_by: None,
        })
    }
}

impl Part {
    fn writes(self, table: usize) -> TableWrites {
        let sets: Vec<Vec<usize>> = self.upserts.keys().cloned().collect();
        let set = |columns: &Vec<usize>| sets.iter().position(|s| s == columns).expect("its own set");
        let mut versions = Vec::new();
        for (mut version, columns) in self.versions {
            if let (Some((_, row)), Some(columns)) = (version.row, &columns) {
                version.row = Some((u32::try_from(set(columns)).expect("few sets"), row));
            }
            versions.push(version);
        }
        TableWrites {
            table: id(table),
            upserts: self.upserts.into_values().collect(),
            deletes: self.deletes,
            versions,
            gate: self.gate,
        }
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

fn push_key(shape: &TableShape, key: &[&str], cells: &mut Columns) {
    for (at, (&column, value)) in shape.key.iter().zip(key).enumerate() {
        push(shape, column, Some(value), cells, at);
    }
    cells.end_row();
}

fn push(shape: &TableShape, column: usize, value: Option<&str>, cells: &mut Columns, at: usize) {
    match value {
        None => cells.columns[at].push_state(State::Null),
        Some(value) => {
            text::parse(&shape.columns[column], value, &mut cells.columns[at]).expect("a readable text");
        }
    }
}
