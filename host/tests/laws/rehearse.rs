//! `reconverge rehearse` on the recording of `examples/split-brain` and on small recordings whose end is known.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::guests;

/// Up to here both regions' events are in and nobody has repaired anything.
const RECOVERY: &str = "3987";
/// What the serial script beside the recording found that last-writer-wins destroys by then.
const DESTROYED: (usize, usize, usize) = (48, 4, 1);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// An SQLite file with tables and nothing in them.
fn database(folder: &Path, sql: &str) -> PathBuf {
    let file = folder.join("sink.db");
    rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    file
}

fn rehearse(pipeline: &Path, sink: &Path, words: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_reconverge"))
        .arg("rehearse")
        .arg("--pipeline")
        .arg(pipeline)
        .args(words)
        .env("RECONVERGE_SINK_URL", format!("sqlite://{}", sink.display()))
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_recording_of_the_demo_tells_what_the_plugin_saved() {
    guests::wasm("schedule-merge");
    let folder = tempfile::tempdir().unwrap();
    let example = root().join("examples/split-brain");
    let sql = std::fs::read_to_string(example.join("schema.sqlite.sql")).unwrap();
    let (sink, page) = (database(folder.path(), &sql), folder.path().join("rehearsal.html"));
    let before = schema_of(&sink);
    let recording = example.join("split_brain.jsonl.gz");
    let against = guests::wasm("schedule-merge");
    let words = [
        "--a",
        recording.to_str().unwrap(),
        "--through",
        RECOVERY,
        "--orders",
        "3",
        "--json",
        "--html",
        page.to_str().unwrap(),
        "--against",
        against.to_str().unwrap(),
    ];
    let (_, told, said) = rehearse(&example.join("pipeline.toml"), &sink, &words);
    let report: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {said}"));
    let saved = report["saved"].as_array().unwrap();
    let harm = |word: &str| saved.iter().filter(|row| row["harm"] == word).count();
    assert_eq!((harm("overwritten"), harm("lost"), harm("resurrected")), DESTROYED, "{said}");
    assert!(saved.iter().all(|row| row["table"] == "agent_schedules"));
    let diverging = report["diverging"].as_array().unwrap();
    let schedules: Vec<&Value> = diverging.iter().filter(|key| key["table"] == "agent_schedules").collect();
    assert!(schedules.is_empty(), "the rule converges in every order: {schedules:#?}");
    assert_eq!(report["against"]["rows"], json!([]), "the same plugin decides the same");
    assert!(report["conflicts"].as_array().unwrap().iter().any(|c| c["kind"] == "update_origin_differs"));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("last-writer-wins") && !page.contains("<script"));
    assert_eq!(schema_of(&sink), before, "nothing was made in the real sink");
}

