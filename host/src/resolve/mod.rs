//! Deciding: a batch, what stands and the stages in; writes and dispositions out.
//!
//! Pure: no clock, no SQL, no broker. The rules are SURFACE (g); a serial oracle that takes one change after
//! another must end with the same rows, whatever the batches. In reading order: [`keys`] says what to ask the
//! sink for, [`repeats`] tells events that were seen before, `levels` cuts a table's changes into rounds, `state` is
//! what stands for a key, [`gate`] lets a change by (`passing` takes a table's changes there), [`order`] compares and `compare` does so by the table's rule,
//! `table` decides round by round, `settle` lets a decision take effect, `compose` fills rows, `clocks`, `stamp`,
//! `column_merge` and `counter` are rules that keep more than a row and its version, `history` keeps conflicts, `family`
//! says which rows that stand are in the sink (`tree` does so for a table that names itself) and `orphans` what becomes of those whose parent is known not to come, `net` turns the end state into writes.

pub mod keys;
pub mod repeats;
pub mod gate;
pub mod order;
mod levels;
mod column_set;
mod state;
mod compose;
mod clocks;
mod stamp;
mod column_merge;
mod counter;
mod compare;
mod too_old;
mod history;
mod naming;
mod orphans;
mod family;
mod tree;
mod passing;
mod table;
mod settle;
mod net;
mod refused;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use reconverge_streams::{
    by_hand::Hand,
    disposition::{Counts, Disposition},
    epoch::Suspicion,
    event::Event,
    family::{Family, FamilyWanted},
    standing::Standing,
    table::TableId,
    writes::{ChangeIndex, Writes},
};

use crate::{
    batch::{Batch, Item, ItemKind, Refusal},
    plan::Plan,
    stages::{Prepared, Stages},
};

use self::{family::Walk, keys::Keyed, repeats::Repeats, table::TableResolver};

/// What a batch came to.
#[derive(Debug, Default)]
pub struct Resolved {
    /// What to write.
    pub writes: Writes,
    /// Dispositions by table, for metrics and the report of a run; messages without a table under `None`.
    pub counts: HashMap<Option<TableId>, Counts>,
    /// Of these, what another lane counted when it came, by that lane.
    pub elsewhere: BTreeMap<Arc<str>, Counts>,
    /// Changes counted in an earlier batch whose fate is another now, by table.
    pub reclassified: Vec<(TableId, Disposition, Disposition)>,
    /// Rows that the application wrote and the batch met.
    pub local_writes: u64,
    /// Events that the batch saw first; the same as in the writes, which go to the sink.
    pub events: Vec<Event>,
    /// Changes whose event the sink, or the batch itself, had seen before.
    pub repeats_told_by_sink: u64,
    /// Changes whose event was known before the batch was decoded.
    pub repeats_told_by_window: u64,
    /// Conflicts by table, kind and outcome, for metrics.
    pub conflicts: BTreeMap<(TableId, &'static str, Disposition), u64>,
    /// Changes that look as if their source's positions began anew, whatever became of them.
    pub suspicions: Vec<Suspected>,
    /// Rows that were kept beside and do not stand any more, because an operator discarded them.
    pub discarded: Vec<RowKey>,
    /// Rows that come into the sink or leave it through their parents, as [`Self::relative`] finds them.
    relatives: Vec<RowKey>,
}

/// From here on, in place of a change's index: a row that came into the sink or left it through its parent.
const RELATIVES: ChangeIndex = 1 << 31;

/// A row, by its table and canonical key.
pub type RowKey = (TableId, Vec<u8>);

/// What is left out of a batch, because the sink could not write it on an earlier try.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    /// Changes: they become dead letters, and everything else is decided as if they had not been sent.
    pub changes: HashMap<ChangeIndex, Refusal>,
    /// Rows whose parents are in the sink: they stay beside until a change of their own comes.
    pub rows: HashSet<RowKey>,
    /// What an operator said of a row that is kept beside.
    pub by_hand: Option<ByHand>,
}

/// An operator's word about a row that is kept beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHand {
    /// Released: it goes in whatever its parents are. Discarded: it does not stand any more; the key keeps its order
    /// value, as that of a row that does not belong here.
    pub hand: Hand,
    /// The row.
    pub row: RowKey,
}

impl Resolved {
    /// A change is counted; in another lane's ledger, where that lane has counted it before.
    fn count(&mut self, batch: &Batch, item: &Item, table: Option<TableId>, disposition: Disposition) {
        self.counts.entry(table).or_default().add(disposition);
        self.count_elsewhere(batch, item, disposition);
    }

    fn count_elsewhere(&mut self, batch: &Batch, item: &Item, disposition: Disposition) {
        if let Some(lane) = batch.counted_by(item) {
            self.elsewhere.entry(Arc::clone(lane)).or_default().add(disposition);
        }
    }

    /// The row that came or left through its parent, where the index is not that of a change.
    #[must_use]
    pub fn relative(&self, blamed: ChangeIndex) -> Option<&RowKey> {
        self.relatives.get(blamed.checked_sub(RELATIVES)? as usize)
    }
}

/// A suspicion, and the change that raised it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspected {
    /// The change.
    pub change: ChangeIndex,
    /// What it looks like.
    pub suspicion: Suspicion,
}

