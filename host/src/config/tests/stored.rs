//! The generated files in `docs/` are current, and the schema says what the reader does.
//!
//! `UPDATE=1 cargo test -p reconverge config` writes them anew.

use std::path::PathBuf;

use serde_json::Value;

use super::{MINIMAL, WHOLE, read};
use crate::config::{json_schema, markdown};

fn is_current(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        std::fs::write(&path, text).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "docs/{name} is not current: run `UPDATE=1 cargo test -p reconverge config`");
}

#[test]
fn the_stored_schema_is_current() {
    is_current("pipeline.schema.json", &format!("{:#}\n", json_schema()));
}

#[test]
fn the_stored_reference_is_current() {
    is_current("configuration.md", &markdown(&json_schema()));
}

#[test]
fn every_key_and_default_is_in_the_reference() {
    let page = markdown(&json_schema());
    let rows = [
        "| `name` | text | **needed** |",
        "| `linger_ms` | integer | `5` |",
        "| `value_bytes` | size | `\"16MiB\"` |",
    ];
    let sections = [
        "## `[pipeline]`",
        "## `[[table]]`",
        "## `[table.schema]`",
        "## `[limits.plugin]`",
        "## `[source.debezium]`",
    ];
    for part in rows.iter().chain(&sections) {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert!(!page.contains("| any |"), "a key without a type\n{page}");
    assert!(page.lines().filter(|line| line.starts_with("| `")).all(|row| !row.ends_with("|  |")), "{page}");
}

/// What an editor with the schema would say.
fn fits_schema(text: &str) -> bool {
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    let document: toml::Table = text.parse().unwrap();
    let document: Value = serde_json::to_value(document).unwrap();
    validator.is_valid(&document)
}

#[test]
fn the_schema_takes_what_the_reader_takes() {
    let many = MINIMAL.replace("[source]", "[[source]]\nname = \"east\"");
    let demo = include_str!("../../../../examples/split-brain/pipeline.toml");
    for text in [MINIMAL, WHOLE, &many, demo] {
        assert!(fits_schema(text), "{text}");
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let cases = [
        ("stream =", "straem ="),
        ("key = [", "priority = \"high\"\nkey = ["),
        ("key = [", "deletes = \"ordred\"\nkey = ["),
        ("key = [", "policy = \"newest\"\nkey = ["),
        ("key = [", "policy = { plguin = \"p\" }\nkey = ["),
        ("stream =", "partitions = 0\nstream ="),
        ("region = \"eu-west-1\"\n", ""),
        ("key = [\"order_id\"]", ""),
        ("[sink]", "[limits]\nbatch = { lingr_ms = 5 }\n[sink]"),
    ];
    for (from, to) in cases {
        let text = MINIMAL.replacen(from, to, 1);
        assert!(read(&text).is_err() && !fits_schema(&text), "{text}");
    }
}
