//! A database in memory: tables with keys, unique columns and defaults, and the sidecar beside them. What
//! [`super::sink`] commits to, and what a test's application writes to behind its back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use tokio::sync::Mutex;

use super::epochs::{Started, Suspected};
use crate::{
    by_hand::Hand,
    canonical,
    checkpoint::Checkpoint,
    columns::{Column, Columns, State},
    disposition::Disposition,
    hole::HoleRecord,
    position::{Micros, Position},
    records::{DeadLetterRecord, DecisionRecord, GenerationRecord},
    roster::{LaneMove, Member, Takeover},
    standing::StandingKind,
    table::{ColumnShape, TableShape},
    waiting::Why,
    writes::Counted,
};

/// A database that several sinks may share, as processes share a server.
#[derive(Clone, Debug, Default)]
pub struct MemoryDatabase {
    pub(super) state: Arc<Mutex<Contents>>,
}

/// Where the time of leases and records comes from.
#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> Micros + Send + Sync>);

impl Default for Clock {
    fn default() -> Self {
        Clock(Arc::new(|| jiff::Timestamp::now().as_microsecond()))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// All that is committed.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub clock: Clock,
    pub tables: BTreeMap<String, MemoryTable>,
    /// By table and canonical key.
    pub versions: BTreeMap<(String, Vec<u8>), Remembered>,
    /// Rows that are kept until their parents stand, by table and canonical key.
    pub kept: BTreeMap<(String, Vec<u8>), KeptRow>,
    /// What batches of other lanes moved in a lane's ledger, in their order.
    pub reclassified: Vec<(String, Disposition, Disposition, u64)>,
    /// Changes that wait on time.
    pub waiting: BTreeMap<WaitingKey, WaitingChange>,
    /// Paused tables, with the reason.
    pub paused: BTreeMap<String, String>,
    /// By lane and table.
    pub gates: BTreeMap<(String, String), Vec<NamedSeen>>,
    pub checkpoints: BTreeMap<String, Checkpoint>,
    /// By lane and source: everything that the source committed before is applied.
    pub frontier: BTreeMap<(String, String), Micros>,
    /// By table: the newest commit time of a tombstone that went.
    pub too_old_through: BTreeMap<String, Micros>,
    pub decisions: Vec<(Vec<u8>, DecisionRecord)>,
    pub dead: Vec<(Option<Vec<u8>>, DeadLetterRecord)>,
    pub generations: Vec<GenerationRecord>,
    /// Seen events by table, source and id, and when they were seen.
    pub events: BTreeMap<(String, String, String), Micros>,
    pub epochs: Vec<Started>,
    pub suspicions: Vec<Suspected>,
    /// Letters of grades by source, of all sources and origins that were written.
    pub sources: BTreeMap<String, char>,
    /// With the time of creation of the stream that the lane was on.
    pub holes: Vec<(Micros, HoleRecord)>,
    /// By table, as HMAC-like digest of the key.
    pub suppressed: BTreeSet<(String, [u8; 32])>,
    /// By pipeline and name.
    pub members: BTreeMap<(String, String), Member>,
    pub takeovers: Vec<Takeover>,
    pub plans: BTreeMap<[u8; 32], String>,
    /// By pipeline, oldest first.
    pub moves: Vec<(String, LaneMove)>,
    /// (table, lane, sequence): changes up to there were never the lane's.
    pub since: Vec<(String, String, u64)>,
    /// Raised by every write of a row: what a database calls a transaction id.
    pub stamp: u64,
    /// Added to the clock: how a test lets leases end.
    pub ahead: Micros,
}

/// A table's shape, constraints and rows.
#[derive(Clone, Debug)]
pub(super) struct MemoryTable {
    pub shape: Arc<TableShape>,
    /// Sets of columns whose values are unique, besides the key.
    pub unique: Vec<Vec<usize>>,
    /// One row: what a column is filled with where a new row does not name it.
    pub defaults: Columns,
    /// By canonical key.
    pub rows: BTreeMap<Vec<u8>, Arc<Stored>>,
}

/// A row, and the stamp of its last write.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub cells: Columns,
    pub stamp: u64,
}

/// A version row, by names instead of a process's numbers for them.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub standing: StandingKind,
    pub origin: Arc<str>,
    pub committed_at: Micros,
    pub seen: Vec<NamedSeen>,
    pub clock: Option<String>,
    pub ordered_by: Option<String>,
    /// The stamp of the row as we wrote it.
    pub stamp: Option<u64>,
    /// Who counts the change which stands, by its name.
    pub counted: Option<Counted>,
}

/// What an operator asked for, or why it could not be done (then without a hand).
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub hand: Option<Hand>,
    pub by: String,
    pub note: Option<String>,
}

