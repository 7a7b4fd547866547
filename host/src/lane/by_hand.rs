//! What an operator asked for of what the lane keeps beside: carried out between two batches, each in a transaction of
//! its own, so that it never races with the lane. What cannot be done is refused with the reason, and stays kept.

use reconverge_streams::{
    by_hand::{Hand, Order},
    disposition::Disposition,
    sink::{Claim, Sink},
    source::Source,
    table::TableId,
    waiting::WaitingId,
    writes::{ChangeIndex, DeadLetter, Discarded},
};
use sha2::{Digest, Sha256};

use crate::{
    batch::Batch,
    resolve::{ByHand, Resolved},
    waiting::{Passage, Stored},
};

use super::{
    Lane, LaneError, RunReport,
    commit::{Beside, Ended, Work},
};

/// The step that a dead letter of something kept beside names.
const STAGE: &str = "parked";

/// Orders that are carried out together: one about a row, or those about all that one message brought to a table, since
/// half of a key change must not go alone.
pub(super) struct Ordered {
    orders: Vec<Order>,
    /// The row, as [`crate::resolve::keys::keyed`] takes it.
    pub(super) rows: Vec<(TableId, Vec<Vec<u8>>)>,
}

impl Ordered {
    fn new(orders: &[Order]) -> Self {
        let rows = orders.iter().filter(|order| !order.waits_on_time);
        let rows = rows.map(|order| (order.table, vec![order.key.clone()])).collect();
        Ordered { orders: orders.to_vec(), rows }
    }

    /// What resolve has to know.
    pub(super) fn by_hand(&self) -> Option<ByHand> {
        let order = self.orders.iter().find(|order| !order.waits_on_time)?;
        Some(ByHand { hand: order.hand, row: (order.table, order.key.clone()) })
    }

    /// Whether the sink blames the row that was to be put in.
    pub(super) fn is_blamed(&self, blamed: &[ChangeIndex], resolved: &Resolved) -> bool {
        let rows = || blamed.iter().filter_map(|&blamed| resolved.relative(blamed));
        self.orders.iter().any(|order| rows().any(|(table, key)| (*table, key) == (order.table, &order.key)))
    }

    /// What is written besides: the letters of what is discarded, and changes that wait no longer.
    pub(super) fn settle(&self, resolved: &mut Resolved) {
        for order in self.orders.iter().filter(|order| order.hand == Hand::Discard) {
            let row = (order.table, order.key.clone());
            if order.waits_on_time {
                let id = WaitingId { sequence: order.sequence, table: row.0, key: row.1 };
                resolved.writes.released.push(id);
                let (from, to) = (Disposition::Parked, Disposition::DeadLettered);
                resolved.writes.reclassify(order.counted_by.as_ref(), from, to, 1);
                resolved.reclassified.push((order.table, from, to));
            } else if !resolved.discarded.contains(&row) {
                // It went in or was replaced meanwhile.
                continue;
            }
            resolved.writes.dead.push(letter(order));
        }
    }
}

/// The closed dead letter of what is discarded: of a change its message, where residency had passed it as it came; of a
/// row its JSON.
fn letter(order: &Order) -> DeadLetter {
    let stored = if order.waits_on_time { Stored::read(order.sequence, &order.kept) } else { None };
    let whole = stored.as_ref().filter(|stored| stored.passage == Passage::Whole);
    let headers = whole.map(|stored| stored.delivery.headers.to_json());
    let bytes = match &whole {
        Some(stored) => Some(stored.delivery.payload.clone()),
        None => (!order.waits_on_time).then(|| order.kept.clone().into()),
    };
    let what =
        if order.waits_on_time { "a change that waited on time" } else { "a row that waited for its parent" };
    DeadLetter {
        sequence: order.sequence,
        subject: match &stored {
            Some(stored) => stored.delivery.subject.to_string(),
            None => order.subject.clone().unwrap_or_default(),
        },
        table: Some(order.table),
        key: Some(order.key.clone()).filter(|key| !key.is_empty()),
        stage: STAGE,
        code: "discarded",
        reason: format!("{what}, discarded by hand"),
        generation: None,
        headers,
        bytes,
        digest: stored.as_ref().map_or_else(|| Sha256::digest(&order.kept).into(), |stored| stored.digest),
        discarded: Some(Discarded { by: order.by.clone(), note: order.note.clone() }),
    }
}

