//! Contests as changes: both sides of each, at their times. The history of conflicts and what `reconverge capture` writes
//! hold contests; a rehearsal plays changes.

use std::{collections::HashSet, path::Path};

use bytes::Bytes;
use reconverge_streams::source::Delivery;
use serde_json::{Map, Value, json};

use crate::contests::{ContestFile, ContestsError, Current, Entry};

/// One side of a contest.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// Its commit time, microseconds since 1970.
    pub at: i64,
    /// Whose change it is.
    pub source: String,
    /// The change, without a position.
    pub envelope: Value,
}

/// Which table a side is of, and its key.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// The table, as the source calls it.
    pub table: &'a str,
    /// The key, by column.
    pub key: &'a Value,
}

impl Side {
    /// A row that was written, or the last one of a row that was deleted.
    #[must_use]
    pub fn of_row(of: Of<'_>, row: &Value, is_delete: bool, at: i64, source: &str) -> Side {
        let (op, before, after) = if is_delete { ("d", row, &Value::Null) } else { ("u", &Value::Null, row) };
        let envelope = json!({"v": 1, "op": op, "table": of.table, "key": of.key, "before": before, "after": after,
            "origin": source, "at": at});
        Side { at, source: source.to_owned(), envelope }
    }

    /// Which write it is: two sides of the same are one.
    fn write(&self) -> String {
        json!([self.at, self.source, self.envelope["table"], self.envelope["key"]]).to_string()
    }
}

/// The sides as messages, by their times. Positions are made of the times, since those of a history and of a capture are
/// of different kinds.
#[must_use]
pub fn deliveries(mut sides: Vec<Side>) -> Vec<Delivery> {
    sides.sort_by_cached_key(|side| (side.at, side.source.clone(), side.envelope.to_string()));
    // A row that was current in several contests was written once.
    sides.dedup();
    let delivery = |(sequence, side): (u64, Side)| {
        let Side { at, source, mut envelope } = side;
        let commit = at.unsigned_abs().to_string();
        envelope["pos"] = json!({"source": source, "epoch": 0, "commit": commit, "ordinal": sequence});
        Delivery {
            sequence,
            subject: format!("cdc.{source}.0.history.t").into(),
            headers: [("Reconverge-Version", "1")].into_iter().collect(),
            payload: Bytes::from(envelope.to_string()),
            published_at: i64::MAX / 2,
        }
    };
    (1..).zip(sides).map(delivery).collect()
}

/// Whether a file holds contests: its first line is their head.
#[must_use]
pub fn are_contests(path: &Path) -> bool {
    use std::io::{BufRead, BufReader};
    let Ok(file) = std::fs::File::open(path) else { return false };
    let Some(Ok(first)) = BufReader::new(file).lines().next() else { return false };
    serde_json::from_str::<Value>(&first).is_ok_and(|head| head.get("contests").is_some())
}

/// Both sides of the contests of a file. What stood at a time that is not known, as a row that the application wrote, is
/// left out.
///
/// # Errors
/// The file is not as the format says, or a change of it has no time: contests that were written by hand have no order.
pub fn of_contests(path: &Path) -> Result<Vec<Side>, ContestsError> {
    let file = ContestFile::read(path)?;
    let (mut sides, mut stood) = (Vec::new(), Vec::new());
    for entry in &file.contests {
        let wrong = |what: &str| ContestsError::Line {
            path: path.to_owned(),
            line: entry.line,
            what: what.to_owned(),
        };
        let only = match &file.head.tables[..] {
            [only] => Some(only),
            _ => None,
        };
        let named = entry.incoming.get("table").and_then(Value::as_str);
        let table = named
            .or(only.map(|table| table.name.as_str()))
            .ok_or_else(|| wrong("`incoming` names no `table`, and the head has several"))?;
        let head = file.head.tables.iter().find(|head| head.name == table);
        let head = head.ok_or_else(|| wrong("a table that the head does not have"))?;
        let key = key(entry, &head.key).ok_or_else(|| wrong("`incoming` has no key"))?;
        let at = entry.incoming.get("at").and_then(Value::as_i64);
        let at = at.ok_or_else(|| {
            wrong("`incoming` has no `at`, so its place among others is not known; `reconverge capture` writes it")
        })?;
        let of = Of { table, key: &key };
        stood.extend(entry.current.as_ref().and_then(|current| standing(of, current)));
        sides.push(incoming(of, &entry.incoming, at));
    }
    // What stands may be there as the change that wrote it, which says more.
    let written: HashSet<String> = sides.iter().map(Side::write).collect();
    stood.retain(|side| !written.contains(&side.write()));
    sides.extend(stood);
    Ok(sides)
}