/// A row that stands and whose parent is not there.
#[derive(Clone, Debug)]
pub(super) struct KeptRow {
    pub asked: Option<Asked>,
    pub subject: Option<String>,
    /// As a JSON object of canonical text forms.
    pub row: String,
    pub orphaned: bool,
    /// The parent's table and canonical key.
    pub waits: (String, Vec<u8>),
    pub lane: String,
    /// The lane in whose ledger it counts as kept.
    pub counted_by: Arc<str>,
    pub sequence: u64,
    pub source: Arc<str>,
    pub position: Position,
    pub at: Micros,
}

/// Lane, sequence, table, canonical key.
pub(super) type WaitingKey = (String, u64, String, Vec<u8>);

/// A change that waits on time.
#[derive(Clone, Debug)]
pub(super) struct WaitingChange {
    pub asked: Option<Asked>,
    pub why: Why,
    pub until: Option<Micros>,
    pub source: Arc<str>,
    pub position: Position,
    pub moved: Option<Vec<u8>>,
    pub parked_at: Micros,
    pub attempts: u32,
    /// The lane in whose ledger it counts as parked.
    pub counted_by: Arc<str>,
    pub change: Vec<u8>,
}

/// [`crate::position::Seen`] by name.
#[derive(Clone, Debug)]
pub(super) struct NamedSeen {
    pub source: Arc<str>,
    pub position: Position,
    pub deleted: bool,
    pub live_at: Micros,
}

impl Contents {
    /// What other lanes moved in a lane's ledger.
    pub(super) fn moves_of(&self, lane: &str) -> Vec<(Disposition, Disposition, u64)> {
        let of_lane = self.reclassified.iter().filter(|(of, ..)| of == lane);
        of_lane.map(|&(_, from, to, n)| (from, to, n)).collect()
    }

    /// The same, which is the lane's own to look after from now on.
    pub(super) fn take_moves_of(&mut self, lane: &str) -> Vec<(Disposition, Disposition, u64)> {
        let moves = self.moves_of(lane);
        self.reclassified.retain(|(of, ..)| of != lane);
        moves
    }

    /// The present, microseconds since 1970.
    pub(super) fn now(&self) -> Micros {
        (self.clock.0)().max(self.ahead)
    }
}

impl MemoryDatabase {
    /// An empty database by another clock than the system's, in microseconds since 1970 UTC: leases end and records are
    /// dated by it.
    #[must_use]
    pub fn with_clock(now: impl Fn() -> Micros + Send + Sync + 'static) -> Self {
        let contents = Contents { clock: Clock(Arc::new(now)), ..Contents::default() };
        MemoryDatabase { state: Arc::new(Mutex::new(contents)) }
    }

    /// Creates a table, or puts another in its place. `unique` are sets of column indexes besides the key;
    /// `defaults` is one row of the shape's columns, whose cells that are a value fill new rows.
    pub async fn create(&self, shape: TableShape, unique: Vec<Vec<usize>>, defaults: Columns) {
        let shape = TableShape { has_other_unique: !unique.is_empty(), ..shape };
        let name = shape.name.clone();
        let table = MemoryTable { shape: Arc::new(shape), unique, defaults, rows: BTreeMap::new() };
        self.state.lock().await.tables.insert(name, table);
    }

    /// Adds a nullable column without a default, which is no write of any row.
    pub async fn add_column(&self, table: &str, column: ColumnShape) {
        let mut state = self.state.lock().await;
        let Some(table) = state.tables.get_mut(table) else { return };
        let logical = column.logical;
        let add = |cells: &mut Columns| {
            let mut added = Column::new(logical);
            added.push_state(State::Null);
            cells.columns.push(added);
        };
        Arc::make_mut(&mut table.shape).columns.push(column);
        add(&mut table.defaults);
        for row in table.rows.values_mut() {
            add(&mut Arc::make_mut(row).cells);
        }
    }

    /// Drops a table.
    pub async fn drop_table(&self, name: &str) {
        self.state.lock().await.tables.remove(name);
    }

    /// Writes these columns of a row (one row of `cells`, in the order of `columns`) as the application; the
    /// constraints are not looked at. Does nothing where there is no such table.
    pub async fn write(&self, table: &str, columns: &[usize], cells: &Columns) {
        let mut state = self.state.lock().await;
        state.stamp += 1;
        let stamp = state.stamp;
        if let Some(table) = state.tables.get_mut(table) {
            table.put(columns, cells, 0, stamp);
        }
    }

    /// Deletes a row by its canonical key, as the application.
    pub async fn delete(&self, table: &str, key: &[u8]) {
        if let Some(table) = self.state.lock().await.tables.get_mut(table) {
            table.rows.remove(key);
        }
    }

    /// All rows of a table in the order of their canonical keys; `None` where there is no such table.
    pub async fn rows(&self, table: &str) -> Option<Columns> {
        let state = self.state.lock().await;
        state.tables.get(table).map(MemoryTable::all_rows)
    }

