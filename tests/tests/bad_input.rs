//! Input that cannot be applied, of every kind: each is one dead letter with a reason that helps and holds no
//! value, and everything around it is applied. What was mended can be sent again, what was not can be closed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use async_nats::HeaderMap;
use reconverge_tests::{Change, Kind, Letter, Scene};
use serde_json::{Value, json};

const POSTGRES: &str = "CREATE TYPE mood AS ENUM ('calm', 'tense');
    CREATE TABLE goods (id bigint, place text, name text NOT NULL, small smallint, mood mood, code text UNIQUE,
        label varchar(5), price numeric(5,2), born date, doc jsonb, PRIMARY KEY (id, place));";
const SQLITE: &str = "CREATE TABLE goods (id BIGINT NOT NULL, place TEXT NOT NULL, name TEXT NOT NULL,
        small SMALLINT, mood TEXT, code TEXT UNIQUE, label VARCHAR(5), price TEXT_NUMERIC(5,2), born DATE,
        doc JSONB, PRIMARY KEY (id, place));";
/// What follows the limits that every scene has.
const RULES: &str = "value_bytes = \"2KiB\"\n\n[[table]]\nname = \"goods\"\nkey = [\"id\", \"place\"]\n";
/// What a bad row says; no reason may hold it.
const CANARY: &str = "anna@example.com";

fn ddl(kind: Kind) -> &'static str {
    if kind == Kind::Postgres { POSTGRES } else { SQLITE }
}

fn good(id: i64, commit: u64, cells: Value) -> Change {
    let mut row = json!({"id": id, "place": "x", "name": CANARY});
    for (name, value) in cells.as_object().unwrap() {
        row[name] = value.clone();
    }
    Change::write("east", commit, "goods", json!({"id": id, "place": "x"}), row)
}

/// A bad message: its bytes, the code of its letter, and a part of the reason.
struct Bad {
    bytes: Vec<u8>,
    code: &'static str,
    reason: &'static str,
}

fn bad(bytes: impl Into<Vec<u8>>, code: &'static str, reason: &'static str) -> Bad {
    Bad { bytes: bytes.into(), code, reason }
}

fn all_kinds(kind: Kind) -> Vec<Bad> {
    let whole = good(1, 1, json!({})).payload();
    let of = |cells: Value| good(50, 500, cells).payload();
    let row = |row: Value| good(50, 500, json!({})).with("after", row).payload();
    let mut kinds = vec![
        bad(format!("no JSON, {CANARY}"), "not-json", "line 1, column"),
        bad(&whole[..whole.len() / 2], "not-json", "line 1, column"),
        bad(b"\xff\xfe\x00".as_slice(), "not-json", "no UTF-8"),
        bad("", "not-json", "no JSON"),
        bad("[1,2]", "not-an-envelope", "line 1, column"),
        bad(good(50, 500, json!({})).without("at").payload(), "not-an-envelope", "no `at`"),
        bad(good(50, 500, json!({})).with("op", json!("x")).payload(), "unknown-op", "c, u, d, r, t"),
        bad(good(50, 500, json!({})).with("op", json!("t")).payload(), "truncate", "never applied; hint:"),
        bad(good(50, 500, json!({})).with("v", json!(7)).payload(), "unknown-version", "reads version 1"),
        bad(
            good(50, 500, json!({})).with("key", json!({"id": 50})).payload(),
            "missing-key",
            "`place` is missing",
        ),
        bad(good(50, 500, json!({})).without("key").payload(), "missing-key", "carries no key; hint:"),
        bad(
            good(50, 500, json!({})).with("key", json!({"id": null, "place": "x"})).payload(),
            "null-key",
            "`id` is null",
        ),
        bad(row(json!({"id": 51, "place": "x", "name": "n"})), "key-mismatch", "different rows"),
        bad(of(json!({"small": "a word"})), "wrong-type", "column `small`: expected an integer"),
        bad(of(json!({"born": true})), "wrong-type", "column `born`: expected a date, found a boolean"),
        bad(of(json!({"price": {"a": 1}})), "wrong-type", "column `price`: expected a decimal"),
        bad(of(json!({"small": 32_768})), "out-of-range", "column's range (-32768 to 32767)"),
        bad(of(json!({"price": "1000.00"})), "out-of-range", "column `price`"),
        bad(of(json!({"label": "sixsix"})), "too-long", "column `label`"),
        bad(of(json!({"name": "y".repeat(3000)})), "too-large", "limits.value_bytes"),
        bad(of(json!({"name": "a\u{0}b"})), "nul-in-text", "column `name`"),
        bad(of(json!({"doc": {"a": "\u{0}"}})), "nul-in-text", "column `doc`"),
        bad(row(json!({"id": 50, "place": "x", "name": null})), "null-in-not-null", "column `name`: null"),
        bad(
            good(50, 500, json!({})).with("pos", json!({"source": "east", "commit": "-1"})).payload(),
            "bad-position",
            "decimal string",
        ),
        bad(of(json!({"doc": deep()})), "too-deep", "column `doc`"),
        bad(of(json!({"code": "taken"})), "cannot-be-written", ""),
    ];
    if kind == Kind::Postgres {
        kinds.push(bad(of(json!({"mood": "furious"})), "bad-label", "column `mood`"));
    }
    kinds
}

