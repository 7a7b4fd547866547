//! One key's history as a short story: what stands, where it came from, what was decided about it and by whom.
//! Pure words from records; asks nobody.

use reconverge_streams::records::{
    DeadLetterRecord, DecisionRecord, GenerationRecord, ParkedRecord, VersionRecord,
};
use serde_json::{Map, Value};

use super::{explain::Explained, output, parked};

/// The story, ending in a line break.
pub(super) fn story(key: &Explained) -> String {
    let mut text = format!("{} {}\n", key.table, cell(&key.key));
    text.push_str(&format!("rule: {}", key.policy));
    if let Some(deletes) = &key.deletes {
        text.push_str(&format!(", deletes: {deletes}"));
    }
    text.push_str("\n\n");
    text.push_str(&standing(key));
    if let Some(version) = &key.record.version {
        text.push_str(&seen(version));
    }
    text.push_str(&decisions(key));
    for letter in &key.dead_letters {
        text.push_str(&dead(letter));
    }
    text
}

fn standing(key: &Explained) -> String {
    let version = key.record.version.as_ref();
    let origin = version.map(|v| format!("from {}, committed there at {}", v.origin, v.committed_at));
    let origin = origin.unwrap_or_default();
    let mut text = match (&key.record.row, key.record.local, version.map(|v| v.standing.as_str())) {
        (Some(_), true, Some(_)) => {
            format!("The row was last written by the application.\nBefore that it came {origin}.\n")
        }
        (Some(_), true, None) => {
            "The row was written by the application; no change ever took its place.\n".to_owned()
        }
        (Some(_), false, Some(_)) => format!("The row came {origin}.\n"),
        (Some(_), false, None) => "The row stands. Its table keeps no versions.\n".to_owned(),
        (None, _, Some("tombstone")) => format!("No row: it was deleted by a change {origin}.\n"),
        (None, _, Some("absence")) => {
            format!("No row: filter or residency keeps it out of this region, by a change {origin}.\n")
        }
        (None, _, Some("kept")) => {
            format!("No row yet: it is kept beside until its parent comes. What stands came {origin}.\n")
        }
        (None, _, Some("nothing")) => "No row: every change of this key that came was refused.\n".to_owned(),
        (None, true, Some(_)) => {
            format!("No row: the application deleted it. Before that it came {origin}.\n")
        }
        (None, _, Some(_)) => format!("No row, though one came {origin}: it was removed by hand.\n"),
        (None, _, None) => "No row, and no change of this key was ever seen.\n".to_owned(),
    };
    if let Some(Value::Object(row)) = &key.record.row {
        text.push_str(&indented(&columns(row)));
    }
    if let Some(kept) = &key.kept {
        text.push_str(&waiting(kept));
    }
    if let Some(Value::Object(order)) = version.and_then(|v| v.ordered_by.as_ref()) {
        text.push_str("A change that comes later must be greater than:\n");
        text.push_str(&indented(&columns(order)));
    }
    text
}

/// The row that is kept beside, and what it waits for.
fn waiting(kept: &ParkedRecord) -> String {
    let mut text = format!("It waits for {}: {}.\n", parked::parent(kept), parked::reason(kept));
    if let Some(Value::Object(row)) = &kept.row {
        text.push_str("The row that stands, kept since ");
        text.push_str(&format!("{}:\n{}", kept.parked_at, indented(&columns(row))));
    }
    text
}

fn seen(version: &VersionRecord) -> String {
    let mut text = "\nThe newest change seen of each source:\n".to_owned();
    let rows = version.seen.iter().map(|seen| {
        let position = format!("epoch {}, commit {}, ordinal {}", seen.epoch, seen.commit, seen.ordinal);
        let what = if seen.deleted { "a delete" } else { "" };
        vec![seen.source.clone(), position, what.to_owned()]
    });
    text.push_str(&indented(&pairs(rows)));
    text
}

fn decisions(key: &Explained) -> String {
    if key.decisions.is_empty() {
        return "\nNo conflict was ever decided about it.\n".to_owned();
    }
    let mut text = "\nDecisions, the newest first:\n".to_owned();
    for (place, decision) in (1..).zip(&key.decisions) {
        text.push_str(&format!("\n{place}. "));
        text.push_str(&told(decision, generation(&key.generations, decision)));
    }
    if key.more_decisions {
        text.push_str("\nThere are older ones: `--limit` shows more.\n");
    }
    text
}