    /// All rows of all tables at one moment, each table's in the order of their canonical keys.
    pub async fn all_rows(&self) -> BTreeMap<String, Columns> {
        let state = self.state.lock().await;
        let table = |(name, table): (&String, &MemoryTable)| (name.clone(), table.all_rows());
        state.tables.iter().map(table).collect()
    }

    /// Lets all leases end, by moving the database's clock.
    pub async fn end_leases(&self) {
        let mut state = self.state.lock().await;
        let leases = state.checkpoints.values().filter_map(|c| c.lease_until);
        let last = leases.chain(state.members.values().map(|m| m.until)).max();
        state.ahead = last.unwrap_or_default().saturating_add(1).max(state.ahead);
    }

    /// Makes all seen events so much older.
    pub async fn age_events(&self, by: Micros) {
        self.state.lock().await.events.values_mut().for_each(|at| *at -= by);
    }

    /// The sidecar's contents in a form for people.
    pub async fn sidecar(&self) -> String {
        let state = self.state.lock().await;
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            state.versions,
            state.kept,
            state.waiting,
            state.paused,
            state.gates,
            state.checkpoints,
            state.decisions,
            state.dead,
            state.generations,
            state.holes,
            state.suppressed,
            state.events,
            state.sources
        )
    }
}

impl MemoryTable {
    fn all_rows(&self) -> Columns {
        let mut all = Columns::new(self.shape.logicals());
        for row in self.rows.values() {
            all.push_row_from(&row.cells, 0);
        }
        all
    }

    /// Keys as cells, behind one of them or from the first.
    pub(super) fn page(&self, behind: Option<&Columns>, limit: usize) -> Columns {
        let mut after = Vec::new();
        if let Some(key) = behind {
            canonical::key(&key.columns.iter().collect::<Vec<_>>(), 0, &mut after);
        }
        let mut keys = Columns::new(self.shape.key_logicals());
        let following = self.rows.iter().filter(|(key, _)| behind.is_none() || **key > after);
        for (_, row) in following.take(limit) {
            for (into, &k) in keys.columns.iter_mut().zip(&self.shape.key) {
                into.push_from(&row.cells.columns[k], 0);
            }
            keys.end_row();
        }
        keys
    }

    /// Writes columns of row `i` of `cells`; returns the row's canonical key.
    pub(super) fn put(&mut self, columns: &[usize], cells: &Columns, i: usize, stamp: u64) -> Vec<u8> {
        let of = |column: usize| columns.iter().position(|c| *c == column).map(|at| &cells.columns[at]);
        let keys: Vec<_> = self.shape.key.iter().filter_map(|&k| of(k)).collect();
        let mut key = Vec::new();
        canonical::key(&keys, i, &mut key);
        let before = self.rows.get(&key);
        let mut row = Columns::new(self.shape.logicals());
        for (column, into) in row.columns.iter_mut().enumerate() {
            match (of(column), before) {
                (Some(named), _) => into.push_from(named, i),
                (None, Some(before)) => into.push_from(&before.cells.columns[column], 0),
                (None, None) if self.defaults.columns[column].state(0) == State::Value => {
                    into.push_from(&self.defaults.columns[column], 0);
                }
                (None, None) => into.push_state(State::Null),
            }
        }
        row.end_row();
        self.rows.insert(key.clone(), Arc::new(Stored { cells: row, stamp }));
        key
    }

    /// The first column that is null although it may not be.
    pub(super) fn null_where_none_may_be(&self, key: &[u8]) -> Option<&str> {
        let row = self.rows.get(key)?;
        let columns = self.shape.columns.iter().zip(&row.cells.columns);
        let mut refused = columns.filter(|(shape, cell)| shape.not_null && cell.state(0) != State::Value);
        refused.next().map(|(shape, _)| shape.name.as_str())
    }

    /// Sets of keys whose rows have the same values in unique columns.
    pub(super) fn clashes(&self) -> Vec<Vec<&[u8]>> {
        let mut all = Vec::new();
        for columns in &self.unique {
            let mut holders: BTreeMap<Vec<u8>, Vec<&[u8]>> = BTreeMap::new();
            for (key, row) in &self.rows {
                let cells: Vec<_> = columns.iter().map(|&c| &row.cells.columns[c]).collect();
                if cells.iter().all(|c| c.state(0) == State::Value) {
                    let mut value = Vec::new();
                    canonical::key(&cells, 0, &mut value);
                    holders.entry(value).or_default().push(key);
                }
            }
            all.extend(holders.into_values().filter(|keys| keys.len() > 1));
        }
        all
    }
}

/// Whether a row that stands, or is missing, is otherwise than the sink remembers.
pub(super) fn is_local(stamp: Option<u64>, remembered: Option<&Remembered>) -> bool {
    match (stamp, remembered) {
        (None, r) => r.is_some_and(|r| r.standing == StandingKind::Row),
        (Some(stamp), Some(r)) => r.standing != StandingKind::Row || r.stamp != Some(stamp),
        (Some(_), None) => true,
    }
}
