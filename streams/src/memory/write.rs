//! Writes a batch into the contents of a database in memory: net effects of the rows, constraints, versions and
//! history. Works on a copy, so that what fails leaves nothing.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{
    database::{Contents, KeptRow, MemoryTable, NamedSeen, Remembered},
    epochs, events,
    sink::cause,
    waiting,
};
use crate::{
    canonical,
    names::NameId,
    position::Seen,
    records::{DeadLetterRecord, DecisionRecord},
    sink::{Cause, ClaimRequest, CommitError},
    standing::StandingKind,
    table::{TableId, TableShape},
    text,
    writes::{ChangeIndex, Counted, DeadLetter, Decision, TableWrites, Touch, Writes},
};

/// Writes all that a batch decided into the contents; on an error they are of no use any more.
pub(super) fn write(
    state: &mut Contents,
    request: &ClaimRequest,
    writes: &Writes,
) -> Result<(), CommitError> {
    state.stamp += 1;
    let stamp = state.stamp;
    let mut guilty = BTreeMap::new();
    for part in &writes.tables {
        let name = &request.tables[part.table.index()].name;
        let Some(table) = state.tables.get_mut(name) else {
            return Err(CommitError::PauseTable(
                part.table,
                cause("no-table", format!("no such table: {name}")),
            ));
        };
        write_rows(table, part, stamp, &mut guilty);
    }
    if let Some(first) = guilty.values().next() {
        return Err(CommitError::Guilty(guilty.keys().copied().collect(), Cause::clone(first)));
    }
    for part in &writes.tables {
        remember(state, request, part, stamp);
    }
    keep(state, request, writes);
    waiting::write(state, request, writes);
    events::remember(state, request, writes);
    let now = text::format_timestamp(state.now());
    epochs::remember(state, request, writes, &now);
    for decision in &writes.decisions {
        let record = decision_record(state, request, decision, &now);
        state.decisions.push((decision.key.clone(), record));
    }
    for letter in &writes.dead {
        bury(state, request, letter, &now);
    }
    let moved = writes.moved_elsewhere().into_iter();
    state.reclassified.extend(moved.map(|(lane, from, to, n)| (lane.to_owned(), from, to, n)));
    for (table, key) in &writes.suppressed {
        let digest = Sha256::digest([b"the memory sink's secret", &key[..]].concat());
        state.suppressed.insert((table_name(request, *table), digest.into()));
    }
    for (_, letter) in &mut state.dead {
        let redriven = writes.redriven.iter().any(|(stream, sequence)| {
            *stream == letter.stream && *sequence == letter.sequence && letter.state == "open"
        });
        if redriven {
            letter.state = "redriven".into();
            letter.closed_at = Some(now.clone());
            letter.closed_by = Some("redrive".into());
        }
    }
    Ok(())
}

/// Net effects first; then whoever stands where it may not is looked for, the later change before the earlier.
fn write_rows(
    table: &mut MemoryTable,
    part: &TableWrites,
    stamp: u64,
    guilty: &mut BTreeMap<ChangeIndex, Cause>,
) {
    let mut changes = BTreeMap::new();
    for upserts in &part.upserts {
        for (row, change) in upserts.changes.iter().enumerate() {
            changes.insert(table.put(&upserts.columns, &upserts.rows, row, stamp), *change);
        }
    }
    let keys: Vec<_> = part.deletes.keys.columns.iter().collect();
    for row in 0..part.deletes.changes.len() {
        let mut key = Vec::new();
        canonical::key(&keys, row, &mut key);
        table.rows.remove(&key);
    }
    for (key, change) in &changes {
        if let Some(column) = table.null_where_none_may_be(key) {
            let text = format!("column `{column}` of table `{}` may not be null", table.shape.name);
            guilty.insert(*change, cause("not-null", text));
        }
    }
    for keys in table.clashes() {
        let mut ours: Vec<ChangeIndex> = keys.iter().filter_map(|k| changes.get(*k).copied()).collect();
        ours.sort_unstable();
        let keeps = usize::from(ours.len() == keys.len());
        let text = format!("unique columns of table `{}`", table.shape.name);
        guilty.extend(ours.into_iter().skip(keeps).map(|c| (c, cause("unique", text.clone()))));
    }
}

fn remember(state: &mut Contents, request: &ClaimRequest, part: &TableWrites, stamp: u64) {
    let (table, names) = (table_name(request, part.table), &request.names);
    let named = |s: &Seen| NamedSeen {
        source: names.get(s.source),
        position: s.position,
        deleted: s.deleted,
        live_at: s.live_at,
    };
    let lane = request.lane.to_string();
    for write in &part.versions {
        let at = (table.clone(), write.key.clone());
        let remembered = state.versions.get(&at);
        let before = remembered.and_then(|r| r.stamp);
        let by = |of: &Counted| Counted { by: Some(of.lane(&lane).into()), merged: of.merged };
        let counted = write.counted.as_ref().map(by);
        let counted = counted.or_else(|| remembered.and_then(|r| r.counted.clone()));
        let v = &write.version;
        let stamp = match write.row {
            Touch::No => before,
            Touch::Written(..) => Some(stamp),
            Touch::TakenOver => state.tables.get(&table).and_then(|t| Some(t.rows.get(&write.key)?.stamp)),
        };
        state.versions.insert(
            at,
            Remembered {
                standing: v.standing,
                origin: names.get(v.origin),
                committed_at: v.committed_at,
                seen: v.seen.iter().map(named).collect(),
                clock: v.clock.clone(),
                ordered_by: write.ordered_by.clone(),
                stamp: stamp.filter(|_| v.standing == StandingKind::Row),
                counted,
            },
        );
    }
    if !part.gate.is_empty() {
        state.gates.insert((lane, table), part.gate.iter().map(named).collect());
    }
}

