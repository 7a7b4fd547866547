//! The end of a table's rounds as writes: per key its net effect, once; per change its disposition.

use std::{collections::HashMap, sync::Arc};

use reconverge_streams::{
    canonical,
    columns::{Columns, State},
    disposition::{Counts, Disposition},
    standing::StandingKey,
    text,
    writes::{ChangeIndex, Counted, Deletes, KeptWrite, TableWrites, Touch, Upserts, VersionWrite},
};

use crate::{batch::Batch, plan::Rule, stages::RowRef};

use super::{
    RELATIVES, Resolved, RowKey,
    column_set::ColumnSet,
    refused,
    state::{Hidden, InSink, KeyState, Stands},
    table::{Fate, TableResolver},
    too_old,
};

/// Adds what a table came to.
pub(super) fn close(mut table: TableResolver<'_>, batch: &Batch, resolved: &mut Resolved) {
    let mut writes = TableWrites {
        table: table.table.id,
        upserts: Vec::new(),
        deletes: Deletes { keys: Columns::new(table.table.shape.key_logicals()), changes: Vec::new() },
        versions: Vec::new(),
        gate: if table.gate == table.standing.gate { Vec::new() } else { table.gate.clone() },
    };
    let mut groups = Groups::default();
    for (place, state) in table.keys.iter().enumerate() {
        let row = write_row(&table, place, state, &mut groups, &mut writes, &mut resolved.relatives);
        keep(&table, place, state, batch, resolved);
        table.orphan_letter(place, batch, resolved);
        if state.touched && table.table.rule != Rule::None {
            writes.versions.push(VersionWrite {
                key: table.key_at(place).to_vec(),
                version: state.version(),
                row: row.map_or(Touch::No, |(set, row)| Touch::Written(set, row)),
                ordered_by: ordered_by(&table, state),
                counted: counted(&table, state, batch),
            });
        }
    }
    resolved.local_writes += local_writes(&table);
    park(&mut table);
    account(&table, batch, resolved);
    for ((kind, outcome), n) in std::mem::take(&mut table.conflicts) {
        *resolved.conflicts.entry((table.table.id, kind, outcome)).or_default() += n;
    }
    resolved.writes.decisions.extend(table.decisions.into_iter().map(|(_, decision)| decision));
    resolved.writes.tables.push(writes);
}

/// Rows that the application wrote or deleted, as the transaction found them, whatever became of them.
fn local_writes(table: &TableResolver<'_>) -> u64 {
    let by_application =
        |key: &&StandingKey| key.local.is_some() || key.row.is_some() && key.version.is_none();
    let keeps_versions = table.table.rule.keeps_versions();
    table.standing.keys.iter().filter(|_| keeps_versions).filter(by_application).count() as u64
}

/// The row's own effect: an upsert, a delete or none. Returns where the upsert stands.
fn write_row(
    table: &TableResolver<'_>,
    place: usize,
    state: &KeyState,
    groups: &mut Groups,
    writes: &mut TableWrites,
    relatives: &mut Vec<RowKey>,
) -> Option<(u32, u32)> {
    let is_left = !state.discarded && !state.stripped;
    if state.set_by.is_none() && state.was_kept.is_none() && state.hidden.is_none() && is_left {
        return None;
    }
    let blame = match state.set_by {
        Some(row) => table.batch.changes[row as usize].item,
        None => relative(table, place, relatives),
    };
    let Some(row) = state.stands.live().filter(|_| state.hidden.is_none()) else {
        if state.in_sink != InSink::No {
            push_key(table, place, &mut writes.deletes.keys);
            writes.deletes.changes.push(blame);
        }
        return None;
    };
    upsert(table, state, row, blame, groups, writes)
}

/// A row without a change of its own gets a number of its own, by which a sink can blame it.
fn relative(table: &TableResolver<'_>, place: usize, relatives: &mut Vec<RowKey>) -> ChangeIndex {
    relatives.push((table.table.id, table.key_at(place).to_vec()));
    RELATIVES + ChangeIndex::try_from(relatives.len() - 1).expect("a batch has fewer rows than 2^31")
}

