//! Promise 10 on every way that a change can end: canaries stand in suppressed rows and redacted columns, and every error
//! is driven: messages that do not decode, a trap, rows that the database refuses by a check and by a unique value,
//! rows that wait for a parent and rows that have lost theirs, losers that are archived, letters that are sent again.
//! Then every table, every file of the sink (PostgreSQL's log and WAL, SQLite's WAL), all that the commands print and
//! the log at its loudest are searched. The same without the residency plugin finds them, so the search can.

use std::path::Path;

use reconverge_capture::Database;
use reconverge_servers::Postgres;
use reconverge_tests::{Change, Ended, Kind, Scene, free_port, guest, http};
use serde_json::{Value, json};

use crate::residency::{everything, holds};

/// In rows that may not be here.
const SUPPRESSED: &str = "canary-of-a-row";
/// In columns that may not be here, of rows that may.
const REDACTED: &str = "canary-of-a-cell";
/// In rows that the filter traps on.
const TRAP: &str = "trap-here";

/// Everything but what compilers say of a plugin's code, which is gigabytes and knows no rows.
const LOUD: &str = "trace,cranelift_codegen=warn,cranelift_frontend=warn,regalloc2=warn,wasmtime=warn,\
    wasmtime_internal_cranelift=warn,wasmtime_environ=warn,wit_parser=warn,wit_component=warn";

const TABLES: &str = "CREATE TABLE people (id bigint PRIMARY KEY NOT NULL, name text, email text, note text,
        age bigint CHECK (age < 200), badge text UNIQUE, consent TEXTS NOT NULL);
    CREATE TABLE visits (id bigint PRIMARY KEY NOT NULL, person bigint, name text, email text, note text,
        age bigint, consent TEXTS NOT NULL);
    CREATE INDEX visits_person ON visits (person);";

fn rules(residency: bool, listen: u16) -> String {
    let table = |name: &str, more: &str| {
        format!(
            "[[table]]\nname = \"{name}\"\nkey = [\"id\"]\npolicy = \"lww:commit-time\"\n\
             before_images = \"full\"\narchive = \"loser\"\n{more}\n\n"
        )
    };
    let parent = "priority = 1\ndepends_on = [{ table = \"people\", columns = [\"person\"] }]";
    let filter = format!(
        "[[plugin]]\nname = \"faulty\"\npath = {:?}\nstage = \"filter\"\ntables = [\"*\"]\n\
         config = {{ mode = \"trap\", marker = \"{TRAP}\", column = \"note\" }}\n\n",
        guest("faulty")
    );
    let rule = |table: &str| {
        format!("{{ table = \"{table}\", consent = \"consent\", redact = [\"name\", \"email\"] }}")
    };
    let residency = if residency {
        format!(
            "[[plugin]]\nname = \"residency\"\npath = {:?}\nstage = \"residency\"\ntables = [\"*\"]\n\
             config = {{ zone = \"us\", tables = [{}, {}] }}\n\n[[plugin]]\nname = \"rows\"\npath = {:?}\n\
             stage = \"residency\"\ntables = [\"visits\"]\nconfig = {{ zone = \"us\", \
             tables = [{{ table = \"visits\", consent = \"consent\" }}] }}\n\n",
            guest("residency"),
            rule("people"),
            "{ table = \"visits\" }",
            guest("residency"),
        )
    } else {
        String::new()
    };
    format!(
        "{}{}{residency}{filter}[metrics]\nlisten = \"127.0.0.1:{listen}\"\n",
        table("people", "priority = 0"),
        table("visits", parent),
    )
}

/// A person whose name and address may not be here.
fn person(commit: u64, source: &str, id: u64, more: &Value) -> Change {
    let mut row = json!({
        "id": id, "name": format!("{REDACTED}-name"), "email": format!("{REDACTED}@example.com"), "note": "n",
        "age": 7, "badge": format!("b{id}"), "consent": ["eu"],
    });
    for (name, value) in more.as_object().unwrap() {
        row[name] = value.clone();
    }
    Change::write(source, commit, "people", json!({"id": id}), row.clone()).with("before", row)
}

