//! What was decided about a batch: everything that its transaction writes. Owned and complete, so that a sink
//! needs nothing else to write it, and may write it on its own thread.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::{
    columns::Columns,
    disposition::{Counts, Disposition},
    epoch::{EpochStart, Suspicion},
    event::{Event, Grade},
    names::NameId,
    position::{Micros, Position, Seen},
    standing::Version,
    table::TableId,
    waiting::{WaitingId, WaitingWrite},
};

/// Place of a change in its batch, in stream order: how a sink names a guilty one.
pub type ChangeIndex = u32;

/// All that a batch writes.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// The checkpoint's new sequence: the last one of the batch.
    pub through: u64,
    /// The checkpoint's new `scanned`; at least `through`.
    pub scanned: u64,
    /// What this batch adds to the ledger; its sum is what it adds to `delivered`.
    pub counts: Counts,
    /// Newest commit time among the applied changes.
    pub committed_at: Option<Micros>,
    /// The plugin generation that decided.
    pub generation: i64,
    /// In the order in which tables take effect: ascending priority. Deletes are written in the reverse order.
    pub tables: Vec<TableWrites>,
    /// Rows to keep beside as what stands until their parents do.
    pub kept: Vec<KeptWrite>,
    /// Kept rows that go: put in, replaced (then also in `kept`) or removed.
    pub unkept: Vec<(TableId, Vec<u8>)>,
    /// Changes counted before whose fate is another now: (from, to, how many). Their sum stays.
    pub reclassified: Vec<(Disposition, Disposition, u64)>,
    /// The same of changes that another lane has counted, by its name. Kept for that lane, which alone writes its ledger;
    /// who reads the ledger meanwhile sees them in it.
    pub elsewhere: Vec<(Arc<str>, Disposition, Disposition)>,
    /// History of conflicts.
    pub decisions: Vec<Decision>,
    /// Changes that could not be applied.
    pub dead: Vec<DeadLetter>,
    /// Keys whose row a residency rule keeps out, as (table, canonical key). A sink stores only their HMAC.
    pub suppressed: Vec<(TableId, Vec<u8>)>,
    /// Dead letters that this batch applied again, by (stream, sequence) of the first delivery.
    pub redriven: Vec<(String, u64)>,
    /// Changes to keep until their time comes.
    pub waiting: Vec<WaitingWrite>,
    /// Changes that waited and were decided in this batch.
    pub released: Vec<WaitingId>,
    /// Changes that were to be released in this batch and could not be written; they wait on.
    pub tried: Vec<WaitingId>,
    /// Events that were not seen before, distinct.
    pub events: Vec<Event>,
    /// Epochs that control messages of the batch began.
    pub epochs: Vec<EpochStart>,
    /// Changes that look as if an epoch had begun.
    pub suspicions: Vec<Suspicion>,
    /// Sources whose grade is another than was told before on this claim.
    pub grades: Vec<(NameId, Grade)>,
}

/// How many changes that a lane has counted moved from one disposition to another: lane, from, to, how many.
pub(crate) type Moved<'a> = (&'a str, Disposition, Disposition, u64);

impl Writes {
    /// `n` changes that were counted before, by this lane or another, meet another fate.
    pub fn reclassify(&mut self, counted_by: Option<&Arc<str>>, from: Disposition, to: Disposition, n: u64) {
        match counted_by {
            Some(lane) => self.elsewhere.extend((0..n).map(|_| (Arc::clone(lane), from, to))),
            None => self.reclassified.push((from, to, n)),
        }
    }

    /// What moves in the ledgers of other lanes, summed up.
    pub(crate) fn moved_elsewhere(&self) -> Vec<Moved<'_>> {
        let mut sums: BTreeMap<(&str, Disposition, Disposition), u64> = BTreeMap::new();
        for (lane, from, to) in &self.elsewhere {
            *sums.entry((lane, *from, *to)).or_default() += 1;
        }
        sums.into_iter().map(|((lane, from, to), n)| (lane, from, to, n)).collect()
    }
}

/// What one table writes. A key stands in at most one of `upserts` and `deletes`.
#[derive(Clone, Debug)]
pub struct TableWrites {
    /// The table.
    pub table: TableId,
    /// Rows by the set of columns that is written.
    pub upserts: Vec<Upserts>,
    /// Rows to delete.
    pub deletes: Deletes,
    /// New version rows.
    pub versions: Vec<VersionWrite>,
    /// For a table without versions: the newest position of each source on this lane; empty where unchanged.
    pub gate: Vec<Seen>,
}

/// Rows of which the same columns are written. Columns that are not named keep what stands, or get the default.
#[derive(Clone, Debug)]
pub struct Upserts {
    /// Table column indexes, ascending; all key columns are among them.
    pub columns: Vec<usize>,
    /// One column per entry of `columns`; states are only `Null` and `Value`.
    pub rows: Columns,
    /// The change that is to blame for each row.
    pub changes: Vec<ChangeIndex>,
}

/// Keys whose row goes.
#[derive(Clone, Debug, Default)]
pub struct Deletes {
    /// One column per key column, in key order.
    pub keys: Columns,
    /// The change that is to blame for each row.
    pub changes: Vec<ChangeIndex>,
}