impl<S: Source, K: Sink> Lane<'_, S, K> {
    /// Carries out what is asked for, in the order of the sequences.
    pub(super) async fn carry_out(
        &mut self,
        claim: &mut K::Claim,
        report: &mut RunReport,
    ) -> Result<(), LaneError> {
        let mut done = Vec::new();
        loop {
            let mut orders = claim.orders().await?;
            // What stays asked for (it waits behind another change, or its table is paused) is not read in circles.
            orders.retain(|order| !done.contains(&(order.table, order.key.clone(), order.sequence)));
            if orders.is_empty() {
                return Ok(());
            }
            done.extend(orders.iter().map(|order| (order.table, order.key.clone(), order.sequence)));
            let of_one = |a: &Order, b: &Order| {
                a.waits_on_time && b.waits_on_time && (a.sequence, a.table) == (b.sequence, b.table)
            };
            for group in orders.chunk_by(of_one) {
                self.carry_out_one(group, claim, report).await?;
            }
        }
    }

    async fn carry_out_one(
        &mut self,
        orders: &[Order],
        claim: &mut K::Claim,
        report: &mut RunReport,
    ) -> Result<(), LaneError> {
        let Some(first) = orders.first() else { return Ok(()) };
        if first.waits_on_time && orders.iter().all(|order| order.hand == Hand::Release) {
            orders.iter().for_each(|order| self.waiting.hurry(&id(order)));
            return Ok(());
        }
        // Rows of a table that is paused, or bound to one that is, are left alone until it runs again.
        if !first.waits_on_time && self.waiting.aside().contains(&first.table) {
            return Ok(());
        }
        let ordered = Ordered::new(orders);
        let sequence = claim.checkpoint().sequence;
        let mut batch = Batch { through: sequence, scanned: sequence, ..Batch::default() };
        ordered.rows.iter().for_each(|(table, _)| batch.include(*table, &self.plan));
        batch.include_relatives(&self.plan);
        let (lane, name) =
            (self.settings.claim.lane.to_string(), self.plan.table(first.table).shape.name.clone());
        let (hand, by) = (first.hand.word(), first.by.clone());
        match self.commit_batch(batch, Beside::default(), &Work::Ordered(&ordered), claim, false).await? {
            Ended::Committed(committed) => {
                for order in orders.iter().filter(|order| order.waits_on_time) {
                    self.waiting.remove(&id(order), &self.plan);
                }
                tracing::info!(lane, table = name, sequence = first.sequence, hand, by, "parked.by_hand");
                report.add(&committed.resolved, &self.plan);
                Ok(())
            }
            Ended::Refused(why) => {
                tracing::warn!(
                    lane,
                    table = name,
                    sequence = first.sequence,
                    hand,
                    by,
                    error = why,
                    "parked.refused"
                );
                for order in orders {
                    claim.refuse(order, &why).await?;
                }
                Ok(())
            }
            Ended::Pause(_, table, reason) => self.pause(claim, table, reason).await,
            Ended::Faulted(..) | Ended::Later(_) => Ok(()),
        }
    }
}

fn id(order: &Order) -> WaitingId {
    WaitingId { sequence: order.sequence, table: order.table, key: order.key.clone() }
}

#[cfg(test)]
mod tests {
    use reconverge_streams::position::Position;

    use super::*;

    /// Another lane's batch may put the row in, or replace it, between the look and the transaction.
    #[test]
    fn a_row_that_went_in_before_it_was_discarded_leaves_no_letter() {
        let order = Order {
            table: TableId(0),
            key: vec![1],
            sequence: 7,
            waits_on_time: false,
            hand: Hand::Discard,
            by: "ann".into(),
            note: None,
            subject: None,
            source: None,
            position: Position::default(),
            counted_by: None,
            kept: b"{}".to_vec(),
        };
        let ordered = Ordered::new(&[order]);
        let mut resolved = Resolved::default();
        ordered.settle(&mut resolved);
        assert_eq!(resolved.writes.dead, []);
        resolved.discarded.push((TableId(0), vec![1]));
        ordered.settle(&mut resolved);
        assert_eq!(resolved.writes.dead.len(), 1);
    }
}
