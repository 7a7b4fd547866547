//! Promise 10: bytes that a residency rule suppressed or redacted stand nowhere: in no table of the sink, the
//! sidecar's included, in no log line at the loudest, in no error text, in no metric.
//!
//! The canaries stand in cells. A key stands in two places all the same, and the test says so by looking: the version
//! row of a suppressed key, since its later changes are ordered by it, and the history, where a delete (which no rule
//! holds back) met what was suppressed. `suppressed` itself keeps a keyed hash, and a dead letter that residency has
//! not passed keeps no key.

use std::path::Path;

use reconverge_capture::Database;
use reconverge_tests::{Change, Kind, Scene, free_port, guest, http};
use serde_json::{Value, json};

const TABLES: &str = "CREATE TABLE people (id text PRIMARY KEY NOT NULL, name text, email text, age bigint,
        consent TEXTS NOT NULL);
    CREATE TABLE guests (id text PRIMARY KEY NOT NULL, name text, email text, age bigint, consent TEXTS NOT NULL);";
/// In the name of a row that may not be here.
const SUPPRESSED: &str = "canary-suppressed";
/// In a column that may not be here, of a row that may.
const REDACTED: &str = "canary-redacted";
/// In a message that residency never saw, since it could not be read.
const UNREAD: &str = "canary-unread";
/// The key of a row that may not be here.
const KEY: &str = "canary-key";

fn rules(listen: u16) -> String {
    let table = |name: &str| {
        format!(
            "[[table]]\nname = \"{name}\"\nkey = [\"id\"]\npolicy = \"lww:commit-time\"\n\
             before_images = \"full\"\narchive = \"loser\"\n\n"
        )
    };
    format!(
        "{}{}[[plugin]]\nname = \"residency\"\npath = {:?}\nstage = \"residency\"\ntables = [\"*\"]\n\
         config = {{ zone = \"us\", tables = [{{ table = \"people\", consent = \"consent\" }}, \
         {{ table = \"guests\", consent = \"consent\", redact = [\"name\", \"email\"] }}] }}\n\n\
         [metrics]\nlisten = \"127.0.0.1:{listen}\"\n",
        table("people"),
        table("guests"),
        guest("residency")
    )
}

fn write(commit: u64, source: &str, table: &str, id: &str, canary: &str, consent: Value) -> Change {
    let row = json!({
        "id": id, "name": format!("{canary}-name"), "email": format!("{canary}@example.com"), "age": 7,
        "consent": consent,
    });
    Change::write(source, commit, table, json!({"id": id}), row.clone()).with("before", row)
}

fn changes() -> Vec<Change> {
    let (us, eu) = (json!(["us"]), json!(["eu"]));
    let bad = |commit: u64, field: &str, value: Value| {
        write(commit, "east", "people", "unread", UNREAD, us.clone()).with(field, value)
    };
    let no_number = json!({"id": "unread", "name": UNREAD, "age": UNREAD, "consent": ["us"]});
    vec![
        write(1, "east", "people", "stays", "allowed", us.clone()),
        write(2, "east", "people", KEY, SUPPRESSED, eu.clone()),
        // It was here, and leaves with a new name.
        write(3, "east", "people", "leaves", "allowed", us.clone()),
        write(4, "east", "people", "leaves", SUPPRESSED, eu.clone()),
        // Suppressed changes in contests: with what stands, and among each other.
        write(0, "west", "people", "stays", SUPPRESSED, eu.clone()),
        write(5, "west", "people", KEY, SUPPRESSED, eu.clone()),
        Change::delete(
            "east",
            6,
            "people",
            json!({"id": KEY}),
            write(6, "east", "people", KEY, SUPPRESSED, eu.clone()).field("after"),
        ),
        write(7, "east", "guests", "masked", REDACTED, eu.clone()),
        write(8, "west", "guests", "masked", REDACTED, eu.clone()),
        write(9, "west", "guests", "masked", REDACTED, eu),
        // Dead letters of a table with residency: a text for a number, no such operation,
        // no position, a consent that nobody knows, and none where one must be.
        bad(9, "after", no_number),
        bad(10, "op", json!(UNREAD)),
        bad(11, "pos", json!({"source": "east", "commit": UNREAD})),
        bad(12, "absent", json!(["consent"]))
            .with("after", json!({"id": "unread", "name": UNREAD}))
            .with("before", json!({"id": "unread"})),
        write(13, "east", "people", "refused", UNREAD, Value::Null),
    ]
}

