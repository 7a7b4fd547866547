//! Takes out of a batch what has to wait. The batch has passed residency and nothing else; what goes on is as if the
//! others had not been sent yet.

use std::collections::HashSet;

use reconverge_streams::{
    columns::Columns,
    disposition::Disposition,
    position::{Micros, Position},
    table::TableId,
    waiting::{WaitingId, WaitingWrite, Why},
};

use crate::{
    batch::{Batch, Change, ItemKind, Op, Refusal, TableBatch},
    plan::{Plan, Rule},
    stages::{Passed, Prepared, PreparedTable},
};

use super::{message, queue::Queue};

/// What becomes of an item.
enum Held {
    Waits(Why, Option<Micros>),
    Settled(Disposition),
    Refused(Refusal),
}

/// Takes the waiting changes out of a batch, and tables that are set aside with them; gives what is to be kept.
#[must_use]
pub fn hold(batch: &mut Batch, prepared: &mut Prepared, queue: &Queue, plan: &Plan) -> Vec<WaitingWrite> {
    if holds_nothing(batch, queue, plan) {
        return Vec::new();
    }
    let (mut held, mut waiting) = (HashSet::new(), Vec::new());
    // What this batch adds stands in line too.
    let mut added = Queue::default();
    for at in 0..batch.items.len() {
        let item = &batch.items[at];
        let sequence = batch.deliveries[item.delivery as usize].sequence;
        let kind = match &item.kind {
            ItemKind::Change(t, row) => {
                let (table, passed) = (&batch.tables[*t as usize], &prepared.tables[*t as usize]);
                let change = &table.changes[*row as usize];
                let Some(fate) = fate(table, change, *row, passed, [queue, &added], plan) else { continue };
                match fate {
                    Held::Settled(disposition) => ItemKind::Held(table.table, disposition),
                    Held::Refused(refusal) => ItemKind::Refused(refusal),
                    Held::Waits(why, until) => {
                        let write = WaitingWrite {
                            id: WaitingId {
                                sequence,
                                table: table.table,
                                key: table.key(*row as usize).to_vec(),
                            },
                            why,
                            until,
                            source: change.source,
                            position: change.position.unwrap_or_default(),
                            moved: change.moved.clone(),
                            change: message::write(batch, at, table, *row, passed, plan),
                        };
                        added.add(&write, plan);
                        waiting.push(write);
                        ItemKind::Held(table.table, Disposition::Parked)
                    }
                }
            }
            ItemKind::Refused(refusal) => {
                let Some(write) = undecoded(batch, at, refusal, queue, plan) else { continue };
                let table = write.id.table;
                waiting.push(write);
                ItemKind::Held(table, Disposition::Parked)
            }
            ItemKind::Settled(_) | ItemKind::Held(..) => continue,
        };
        if matches!(batch.items[at].kind, ItemKind::Change(..)) {
            held.insert(u32::try_from(at).expect("a batch is bounded far below 2^32 changes"));
        }
        batch.items[at].kind = kind;
    }
    take_out(batch, prepared, &held, queue);
    waiting
}

/// Whether [`hold`] leaves a batch as it is.
#[must_use]
pub fn holds_nothing(batch: &Batch, queue: &Queue, plan: &Plan) -> bool {
    queue.is_clear() && !batch.tables.iter().any(|table| is_any_ahead(table, plan))
}

fn is_any_ahead(table: &TableBatch, plan: &Plan) -> bool {
    table.changes.iter().any(|change| is_ahead(change, table.table, plan))
}

/// Whether the commit time is ahead of the stream's by more than is believed. Where it decides nothing it does not
/// matter: a table with one writer, and snapshot rows, which are as old as what they repeat.
fn is_ahead(change: &Change, table: TableId, plan: &Plan) -> bool {
    let believed = change.published_at.saturating_add(plan.clock_skew_us);
    change.at > believed && change.op != Op::Snapshot && plan.table(table).rule != Rule::None
}