fn upsert(
    table: &TableResolver<'_>,
    state: &KeyState,
    row: RowRef,
    blame: ChangeIndex,
    groups: &mut Groups,
    writes: &mut TableWrites,
) -> Option<(u32, u32)> {
    let group = groups.place(written_columns(table, state, row), |written| {
        let all = 0..table.table.shape.columns.len();
        let columns: Vec<usize> = all.filter(|c| written.contains(*c)).collect();
        let mut rows = Columns::new(columns.iter().map(|&c| table.table.shape.columns[c].logical));
        // Mostly all rows of a table are written whole.
        let count = if writes.upserts.is_empty() { table.keys.len() } else { 0 };
        rows.reserve(count);
        writes.upserts.push(Upserts { columns, rows, changes: Vec::with_capacity(count) });
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

/// Where the rows stand that are written in the same columns.
#[derive(Default)]
struct Groups {
    places: HashMap<ColumnSet, usize>,
    /// The last one that was asked for: rows mostly come in the same columns as the one before.
    last: Option<(ColumnSet, usize)>,
}

impl Groups {
    fn place(&mut self, written: ColumnSet, make: impl FnOnce(&ColumnSet) -> usize) -> usize {
        if let Some((last, place)) = &self.last
            && *last == written
        {
            return *place;
        }
        let place = *self.places.entry(written.clone()).or_insert_with_key(make);
        self.last = Some((written, place));
        place
    }
}

/// The columns that the sink must be given: all but the generated ones, those that are as the sink has them, and
/// those that the source does not have. Such a column gets null where the sink still holds the cells of a row that
/// went within this batch, unless the database has a better default.
fn written_columns(table: &TableResolver<'_>, state: &KeyState, row: RowRef) -> ColumnSet {
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

fn push_key(table: &TableResolver<'_>, place: usize, keys: &mut Columns) {
    let logicals: Vec<_> = table.table.shape.key_logicals().collect();
    match canonical::key_cells(&logicals, table.key_at(place)) {
        Some(cells) => keys.push_row_from(&cells, 0),
        None => keys.push_row_of(State::Null),
    }
}

/// The order columns that a tombstone or absence keeps.
fn ordered_by(table: &TableResolver<'_>, state: &KeyState) -> Option<String> {
    let (Stands::Tombstone(Some(row)) | Stands::Absence(Some(row))) = state.stands else { return None };
    let columns = table.table.rule.order_columns();
    if columns.is_empty() {
        return None;
    }
    let cells = table.arenas().of(row.arena);
    let named =
        columns.iter().filter_map(|&c| Some((table.table.columns[c].name.as_str(), cells.columns.get(c)?)));
    Some(text::to_json(named, row.row as usize))
}

/// What goes into `parked` and out of it, and the changes whose fate is another by that.
fn keep(table: &TableResolver<'_>, place: usize, state: &KeyState, batch: &Batch, resolved: &mut Resolved) {
    let fate = |orphaned| if orphaned { Disposition::Orphaned } else { Disposition::Parked };
    let key = || (table.table.id, table.key_at(place).to_vec());
    if let Some(was) = &state.displaced {
        resolved.writes.unkept.push(key());
        let counted_by = was.counted_by.as_ref();
        reclassify(table, counted_by, fate(was.orphaned), Disposition::KeptCurrent, resolved);
    }
    if state.discarded {
        resolved.discarded.push(key());
    }
    let was = state.was_kept.as_deref();
    let stays = state.set_by.is_none() && was.is_some_and(|was| was.is_still(state.hidden.as_ref()));
    if let (Some(was), false) = (was, stays) {
        resolved.writes.unkept.push(key());
        let unset = state.hidden.as_ref().filter(|_| state.set_by.is_none());
        let gone = if state.discarded { Disposition::DeadLettered } else { state.counts_as() };
        let to = unset.map_or(gone, |h| fate(h.orphaned));
        reclassify(table, was.counted_by.as_ref(), fate(was.orphaned), to, resolved);
    }
    if state.orphan.is_some() && state.set_by.is_none() && was.is_none() && !state.local {
        let counted_by = state.counted.by.as_ref();
        reclassify(table, counted_by, state.counts_as(), Disposition::DeadLettered, resolved);
    }
    let (Some(hidden), Some(row), false) = (&state.hidden, state.stands.live(), stays) else { return };
    if state.set_by.is_none() && was.is_none() && !state.local {
        let counted_by = state.counted.by.as_ref();
        reclassify(table, counted_by, state.counts_as(), fate(hidden.orphaned), resolved);
    }
    resolved.writes.kept.push(kept_write(table, place, state, row, hidden, batch));
}

/// A change of this table that was counted before, by this lane or another, has another fate now.
fn reclassify(
    table: &TableResolver<'_>,
    counted_by: Option<&Arc<str>>,
    from: Disposition,
    to: Disposition,
    resolved: &mut Resolved,
) {
    if from == to {
        return;
    }
    resolved.writes.reclassify(counted_by, from, to, 1);
    resolved.reclassified.push((table.table.id, from, to));
}

fn kept_write(
    table: &TableResolver<'_>,
    place: usize,
    state: &KeyState,
    row: RowRef,
    hidden: &Hidden,
    batch: &Batch,
) -> KeptWrite {
    let cells = table.arenas().of(row.arena);
    let names = table.table.shape.columns.iter().map(|c| c.name.as_str());
    let change = state.set_by.map(|row| &table.batch.changes[row as usize]);
    let delivery = change.map(|c| &batch.deliveries[batch.items[c.item as usize].delivery as usize]);
    let seen = state.seen.iter().find(|s| s.source == state.origin).or(state.seen.first());
    KeptWrite {
        table: table.table.id,
        key: table.key_at(place).to_vec(),
        row: text::to_json(names.zip(&cells.columns), row.row as usize),
        orphaned: hidden.orphaned,
        waits: hidden.waits.clone(),
        source: change.map(|c| c.source).or(seen.map(|s| s.source)).unwrap_or(state.origin),
        position: change.and_then(|c| c.position).or(seen.map(|s| s.position)).unwrap_or_default(),
        sequence: delivery.map_or(batch.through, |d| d.sequence),
        subject: delivery.or(batch.deliveries.last()).map(|d| d.subject.to_string()),
        counted_by: match &state.was_kept {
            _ if change.is_some() => {
                change.and_then(|c| batch.counted_by(&batch.items[c.item as usize])).cloned()
            }
            Some(was) => was.counted_by.clone(),
            None => state.counted.by.clone(),
        },
    }
}

/// Who counts the change that set what stands, where its row may go and come with a parent. Asked before `park`: that of a
/// row which is kept beside counts so once it comes in.
fn counted(table: &TableResolver<'_>, state: &KeyState, batch: &Batch) -> Option<Counted> {
    let row = state.set_by.filter(|_| !table.table.depends_on.is_empty())? as usize;
    let by = batch.counted_by(&batch.items[table.batch.changes[row].item as usize]).cloned();
    Some(Counted { by, merged: matches!(table.fates[row], Fate::Done(Disposition::Merged)) })
}

/// The change that set a row which is kept beside is parked, or orphaned.
fn park(table: &mut TableResolver<'_>) {
    for state in &table.keys {
        if let (Some(hidden), Some(row)) = (&state.hidden, state.set_by) {
            let fate = if hidden.orphaned { Disposition::Orphaned } else { Disposition::Parked };
            table.fates[row as usize] = Fate::Done(fate);
        }
    }
}

/// Dispositions, dead letters, and what else the fates say.
fn account(table: &TableResolver<'_>, batch: &Batch, resolved: &mut Resolved) {
    let mut counts = Counts::default();
    for (row, fate) in table.fates.iter().enumerate() {
        let change = &table.batch.changes[row];
        let item = &batch.items[change.item as usize];
        match fate {
            Fate::Done(disposition) => {
                counts.add(*disposition);
                resolved.count_elsewhere(batch, item, *disposition);
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
                let too_old = refusal.code == too_old::CODE;
                let disposition = if too_old { Disposition::TooOld } else { Disposition::DeadLettered };
                counts.add(disposition);
                resolved.count_elsewhere(batch, item, disposition);
                let may_keep = table.prepared.residency_passed[row];
                let generation = Some(resolved.writes.generation).filter(|_| is_plugin(refusal.stage));
                let dead = refused::dead_letter(batch, item, refusal, generation, may_keep);
                resolved.writes.dead.push(dead);
            }
        }
    }
    resolved.counts.entry(Some(table.table.id)).or_default().add_all(&counts);
}

fn is_plugin(stage: &str) -> bool {
    matches!(stage, "residency" | "filter" | "mapping" | "merge")
}
