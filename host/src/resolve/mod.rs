//! Deciding: a batch, what stands and the stages in; writes and dispositions out.
//!
//! Pure: no clock, no SQL, no broker. The rules are SURFACE (g); a serial oracle that takes one change after
//! another must end with the same rows, whatever the batches. In reading order: [`keys`] says what to ask the
//! sink for, [`levels`] cuts a table's changes into rounds, [`state`] is what stands for a key, [`gate`] lets a
//! change by, [`order`] compares, [`table`] decides round by round, [`settle`] lets
//! a decision take effect, [`compose`] fills rows, [`history`] keeps
//! conflicts, [`net`] turns the end state into writes.

pub mod keys;
pub mod gate;
pub mod order;
mod levels;
mod column_set;
mod state;
mod compose;
mod history;
mod table;
mod settle;
mod net;
mod refused;

use std::collections::HashMap;

use reconverge_streams::{
    disposition::{Counts, Disposition},
    standing::Standing,
    table::TableId,
    writes::{ChangeIndex, Writes},
};

use crate::{
    batch::{Batch, ItemKind, Refusal},
    plan::Plan,
    stages::{Prepared, Stages},
};

use self::{keys::Keyed, table::TableResolver};

/// What a batch came to.
#[derive(Debug, Default)]
pub struct Resolved {
    /// What to write.
    pub writes: Writes,
    /// Dispositions by table, for metrics and the report of a run; messages without a table under `None`.
    pub counts: HashMap<Option<TableId>, Counts>,
    /// Rows that the application wrote and the batch met.
    pub local_writes: u64,
}

/// Decides a batch. `refused` holds the changes that the sink could not write on an earlier try: they become
/// dead letters, and everything else is decided as if they had not been sent.
///
/// `keyed` is [`keys::keyed`] of the same batch, and `standing` the sink's answer to it.
#[must_use]
pub fn resolve(
    batch: &Batch,
    prepared: &Prepared,
    keyed: &Keyed,
    standing: &Standing,
    refused: &HashMap<ChangeIndex, Refusal>,
    stages: &mut dyn Stages,
    plan: &Plan,
    generation: i64,
) -> Resolved {
    let mut resolved = Resolved::default();
    resolved.writes.through = batch.through;
    resolved.writes.scanned = batch.scanned.max(batch.through);
    resolved.writes.generation = generation;
    settle_messages(batch, plan, &mut resolved);
    let mut order: Vec<usize> = (0..batch.tables.len()).collect();
    order.sort_by_key(|&t| plan.table(batch.tables[t].table).priority);
    for t in order {
        let mut table = TableResolver::new(
            plan,
            &batch.tables[t],
            &prepared.tables[t],
            &keyed.tables[t],
            &standing.tables[t],
            refused,
            generation,
        );
        table.run(batch, stages);
        net::close(table, batch, &mut resolved);
    }
    resolved.writes.counts = Counts::default();
    for counts in resolved.counts.values() {
        resolved.writes.counts.add_all(counts);
    }
    resolved
}

/// Messages that are no row change: counted, and where they were refused kept as dead letters.
fn settle_messages(batch: &Batch, plan: &Plan, resolved: &mut Resolved) {
    for item in &batch.items {
        match &item.kind {
            ItemKind::Change(..) => {}
            ItemKind::Settled(disposition) => resolved.counts.entry(None).or_default().add(*disposition),
            ItemKind::Refused(refusal) => {
                resolved.counts.entry(refusal.table).or_default().add(Disposition::DeadLettered);
                let may_keep = refused::may_keep_undecoded(plan, refusal.table);
                resolved.writes.dead.push(refused::dead_letter(batch, item, refusal, None, may_keep));
            }
        }
    }
}


#[cfg(test)]
mod tests;
