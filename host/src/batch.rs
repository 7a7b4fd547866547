//! A batch between decode and resolve: what was delivered, message by message, and its changes, table by table,
//! as columns. Grouping by table never reorders a key: rows stand in stream order, and each knows its item.

use std::{ops::Range, sync::Arc};

use reconverge_streams::{
    columns::Columns,
    disposition::Disposition,
    epoch::EpochStart,
    event::Grade,
    names::NameId,
    position::{Micros, Position},
    source::Delivery,
    table::TableId,
};

use crate::{clock::Clocks, epochs::Epochs, plan::Plan};

/// Names the other key of a key change whose halves come as two messages of our own envelope: an object of key columns.
pub const MOVED_HEADER: &str = "Reconverge-Moved";

/// A contiguous run of one lane's messages.
#[derive(Debug, Default)]
pub struct Batch {
    /// The messages, in sequence order; kept until commit for dead letters.
    pub deliveries: Vec<Delivery>,
    /// One entry per change or message without one, in stream order; the index is the
    /// [`reconverge_streams::writes::ChangeIndex`]. A key change delivered as one message has two.
    pub items: Vec<Item>,
    /// The changes by table, in order of first appearance.
    pub tables: Vec<TableBatch>,
    /// Last sequence delivered.
    pub through: u64,
    /// Everything up to here has been looked at.
    pub scanned: u64,
    /// Sources whose grade this batch shows first, or shows to be worse.
    pub grades: Vec<(NameId, Grade)>,
    /// The epochs that were known before the batch.
    pub epochs: Epochs,
    /// Epochs that control messages of the batch begin.
    pub epoch_starts: Vec<EpochStart>,
    /// The newest commit time that the lane has applied before it.
    pub newest_at: Option<Micros>,
    /// Of changes that waited, by delivery: the lane that counted them when they came, where that is another one. Empty
    /// where all are this lane's.
    pub counted_by: Vec<Option<Arc<str>>>,
}

impl Batch {
    /// Bytes of the messages' payloads.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.deliveries.iter().map(|delivery| delivery.payload.len()).sum()
    }

    /// The lane that counted a change before, where that is another one.
    #[must_use]
    pub fn counted_by(&self, item: &Item) -> Option<&Arc<str>> {
        self.counted_by.get(item.delivery as usize)?.as_ref()
    }

    /// Adds empty tables for all relatives of those in the batch: parents and children, theirs too.
    pub fn include_relatives(&mut self, plan: &Plan) {
        let parents_refused: Vec<TableId> = self.items.iter().filter_map(refused_table).collect();
        for table in parents_refused.into_iter().filter(|table| plan.children(*table).next().is_some()) {
            self.include(table, plan);
        }
        let mut at = 0;
        while at < self.tables.len() {
            let table = self.tables[at].table;
            let parents = plan.table(table).depends_on.iter().map(|p| p.table);
            for relative in parents.chain(plan.children(table).map(|(child, _)| child)).collect::<Vec<_>>() {
                self.include(relative, plan);
            }
            at += 1;
        }
    }

    /// Adds a table without changes, where it is not in the batch.
    pub fn include(&mut self, table: TableId, plan: &Plan) {
        if self.tables.iter().any(|t| t.table == table) {
            return;
        }
        let columns = || Columns::new(plan.table(table).columns.iter().map(|c| c.logical));
        self.tables.push(TableBatch {
            table,
            changes: Vec::new(),
            after: columns(),
            before: columns(),
            keys: Vec::new(),
        });
    }
}

/// The table of a message that decode refused, where its key could be told: children may wait for it.
fn refused_table(item: &Item) -> Option<TableId> {
    match &item.kind {
        ItemKind::Refused(refusal) if refusal.key.is_some() => refusal.table,
        _ => None,
    }
}

/// What one message, or one half of a key change, turned out to be.
#[derive(Debug)]
pub struct Item {
    /// Index into [`Batch::deliveries`].
    pub delivery: u32,
    /// What it is.
    pub kind: ItemKind,
}

