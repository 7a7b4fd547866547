//! Debezium's envelope as its NATS sink publishes it, with and without schemas.
//!
//! What is no row change is told by its form: tombstones, transaction markers, heartbeats, logical messages and
//! schema changes are control. The key is not in the message; the plan knows which columns it is.

use std::borrow::Cow;

use reconverge_streams::{disposition::Disposition, position::Position, source::Delivery, table::TableId};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{
    batch::{Op, Transaction},
    clock::Clocks,
};

use super::{
    Body, Decoder,
    cell::Wire,
    event::{Event, Text, op_of, unreadable},
    refusal::{Aside, Code, Fault},
};

const NEW_KEY_HEADER: &str = "__debezium.newkey";
const OLD_KEY_HEADER: &str = "__debezium.oldkey";
const HEARTBEAT_SUBJECT: &str = "__debezium-heartbeat.";

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    op: Option<Text<'a>>,
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<Source<'a>>,
    #[serde(borrow)]
    transaction: Option<Marked<'a>>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    ts_ms: Option<IgnoredAny>,
    ddl: Option<IgnoredAny>,
    #[serde(rename = "tableChanges")]
    table_changes: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    db: Option<Text<'a>>,
    #[serde(borrow)]
    schema: Option<Text<'a>>,
    #[serde(borrow)]
    table: Option<Text<'a>>,
    ts_us: Option<i64>,
    ts_ms: Option<i64>,
    #[serde(borrow)]
    sequence: Option<&'a RawValue>,
    #[serde(borrow)]
    connector: Option<Text<'a>>,
    #[serde(borrow)]
    snapshot: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Marked<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(default)]
    total_order: u64,
}

#[derive(Deserialize)]
struct KeyHeader<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// Reads an envelope.
pub(super) fn open<'a>(decoder: &Decoder, body: Body<'a>) -> Result<Event<'a>, Aside> {
    let delivery = body.delivery;
    if delivery.payload.is_empty() || delivery.subject.starts_with(HEARTBEAT_SUBJECT) {
        return Err(Aside::Settled(Disposition::Control));
    }
    let text = body.text()?;
    if text.trim_ascii() == "null" {
        return Err(Aside::Settled(Disposition::Control));
    }
    let mut envelope: Envelope<'a> = serde_json::from_str(text).map_err(|e| unreadable(&e))?;
    let mut schema = None;
    if let Some(payload) = envelope.payload {
        schema = envelope.schema;
        envelope = serde_json::from_str(payload.get()).map_err(|e| unreadable(&e))?;
    }
    if is_control(&envelope) {
        return Err(Aside::Settled(Disposition::Control));
    }
    let source = envelope.source.as_ref().ok_or_else(no_envelope)?;
    let table = table_of(decoder, source)?;
    let in_table = |fault: Fault| decoder.refused(table, fault, None);
    let op = match op_of(envelope.op.as_ref().map(|op| &*op.0)).map_err(in_table)? {
        Op::Create if is_snapshot(source) => Op::Snapshot,
        op => op,
    };
    let name = source.name.as_ref().map(|n| &*n.0).or(decoder.options().origin.as_deref());
    let origin = decoder.intern(name.ok_or_else(no_envelope)?).map_err(in_table)?;
    let at = source.ts_us.or_else(|| source.ts_ms.and_then(|ms| ms.checked_mul(1000)));
    let at = at.ok_or_else(|| {
        in_table(Fault::new(Code::NotAnEnvelope, "no `source.ts_us` and no `source.ts_ms`"))
    })?;
    let other_key = match op {
        Op::Delete => other_key(delivery, NEW_KEY_HEADER),
        Op::Create => other_key(delivery, OLD_KEY_HEADER),
        Op::Update | Op::Snapshot => None,
    };
    Ok(Event {
        table,
        op,
        wire: Wire::Debezium,
        key: None,
        before: envelope.before.map(RawValue::get),
        after: envelope.after.map(RawValue::get),
        absent: Vec::new(),
        source: origin,
        position: position(source).map_err(in_table)?,
        origin,
        came_by_here: false,
        clocks: Clocks::default(),
        at,
        schema: None,
        event_id: None,
        transaction: envelope.transaction.as_ref().map(transaction),
        facts: schema.and_then(|schema| decoder.table(table).facts(schema.get())),
        other_key,
    })
}