/// All text and bytes of the sink by table: rows as text, byte columns in hexadecimal digits as well.
pub(crate) async fn everything(scene: &Scene) -> Vec<(String, String)> {
    let tables = match scene.sink {
        Database::Sqlite(_) => "SELECT name FROM sqlite_schema WHERE type = 'table'",
        Database::Postgres(_) => {
            "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') \
             AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
        }
    };
    let mut found = Vec::new();
    for table in scene.column(tables).await {
        let rows = match scene.sink {
            // Blobs come as text where they are text, which keys and canaries are.
            Database::Sqlite(_) => scene.texts(&format!("SELECT * FROM {table}")).await,
            Database::Postgres(_) => scene.texts(&format!("SELECT t::text FROM {table} t")).await,
        };
        let text: Vec<String> = rows.into_iter().flatten().flatten().collect();
        found.push((table, text.join("\n")));
    }
    found
}

/// Whether a text holds a canary as it is, or in the digits that PostgreSQL prints bytes in.
pub(crate) fn holds(text: &str, canary: &str) -> bool {
    let digits: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
    text.contains(canary) || text.contains(&digits)
}

fn in_file(file: &Path, canary: &str) -> bool {
    let Ok(bytes) = std::fs::read(file) else { return false };
    bytes.windows(canary.len()).any(|piece| piece == canary.as_bytes())
}

async fn stands_nowhere(name: &str, kind: Kind) {
    let texts = if kind == Kind::Postgres { "text[]" } else { "TEXT[]" };
    let mut scene = Scene::new(name, kind, &TABLES.replace("TEXTS", texts)).await;
    scene.rows = 4;
    let port = free_port();
    scene.write(&rules(port));
    let last = *scene.publish(&changes()).await.last().unwrap();
    let running = scene.start(&["run", "--log", "json", "-vv"]);
    scene.until_committed(last).await;
    let told = http(port, "/metrics");
    assert!(told.contains("reconverge_changes_total"), "{told}");
    running.signal("TERM").await;
    let ended = running.ended().await.done();

    let audit = scene.audit().await;
    let counts = &audit.lanes[0].dispositions;
    assert_eq!((counts["suppressed"], counts["dead-lettered"]), (4, 5), "{counts:?}");
    assert_eq!(scene.column("SELECT id FROM people").await, ["stays"]);
    let masked = scene.texts("SELECT name, email, age FROM guests").await;
    assert_eq!(masked, [[None, None, Some("7".to_owned())]], "redacted columns are null, the others stay");

    let commands: [&[&str]; 6] = [
        &["dlq", "list", "--json"],
        &["conflicts", "list", "--json"],
        &["explain", "people", "stays", "--json"],
        &["explain", "guests", "masked", "--json"],
        &["status", "--json"],
        &["audit", "--json"],
    ];
    let mut places = vec![("the log".to_owned(), ended.stderr), ("the metrics".to_owned(), told)];
    for words in commands {
        let ended = scene.call(words).await.done();
        places.push((words.join(" "), ended.stdout + &ended.stderr));
    }
    places.extend(everything(&scene).await);
    assert!(
        places.len() > 16,
        "tables were not found: {:?}",
        places.iter().map(|p| &p.0).collect::<Vec<_>>()
    );
    for canary in [SUPPRESSED, REDACTED, UNREAD] {
        for (place, text) in &places {
            assert!(!holds(text, canary), "{canary} stands in {place}:\n{text}");
        }
    }
    let of_key: Vec<&str> =
        places.iter().filter(|(_, text)| holds(text, KEY)).map(|(place, _)| place.as_str()).collect();
    let (version, decision) = (scene.sidecar("version"), scene.sidecar("decision"));
    assert!(of_key.contains(&version.as_str()), "{of_key:?}");
    // On PostgreSQL the history is parted by days.
    let known =
        |place: &&str| *place == version || place.starts_with(&decision) || place.starts_with("conflicts");
    assert!(of_key.iter().all(known), "the key of a suppressed row stands in {of_key:?}");
    if let Database::Sqlite(file) = &scene.sink {
        // Not even in pages that were let go, or in the log of writes.
        let files = [file.clone(), file.with_extension("db-wal")];
        for canary in [SUPPRESSED, REDACTED, UNREAD] {
            assert!(
                !files.iter().any(|file| in_file(file, canary)),
                "{canary} stands in the bytes of the sink"
            );
        }
        assert!(files.iter().any(|file| in_file(file, "allowed")), "the bytes were not read");
    }
}

#[tokio::test]
async fn promise_10_residency_sqlite() {
    stands_nowhere("resident_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn promise_10_residency_postgres() {
    stands_nowhere("resident_postgres", Kind::Postgres).await;
}
