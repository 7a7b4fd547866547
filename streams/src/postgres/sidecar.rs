//! The sidecar's part of a batch: versions (`versions`), history, dead letters, suppressed keys, marks and the
//! checkpoint, as one statement each for all rows.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    checkpoint::Checkpoint,
    columns::{Column, State},
    logical::Logical,
    writes::{DeadLetter, Decision, Writes},
};

use super::{
    epochs, events, ids::Ids, kept, ledger, params::Param, standing::Open, target::Target, travel::Wire,
    versions, waiting,
};

/// A statement that is ready to be prepared and sent.
pub(super) struct Outgoing<'a> {
    pub sql: String,
    pub params: Vec<Param<'a>>,
}

/// What the sidecar's statements are made of.
pub(super) struct Batch<'a> {
    pub lane: &'a str,
    pub stream: &'a str,
    pub lease_seconds: f64,
    pub secret: &'a [u8],
    pub targets: &'a [Target],
    pub ids: &'a Ids,
    pub open: &'a Open,
    pub writes: &'a Writes,
}

/// What a dead letter is about: a message by its sequence, or a row that was kept beside, by its key too.
type Message<'a> = (u64, Option<&'a [u8]>);

/// Gives the xmin of a written row: (index of the table in the writes, set, row).
pub(super) type Xmins<'a> = &'a (dyn Fn(usize, u32, u32) -> u32 + Sync);

/// All statements, the checkpoint's last.
pub(super) fn statements<'a>(batch: &Batch<'a>, next: &'a Checkpoint, xmins: Xmins<'_>) -> Vec<Outgoing<'a>> {
    let mut out = versions::statements(batch, xmins);
    // First what goes: a change that waited may leave a row that is kept, under the same position and sequence.
    out.extend(waiting::statements(batch));
    out.extend(kept::statements(batch));
    out.extend(ledger::taken(&batch.open.taken_over));
    out.extend(ledger::moved(batch.writes));
    out.extend(decisions(batch));
    out.extend(dead(batch));
    out.extend(closed(batch));
    out.extend(suppressed(batch));
    out.extend(redriven(batch.writes));
    out.extend(events::statements(batch));
    out.extend(epochs::statements(batch));
    out.push(checkpoint(batch, next));
    out
}

/// Names of sources and origins that a batch's rows will need numbers for.
pub(super) fn names(writes: &Writes) -> impl Iterator<Item = crate::names::NameId> {
    let versions = writes.tables.iter().flat_map(|t| &t.versions);
    let of_versions =
        versions.flat_map(|v| v.version.seen.iter().map(|s| s.source).chain([v.version.origin]));
    let of_gates = writes.tables.iter().flat_map(|t| t.gate.iter().map(|s| s.source));
    let of_decisions =
        writes.decisions.iter().flat_map(|d| [Some(d.source), d.current_origin].into_iter().flatten());
    of_versions
        .chain(of_gates)
        .chain(of_decisions)
        .chain(writes.kept.iter().map(|k| k.source))
        .chain(writes.waiting.iter().map(|w| w.source))
        .chain(events::names(writes))
        .chain(epochs::names(writes))
}

pub(super) fn ints<T>(rows: &[T], of: impl Fn(&T) -> Option<i64>) -> Column {
    let mut column = Column::new(Logical::Int);
    rows.iter().for_each(|row| int_or_null(of(row), &mut column));
    column
}

pub(super) fn packed<'r, T>(
    rows: &'r [T],
    logical: Logical,
    of: impl Fn(&'r T) -> Option<&'r [u8]>,
) -> Column {
    let mut column = Column::new(logical);
    for row in rows {
        match of(row) {
            Some(bytes) => column.push_bytes(bytes),
            None => column.push_state(State::Null),
        }
    }
    column
}

pub(super) fn int_or_null(value: Option<i64>, into: &mut Column) {
    match value {
        Some(value) => into.push_int(value),
        None => into.push_state(State::Null),
    }
}

pub(super) fn text_or_null(value: Option<&str>, into: &mut Column) {
    match value {
        Some(value) => into.push_bytes(value.as_bytes()),
        None => into.push_state(State::Null),
    }
}

/// `INSERT INTO table (columns) SELECT $1, u.* FROM unnest(..)`: `$1` is the lane, `fixed` its column.
pub(super) fn insert<'a>(
    table: &str,
    fixed: &str,
    lane: &'a str,
    columns: Vec<(&str, Column, Wire)>,
) -> Outgoing<'a> {
    let names: Vec<&str> = columns.iter().map(|c| c.0).collect();
    let arrays: Vec<String> =
        columns.iter().enumerate().map(|(at, c)| format!("${}::{}", at + 2, c.2.array_type())).collect();
    let sql = format!(
        "INSERT INTO reconverge.{table} ({fixed}, {}) SELECT $1::text, u.* FROM unnest({}) AS u",
        names.join(", "),
        arrays.join(", ")
    );
    let mut params = vec![Param::Text(lane)];
    params.extend(columns.into_iter().map(|(_, column, wire)| Param::Own(column, wire)));
    Outgoing { sql, params }
}