/// Everything that has no row and is in order all the same.
fn is_control(envelope: &Envelope<'_>) -> bool {
    match envelope.op.as_ref().map(|op| &*op.0) {
        Some("m") => true,
        Some(_) => false,
        None if envelope.source.is_some() => envelope.ddl.is_some() || envelope.table_changes.is_some(),
        None => {
            let marker = envelope.status.map(RawValue::get);
            let tombstone = envelope.schema.is_some() && envelope.payload.is_none();
            let rows = envelope.before.is_some() || envelope.after.is_some();
            matches!(marker, Some("\"BEGIN\"" | "\"END\""))
                || envelope.ddl.is_some()
                || tombstone
                || (envelope.ts_ms.is_some() && marker.is_none() && !rows)
        }
    }
}

fn table_of(decoder: &Decoder, source: &Source<'_>) -> Result<TableId, Aside> {
    let name = source.table.as_ref().ok_or_else(no_envelope)?;
    let schema = source.schema.as_ref().or(source.db.as_ref());
    decoder.table_named(schema.map(|s| &*s.0), &name.0).ok_or(Aside::Settled(Disposition::Unlisted))
}

fn is_snapshot(source: &Source<'_>) -> bool {
    source.snapshot.is_some_and(|word| !matches!(word.get(), "\"false\"" | "false" | "null"))
}

/// PostgreSQL's pair in `source.sequence`: commit position of the transaction before, own position. Other
/// connectors have no position that can be compared across restarts.
fn position(source: &Source<'_>) -> Result<Option<Position>, Fault> {
    let postgres = source.connector.as_ref().is_none_or(|c| &*c.0 == "postgresql");
    let Some(sequence) = source.sequence.filter(|_| postgres) else { return Ok(None) };
    let (commit, ordinal) = pair(sequence.get())
        .ok_or_else(|| Fault::new(Code::BadPosition, "`source.sequence` is no pair of unsigned numbers"))?;
    Ok(Some(Position { epoch: 0, commit, ordinal }))
}

/// `"[null,\"26519224\"]"`: a JSON text that holds an array of two texts, of which the first may be null and then
/// is the second.
fn pair(sequence: &str) -> Option<(u64, u64)> {
    let inner = sequence.strip_prefix('"')?.strip_suffix('"')?.strip_prefix('[')?.strip_suffix(']')?;
    let (first, second) = inner.split_once(',')?;
    let number = |text: &str| {
        let text = text.trim_ascii();
        let text = text.strip_prefix("\\\"").and_then(|t| t.strip_suffix("\\\"")).unwrap_or(text);
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten()
    };
    let own = number(second)?;
    let commit = if first.trim_ascii() == "null" { own } else { number(first)? };
    Some((commit, own))
}

/// The id is `txId:lsn` with the position of the event itself, so only what stands before the colon is the
/// transaction's.
fn transaction(marked: &Marked<'_>) -> Transaction {
    let id = marked.id.0.split(':').next().unwrap_or_default();
    Transaction { id: id.into(), number: marked.total_order, end: false }
}

/// The other key of a key change, from a header that is JSON with a schema. A header that does not read leaves
/// two changes without a link, which is what they are.
fn other_key<'a>(delivery: &'a Delivery, header: &str) -> Option<Cow<'a, str>> {
    let header: KeyHeader<'a> = serde_json::from_str(delivery.header(header)?).ok()?;
    Some(Cow::Borrowed(header.payload.get()))
}

fn no_envelope() -> Aside {
    Fault::new(
        Code::NotAnEnvelope,
        "no `source` with `name` and `table`; hint: Debezium's whole envelope is needed, without the transform \
         ExtractNewRecordState",
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_pairs() {
        for (text, expected) in [
            (r#""[null,\"26519224\"]""#, Some((26_519_224, 26_519_224))),
            (r#""[\"5\",\"7\"]""#, Some((5, 7))),
            (r#""[\"18446744073709551615\", \"0\"]""#, Some((u64::MAX, 0))),
            (r#""[\"18446744073709551616\",\"0\"]""#, None),
            (r#""[\"5\"]""#, None),
            (r#""[\"-5\",\"7\"]""#, None),
            (r#""[\"5\",null]""#, None),
            (r#""[\"\",\"7\"]""#, None),
            (r"[5,7]", None),
        ] {
            assert_eq!(pair(text), expected, "{text}");
        }
    }
}
