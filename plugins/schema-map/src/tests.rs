//! Tests of the mapping, from configuration to answer.

use super::*;
use reconverge_sdk::testing::{self, Cell as Given, Opened, Row};

/// The sink in the middle of a change: it has `shift` and its successor `shift_name`.
fn open(versions: &str) -> Result<Opened<SchemaMap>, String> {
    let columns = [
        ("id", "int"),
        ("shift", "text"),
        ("shift_name", "text"),
        ("overtime_minutes", "int"),
        ("starts_at", "timestamp"),
        ("active", "bool"),
        ("labels", "text[]"),
    ];
    let table = Table::new("schedules", &["id"], &columns, "");
    testing::open::<SchemaMap>(&format!(r#"{{"tables": [{{"table": "schedules", {versions}}}]}}"#), &[table])
}

fn change(version: impl Into<Given>) -> Row {
    Row::new().meta("schema-version", version).meta("operation", "u").after("id", 1)
}

#[test]
fn an_older_version_is_renamed_filled_and_converted() {
    let mut plugin = open(
        r#""unversioned": 2, "versions": {"3": {}, "2": {"columns": {
            "shift_name": {"from": "shift", "values": {"E": "early", "L": "late"}, "default": "unknown"},
            "overtime_minutes": {"default": 0},
            "starts_at": {"from": "start_seconds", "convert": "seconds-to-timestamp"},
            "active": {"from": "is_active", "convert": "int-to-bool"},
            "labels": {"from": "labels", "default": []}}}}"#,
    )
    .unwrap();
    let old = |version: Given| change(version).after("start_seconds", 60).after("is_active", 1);
    let rows = [
        old(2.into()).after("shift", "E").after("labels", r#"["x"]"#),
        old(Given::Null)
            .after("shift", Given::Null)
            .after("labels", Given::Null)
            .after("is_active", Given::Null),
        change(3).after("shift_name", "night"),
        Row::delete(),
    ];
    let answer = plugin.run(0, &rows).unwrap();
    assert_eq!(answer.verdicts, [WRITE, WRITE, KEEP, KEEP]);
    // In the order of the names: active, labels, overtime_minutes, shift_name, starts_at.
    let micros = Given::Int(60_000_000);
    assert_eq!(answer.written[0], [true.into(), r#"["x"]"#.into(), 0.into(), "early".into(), micros.clone()]);
    assert_eq!(answer.written[1], [Given::Null, "[]".into(), 0.into(), "unknown".into(), micros]);
    assert!(answer.written[2].is_empty() && answer.written[3].is_empty());
}

#[test]
fn what_was_not_sent_stays_as_it_is() {
    let mut plugin = open(r#""versions": {"2": {"columns": {"shift_name": {"from": "shift"}}}}"#).unwrap();
    let answer = plugin.run(0, &[change(2), change(2).after("shift", "E")]).unwrap();
    assert_eq!((answer.verdicts, answer.written), (vec![WRITE, WRITE], vec![vec![], vec!["E".into()]]));
}

#[test]
fn versions_that_cannot_be_translated_are_refused_with_the_reason() {
    let mut plugin = open(r#""versions": {"1": {"refuse": "version 1 has no region"}, "3": {}}"#).unwrap();
    let answer = plugin.run(0, &[change(1), change(7), change(Given::Null), change(3)]).unwrap();
    assert_eq!(answer.verdicts, [255, 255, 255, KEEP]);
    let reasons: Vec<_> = answer.reasons.iter().flatten().map(String::as_str).collect();
    assert_eq!(
        reasons,
        [
            "version 1 has no region",
            "schema version 7 is not in the mapping table",
            "the change has no schema version"
        ]
    );
}

#[test]
fn a_value_that_does_not_convert_fails_its_change_alone_and_is_not_shown() {
    let mut plugin = open(
        r#""versions": {"2": {"columns": {"overtime_minutes": {"from": "overtime", "convert": "text-to-int"}}}}"#,
    )
    .unwrap();
    let answer =
        plugin.run(0, &[change(2).after("overtime", "15 min"), change(2).after("overtime", " 15 ")]).unwrap();
    assert_eq!(answer.verdicts, [255, WRITE]);
    assert_eq!(answer.reasons[0].as_deref(), Some("text is not an integer"));
    assert_eq!(answer.written[1], [15.into()]);
}

#[test]
fn a_rule_that_cannot_hold_is_refused_at_once() {
    for (columns, words) in [
        (r#""id": {"default": 1}"#, "id is a key column"),
        (r#""color": {"default": 1}"#, "no column color"),
        (r#""active": {"from": "a", "convert": "int-to-text"}"#, "column active is of type bool"),
        (r#""overtime_minutes": {"from": "a", "values": {}}"#, "column overtime_minutes is of type int"),
        (r#""overtime_minutes": {"default": "none"}"#, r#"the default "none" is not of type int"#),
        (r#""shift_name": {}"#, "say what it is made `from`"),
    ] {
        let error = open(&format!(r#""versions": {{"2": {{"columns": {{{columns}}}}}}}"#)).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let other = Table::new("other", &["id"], &[("id", "int")], "");
    assert!(
        testing::open::<SchemaMap>(r#"{"tables": []}"#, &[other])
            .unwrap_err()
            .contains("table other: no rule")
    );
}
