//! What the sink cannot write is left out of a batch, so that the rest goes on: changes as dead letters, rows that were
//! kept beside as still kept.

use std::collections::HashSet;

use reconverge_streams::{
    sink::Cause,
    writes::{ChangeIndex, Writes},
};

use crate::{
    batch::{Batch, ItemKind, Refusal},
    resolve::{LeftOut, Resolved, RowKey},
};

/// Takes what the sink blames out of the next try; `false` where that is nothing new, so that another try would end
/// the same.
pub(crate) fn leave_out(
    blamed: &[ChangeIndex],
    cause: &Cause,
    batch: &Batch,
    resolved: &Resolved,
    left_out: &mut LeftOut,
) -> bool {
    let known = left_out.changes.len() + left_out.rows.len();
    for &blamed in blamed {
        match resolved.relative(blamed) {
            Some(row) => {
                if left_out.rows.insert(row.clone()) {
                    tracing::warn!(table = row.0.index(), error = %cause, "parked.unwritable");
                }
            }
            None => _ = left_out.changes.insert(blamed, refusal(batch, blamed, cause)),
        }
    }
    left_out.changes.len() + left_out.rows.len() > known
}

/// The rows that the sink would not take in, without those that these writes end keeping.
pub(super) fn still_unwritable(rows: &HashSet<RowKey>, writes: &Writes) -> HashSet<RowKey> {
    let stays = |row: &&RowKey| {
        !writes.unkept.contains(row)
            || writes.kept.iter().any(|kept| (kept.table, &kept.key) == (row.0, &row.1))
    };
    rows.iter().filter(stays).cloned().collect()
}

/// The dead letter's word for what a sink cannot write.
fn refusal(batch: &Batch, change: ChangeIndex, cause: &Cause) -> Refusal {
    let mut refusal = Refusal {
        stage: "write",
        code: "cannot-be-written",
        reason: format!("{}: {}", cause.code, cause.text),
        table: None,
        key: None,
    };
    if let Some(item) = batch.items.get(change as usize)
        && let ItemKind::Change(table, row) = item.kind
    {
        let table = &batch.tables[table as usize];
        refusal.table = Some(table.table);
        refusal.key = Some(table.key(row as usize).to_vec());
    }
    refusal
}