/// A document of more levels than any may have.
fn deep() -> Value {
    (0..140).fold(json!(1), |inner, _| json!([inner]))
}

async fn each_is_one_letter(name: &str, kind: Kind) {
    let mut scene = Scene::new(name, kind, ddl(kind)).await;
    scene.rows = 50;
    scene.write(RULES);
    scene.publish(&[good(1, 1, json!({"code": "taken"})), good(2, 2, json!({"small": 7}))]).await;
    let kinds = all_kinds(kind);
    let mut sequences = Vec::new();
    for (place, bad) in (0..).zip(&kinds) {
        sequences.push(scene.publish_bytes("goods", Change::headers(), bad.bytes.clone()).await);
        scene.publish(&[good(100 + place, 1000 + place.unsigned_abs(), json!({"label": "fine"}))]).await;
    }
    let unlisted = Change::write("east", 3, "unheard_of", json!({"id": 1}), json!({"id": 1}));
    scene.publish(&[unlisted]).await;
    let ended = scene.call(&["run", "--until-caught-up", "--json", "--log", "json", "-vv"]).await.done();
    let report: reconverge_tests::Report = ended.json();
    let goods = scene.column("SELECT id FROM goods WHERE label = 'fine' OR id < 3").await;
    assert_eq!(goods.len(), kinds.len() + 2, "what stood around the bad was applied");
    assert_eq!(report.count("(none)", "unlisted"), 1, "{report:?}");
    let letters = scene.letters().await;
    let found: Vec<u64> = letters.iter().map(|letter| letter.sequence).collect();
    assert_eq!(found, sequences, "{letters:#?}");
    for (letter, bad) in letters.iter().zip(&kinds) {
        assert_eq!(letter.code, bad.code, "{letter:?}");
        assert!(letter.reason.contains(bad.reason), "{letter:?} should say {:?}", bad.reason);
        assert!(!letter.reason.contains(CANARY) && !letter.reason.contains("furious"), "{letter:?}");
        assert_eq!(letter.state, "open");
    }
    assert!(!ended.stderr.contains(CANARY), "a row is in the log");
    assert_eq!(scene.run().await.changes, 0);
    scene.audit().await;
}

#[tokio::test]
async fn sqlite_each_is_one_letter() {
    each_is_one_letter("bad_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_each_is_one_letter() {
    each_is_one_letter("bad_postgres", Kind::Postgres).await;
}

#[tokio::test]
async fn what_is_no_message_pack_is_a_letter_too() {
    let scene = Scene::new("msgpack", Kind::Sqlite, SQLITE).await;
    scene.write(RULES);
    let mut headers = Change::headers();
    headers.insert("Content-Type", "application/msgpack");
    for bytes in [&b"\xc1"[..], b"\xdf\xff\xff\xff\xff", b"{}"] {
        scene.publish_bytes("goods", headers.clone(), bytes.to_vec()).await;
    }
    scene.publish_bytes("goods", HeaderMap::new(), "{\"op\":\"u\"}").await;
    scene.publish(&[good(1, 1, json!({}))]).await;
    assert_eq!(scene.run().await.sum("applied"), 1);
    let codes: Vec<String> = scene.letters().await.into_iter().map(|letter| letter.code).collect();
    assert_eq!(codes[..2], ["not-msgpack", "not-msgpack"]);
    assert!(codes[2] == "not-msgpack" || codes[2] == "not-an-envelope", "{codes:?}");
    assert_eq!(codes[3], "unknown-version");
}

async fn letter(scene: &Scene, id: i64) -> Letter {
    scene.letters().await.into_iter().find(|letter| letter.id == id).unwrap()
}

/// Mended, sent again and applied; not mended and sent again: a new letter; closed: for good.
async fn redriven_and_discarded(name: &str, kind: Kind) {
    let scene = Scene::new(name, kind, ddl(kind)).await;
    scene.write(RULES);
    let clashes = |id, commit| good(id, commit, json!({"code": "taken"}));
    scene.publish(&[clashes(1, 1), clashes(2, 2), clashes(3, 3), clashes(4, 4)]).await;
    assert_eq!(scene.run().await.sum("dead-lettered"), 3);
    let letters = scene.letters().await;
    let ids: Vec<String> = letters.iter().map(|letter| letter.id.to_string()).collect();
    // Sent again while it still clashes: another letter, and the first one stays open.
    scene.call(&["dlq", "redrive", &ids[1]]).await.done();
    assert_eq!(scene.run().await.sum("dead-lettered"), 1);
    assert_eq!(letter(&scene, letters[1].id).await.state, "open");
    scene.sink.execute("UPDATE goods SET code = 'free' WHERE id = 1").await.unwrap();
    let told = scene.call(&["dlq", "redrive", &ids[0]]).await.done();
    assert!(told.stdout.contains("was sent again as sequence 6"), "{}", told.stdout);
    assert_eq!(scene.run().await.sum("applied"), 1);
    assert_eq!(scene.column("SELECT id FROM goods ORDER BY id").await, ["1", "2"]);
    assert_eq!(letter(&scene, letters[0].id).await.state, "redriven");
    // Only an open letter can be sent again.
    assert_eq!(scene.call(&["dlq", "redrive", &ids[0]]).await.code, Some(1));
    let words = ["dlq", "discard", &ids[2], "--by", "an operator", "--note", "a test"];
    scene.call(&words).await.done();
    let closed = letter(&scene, letters[2].id).await;
    assert_eq!((closed.state.as_str(), closed.closed_by.as_deref()), ("discarded", Some("an operator")));
    assert_eq!(closed.note.as_deref(), Some("a test"));
    let again = scene.call(&["dlq", "redrive", &ids[2]]).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("is discarded"), "{}", again.stderr);
    assert_eq!(scene.call(&words).await.code, Some(1), "it is closed already");
    scene.audit().await;
}