/// A version row to write.
#[derive(Clone, Debug)]
pub struct VersionWrite {
    /// Canonical key bytes.
    pub key: Vec<u8>,
    /// The version.
    pub version: Version,
    /// What becomes of the key's row.
    pub row: Touch,
    /// The order columns that a tombstone or absence keeps, as a JSON object of canonical text forms.
    pub ordered_by: Option<String>,
    /// Who counts the change that stands, where the sink is to remember it: of tables with parents, whose changes may take
    /// the row out. `None`: what the sink remembers stays.
    pub counted: Option<Counted>,
}

/// In which ledger the change that stands is counted, and as what while its row is in the sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    /// The lane; `None`: the one that reads or writes this.
    pub by: Option<Arc<str>>,
    /// As merged; else as applied.
    pub merged: bool,
}

/// Behind the lane's name in `version.counted_by`: the change is counted as merged. A lane's name has no blank.
pub(crate) const MERGED: &str = " merged";

impl Counted {
    /// What `version.counted_by` says to lane `ours`.
    pub(crate) fn read(text: &str, ours: &str) -> Self {
        let lane = text.strip_suffix(MERGED);
        let (lane, merged) = (lane.unwrap_or(text), lane.is_some());
        Counted { by: (lane != ours).then(|| lane.into()), merged }
    }

    /// The lane, where lane `ours` writes it.
    pub(crate) fn lane<'a>(&'a self, ours: &'a str) -> &'a str {
        self.by.as_deref().unwrap_or(ours)
    }

    /// What stands behind its name.
    pub(crate) fn mark(&self) -> &'static str {
        if self.merged { MERGED } else { "" }
    }
}

/// What a batch does to the row of a version, and so what the sink knows the row by afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Nothing: what the sink knows it by stays as it was.
    No,
    /// It is written: (index into `upserts`, row). The sink remembers how it wrote it.
    Written(u32, u32),
    /// Nothing, but as it stands it counts as ours from now on.
    TakenOver,
}

/// A row that stands and whose parent is not in the sink.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptWrite {
    /// Its table.
    pub table: TableId,
    /// Its canonical key.
    pub key: Vec<u8>,
    /// The row, as a JSON object of canonical text forms.
    pub row: String,
    /// Whether the parent is known not to come by itself: outside the limits of what may wait.
    pub orphaned: bool,
    /// The parent that is missing: its table and canonical key.
    pub waits: (TableId, Vec<u8>),
    /// The source of the change that stands.
    pub source: NameId,
    /// Its position.
    pub position: Position,
    /// The sequence that it was delivered with; of a row whose parent left, that of the parent's change.
    pub sequence: u64,
    /// Where the change with that sequence was published, where that is known.
    pub subject: Option<String>,
    /// The lane that counted the change which stands; `None`: the one that writes this.
    pub counted_by: Option<Arc<str>>,
}

/// One conflict, for the history.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The sequence that the incoming change was delivered with.
    pub sequence: u64,
    /// The table.
    pub table: TableId,
    /// Canonical key bytes.
    pub key: Vec<u8>,
    /// Kind of conflict, PostgreSQL's word where it has one (`insert_exists`, `update_origin_differs`, ..).
    pub kind: &'static str,
    /// What became of the incoming change.
    pub outcome: Disposition,
    /// The policy or plugin that decided: `plugin:schedule-merge`, `lww:updated_at`, `tie:origin`.
    pub decided_by: Arc<str>,
    /// The generation that decided.
    pub generation: i64,
    /// The plugin's reason.
    pub reason: Option<Arc<str>>,
    /// Source of the incoming change.
    pub source: NameId,
    /// Its position.
    pub position: Position,
    /// Its commit time.
    pub incoming_at: Option<Micros>,
    /// Origin of what stood.
    pub current_origin: Option<NameId>,
    /// Commit time of what stood; `None` where unknown (a local write).
    pub current_at: Option<Micros>,
    /// The incoming row as a JSON object of canonical text forms, where the table archives it.
    pub incoming: Option<String>,
    /// The row that stood, likewise.
    pub current: Option<String>,
    /// The row that was written, likewise, where it is neither of the two.
    pub applied: Option<String>,
}

/// A change that could not be applied, kept with its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// The sequence that it was delivered with.
    pub sequence: u64,
    /// The subject that it was published under.
    pub subject: String,
    /// Its table, where that could be told.
    pub table: Option<TableId>,
    /// Its canonical key, where that could be told.
    pub key: Option<Vec<u8>>,
    /// The step that refused it: `decode`, `residency`, `filter`, `mapping`, `merge`, `resolve`, `write`.
    pub stage: &'static str,
    /// A fixed word for the reason: `not-json`, `missing-key`, `trap`, `unique-violation`, ..
    pub code: &'static str,
    /// What is wrong, for a person. Names tables, columns and paths, never a row's values.
    pub reason: String,
    /// The generation, where a plugin refused it.
    pub generation: Option<i64>,
    /// The headers as a JSON object.
    pub headers: Option<String>,
    /// The original bytes; `None` where no residency rule has passed them.
    pub bytes: Option<Bytes>,
    /// SHA-256 of the original bytes: proves a refetch by sequence.
    pub digest: [u8; 32],
    /// Set where an operator discarded it: the letter is closed from the beginning, and several may have one sequence.
    pub discarded: Option<Discarded>,
}

/// Who discarded what was kept beside, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discarded {
    /// Who.
    pub by: String,
    /// Why.
    pub note: Option<String>,
}
