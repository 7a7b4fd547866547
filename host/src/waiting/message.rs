//! A waiting change as bytes: a line of JSON that says how it came, then the message.
//!
//! Where residency has passed the change as it came, the message is the original, so that it is decoded anew by the
//! table's shape when it is released. Otherwise it is an envelope of our own with what residency left of the change,
//! and of a suppressed row nothing but key and order columns, which the sidecar keeps anyhow.

use reconverge_streams::{
    canonical,
    columns::{Columns, State},
    headers::Headers,
    source::Delivery,
    text::{self, write_json_text},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    batch::{Batch, Change, MOVED_HEADER, Op, TableBatch},
    plan::{Plan, TablePlan},
    stages::{Passed, PreparedTable},
};

/// What residency had said of a waiting change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Passage {
    /// It passed as it came: the message is the original.
    Whole,
    /// It passed, in part: the message is what was left.
    Redacted,
    /// It does not belong here: the message is its key and order columns.
    Suppressed,
}

/// A waiting change, read back.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The message.
    pub delivery: Delivery,
    /// What residency had said.
    pub passage: Passage,
    /// SHA-256 of the original message's bytes.
    pub digest: [u8; 32],
}

#[derive(Serialize, Deserialize)]
struct Head {
    subject: String,
    headers: Vec<(String, String)>,
    published_at: i64,
    passage: Passage,
    digest: String,
}

/// The bytes of a change of the batch.
pub(super) fn write(
    batch: &Batch,
    item: usize,
    table: &TableBatch,
    row: u32,
    prepared: &PreparedTable,
    plan: &Plan,
) -> Vec<u8> {
    let delivery = &batch.deliveries[batch.items[item].delivery as usize];
    let (rules, at) = (plan.table(table.table), row as usize);
    let suppressed = prepared.passed[at] == Passed::Suppressed;
    // The halves of a key change stay of one kind, since one message holds both.
    let is_half = rules.residency && table.changes[at].moved.is_some();
    if prepared.residency_passed[at] && !suppressed && !is_half {
        return whole(delivery);
    }
    let passage = if suppressed { Passage::Suppressed } else { Passage::Redacted };
    let change = &table.changes[at];
    let mut headers = Headers::default().with("Reconverge-Version", "1");
    if let Some(redriven) = &change.redriven {
        headers = headers.with("Reconverge-Redrive", &format!("{}/{}", redriven.stream, redriven.sequence));
    }
    if let Some(moved) = &change.moved {
        let logicals: Vec<_> = rules.shape.key_logicals().collect();
        if let Some(cells) = canonical::key_cells(&logicals, moved) {
            let names = rules.shape.key.iter().map(|&k| source_name(rules, k));
            headers = headers.with(MOVED_HEADER, &text::to_json(names.zip(&cells.columns), 0));
        }
    }
    let payload = envelope(table, at, suppressed, rules, plan);
    put(delivery, &headers, passage, payload.as_bytes())
}

/// The bytes of a message as it came.
pub(super) fn whole(delivery: &Delivery) -> Vec<u8> {
    put(delivery, &delivery.headers, Passage::Whole, &delivery.payload)
}

fn put(delivery: &Delivery, headers: &Headers, passage: Passage, payload: &[u8]) -> Vec<u8> {
    let head = Head {
        subject: delivery.subject.to_string(),
        headers: headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        published_at: delivery.published_at,
        passage,
        digest: Sha256::digest(&delivery.payload).iter().map(|b| format!("{b:02x}")).collect(),
    };
    let mut bytes = serde_json::to_vec(&head).expect("texts and numbers are JSON");
    bytes.push(b'\n');
    bytes.extend_from_slice(payload);
    bytes
}

impl Stored {
    /// Reads the bytes of a change that was delivered with this sequence; `None` where they are none of ours.
    #[must_use]
    pub fn read(sequence: u64, bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|&b| b == b'\n')?;
        let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
        let mut digest = [0; 32];
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(head.digest.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        let payload = bytes[end + 1..].to_vec().into();
        let (subject, headers) = (head.subject.into(), head.headers.into_iter().collect());
        let delivery = Delivery { sequence, subject, headers, payload, published_at: head.published_at };
        Some(Stored { delivery, passage: head.passage, digest })
    }
}

