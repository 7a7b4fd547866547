//! What a sink holds for the keys of a batch, read and locked inside the batch's transaction.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{
    columns::Columns,
    event::Event,
    keys::KeyList,
    names::NameId,
    position::{Micros, Seen},
    table::TableId,
    writes::Counted,
};

/// What a batch asks the sink for. Owned, so that a sink may hand it to its own thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The sequence that the checkpoint must stand at; another one means that someone else wrote.
    pub from: u64,
    /// One entry per table of the batch.
    pub tables: Vec<WantedTable>,
    /// Distinct events, to be told whether they were seen.
    pub events: Vec<Event>,
    /// A generation of plugins that decides from this batch on and is not recorded yet.
    pub generation: Option<NewGeneration>,
}

/// A generation of plugins to be recorded in a batch's own transaction, so that the record and the first batch that
/// the generation decided become visible together, or neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGeneration {
    /// What the plugins are: a JSON array.
    pub plugins: String,
    /// Who records it.
    pub by: String,
}

/// The keys of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedTable {
    /// The table.
    pub table: TableId,
    /// Canonical key bytes, distinct, in ascending order: the order in which they are locked.
    pub keys: KeyList,
    /// The same keys as cells: one column per key column, in key order.
    pub cells: Columns,
    /// False for a table with one writer (`policy = "none"`): no versions are kept, only the lane's gate.
    pub versions: bool,
    /// Which columns of a tombstone or absence were kept with it: table column indexes. The sink decodes
    /// them into [`StandingTable::rows`].
    pub order_columns: Vec<usize>,
}

/// What stands, table by table in the order of [`Wanted::tables`].
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// One entry per wanted table.
    pub tables: Vec<StandingTable>,
    /// Those of the wanted events that were seen.
    pub events: Vec<Event>,
    /// The number of the wanted generation; always there where one was wanted.
    pub generation: Option<i64>,
}

/// What stands for the keys of one table.
#[derive(Clone, Debug, Default)]
pub struct StandingTable {
    /// Rows with all columns of the table's shape: rows of the sink's table, and the kept order columns of
    /// tombstones and absences (their other cells are [`crate::columns::State::NoRow`]).
    pub rows: Columns,
    /// One entry per wanted key, in the same order.
    pub keys: Vec<StandingKey>,
    /// The newest position of each source on this lane, for a table without versions.
    pub gate: Vec<Seen>,
    /// The table's horizon: tombstones up to this commit time have gone, so a change up to it whose key is not known is
    /// too old to be compared.
    pub too_old_through: Option<Micros>,
}

/// What stands for one key.
#[derive(Clone, Debug, Default)]
pub struct StandingKey {
    /// The row in the sink's table: an index into [`StandingTable::rows`].
    pub row: Option<u32>,
    /// The sidecar's version of the key.
    pub version: Option<Version>,
    /// The order columns of a tombstone or absence: an index into [`StandingTable::rows`].
    pub ordered_by: Option<u32>,
    /// The row that is kept in `parked` as what stands, where the version says [`StandingKind::Kept`].
    pub kept: Option<Kept>,
    /// Who counts the change which stands. Known of rows that have parents.
    pub counted: Counted,
    /// Set where the row is not as we wrote it, or is gone although we wrote it: the application did that.
    pub local: Option<LocalWrite>,
}

/// A row that is kept beside until its parents stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its cells: an index into [`StandingTable::rows`].
    pub row: u32,
    /// Whether its parent was known not to come.
    pub orphaned: bool,
    /// The parent that it is filed under: its table and canonical key. `None` for a table that the plan does not list.
    pub waits: Option<(TableId, Vec<u8>)>,
    /// The lane in whose ledger it counts as kept, where that is another one.
    pub counted_by: Option<Arc<str>>,
}

/// A write by the application in the sink's own database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalWrite {
    /// When it committed, where the database keeps that.
    pub at: Option<Micros>,
}

/// What the version row says that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandingKind {
    /// A row in the sink's table.
    Row,
    /// Deleted.
    Tombstone,
    /// A row that does not belong in this region.
    Absence,
    /// A row that is kept in `parked` until its parent stands.
    Kept,
    /// Nothing yet: only positions were seen, by changes that became dead letters.
    Nothing,
}

impl StandingKind {
    /// The letter in `version.standing`.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Row => 'r',
            Self::Tombstone => 'd',
            Self::Absence => 'a',
            Self::Kept => 'p',
            Self::Nothing => 'n',
        }
    }

    /// The kind behind a letter.
    #[must_use]
    pub fn of(letter: char) -> Option<Self> {
        const ALL: [StandingKind; 5] = [
            StandingKind::Row,
            StandingKind::Tombstone,
            StandingKind::Absence,
            StandingKind::Kept,
            StandingKind::Nothing,
        ];
        ALL.into_iter().find(|k| k.letter() == letter)
    }
}

/// A version row. How the sink knows a row as its own (`row_xmin`, digest) stays inside the sink.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// What stands.
    pub standing: StandingKind,
    /// Origin of the value that stands.
    pub origin: NameId,
    /// Its commit time.
    pub committed_at: Micros,
    /// The newest position of every source, in no order.
    pub seen: SmallVec<[Seen; 2]>,
    /// The vector clock of the value that stands, as a JSON object; `None` where the table keeps none.
    pub clock: Option<String>,
}