/// See [`Item`].
#[derive(Debug)]
pub enum ItemKind {
    /// A row change: index into [`Batch::tables`], row therein.
    Change(u32, u32),
    /// Settled without looking at a row: control, echo, unlisted.
    Settled(Disposition),
    /// Refused by decode: a dead letter.
    Refused(Refusal),
    /// A change of this table that is not decided in this batch: it waits, or stands behind one that does.
    Held(TableId, Disposition),
}

/// Why a change cannot be applied. Words name tables, columns and paths, never a row's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `decode`, `residency`, `filter`, `mapping`, `merge`, `resolve`, `write`.
    pub stage: &'static str,
    /// A fixed word: `not-json`, `missing-key`, `trap`, ..
    pub code: &'static str,
    /// For a person.
    pub reason: String,
    /// The table, where it could be told.
    pub table: Option<TableId>,
    /// The canonical key, where it could be told.
    pub key: Option<Vec<u8>>,
}

/// What a change does to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The row is new at its source.
    Create,
    /// The row is now so.
    Update,
    /// The row is gone.
    Delete,
    /// A row as a snapshot read it: a write that is as old as what it repeats.
    Snapshot,
}

impl Op {
    /// The envelope's letter, which is also the meta column `operation`.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Op::Create => "c",
            Op::Update => "u",
            Op::Delete => "d",
            Op::Snapshot => "r",
        }
    }
}

/// The changes of one table in a batch, as columns in the order of [`crate::plan::TablePlan::columns`].
#[derive(Debug)]
pub struct TableBatch {
    /// The table.
    pub table: TableId,
    /// One per row.
    pub changes: Vec<Change>,
    /// The row after the change; of a delete [`reconverge_streams::columns::State::NoRow`] but for the key.
    pub after: Columns,
    /// The row before it, as far as the source sent it and the table's `before_images` believes it.
    pub before: Columns,
    /// The canonical keys of all changes, end to end; [`Change::key`] is a range of it.
    pub keys: Vec<u8>,
}

impl TableBatch {
    /// The canonical key of a change.
    #[must_use]
    pub fn key(&self, row: usize) -> &[u8] {
        let range = &self.changes[row].key;
        &self.keys[range.start as usize..range.end as usize]
    }
}

/// One change: everything about it that is no cell.
#[derive(Clone, Debug)]
pub struct Change {
    /// Index into [`Batch::items`].
    pub item: u32,
    /// What it does.
    pub op: Op,
    /// Its canonical key: a range of [`TableBatch::keys`].
    pub key: Range<u32>,
    /// The source that sent it.
    pub source: NameId,
    /// Where the source says it stands; `None` for sources without positions.
    pub position: Option<Position>,
    /// The region where it began.
    pub origin: NameId,
    /// Commit time at the source.
    pub at: Micros,
    /// The stream's time of the message.
    pub published_at: Micros,
    /// Version of the table's schema at the source; 0 where it says none.
    pub schema: u32,
    /// The other half of a key change: the canonical key that this delete moved to, or this create moved from.
    pub moved: Option<Vec<u8>>,
    /// The platform's immutable id, where the event has one; of a change without a position else the message's id.
    pub event_id: Option<Arc<str>>,
    /// The logical clocks that the event carries.
    pub clocks: Clocks,
    /// The source transaction, where the event tells.
    pub transaction: Option<Transaction>,
    /// Set where an operator sent it again from the dead letters: the gate lets it by.
    pub redriven: Option<Arc<Redrive>>,
}

/// The source transaction that a change is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The source's id of it.
    pub id: Arc<str>,
    /// Number of the change in it, from 1.
    pub number: u64,
    /// Whether it is known to be the last change.
    pub end: bool,
}

/// The first delivery of a dead letter that is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// Its stream.
    pub stream: String,
    /// Its sequence.
    pub sequence: u64,
}