/// Reconverge's own envelope of what is left of a change.
fn envelope(table: &TableBatch, row: usize, suppressed: bool, rules: &TablePlan, plan: &Plan) -> String {
    let change = &table.changes[row];
    let shown =
        |c: usize| !suppressed || rules.shape.key.contains(&c) || rules.rule.order_columns().contains(&c);
    let mut out = String::from("{\"v\":1,\"op\":");
    write_json_text(change.op.letter(), &mut out);
    out.push_str(",\"table\":");
    write_json_text(&listed_name(rules, plan), &mut out);
    out.push_str(",\"key\":");
    let key = rules.shape.key.iter().map(|&k| (source_name(rules, k), &table.after.columns[k]));
    out.push_str(&text::to_json(key, row));
    let is_there = |cells: &Columns| cells.columns.iter().any(|c| c.state(row).is_sent());
    for (name, cells) in [("before", &table.before), ("after", &table.after)] {
        let wanted = if name == "after" { change.op != Op::Delete } else { is_there(cells) };
        if wanted {
            let columns = cells.columns.iter().enumerate().filter(|(c, _)| shown(*c));
            let named = columns.map(|(c, column)| (source_name(rules, c), column));
            out.push_str(&format!(",\"{name}\":{}", text::to_json(named, row)));
        }
    }
    let absent = (0..table.after.columns.len()).filter(|&c| {
        let state = table.after.columns[c].state(row);
        change.op != Op::Delete && (state == State::Unavailable || state.is_sent() && !shown(c))
    });
    let absent: Vec<&str> = absent.map(|c| source_name(rules, c)).collect();
    out.push_str(&format!(",\"absent\":{}", serde_json::json!(absent)));
    out.push_str(&facts(change, plan));
    out.push('}');
    out
}

/// Everything about a change that is no cell.
fn facts(change: &Change, plan: &Plan) -> String {
    let name = |id| serde_json::Value::from(plan.names.get(id).to_string());
    let mut facts = serde_json::Map::new();
    facts.insert("origin".into(), name(change.origin));
    facts.insert("at".into(), change.at.into());
    facts.insert("schema".into(), change.schema.into());
    if let Some(position) = change.position {
        let pos = serde_json::json!({
            "source": name(change.source), "epoch": position.epoch,
            "commit": position.commit.to_string(), "ordinal": position.ordinal,
        });
        facts.insert("pos".into(), pos);
    }
    if let Some(id) = &change.event_id {
        facts.insert("event_id".into(), id.to_string().into());
    }
    if let Some(vector) = &change.clocks.vector {
        let clock: serde_json::Map<_, _> =
            vector.by_region().map(|(region, n)| (region.to_owned(), n.into())).collect();
        facts.insert("clock".into(), clock.into());
    }
    if let Some(hlc) = &change.clocks.hlc {
        facts.insert("hlc".into(), hlc.to_string().into());
    }
    if let Some(txn) = &change.transaction {
        let txn = serde_json::json!({ "id": txn.id.to_string(), "n": txn.number, "end": txn.end });
        facts.insert("txn".into(), txn);
    }
    facts.iter().map(|(name, value)| format!(",{}:{value}", serde_json::Value::from(name.as_str()))).collect()
}

/// The table's name as the plan lists it for its source.
fn listed_name(rules: &TablePlan, plan: &Plan) -> String {
    let listed = plan.by_source_name.iter().find(|(_, id)| **id == rules.id);
    listed.map_or_else(|| rules.source_name.clone(), |(name, _)| name.clone())
}

/// A column's name at the source.
fn source_name(rules: &TablePlan, column: usize) -> &str {
    let renamed = rules.key_from.iter().find(|(_, at)| *at == column);
    renamed.map_or(rules.columns[column].name.as_str(), |(name, _)| name)
}