/// What becomes of a change; `None`: it goes on.
fn fate(
    table: &TableBatch,
    change: &Change,
    row: u32,
    prepared: &PreparedTable,
    queues: [&Queue; 2],
    plan: &Plan,
) -> Option<Held> {
    let (id, key) = (table.table, table.key(row as usize));
    let behind = |key: &[u8]| queues.iter().rev().find_map(|queue| queue.behind(id, key, plan));
    let before = behind(key).or_else(|| behind(change.moved.as_deref()?));
    let is_aside = queues[0].aside().contains(&id);
    let is_ahead = is_ahead(change, id, plan);
    if before.is_none() && !is_aside && !is_ahead {
        return None;
    }
    // It would raise its source's position, and those that wait before it would be taken for old.
    if let Passed::Refused(refusal) = &prepared.passed[row as usize] {
        return Some(Held::Refused(refusal.clone()));
    }
    if let Some(seen) =
        change.position.filter(|_| plan.table(id).rule != Rule::None && change.redriven.is_none())
    {
        let newest: Option<Position> =
            queues.iter().filter_map(|queue| queue.newest(id, key, change.source, plan)).max();
        match newest {
            Some(newest) if seen == newest => return Some(Held::Settled(Disposition::Duplicate)),
            Some(newest) if seen < newest => return Some(Held::Settled(Disposition::Regressed)),
            _ => {}
        }
    }
    Some(match (is_aside, is_ahead) {
        (true, _) => Held::Waits(Why::Paused, is_ahead.then_some(change.at)),
        (false, true) => Held::Waits(Why::Skew, Some(change.at)),
        (false, false) => Held::Waits(before.unwrap_or(Why::Paused), None),
    })
}

/// A message that did not decode, of a table that is paused: what is wrong may be the table. Where residency might
/// object to its bytes it is a dead letter as ever.
fn undecoded(
    batch: &Batch,
    at: usize,
    refusal: &Refusal,
    queue: &Queue,
    plan: &Plan,
) -> Option<WaitingWrite> {
    let table = refusal.table.filter(|table| queue.aside().contains(table))?;
    if refusal.stage != "decode" || plan.table(table).residency {
        return None;
    }
    let delivery = &batch.deliveries[batch.items[at].delivery as usize];
    Some(WaitingWrite {
        id: WaitingId { sequence: delivery.sequence, table, key: refusal.key.clone().unwrap_or_default() },
        why: Why::Paused,
        until: None,
        // Whose it is could not be read.
        source: plan.region,
        position: Position::default(),
        moved: None,
        change: message::whole(delivery),
    })
}

/// Makes the tables of the batch anew without what is held.
fn take_out(batch: &mut Batch, prepared: &mut Prepared, held: &HashSet<u32>, queue: &Queue) {
    let tables = std::mem::take(&mut batch.tables);
    let said = std::mem::take(&mut prepared.tables);
    for (table, said) in tables.into_iter().zip(said) {
        if queue.aside().contains(&table.table) {
            continue;
        }
        let place = u32::try_from(batch.tables.len()).expect("a plan has fewer tables than 2^16");
        let (table, said) = if table.changes.iter().any(|change| held.contains(&change.item)) {
            without(&table, &said, held)
        } else {
            (table, said)
        };
        for (row, change) in (0..).zip(&table.changes) {
            batch.items[change.item as usize].kind = ItemKind::Change(place, row);
        }
        batch.tables.push(table);
        prepared.tables.push(said);
    }
}

fn without(table: &TableBatch, said: &PreparedTable, held: &HashSet<u32>) -> (TableBatch, PreparedTable) {
    let empty =
        |of: &Columns| Columns::new(of.columns.iter().map(reconverge_streams::columns::Column::logical));
    let mut kept = TableBatch {
        table: table.table,
        changes: Vec::new(),
        after: empty(&table.after),
        before: empty(&table.before),
        keys: Vec::new(),
    };
    let mut kept_said = PreparedTable::default();
    for (row, change) in table.changes.iter().enumerate().filter(|(_, c)| !held.contains(&c.item)) {
        let end = |keys: &Vec<u8>| u32::try_from(keys.len()).expect("a batch is bounded far below 4 GiB");
        let begin = end(&kept.keys);
        kept.keys.extend_from_slice(table.key(row));
        kept.changes.push(Change { key: begin..end(&kept.keys), ..change.clone() });
        kept.after.push_row_from(&table.after, row);
        kept.before.push_row_from(&table.before, row);
        kept_said.passed.push(said.passed[row].clone());
        kept_said.residency_passed.push(said.residency_passed[row]);
    }
    (kept, kept_said)
}