fn decisions<'a>(batch: &Batch<'a>) -> Option<Outgoing<'a>> {
    let rows = &batch.writes.decisions;
    if rows.is_empty() {
        return None;
    }
    let text = |of: fn(&Decision) -> Option<&str>| packed(rows, Logical::Text, |d| of(d).map(str::as_bytes));
    let (ids, targets) = (batch.ids, batch.targets);
    Some(insert(
        "decision",
        "lane",
        batch.lane,
        vec![
            ("sequence", ints(rows, |d| Some(d.sequence.cast_signed())), Wire::Int8),
            ("target", ints(rows, |d| Some(i64::from(targets[d.table.index()].id))), Wire::Int2),
            ("key", packed(rows, Logical::Bytes, |d| Some(&d.key)), Wire::Bytea),
            ("kind", text(|d| Some(d.kind)), Wire::Text),
            ("outcome", text(|d| Some(d.outcome.word())), Wire::Text),
            ("decided_by", text(|d| Some(&d.decided_by)), Wire::Text),
            ("generation", ints(rows, |d| Some(d.generation)), Wire::Int8),
            ("reason", text(|d| d.reason.as_deref()), Wire::Text),
            ("source", ints(rows, |d| Some(i64::from(ids.number(d.source)))), Wire::Int2),
            ("commit_position", ints(rows, |d| Some(d.position.commit.cast_signed())), Wire::Int8),
            ("ordinal", ints(rows, |d| Some(d.position.ordinal.cast_signed())), Wire::Int8),
            ("incoming_at", ints(rows, |d| d.incoming_at), Wire::Int8),
            (
                "current_origin",
                ints(rows, |d| d.current_origin.map(|o| i64::from(ids.number(o)))),
                Wire::Int2,
            ),
            ("current_at", ints(rows, |d| d.current_at), Wire::Int8),
            ("incoming", text(|d| d.incoming.as_deref()), Wire::Jsonb),
            ("current", text(|d| d.current.as_deref()), Wire::Jsonb),
            ("applied", text(|d| d.applied.as_deref()), Wire::Jsonb),
        ],
    ))
}

/// The two halves of a key change may both be dead: they are one message, so one letter with both reasons.
fn dead<'a>(batch: &Batch<'a>) -> Option<Outgoing<'a>> {
    let mut letters: BTreeMap<Message<'_>, (&DeadLetter, String)> = BTreeMap::new();
    for letter in &batch.writes.dead {
        // What was kept beside is no message, but a row each.
        let kept = letter.key.as_deref().filter(|_| letter.stage == "parked");
        let same = letters.entry((letter.sequence, kept)).or_insert_with(|| (letter, String::new()));
        if !same.1.is_empty() {
            same.1.push_str("; ");
        }
        same.1.push_str(&letter.reason);
    }
    let rows: Vec<(&DeadLetter, String)> = letters.into_values().collect();
    if rows.is_empty() {
        return None;
    }
    let targets = batch.targets;
    let text = |of: for<'r> fn(&'r (&'a DeadLetter, String)) -> Option<&'r str>| {
        let mut column = Column::new(Logical::Text);
        rows.iter().for_each(|row| text_or_null(of(row), &mut column));
        column
    };
    let mut streams = Column::new(Logical::Text);
    rows.iter().for_each(|_| streams.push_bytes(batch.stream.as_bytes()));
    let mut holds_key = Column::new(Logical::Bool);
    rows.iter().for_each(|_| holds_key.push_bit(false));
    let mut out = insert(
        "dead_letter",
        "lane",
        batch.lane,
        vec![
            ("stream", streams, Wire::Text),
            ("sequence", ints(&rows, |d| Some(d.0.sequence.cast_signed())), Wire::Int8),
            ("subject", text(|d| Some(&d.0.subject)), Wire::Text),
            ("target", ints(&rows, |d| d.0.table.map(|t| i64::from(targets[t.index()].id))), Wire::Int2),
            ("key", packed(&rows, Logical::Bytes, |d| d.0.key.as_deref()), Wire::Bytea),
            ("stage", text(|d| Some(d.0.stage)), Wire::Text),
            ("code", text(|d| Some(d.0.code)), Wire::Text),
            ("reason", text(|d| Some(&d.1)), Wire::Text),
            ("generation", ints(&rows, |d| d.0.generation), Wire::Int8),
            ("headers", text(|d| d.0.headers.as_deref()), Wire::Jsonb),
            ("bytes", packed(&rows, Logical::Bytes, |d| d.0.bytes.as_deref()), Wire::Bytea),
            ("digest", packed(&rows, Logical::Bytes, |d| Some(&d.0.digest)), Wire::Bytea),
            ("holds_key", holds_key, Wire::Bool),
            ("state", text(|d| Some(if d.0.discarded.is_some() { "discarded" } else { "open" })), Wire::Text),
            ("closed_by", text(|d| d.0.discarded.as_ref().map(|by| &*by.by)), Wire::Text),
            ("note", text(|d| d.0.discarded.as_ref().and_then(|by| by.note.as_deref())), Wire::Text),
        ],
    );
    out.sql.push_str(
        " ON CONFLICT (stream, sequence) WHERE stage <> 'parked' DO UPDATE SET reason = dead_letter.reason || '; ' || EXCLUDED.reason",
    );
    Some(out)
}