/// A visit that may not be here at all, or one that may.
fn visit(commit: u64, id: u64, person: u64, consent: &str) -> Change {
    let canary = if consent == "us" { "allowed" } else { SUPPRESSED };
    let row = json!({
        "id": id, "person": person, "name": format!("{canary}-name"), "email": format!("{canary}@example.com"),
        "note": canary, "age": 7, "consent": [consent],
    });
    Change::write("east", commit, "visits", json!({"id": id}), row.clone()).with("before", row)
}

fn changes() -> Vec<Change> {
    let none = json!({});
    vec![
        person(1, "east", 1, &none),
        // A contest, whose loser is archived, either way.
        person(3, "west", 1, &none),
        person(2, "west", 1, &json!({"note": "older"})),
        // Refused by the plugin, by the database, by the decoder.
        person(4, "east", 2, &json!({"note": TRAP})),
        person(5, "east", 3, &json!({"age": 500})),
        person(6, "east", 4, &json!({"badge": "b1"})),
        person(7, "east", 5, &json!({"age": REDACTED})),
        person(8, "east", 6, &none).with("op", json!(REDACTED)),
        person(9, "east", 7, &json!({"consent": REDACTED})),
        // Rows that wait, with and without a right to be here, and rows that lose their parent.
        visit(10, 1, 99, "us"),
        visit(11, 2, 99, "eu"),
        visit(12, 3, 1, "us"),
        visit(13, 4, 1, "eu"),
        person(14, "east", 8, &none),
        visit(15, 5, 8, "us"),
        Change::delete("east", 16, "people", json!({"id": 8}), person(16, "east", 8, &none).field("after")),
        // Suppressed in contests: it was here, and leaves; it was never here, and changes.
        visit(17, 3, 1, "eu"),
        visit(18, 2, 99, "eu"),
        Change::delete("east", 19, "visits", json!({"id": 2}), visit(19, 2, 99, "eu").field("after")),
        visit(20, 6, 99, "eu"),
    ]
}

/// All files below a folder.
fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
}

fn stands_in(bytes: &[u8], canary: &str) -> bool {
    let digits: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
    [canary, &digits].iter().any(|text| bytes.windows(text.len()).any(|piece| piece == text.as_bytes()))
}