fn generation<'a>(all: &'a [GenerationRecord], decision: &DecisionRecord) -> Option<&'a GenerationRecord> {
    all.iter().find(|generation| generation.id == decision.generation && generation.lane == decision.lane)
}

/// One decision: which change met what, who decided how, and what was kept of the rows.
pub(super) fn told(decision: &DecisionRecord, generation: Option<&GenerationRecord>) -> String {
    let mut text = format!("{}: {}", decision.outcome, decision.kind);
    text.push_str(&format!(" at {}, stream sequence {}\n", decision.at, decision.sequence));
    let incoming_at = decision.incoming_at.as_deref().unwrap_or("an unknown time");
    text.push_str(&format!("   A change from {}, committed there at {incoming_at},\n", decision.source));
    let current_at = decision.current_at.as_deref().unwrap_or("an unknown time");
    match &decision.current_origin {
        Some(origin) => {
            text.push_str(&format!("   met what stood from {origin}, committed there at {current_at}.\n"))
        }
        None => text.push_str("   met a row of an unknown origin.\n"),
    }
    text.push_str(&format!("   Decided by {}", decision.decided_by));
    match &decision.reason {
        Some(reason) => text.push_str(&format!(", because: {reason}\n")),
        None => text.push('\n'),
    }
    text.push_str(&format!("   under generation {}{}\n", decision.generation, plugins(generation)));
    text.push_str(&rows(decision).lines().map(|line| format!("   {line}\n")).collect::<String>());
    text
}

/// Names and digests of a generation's plugins.
fn plugins(generation: Option<&GenerationRecord>) -> String {
    let listed = generation.and_then(|generation| generation.plugins.as_array());
    let word =
        |plugin: &Value, field: &str| plugin.get(field).and_then(Value::as_str).unwrap_or("?").to_owned();
    let short = |digest: String| digest.chars().take(12).collect::<String>();
    let named: Vec<String> = listed
        .into_iter()
        .flatten()
        .map(|plugin| format!("{} {}", word(plugin, "name"), short(word(plugin, "digest"))))
        .collect();
    if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) }
}

/// The rows that were kept, side by side. Columns that are the same in both are only counted.
fn rows(decision: &DecisionRecord) -> String {
    let object = |row: &Option<Value>| row.as_ref().and_then(Value::as_object).cloned();
    let kept =
        [("incoming", &decision.incoming), ("current", &decision.current), ("written", &decision.applied)];
    let kept: Vec<(&str, Map<String, Value>)> =
        kept.into_iter().filter_map(|(name, row)| Some((name, object(row)?))).collect();
    let Some((_, first)) = kept.first() else { return String::new() };
    let mut names: Vec<&String> = first.keys().collect();
    names.extend(kept.iter().flat_map(|(_, row)| row.keys()).filter(|name| !first.contains_key(*name)));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    let differs =
        |name: &&String| kept.len() == 1 || kept.iter().any(|(_, row)| row.get(*name) != first.get(*name));
    let (shown, same): (Vec<&String>, Vec<&String>) = names.into_iter().partition(differs);
    let mut head = vec!["column"];
    head.extend(kept.iter().map(|(name, _)| *name));
    let rows = shown.iter().map(|name| {
        let cells = kept.iter().map(|(_, row)| row.get(*name).map_or_else(|| "(not sent)".to_owned(), cell));
        std::iter::once((*name).clone()).chain(cells).collect::<Vec<_>>()
    });
    let mut text = output::table(&head, rows);
    if !same.is_empty() {
        let equal = if same.len() == 1 { "1 column is" } else { &format!("{} columns are", same.len()) };
        text.push_str(&format!("({equal} equal)\n"));
    }
    text
}

fn dead(letter: &DeadLetterRecord) -> String {
    format!(
        "\nAn open dead letter: a change at stream sequence {} was refused by {} ({}): {}\n  \
         reconverge dlq show {}\n",
        letter.sequence, letter.stage, letter.code, letter.reason, letter.id
    )
}

/// A row's columns, a line each.
pub(super) fn columns(row: &Map<String, Value>) -> String {
    pairs(row.iter().map(|(name, value)| vec![name.clone(), cell(value)]))
}