/// The code of a dead letter that is left out because its source's positions may have begun anew.
pub const SOURCE_EPOCH: &str = "source-epoch";

pub use self::orphans::ORPHANED;

/// A batch of which it is decided who stands, and not yet which rows are in the sink.
pub struct Decided<'a> {
    plan: &'a Plan,
    batch: &'a Batch,
    tables: Vec<TableResolver<'a>>,
    walk: Walk<'a>,
    resolved: Resolved,
}

/// Decides a batch, without what is left out.
///
/// `keyed` is [`keys::keyed`] of the same batch, and `standing` the sink's answer to it.
#[must_use]
#[expect(
    clippy::too_many_arguments,
    reason = "each is a thing of its own, and the pure core takes all that it uses"
)]
pub fn decide<'a>(
    batch: &'a Batch,
    prepared: &'a Prepared,
    keyed: &'a Keyed,
    standing: &'a Standing,
    left_out: &'a LeftOut,
    stages: &mut dyn Stages,
    plan: &'a Plan,
    generation: i64,
) -> Decided<'a> {
    let mut resolved = Resolved::default();
    resolved.writes.through = batch.through;
    resolved.writes.scanned = batch.scanned.max(batch.through);
    resolved.writes.generation = generation;
    settle_messages(batch, plan, &mut resolved);
    let Repeats { repeated, new } = repeats::tell(batch, &standing.events);
    let repeated = Arc::new(repeated);
    resolved.repeats_told_by_sink = repeated.len() as u64;
    resolved.writes.grades.clone_from(&batch.grades);
    resolved.writes.epochs.clone_from(&batch.epoch_starts);
    resolved.writes.events.clone_from(&new);
    resolved.events = new;
    let mut order: Vec<usize> = (0..batch.tables.len()).collect();
    order.sort_by_key(|&t| (plan.table(batch.tables[t].table).priority, batch.tables[t].table));
    let mut tables = Vec::with_capacity(order.len());
    for t in order {
        let (batch_table, prepared, keyed) = (&batch.tables[t], &prepared.tables[t], &keyed.tables[t]);
        let standing = &standing.tables[t];
        let mut table =
            TableResolver::new(plan, batch_table, prepared, keyed, standing, &left_out.changes, generation);
        table.repeated = Arc::clone(&repeated);
        table.newest_at = batch.newest_at;
        table.run(batch, stages);
        tables.push(table);
    }
    if let Some(ByHand { hand: Hand::Discard, row: (id, key) }) = &left_out.by_hand
        && let Some(table) = tables.iter_mut().find(|table| table.table.id == *id)
    {
        table.discard(key);
    }
    let walk = Walk::new(batch, &tables, left_out);
    Decided { plan, batch, tables, walk, resolved }
}

impl Decided<'_> {
    /// What the sink has to be asked about parents and children; `None` when all is known.
    pub fn asks(&mut self) -> Option<FamilyWanted> {
        self.walk.next(self.plan, &mut self.tables)
    }

    /// The sink's answer to [`Self::asks`].
    pub fn learn(&mut self, family: Family) {
        self.walk.learn(family, self.plan, &mut self.tables);
    }

    /// With rows of this table more leave the sink than may in one transaction ([`Plan::leaving_max`]). Nothing more is asked
    /// then, and nothing must be written.
    #[must_use]
    pub fn leaves_too_many(&self) -> Option<TableId> {
        self.walk.leaving.too_many()
    }

    /// Everything as writes.
    #[must_use]
    pub fn close(self) -> Resolved {
        let Decided { batch, mut tables, mut resolved, .. } = self;
        for table in &mut tables {
            keep_suspicions(table, batch, &mut resolved);
        }
        for table in tables {
            net::close(table, batch, &mut resolved);
        }
        resolved.writes.counts = Counts::default();
        for counts in resolved.counts.values() {
            resolved.writes.counts.add_all(counts);
        }
        resolved
    }
}

/// Those that were left out go into the sink with the batch.
fn keep_suspicions(table: &mut TableResolver<'_>, batch: &Batch, resolved: &mut Resolved) {
    for mut suspected in std::mem::take(&mut table.suspicions) {
        let delivery = batch.items[suspected.change as usize].delivery;
        suspected.suspicion.sequence = batch.deliveries[delivery as usize].sequence;
        if table.leaves_out(suspected.change) {
            resolved.writes.suspicions.push(suspected.suspicion.clone());
        }
        resolved.suspicions.push(suspected);
    }
}

/// Messages that are no row change: counted, and where they were refused kept as dead letters.
fn settle_messages(batch: &Batch, plan: &Plan, resolved: &mut Resolved) {
    for item in &batch.items {
        match &item.kind {
            ItemKind::Change(..) => {}
            ItemKind::Settled(disposition) => {
                resolved.count(batch, item, None, *disposition);
                resolved.repeats_told_by_window += u64::from(*disposition == Disposition::Duplicate);
            }
            ItemKind::Held(table, disposition) => {
                resolved.count(batch, item, Some(*table), *disposition);
            }
            ItemKind::Refused(refusal) => {
                resolved.count(batch, item, refusal.table, Disposition::DeadLettered);
                let may_keep = refused::may_keep_undecoded(plan, refusal.table);
                resolved.writes.dead.push(refused::dead_letter(batch, item, refusal, None, may_keep));
            }
        }
    }
}

#[cfg(test)]
mod tests;
