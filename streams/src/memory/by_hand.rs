//! What an operator asked for of what is kept beside, in memory.

use super::{
    database::{Asked, Contents},
    sink::MemoryClaim,
};
use crate::by_hand::{HandWord, ORDERS_MAX, Order};

impl MemoryClaim {
    /// See [`crate::sink::Claim::orders`].
    pub(super) fn orders_in(&self, state: &Contents) -> Vec<Order> {
        let lane = &self.checkpoint.lane;
        let name = |source: &str| self.request.names.intern(source).ok();
        let kept =
            state.kept.iter().filter(|(_, row)| row.lane == *lane).filter_map(|((table, key), row)| {
                let asked = row.asked.as_ref()?;
                Some(Order {
                    table: self.table_of(table)?,
                    key: key.clone(),
                    sequence: row.sequence,
                    waits_on_time: false,
                    hand: asked.hand?,
                    by: asked.by.clone(),
                    note: asked.note.clone(),
                    subject: row.subject.clone(),
                    source: name(&row.source),
                    position: row.position,
                    counted_by: self.elsewhere(&row.counted_by),
                    kept: row.row.clone().into_bytes(),
                })
            });
        let ours = state.waiting.iter().filter(|((of, ..), _)| of == lane);
        let waiting = ours.filter_map(|((_, sequence, table, key), change)| {
            let asked = change.asked.as_ref()?;
            Some(Order {
                table: self.table_of(table)?,
                key: key.clone(),
                sequence: *sequence,
                waits_on_time: true,
                hand: asked.hand?,
                by: asked.by.clone(),
                note: asked.note.clone(),
                subject: None,
                source: name(&change.source),
                position: change.position,
                counted_by: self.elsewhere(&change.counted_by),
                kept: change.change.clone(),
            })
        });
        let mut orders: Vec<Order> = kept.chain(waiting).collect();
        orders.sort_by(|a, b| (a.sequence, a.table, &a.key).cmp(&(b.sequence, b.table, &b.key)));
        orders.truncate(ORDERS_MAX as usize);
        orders
    }

    /// See [`crate::sink::Claim::refuse`].
    pub(super) fn refuse_in(&self, state: &mut Contents, order: &Order, why: &str) {
        let table = self.request.tables[order.table.index()].name.clone();
        let lane = self.checkpoint.lane.clone();
        let asked = if order.waits_on_time {
            let place = (lane, order.sequence, table, order.key.clone());
            state.waiting.get_mut(&place).map(|change| &mut change.asked)
        } else {
            let kept = state.kept.get_mut(&(table, order.key.clone()));
            kept.filter(|row| row.sequence == order.sequence).map(|row| &mut row.asked)
        };
        if let Some(asked) = asked {
            *asked = Some(Asked { hand: None, by: order.by.clone(), note: Some(why.to_owned()) });
        }
    }
}

/// Asks for what is kept under a key.
pub(super) fn ask(state: &mut Contents, word: &HandWord) -> u64 {
    let asked = || Some(Asked { hand: Some(word.hand), by: word.by.clone(), note: word.note.clone() });
    let is_of = |lane: &str| lane.strip_prefix(&*word.pipeline).is_some_and(|rest| rest.starts_with('/'));
    let mut count = 0;
    if let Some(row) = state.kept.get_mut(&(word.table.clone(), word.key.clone())).filter(|r| is_of(&r.lane))
    {
        row.asked = asked();
        count += 1;
    }
    let meant: Vec<(String, u64)> = state
        .waiting
        .keys()
        .filter(|(lane, _, table, key)| is_of(lane) && *table == word.table && *key == word.key)
        .map(|(lane, sequence, ..)| (lane.clone(), *sequence))
        .collect();
    for ((lane, sequence, table, _), change) in &mut state.waiting {
        if *table == word.table && meant.contains(&(lane.clone(), *sequence)) {
            change.asked = asked();
            count += 1;
        }
    }
    count
}