/// Takes out what goes, and keeps what stays away.
fn keep(state: &mut Contents, request: &ClaimRequest, writes: &Writes) {
    for (table, key) in &writes.unkept {
        state.kept.remove(&(table_name(request, *table), key.clone()));
    }
    let (at, lane) = (state.now(), request.lane.to_string());
    for kept in &writes.kept {
        let row = KeptRow {
            row: kept.row.clone(),
            orphaned: kept.orphaned,
            waits: (table_name(request, kept.waits.0), kept.waits.1.clone()),
            lane: lane.clone(),
            counted_by: kept.counted_by.clone().unwrap_or_else(|| lane.as_str().into()),
            sequence: kept.sequence,
            source: request.names.get(kept.source),
            position: kept.position,
            at,
            asked: None,
            subject: kept.subject.clone(),
        };
        state.kept.insert((table_name(request, kept.table), kept.key.clone()), row);
    }
}

fn table_name(request: &ClaimRequest, table: TableId) -> String {
    request.tables[table.index()].name.clone()
}

pub(super) fn key_json(shape: &TableShape, key: &[u8]) -> String {
    let logicals: Vec<_> = shape.key_logicals().collect();
    let cells = canonical::key_cells(&logicals, key).unwrap_or_default();
    let names = shape.key.iter().map(|&k| shape.columns[k].name.as_str());
    text::to_json(names.zip(&cells.columns), 0)
}

fn json(text: Option<&String>) -> Option<serde_json::Value> {
    text.and_then(|t| serde_json::from_str(t).ok())
}

fn decision_record(state: &Contents, request: &ClaimRequest, d: &Decision, now: &str) -> DecisionRecord {
    let shape = &request.tables[d.table.index()];
    let name = |id: NameId| request.names.get(id).to_string();
    DecisionRecord {
        id: format!("{:032x}", state.decisions.len() + 1),
        at: now.into(),
        lane: request.lane.to_string(),
        sequence: d.sequence,
        table: shape.name.clone(),
        key: key_json(shape, &d.key),
        kind: d.kind.into(),
        outcome: d.outcome.word().into(),
        decided_by: d.decided_by.to_string(),
        generation: d.generation,
        reason: d.reason.as_deref().map(String::from),
        source: name(d.source),
        commit_position: d.position.commit,
        ordinal: d.position.ordinal,
        incoming_at: d.incoming_at.map(text::format_timestamp),
        current_origin: d.current_origin.map(name),
        current_at: d.current_at.map(text::format_timestamp),
        incoming: json(d.incoming.as_ref()),
        current: json(d.current.as_ref()),
        applied: json(d.applied.as_ref()),
    }
}

fn bury(state: &mut Contents, request: &ClaimRequest, letter: &DeadLetter, now: &str) {
    let same = |l: &&mut (Option<Vec<u8>>, DeadLetterRecord)| {
        let is_message = l.1.stage != "parked" && letter.stage != "parked";
        is_message && l.1.stream == request.stream && l.1.sequence == letter.sequence
    };
    if let Some((_, first)) = state.dead.iter_mut().find(same) {
        first.reason = format!("{}; {}", first.reason, letter.reason);
        return;
    }
    let shape = letter.table.map(|t| &request.tables[t.index()]);
    let discarded = letter.discarded.as_ref();
    let record = DeadLetterRecord {
        id: i64::try_from(state.dead.len()).unwrap_or(i64::MAX) + 1,
        lane: request.lane.to_string(),
        stream: request.stream.clone(),
        sequence: letter.sequence,
        subject: letter.subject.clone(),
        table: shape.map(|s| s.name.clone()),
        key: shape.zip(letter.key.as_ref()).map(|(s, k)| key_json(s, k)),
        stage: letter.stage.into(),
        code: letter.code.into(),
        reason: letter.reason.clone(),
        generation: letter.generation,
        headers: json(letter.headers.as_ref()),
        bytes: letter.bytes.clone(),
        digest: letter.digest.iter().map(|b| format!("{b:02x}")).collect(),
        state: if discarded.is_some() { "discarded" } else { "open" }.into(),
        at: now.into(),
        closed_at: discarded.map(|_| now.into()),
        closed_by: discarded.map(|by| by.by.clone()),
        note: discarded.and_then(|by| by.note.clone()),
    };
    state.dead.push((letter.key.clone(), record));
}
