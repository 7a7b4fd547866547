//! Reconverge's own envelope (SURFACE (a)): control messages aside, everything it says about a change.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use reconverge_streams::{disposition::Disposition, position::Position};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    batch::Transaction,
    clock::{Clocks, REGIONS_MAX, VectorClock},
};

use super::{
    Body, Decoder, MOVED_HEADER,
    cell::Wire,
    event::{Event, Text, op_of, unreadable},
    refusal::{Aside, Code, Fault},
    schema_and_name,
};

/// Names the envelope's version; its presence tells this envelope from Debezium's.
pub(super) const VERSION_HEADER: &str = "Reconverge-Version";
const HOPS_HEADER: &str = "Reconverge-Hops";
const VERSION: &str = "1";

#[derive(Deserialize)]
struct Envelope<'a> {
    v: Option<u32>,
    #[serde(borrow)]
    op: Option<Text<'a>>,
    #[serde(borrow)]
    table: Option<Text<'a>>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    #[serde(borrow)]
    absent: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pos: Option<Pos<'a>>,
    #[serde(borrow)]
    origin: Option<Text<'a>>,
    at: Option<i64>,
    schema: Option<u32>,
    #[serde(borrow)]
    txn: Option<Txn<'a>>,
    clock: Option<BTreeMap<String, u64>>,
    #[serde(borrow)]
    hlc: Option<Text<'a>>,
    #[serde(borrow)]
    event_id: Option<Text<'a>>,
    #[serde(borrow)]
    hops: Option<Vec<Text<'a>>>,
}

#[derive(Deserialize)]
struct Pos<'a> {
    #[serde(borrow)]
    source: Option<Text<'a>>,
    #[serde(default)]
    epoch: i32,
    #[serde(borrow)]
    commit: Option<&'a RawValue>,
    #[serde(borrow)]
    ordinal: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Txn<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(default)]
    n: u64,
    #[serde(default)]
    end: bool,
}

/// Whether a subject carries control messages: `cdc.<source>.<partition>._.<kind>`.
fn is_control(subject: &str) -> bool {
    subject.as_bytes().rsplit(|byte| *byte == b'.').nth(1) == Some(b"_")
}

/// Reads an envelope.
pub(super) fn open<'a>(decoder: &Decoder, body: Body<'a>) -> Result<Event<'a>, Aside> {
    let delivery = body.delivery;
    if is_control(&delivery.subject) {
        return Err(Aside::Settled(Disposition::Control));
    }
    let header = delivery.header(VERSION_HEADER);
    if header.is_some_and(|version| version != VERSION) {
        return Err(unknown_version("the header `Reconverge-Version` is not 1").into());
    }
    let envelope: Envelope<'a> = serde_json::from_str(body.text()?).map_err(|e| unreadable(&e))?;
    if envelope.v.is_some_and(|v| v != 1) {
        return Err(unknown_version("`v` is not 1").into());
    }
    if header.is_none() && envelope.v.is_none() {
        return Err(unknown_version("no header `Reconverge-Version` and no `v`").into());
    }
    let name = envelope.table.as_ref().ok_or_else(|| missing("table"))?;
    let (schema, name) = schema_and_name(&name.0);
    let table = decoder.table_named(schema, name).ok_or(Aside::Settled(Disposition::Unlisted))?;
    let in_table = |fault: Fault| decoder.refused(table, fault, None);
    let op = op_of(envelope.op.as_ref().map(|op| &*op.0)).map_err(in_table)?;
    let from = envelope.pos.as_ref().and_then(|pos| pos.source.as_ref()).map(|s| &*s.0);
    let began = envelope.origin.as_ref().map(|o| &*o.0);
    let origin = began.or(from).or(decoder.options().origin.as_deref());
    let origin = origin.ok_or_else(|| in_table(missing("origin")))?;
    let clocks = clocks(envelope.clock, envelope.hlc.as_ref()).map_err(in_table)?;
    let hops = envelope.hops.iter().flatten().map(|hop| &*hop.0);
    let relayed = delivery.header(HOPS_HEADER).into_iter().flat_map(|h| h.split(',')).map(str::trim);
    Ok(Event {
        table,
        op,
        wire: Wire::Native,
        key: envelope.key.map(RawValue::get),
        before: envelope.before.map(RawValue::get),
        after: envelope.after.map(RawValue::get),
        absent: envelope.absent.into_iter().flatten().map(|column| column.0).collect(),
        source: decoder.intern(from.unwrap_or(origin)).map_err(in_table)?,
        position: envelope.pos.as_ref().map(position).transpose().map_err(in_table)?,
        origin: decoder.intern(origin).map_err(in_table)?,
        came_by_here: hops.chain(relayed).any(|hop| hop == decoder.region()),
        at: envelope.at.ok_or_else(|| in_table(missing("at")))?,
        schema: Some(envelope.schema.unwrap_or(0)),
        event_id: envelope.event_id.map(|id| id.0.into()),
        clocks,
        transaction: envelope.txn.map(|txn| Transaction { id: txn.id.0.into(), number: txn.n, end: txn.end }),
        facts: None,
        other_key: delivery.header(MOVED_HEADER).map(Cow::Borrowed),
    })
}

/// `commit` is a decimal text, since JSON's numbers end at 2^53 in many places.
fn position(pos: &Pos<'_>) -> Result<Position, Fault> {
    let number = |raw: Option<&RawValue>| -> Option<u64> {
        let text = raw?.get();
        text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text).parse().ok()
    };
    let commit = number(pos.commit);
    let ordinal = if pos.ordinal.is_some() { number(pos.ordinal) } else { Some(0) };
    match (commit, ordinal) {
        (Some(commit), Some(ordinal)) if pos.epoch >= 0 => Ok(Position { epoch: pos.epoch, commit, ordinal }),
        _ => Err(Fault::new(
            Code::BadPosition,
            "`pos.commit` and `pos.ordinal` are no unsigned 64-bit numbers, or `pos.epoch` is negative; hint: `commit` is \
             a decimal string",
        )),
    }
}

/// The logical clocks that an envelope carries.
fn clocks(vector: Option<BTreeMap<String, u64>>, hlc: Option<&Text<'_>>) -> Result<Clocks, Fault> {
    let vector = vector.map(VectorClock::new);
    if vector.as_ref().is_some_and(|clock| clock.regions() > REGIONS_MAX) {
        let what = format!(
            "`clock` names more than {REGIONS_MAX} regions; hint: one number per region, not per writer"
        );
        return Err(Fault::new(Code::BadClock, what));
    }
    let hlc = hlc.map(|text| text.0.parse()).transpose();
    let hlc = hlc.map_err(|why: crate::clock::NoHlc| Fault::new(Code::BadClock, format!("`hlc`: {why}")))?;
    Ok(Clocks { vector: vector.map(Arc::new), hlc })
}

fn missing(field: &str) -> Fault {
    Fault::new(Code::NotAnEnvelope, format!("no `{field}`"))
}

fn unknown_version(what: &str) -> Fault {
    Fault::new(
        Code::UnknownVersion,
        Cow::Owned(format!(
            "{what}; hint: this program reads version 1. If the changes come from Debezium, set the source's `format`"
        )),
    )
}