/// Words in columns, without a head.
pub(super) fn pairs(rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    let width = rows.iter().map(|row| row[0].chars().count()).max().unwrap_or_default();
    let line = |row: &Vec<String>| {
        let rest = row[1..].iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>().join(", ");
        format!("{:width$}  {rest}", row[0]).trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// A JSON value as a cell: text without its quotes.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use reconverge_streams::records::{KeyRecord, SeenRecord};
    use serde_json::json;

    use super::*;

    fn decision() -> DecisionRecord {
        DecisionRecord {
            id: "3f9c".to_owned(),
            at: "2026-03-02T07:00:00.000000Z".to_owned(),
            lane: "p/main/main/0".to_owned(),
            sequence: 41,
            table: "schedules".to_owned(),
            key: r#"{"id":7}"#.to_owned(),
            kind: "update_origin_differs".to_owned(),
            outcome: "kept-current".to_owned(),
            decided_by: "plugin:schedule-merge".to_owned(),
            generation: 2,
            reason: Some("older modification_epoch".to_owned()),
            source: "us-west".to_owned(),
            commit_position: 9,
            ordinal: 0,
            incoming_at: Some("2026-03-02T06:59:00.000000Z".to_owned()),
            current_origin: Some("us-east".to_owned()),
            current_at: None,
            incoming: Some(json!({"id": 7, "shift": "late", "epoch": 41})),
            current: Some(json!({"id": 7, "shift": "early", "epoch": 42, "note": null})),
            applied: None,
        }
    }

    fn explained() -> Explained {
        Explained {
            table: "schedules".to_owned(),
            key: json!({"id": 7}),
            policy: "plugin:schedule-merge".to_owned(),
            deletes: Some("ordered".to_owned()),
            record: KeyRecord {
                row: Some(json!({"id": 7, "shift": "early"})),
                version: Some(VersionRecord {
                    standing: "row".to_owned(),
                    origin: "us-east".to_owned(),
                    committed_at: "2026-03-02T06:30:00.000000Z".to_owned(),
                    seen: vec![SeenRecord {
                        source: "us-east".to_owned(),
                        epoch: 0,
                        commit: 5,
                        ordinal: 1,
                        deleted: false,
                    }],
                    ordered_by: None,
                }),
                local: false,
            },
            kept: None,
            decisions: vec![decision()],
            more_decisions: false,
            dead_letters: Vec::new(),
            generations: vec![GenerationRecord {
                id: 2,
                lane: "p/main/main/0".to_owned(),
                from_sequence: 0,
                plugins: json!([{"name": "schedule-merge", "digest": "0123456789abcdef"}]),
                at: String::new(),
                by: String::new(),
            }],
        }
    }

    #[test]
    fn a_row_is_told_with_its_decisions() {
        let expected = "\
schedules {\"id\":7}
rule: plugin:schedule-merge, deletes: ordered

The row came from us-east, committed there at 2026-03-02T06:30:00.000000Z.
  id     7
  shift  early

The newest change seen of each source:
  us-east  epoch 0, commit 5, ordinal 1

Decisions, the newest first:

1. kept-current: update_origin_differs at 2026-03-02T07:00:00.000000Z, stream sequence 41
   A change from us-west, committed there at 2026-03-02T06:59:00.000000Z,
   met what stood from us-east, committed there at an unknown time.
   Decided by plugin:schedule-merge, because: older modification_epoch
   under generation 2 (schedule-merge 0123456789ab)
   column  incoming    current
   shift   late        early
   epoch   41          42
   note    (not sent)  null
   (1 column is equal)
";
        assert_eq!(story(&explained()), expected);
    }

    #[test]
    fn each_way_of_standing_has_its_words() {
        let cases = [
            (true, Some("row"), true, "was last written by the application"),
            (true, None, true, "no change ever took its place"),
            (true, None, false, "keeps no versions"),
            (false, Some("tombstone"), false, "was deleted by a change from us-east"),
            (false, Some("absence"), false, "out of this region"),
            (false, Some("kept"), false, "until its parent comes"),
            (false, Some("nothing"), false, "every change of this key that came was refused"),
            (false, Some("row"), true, "the application deleted it"),
            (false, None, false, "no change of this key was ever seen"),
        ];
        for (row, standing, local, words) in cases {
            let mut key = explained();
            key.record.row = key.record.row.filter(|_| row);
            key.record.local = local;
            key.record.version = key
                .record
                .version
                .zip(standing)
                .map(|(version, standing)| VersionRecord { standing: standing.to_owned(), ..version });
            assert!(story(&key).contains(words), "{words}\n{}", story(&key));
        }
    }
}
