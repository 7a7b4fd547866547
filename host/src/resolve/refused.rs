//! Dead letters: what is kept of a change that could not be applied.
//!
//! The original bytes and the key are kept only where no residency rule may still object to them.

use reconverge_streams::{table::TableId, writes::DeadLetter};
use sha2::{Digest, Sha256};

use crate::{
    batch::{Batch, Item, Refusal},
    plan::Plan,
};

/// Whether the bytes of a message that did not decode may be kept: no residency rule is bound to its table,
/// or, where the table could not be told, to any.
pub(super) fn may_keep_undecoded(plan: &Plan, table: Option<TableId>) -> bool {
    match table {
        Some(table) => !plan.table(table).residency,
        None => !plan.tables.iter().any(|t| t.residency),
    }
}

/// The dead letter of an item.
pub(super) fn dead_letter(
    batch: &Batch,
    item: &Item,
    refusal: &Refusal,
    generation: Option<i64>,
    may_keep: bool,
) -> DeadLetter {
    let delivery = &batch.deliveries[item.delivery as usize];
    let headers = (may_keep && !delivery.headers.is_empty()).then(|| delivery.headers.to_json());
    DeadLetter {
        sequence: delivery.sequence,
        subject: delivery.subject.to_string(),
        table: refusal.table,
        key: refusal.key.clone().filter(|_| may_keep),
        stage: refusal.stage,
        code: refusal.code,
        reason: refusal.reason.clone(),
        generation,
        headers,
        bytes: may_keep.then(|| delivery.payload.clone()),
        digest: Sha256::digest(&delivery.payload).into(),
        discarded: None,
    }
}