#[tokio::test]
async fn sqlite_redriven_and_discarded() {
    redriven_and_discarded("redriven_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_redriven_and_discarded() {
    redriven_and_discarded("redriven_postgres", Kind::Postgres).await;
}

/// An old fix that is sent again loses against what came since.
#[tokio::test]
async fn a_letter_that_is_sent_again_meets_the_newest_state() {
    let scene = Scene::new("stale", Kind::Sqlite, SQLITE).await;
    scene.write(RULES);
    scene.publish(&[good(1, 1, json!({"code": "taken"})), good(2, 2, json!({"code": "taken"}))]).await;
    scene.run().await;
    let letters = scene.letters().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    scene.publish(&[good(2, 3, json!({"code": null}))]).await;
    assert_eq!(scene.run().await.sum("applied"), 1);
    scene.sink.execute("UPDATE goods SET code = 'free' WHERE id = 1").await.unwrap();
    scene.call(&["dlq", "redrive", &letters[0].id.to_string()]).await.done();
    assert_eq!(scene.run().await.sum("kept-current"), 1);
    assert_eq!(scene.column("SELECT count(*) FROM goods WHERE id = 2 AND code IS NULL").await, ["1"]);
    assert_eq!(letter(&scene, letters[0].id).await.state, "redriven", "it has its disposition now");
}

#[tokio::test]
async fn a_row_that_breaks_its_schema_is_a_letter_with_the_path() {
    let scene = Scene::new("schema", Kind::Sqlite, SQLITE).await;
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
        "required": ["name"],
        "properties": {
            "small": {"type": "integer", "minimum": 0},
            "doc": {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}}}},
        },
    });
    std::fs::write(scene.folder().join("goods.schema.json"), schema.to_string()).unwrap();
    let version = "schema = { version = 2, accept = [1, 2], json_schema = \"goods.schema.json\" }\n";
    scene.write(&format!("{RULES}{version}"));
    let of = |id, commit, cells: Value| good(id, commit, cells).with("schema", json!(2));
    let changes = [
        of(1, 1, json!({"small": 3, "doc": {"tags": ["a"]}})),
        of(2, 2, json!({"small": -3})),
        of(3, 3, json!({"doc": {"tags": ["a", 5, CANARY]}})),
        of(4, 4, json!({})).with("after", json!({"id": 4, "place": "x"})),
        of(5, 5, json!({})).with("schema", json!(3)),
        of(6, 6, json!({})),
    ];
    scene.publish(&changes).await;
    assert_eq!(scene.run().await.sum("applied"), 2);
    let letters = scene.letters().await;
    let told = [
        ("schema-violation", "`/small` breaks the payload schema at `/properties/small/minimum`"),
        ("schema-violation", "`/doc/tags/1` breaks the payload schema"),
        ("schema-violation", "the row breaks the payload schema at `/required`"),
        ("schema-version", "schema version 3 is not accepted; hint:"),
    ];
    assert_eq!(letters.len(), told.len(), "{letters:?}");
    for (letter, (code, reason)) in letters.iter().zip(told) {
        assert_eq!(letter.code, code, "{letter:?}");
        assert!(letter.reason.contains(reason) && !letter.reason.contains(CANARY), "{letter:?}");
    }
}