/// What a database holds: the names in its schema. (Opening it may turn the journal to WAL; that is no content.)
fn schema_of(file: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(file).unwrap();
    let mut names = connection.prepare("SELECT name FROM sqlite_schema ORDER BY name").unwrap();
    names.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// A pipeline with one table and one merge rule.
fn small(folder: &Path, fault: Option<&str>) -> PathBuf {
    let (guest, config) = match fault {
        Some(fault) => ("broken", format!("config = {{ fault = '{fault}' }}")),
        None => ("schedule-merge", String::new()),
    };
    let file = folder.join("pipeline.toml");
    let text = format!(
        "[pipeline]\nname = 'small'\nregion = 'here'\n[source]\nurl = 'nats://127.0.0.1:1'\nstream = 'S'\n\
         subjects = 'cdc.{{source}}.{{partition}}.>'\n[sink]\nurl = '${{RECONVERGE_SINK_URL}}'\n\
         [[table]]\nname = 'rows'\nkey = ['id']\npolicy = {{ plugin = 'rule' }}\narchive = 'loser'\n\
         [[plugin]]\nname = 'rule'\npath = '{}'\nstage = 'merge'\n{config}\n",
        guests::wasm(guest).display()
    );
    std::fs::write(&file, text).unwrap();
    file
}

const TABLE: &str = "CREATE TABLE rows (id INTEGER PRIMARY KEY, modification_epoch INTEGER NOT NULL, \
                     region_source TEXT NOT NULL, note TEXT);";

/// A recording of one region: (id, epoch, commit time in seconds).
fn recording(folder: &Path, region: &str, changes: &[(i64, i64, i64)]) -> PathBuf {
    let line = |(seq, (id, epoch, second)): (usize, &(i64, i64, i64))| {
        let row = json!({"id": id, "modification_epoch": epoch, "region_source": region, "note": format!("{region} {seq}")});
        let envelope = json!({
            "v": 1, "op": "u", "table": "rows", "key": {"id": id}, "before": null, "after": row, "origin": region,
            "at": 1_760_000_000_000_000_i64 + second * 1_000_000,
            "pos": {"source": region, "epoch": 0, "commit": ((seq + 1) * 10).to_string(), "ordinal": 0},
        });
        let headers = json!({"Reconverge-Version": "1"});
        json!({"seq": seq + 1, "subject": format!("cdc.{region}.0.public.rows"), "headers": headers, "data": envelope.to_string()}).to_string()
    };
    let file = folder.join(format!("{region}.jsonl"));
    std::fs::write(&file, changes.iter().enumerate().map(|c| line(c) + "\n").collect::<String>()).unwrap();
    file
}

#[test]
fn a_rule_that_depends_on_the_order_is_told_with_its_smallest_order() {
    let folder = tempfile::tempdir().unwrap();
    let sink = database(folder.path(), TABLE);
    let pipeline = small(folder.path(), Some("last-arrival"));
    let east = recording(folder.path(), "east", &[(1, 5, 0), (1, 6, 1), (2, 1, 2)]);
    let west = recording(folder.path(), "west", &[(1, 7, 0), (3, 1, 1)]);
    let words = ["--a", east.to_str().unwrap(), "--b", west.to_str().unwrap(), "--orders", "30", "--json"];
    let (code, told, said) = rehearse(&pipeline, &sink, &words);
    assert_eq!(code, 1, "{said}");
    let report: Value = serde_json::from_str(&told).unwrap();
    let diverging = report["diverging"].as_array().unwrap();
    assert_eq!(diverging.len(), 1, "{report:#}");
    assert_eq!(diverging[0]["key"], json!({"id": 1}));
    let orders = diverging[0]["orders"].as_array().unwrap();
    assert_eq!(orders.len(), 2);
    assert!(orders.iter().all(|order| order["changes"].as_array().unwrap().len() == 2), "{orders:#?}");
    assert_ne!(orders[0]["row"], orders[1]["row"]);
}

#[test]
fn another_plugin_is_compared_and_words_are_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let sink = database(folder.path(), TABLE);
    let pipeline = small(folder.path(), None);
    // The later commit of row 1 is the older edit: last-writer-wins would take it.
    let east = recording(folder.path(), "east", &[(1, 9, 0), (2, 1, 1)]);
    let west = recording(folder.path(), "west", &[(1, 3, 5)]);
    let words = ["--a", east.to_str().unwrap(), "--b", west.to_str().unwrap()];
    let (code, told, said) = rehearse(&pipeline, &sink, &words);
    assert_eq!(code, 0, "{said}");
    for part in [
        "small: 3 changes of east and west, merged in 21 orders",
        "Last-writer-wins would have destroyed 1 of 2 rows that your plugin saved: 1 overwritten",
        "modification_epoch=9",
        "Keys that depend on the order: 0",
        "Rows that wait for ever: 0",
    ] {
        assert!(told.contains(part), "lacks `{part}`:\n{told}");
    }
}

#[test]
fn what_cannot_be_played_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let sink = database(folder.path(), TABLE);
    let pipeline = small(folder.path(), None);
    let broken = folder.path().join("broken.jsonl");
    std::fs::write(&broken, "{\"seq\":1}\n").unwrap();
    let (code, _, said) = rehearse(&pipeline, &sink, &["--a", broken.to_str().unwrap()]);
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("broken.jsonl:1 is no recorded message") && said.contains("hint: a recording has"),
        "{said}"
    );
    std::fs::write(&broken, "").unwrap();
    let (code, _, said) = rehearse(&pipeline, &sink, &["--a", broken.to_str().unwrap()]);
    assert!(code == 1 && said.contains("nothing was recorded there"), "{said}");
}
