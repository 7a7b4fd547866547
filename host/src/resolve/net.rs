//! The end of a table's rounds as writes: per key its net effect, once; per change its disposition.

use std::collections::HashMap;

use reconverge_streams::{
    columns::{Columns, State},
    disposition::Disposition,
    text,
    writes::{Deletes, TableWrites, Upserts, VersionWrite},
};

use crate::{
    batch::Batch,
    plan::Rule,
    stages::RowRef,
};

use super::{
    Resolved,
    column_set::ColumnSet,
    refused,
    state::{InSink, KeyState, Stands},
    table::{Fate, TableResolver},
};

/// Adds what a table came to.
pub(super) fn close(table: TableResolver<'_>, batch: &Batch, resolved: &mut Resolved) {
    let mut writes = TableWrites {
        table: table.table.id,
        upserts: Vec::new(),
        deletes: Deletes { keys: Columns::new(table.table.shape.key_logicals()), changes: Vec::new() },
        versions: Vec::new(),
        gate: if table.gate == table.standing.gate { Vec::new() } else { table.gate.clone() },
    };
    let mut groups = HashMap::new();
    for (k, state) in table.keys.iter().enumerate() {
        let row = write_row(&table, state, &mut groups, &mut writes);
        if state.touched && table.table.rule != Rule::None {
            writes.versions.push(VersionWrite {
                key: table.keyed.keys[k].clone(),
                version: state.version(),
                row,
                ordered_by: ordered_by(&table, state),
            });
        }
    }
    resolved.local_writes += table.keys.iter().filter(|s| s.local).count() as u64;
    account(&table, batch, resolved);
    resolved.writes.decisions.extend(table.decisions.into_iter().map(|(_, decision)| decision));
    resolved.writes.tables.push(writes);
}

/// The row's own effect: an upsert, a delete or none. Returns where the upsert stands.
fn write_row(
    table: &TableResolver<'_>,
    state: &KeyState,
    groups: &mut HashMap<ColumnSet, usize>,
    writes: &mut TableWrites,
) -> Option<(u32, u32)> {
    let set_by = state.set_by?;
    let blame = table.batch.changes[set_by as usize].item;
    let Some(row) = state.stands.live() else {
        if state.in_sink != InSink::No {
            push_key(table, set_by, &mut writes.deletes.keys);
            writes.deletes.changes.push(blame);
        }
        return None;
    };
    let columns = written_columns(table, state, row);
    let group = *groups.entry(columns.iter().copied().collect()).or_insert_with(|| {
        let rows = Columns::new(columns.iter().map(|&c| table.table.shape.columns[c].logical));
        writes.upserts.push(Upserts { columns: columns.clone(), rows, changes: Vec::new() });
        writes.upserts.len() - 1
    });
    let upserts = &mut writes.upserts[group];
    let cells = table.arenas().of(row.arena);
    for (to, &c) in upserts.rows.columns.iter_mut().zip(&upserts.columns) {
        let from = &cells.columns[c];
        if from.state(row.row as usize).is_sent() {
            to.push_from(from, row.row as usize);
        } else {
            to.push_state(State::Null);
        }
    }
    upserts.rows.end_row();
    upserts.changes.push(blame);
    Some((u32::try_from(group).ok()?, u32::try_from(upserts.changes.len() - 1).ok()?))
}

/// The columns that the sink must be given: all but the generated ones, those that are as the sink has them, and
/// those that the source does not have. Such a column gets null where the sink still holds the cells of a row that
/// went within this batch, unless the database has a better default.
fn written_columns(table: &TableResolver<'_>, state: &KeyState, row: RowRef) -> Vec<usize> {
    let cells = table.arenas().of(row.arena);
    let stale = state.broken && state.in_sink != InSink::No;
    let wanted = |c: &usize| {
        let shape = &table.table.shape.columns[*c];
        if table.table.shape.key.contains(c) {
            return true;
        }
        let kept = !stale && state.kept.as_ref().is_none_or(|kept| kept.contains(*c));
        let sent = cells.columns.get(*c).is_some_and(|column| column.state(row.row as usize).is_sent());
        !shape.generated && !kept && (sent || stale && !shape.has_default)
    };
    (0..table.table.shape.columns.len()).filter(wanted).collect()
}

fn push_key(table: &TableResolver<'_>, change: u32, keys: &mut Columns) {
    for (to, &c) in keys.columns.iter_mut().zip(&table.table.shape.key) {
        to.push_from(&table.batch.after.columns[c], change as usize);
    }
    keys.end_row();
}

/// The order columns that a tombstone or absence keeps.
fn ordered_by(table: &TableResolver<'_>, state: &KeyState) -> Option<String> {
    let (Stands::Tombstone(Some(row)) | Stands::Absence(Some(row))) = state.stands else { return None };
    let columns = table.table.rule.order_columns();
    if columns.is_empty() {
        return None;
    }
    let cells = table.arenas().of(row.arena);
    let named = columns.iter().filter_map(|&c| Some((table.table.columns[c].name.as_str(), cells.columns.get(c)?)));
    Some(text::to_json(named, row.row as usize))
}

/// Dispositions, dead letters, and what else the fates say.
fn account(table: &TableResolver<'_>, batch: &Batch, resolved: &mut Resolved) {
    let counts = resolved.counts.entry(Some(table.table.id)).or_default();
    for (row, fate) in table.fates.iter().enumerate() {
        let change = &table.batch.changes[row];
        match fate {
            Fate::Done(disposition) => {
                counts.add(*disposition);
                if matches!(disposition, Disposition::Applied | Disposition::Merged | Disposition::Deleted) {
                    resolved.writes.committed_at = resolved.writes.committed_at.max(Some(change.at));
                }
                if let Some(redriven) = &change.redriven {
                    resolved.writes.redriven.push((redriven.stream.clone(), redriven.sequence));
                }
                if *disposition == Disposition::Suppressed {
                    resolved.writes.suppressed.push((table.table.id, table.batch.key(row).to_vec()));
                }
            }
            Fate::Refused(refusal) => {
                counts.add(Disposition::DeadLettered);
                let item = &batch.items[change.item as usize];
                let may_keep = table.prepared.residency_passed[row];
                let generation = Some(resolved.writes.generation).filter(|_| is_plugin(refusal.stage));
                let dead = refused::dead_letter(batch, item, refusal, generation, may_keep);
                resolved.writes.dead.push(dead);
            }
        }
    }
}

fn is_plugin(stage: &str) -> bool {
    matches!(stage, "residency" | "filter" | "mapping" | "merge")
}