/// Runs all of it and returns the places in which each canary stands.
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
async fn places(name: &str, kind: Kind, residency: bool) -> [Vec<String>; 2] {
    let texts = if kind == Kind::Postgres { "text[]" } else { "TEXT[]" };
    let server = (kind == Kind::Postgres).then(|| Postgres::builder().commit_timestamps().start().unwrap());
    let mut scene = Scene::new(name, Kind::Sqlite, "CREATE TABLE unused (id bigint PRIMARY KEY)").await;
    if let Some(server) = &server {
        scene.sink = Database::Postgres(server.create_database(name).unwrap());
    }
    scene.sink.execute(&TABLES.replace("TEXTS", texts)).await.unwrap();
    scene.rows = 4;
    let port = free_port();
    scene.write(&rules(residency, port));
    let last = *scene.publish(&changes()).await.last().unwrap();
    let loud = [("RECONVERGE_LOG", LOUD)];
    let running = scene.start_with(&["run", "--log", "json", "-vv"], &loud);
    scene.until_committed(last).await;
    let letters = scene.letters().await;
    let codes: Vec<_> = letters.iter().map(|l| (l.stage.as_str(), l.sequence)).collect();
    for (stage, sequence) in [("filter", 4), ("write", 5), ("write", 6), ("decode", 7)] {
        assert!(codes.contains(&(stage, sequence)), "{stage} of {sequence} in {codes:?}");
    }
    // Sent again they fail again, by the same way.
    let mut words = vec!["dlq".to_owned(), "redrive".to_owned()];
    words.extend(letters.iter().map(|letter| letter.id.to_string()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let redriven = scene.call(&words).await.done();
    scene.until_committed(last + letters.len() as u64).await;
    let ready = http(port, "/ready");
    let told = http(port, "/metrics");
    running.signal("TERM").await;
    let ended: Ended = running.ended().await.done();
    assert!(ended.stderr.contains("\"level\":\"TRACE\"") || ended.stderr.contains("\"level\":\"DEBUG\""));

    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |place: &str, text: String| all.push((place.to_owned(), text.into_bytes()));
    add("the log", ended.stderr);
    add("stdout", ended.stdout);
    add("health", ready);
    add("metrics", told);
    add("redrive", redriven.stdout + &redriven.stderr);
    let first = letters[0].id.to_string();
    let commands: [&[&str]; 12] = [
        &["dlq", "list", "--state", "all", "--json"],
        &["dlq", "list", "--state", "all"],
        &["dlq", "show", &first],
        &["conflicts", "list", "--json"],
        &["parked", "list", "--json"],
        &["parked", "list"],
        &["parked", "show", "visits", "1"],
        &["explain", "people", "1", "--json"],
        &["explain", "people", "2"],
        &["explain", "visits", "2"],
        &["status", "--json"],
        &["audit", "--json"],
    ];
    for words in commands {
        let ended = scene.call(words).await;
        add(&words.join(" "), ended.stdout + &ended.stderr);
    }
    let waiting = scene.column(&format!("SELECT count(*) FROM {}", scene.sidecar("parked"))).await;
    assert_ne!(waiting, ["0"], "no row waits");
    for (table, text) in everything(&scene).await {
        add(&table, text);
    }
    match (&scene.sink, &server) {
        (Database::Sqlite(file), _) => {
            for file in [file.clone(), file.with_extension("db-wal"), file.with_extension("db-shm")] {
                let bytes = std::fs::read(&file).unwrap_or_default();
                all.push((file.display().to_string(), bytes));
            }
        }
        (Database::Postgres(_), Some(server)) => {
            server.execute("postgres", "CHECKPOINT").unwrap();
            files(server.folder(), &mut all);
        }
        (Database::Postgres(_), None) => unreachable!("a server of its own was started"),
    }
    assert!(
        all.iter().any(|(_, bytes)| stands_in(bytes, "allowed-name")),
        "the rows that may be here were not read"
    );
    [SUPPRESSED, REDACTED].map(|canary| {
        let found = all.iter().filter(|(_, bytes)| stands_in(bytes, canary));
        found.map(|(place, _)| place.clone()).collect()
    })
}

async fn nowhere(name: &str, kind: Kind) {
    let [suppressed, redacted] = places(name, kind, true).await;
    assert_eq!((suppressed, redacted), (Vec::<String>::new(), Vec::<String>::new()));
    // Without the rule they stand in rows, in the history, in dead letters, beside and in files: the search finds them.
    let [suppressed, redacted] = places(&format!("{name}_free"), kind, false).await;
    for (found, least) in [(&suppressed, ["visits", "parked"]), (&redacted, ["people", "dead_letter"])] {
        for word in least {
            assert!(found.iter().any(|place| place.contains(word)), "not in {word}: {found:?}");
        }
    }
    assert!(holds("as text: canary-of-a-row", SUPPRESSED));
    let in_files = |place: &&String| place.contains("sink.db") || place.contains("pg_wal");
    assert!(suppressed.iter().any(|place| in_files(&place)), "in no file: {suppressed:?}");
}

#[tokio::test]
async fn promise_10_residency_on_every_way_sqlite() {
    nowhere("canaries", Kind::Sqlite).await;
}

#[tokio::test]
async fn promise_10_residency_on_every_way_postgres() {
    nowhere("canaries_postgres", Kind::Postgres).await;
}