/// The key that a contest names, or has in one of its rows.
fn key(entry: &Entry, columns: &[String]) -> Option<Value> {
    if let Some(key) = entry.incoming.get("key").filter(|key| key.is_object()) {
        return Some(key.clone());
    }
    let rows = ["after", "before"].into_iter().filter_map(|side| entry.incoming.get(side)?.as_object());
    let of = |row: &Map<String, Value>| {
        columns.iter().map(|c| Some((c.clone(), row.get(c)?.clone()))).collect::<Option<Map<_, _>>>()
    };
    rows.into_iter().find_map(of).map(Value::Object)
}

fn incoming(of: Of<'_>, envelope: &Map<String, Value>, at: i64) -> Side {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let position = envelope.get("pos").and_then(|pos| pos.get("source"));
    let source = text(position).or_else(|| text(envelope.get("origin"))).unwrap_or_else(|| "east".to_owned());
    let mut envelope = envelope.clone();
    envelope.entry("op").or_insert_with(|| "u".into());
    envelope.entry("origin").or_insert_with(|| source.clone().into());
    for (name, value) in [("v", json!(1)), ("table", json!(of.table)), ("key", of.key.clone())] {
        envelope.insert(name.to_owned(), value);
    }
    Side { at, source, envelope: Value::Object(envelope) }
}

/// What stood, as the change that wrote it.
fn standing(of: Of<'_>, current: &Current) -> Option<Side> {
    let (at, source) = (current.at.filter(|at| *at > 0)?, current.origin.as_deref()?);
    let mut row = current.row.clone();
    for (column, value) in of.key.as_object()? {
        row.entry(column.clone()).or_insert_with(|| value.clone());
    }
    Some(Side::of_row(of, &Value::Object(row), !current.live, at, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        r#"{"contests":1,"tables":[{"name":"t","key":["id"],"columns":{"id":"int","n":"int"}}]}"#;

    fn read(contests: &str) -> Result<Vec<Value>, ContestsError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{HEAD}\n{contests}\n")).unwrap();
        assert!(are_contests(file.path()));
        let told = |d: Delivery| serde_json::from_slice(&d.payload).unwrap();
        Ok(deliveries(of_contests(file.path())?).into_iter().map(told).collect())
    }

    #[test]
    fn both_sides_are_changes_in_the_order_of_their_times() {
        let stood = r#""current":{"row":{"n":1},"origin":"west","at":5}"#;
        let found = read(&format!(
            "{}\n{}\n{}",
            format_args!(r#"{{"incoming":{{"after":{{"id":1,"n":2}},"origin":"east","at":7}},{stood}}}"#),
            // The same row stood in two contests.
            format_args!(r#"{{"incoming":{{"op":"d","key":{{"id":1}},"origin":"south","at":6}},{stood}}}"#),
            r#"{"incoming":{"after":{"id":2,"n":3},"origin":"east","at":8},"current":{"row":{"n":9}}}"#,
        ))
        .unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|e| {
                (e["op"].as_str().unwrap(), e["origin"].as_str().unwrap(), &e["key"]["id"], &e["after"]["n"])
            })
            .collect();
        let (one, two, null) = (json!(1), json!(2), json!(null));
        assert_eq!(
            told,
            [
                ("u", "west", &one, &one),
                ("d", "south", &one, &null),
                ("u", "east", &one, &two),
                ("u", "east", &two, &json!(3)),
            ],
            "what stood at no known time is left out"
        );
        assert_eq!(found[0]["after"], json!({"id": 1, "n": 1}));
        assert_eq!(found[2]["pos"], json!({"source": "east", "epoch": 0, "commit": "7", "ordinal": 3}));
    }

    #[test]
    fn a_contest_without_a_time_is_told_by_its_line() {
        let told = read(r#"{"incoming":{"after":{"id":1,"n":2}}}"#).unwrap_err().to_string();
        assert!(told.contains(":2: `incoming` has no `at`"), "{told}");
    }
}
