//! A scenario's messages as a source would publish them, and its tables as a pipeline file.

use std::fmt::Write as _;

use bytes::Bytes;
use reconverge_oracle::{Cell, Change, Deletes, Fate, Message, Op, Row, Rule, Table};
use reconverge_streams::headers::Headers;
use serde_json::{Map, Value, json};

use crate::scenario::{COLUMNS, RANK, REGION, Scenario};

/// A message: its subject, headers and body.
pub type Published = (String, Headers, Bytes);

/// The name of a table.
#[must_use]
pub fn name(table: usize) -> String {
    format!("t{table}")
}

/// A message as it is published in a partition.
#[must_use]
pub fn published(partition: u32, message: &Message) -> Published {
    let (table, body) = match message {
        Message::Changes(changes) => (name(changes[0].table), envelope(changes).to_string()),
        Message::Refused(None) => (name(0), "{".to_owned()),
        Message::Refused(Some((table, key))) => (name(*table), unreadable(*table, *key).to_string()),
        Message::Settled(Fate::Control) => {
            return (format!("cdc.east.{partition}._.heartbeat"), headers(), Bytes::from_static(b"{}"));
        }
        Message::Epoch(source, epoch) => {
            let body = json!({"source": source, "epoch": epoch}).to_string();
            return (format!("cdc.{source}.{partition}._.epoch"), headers(), Bytes::from(body));
        }
        Message::Settled(Fate::Echo) => {
            (name(0), with(unreadable(0, 1), "origin", json!(REGION)).to_string())
        }
        Message::Settled(_) => {
            ("nobodys".to_owned(), with(unreadable(0, 1), "table", json!("nobodys")).to_string())
        }
    };
    (format!("cdc.east.{partition}.public.{table}"), headers(), Bytes::from(body))
}

fn headers() -> Headers {
    [("Reconverge-Version", "1")].into_iter().collect()
}

/// One change, or the update that has these two halves.
fn envelope(changes: &[Change]) -> Value {
    let first = &changes[0];
    let last = changes.last().unwrap();
    let op = match (last.op, &first.before) {
        (Op::Snapshot, _) => "r",
        (Op::Delete, _) => "d",
        (Op::Write, None) => "c",
        (Op::Write, Some(_)) => "u",
    };
    let (epoch, commit, ordinal) = last.position;
    let mut body = json!({
        "v": 1, "op": op, "table": name(last.table), "key": {"id": last.key}, "origin": last.source, "at": last.at,
        "pos": {"source": last.source, "epoch": epoch, "commit": commit.to_string(), "ordinal": ordinal},
    });
    if last.op != Op::Delete {
        body["after"] = Value::Object(sent(&last.after));
        body["absent"] = absent(&last.after);
    }
    if let Some(before) = &first.before {
        body["before"] = Value::Object(row(before));
    }
    body
}

/// A change with a text where a number must stand.
fn unreadable(table: usize, key: i64) -> Value {
    json!({
        "v": 1, "op": "c", "table": name(table), "key": {"id": key}, "origin": "east", "at": 1,
        "pos": {"source": "east", "epoch": 0, "commit": "0", "ordinal": 0},
        "after": {"id": key, COLUMNS[RANK]: "no number"},
    })
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

fn sent(cells: &[Cell]) -> Map<String, Value> {
    let cells = COLUMNS.iter().zip(cells);
    let sent = cells.filter_map(|(column, cell)| match cell {
        Cell::Sent(value) => Some(((*column).to_owned(), json!(value))),
        Cell::Unavailable => None,
    });
    sent.collect()
}

fn absent(cells: &[Cell]) -> Value {
    let cells = COLUMNS.iter().zip(cells).filter(|(_, cell)| **cell == Cell::Unavailable);
    cells.map(|(column, _)| json!(column)).collect()
}

fn row(cells: &Row) -> Map<String, Value> {
    COLUMNS.iter().zip(cells).map(|(column, cell)| ((*column).to_owned(), json!(cell))).collect()
}

/// The pipeline file of a scenario.
#[must_use]
pub fn pipeline(scenario: &Scenario) -> String {
    let mut text = format!(
        "[pipeline]\nname = \"simulated\"\nregion = \"{REGION}\"\n\n[source]\nurl = \"nats://localhost\"\n\
         stream = \"CDC\"\nsubjects = \"cdc.{{source}}.{{partition}}.>\"\n\n[sink]\nurl = \"sqlite://simulated.db\"\n"
    );
    for (at, table) in scenario.tables.iter().enumerate() {
        text += &table_text(at, table);
    }
    text
}

fn table_text(at: usize, table: &Table) -> String {
    let policy = match table.rule {
        Rule::None => "none",
        Rule::KeepCurrent => "keep-current",
        Rule::TakeIncoming => "take-incoming",
        Rule::CommitTime => "lww:commit-time",
        Rule::Greatest(_) => "max:rank",
    };
    let mut text = format!(
        "\n[[table]]\nname = \"{}\"\nkey = [\"id\"]\npolicy = \"{policy}\"\nbefore_images = \"full\"\npriority = {at}\n",
        name(at)
    );
    if !matches!(table.rule, Rule::None | Rule::TakeIncoming) {
        let word = if table.deletes == Deletes::Ordered { "ordered" } else { "win" };
        writeln!(text, "deletes = \"{word}\"").unwrap();
    }
    let parents = table.parents.iter().map(|(column, parent)| {
        format!("{{ table = \"{}\", columns = [\"{}\"] }}", name(*parent), COLUMNS[*column])
    });
    let parents: Vec<String> = parents.collect();
    if !parents.is_empty() {
        writeln!(text, "depends_on = [{}]", parents.join(", ")).unwrap();
    }
    text
}