/// The letters that were discarded at once are closed at the time of their transaction.
fn closed<'a>(batch: &Batch<'a>) -> Option<Outgoing<'a>> {
    let discarded: Vec<_> = batch.writes.dead.iter().filter(|letter| letter.discarded.is_some()).collect();
    let sql = "UPDATE reconverge.dead_letter SET closed_at = now() WHERE stream = $1::text AND sequence = ANY($2::int8[]) \
               AND state = 'discarded' AND closed_at IS NULL";
    let sequences = ints(&discarded, |letter| Some(letter.sequence.cast_signed()));
    let params = vec![Param::Text(batch.stream), Param::Own(sequences, Wire::Int8)];
    (!discarded.is_empty()).then(|| Outgoing { sql: sql.into(), params })
}

/// HMAC-SHA256 of a canonical key under the sidecar's secret.
fn hashed(secret: &[u8], key: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(key);
    mac.finalize().into_bytes().into()
}

fn suppressed<'a>(batch: &Batch<'a>) -> Option<Outgoing<'a>> {
    let keys = &batch.writes.suppressed;
    if keys.is_empty() {
        return None;
    }
    let mut hashes = Column::new(Logical::Bytes);
    keys.iter().for_each(|(_, key)| hashes.push_bytes(&hashed(batch.secret, key)));
    let sql = "INSERT INTO reconverge.suppressed (target, key_hash) \
               SELECT u.* FROM unnest($1::int2[], $2::bytea[]) AS u ON CONFLICT DO NOTHING";
    let targets = ints(keys, |(table, _)| Some(i64::from(batch.targets[table.index()].id)));
    let params = vec![Param::Own(targets, Wire::Int2), Param::Own(hashes, Wire::Bytea)];
    Some(Outgoing { sql: sql.into(), params })
}

fn redriven(writes: &Writes) -> Option<Outgoing<'_>> {
    if writes.redriven.is_empty() {
        return None;
    }
    let sql = "UPDATE reconverge.dead_letter d SET state = 'redriven', closed_at = now(), closed_by = 'redrive' \
               FROM unnest($1::text[], $2::int8[]) AS u(stream, sequence) \
               WHERE d.stream = u.stream AND d.sequence = u.sequence AND d.state = 'open'";
    let streams = packed(&writes.redriven, Logical::Text, |(stream, _)| Some(stream.as_bytes()));
    let sequences = ints(&writes.redriven, |(_, sequence)| Some(sequence.cast_signed()));
    Some(Outgoing {
        sql: sql.into(),
        params: vec![Param::Own(streams, Wire::Text), Param::Own(sequences, Wire::Int8)],
    })
}

fn checkpoint<'a>(batch: &Batch<'a>, next: &'a Checkpoint) -> Outgoing<'a> {
    let sql = "UPDATE reconverge.checkpoint SET sequence = $3::bigint, scanned = $4::bigint, delivered = $5::bigint, \
               counts = $6::bigint[], generation = $7::bigint, committed_at = $8::bigint, \
               heartbeat_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => $9::float8) \
               WHERE lane = $1::text AND epoch = $2::bigint RETURNING lease_until";
    let params = vec![
        Param::Text(batch.lane),
        Param::Int8(next.epoch),
        Param::Int8(next.sequence.cast_signed()),
        Param::Int8(next.scanned.cast_signed()),
        Param::Int8(next.delivered.cast_signed()),
        ledger::numbers(&next.counts),
        Param::Int8(next.generation),
        Param::int8(next.committed_at),
        Param::Float8(batch.lease_seconds),
    ];
    Outgoing { sql: sql.into(), params }
}
