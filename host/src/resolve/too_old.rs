//! Changes that come after what they would have to be compared with has gone.
//!
//! A tombstone goes when every source has passed it and its time is over ([`reconverge_streams::retention`]). Of a key
//! of which nothing is known, a change up to the table's horizon may be older than such a tombstone: it could bring a
//! deleted row back, so it becomes a dead letter and is looked at by a person. A snapshot row tells of now, and a
//! change that an operator sent again was looked at.

use crate::{
    batch::{Change, Op, Refusal},
    plan::Rule,
};

use super::{state::Stands, table::TableResolver};

/// The dead letter's word.
pub(super) const CODE: &str = "too-old";

impl TableResolver<'_> {
    /// Whether what the change would be compared with may have gone.
    pub(super) fn is_too_old(&self, change: &Change, key: usize) -> bool {
        let Some(horizon) = self.standing.too_old_through else { return false };
        change.at <= horizon
            && self.table.rule != Rule::None
            && self.keys[key].stands == Stands::Nothing
            && change.op != Op::Snapshot
            && change.redriven.is_none()
    }

    pub(super) fn too_old(&self, row: u32) -> Refusal {
        Refusal {
            stage: "resolve",
            code: CODE,
            reason: "nothing is known of its key, and tombstones of its time have gone: it might bring a deleted row \
                     back; hint: `dlq redrive` applies it all the same, `limits.keep.tombstones` keeps them longer"
                .into(),
            table: Some(self.table.id),
            key: Some(self.batch.key(row as usize).to_vec()),
        }
    }
}
