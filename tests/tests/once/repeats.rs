//! Sources without positions: repetitions are told by event id, a storm of them costs the sink no query each, and
//! `check` and `status` say the grade.

use std::time::Duration;

use reconverge_tests::{Change, Kind, Scene};
use serde_json::{Value, json};

const TABLES: &str = "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);
    CREATE TABLE plain (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);";
const RULES: &str = "[[table]]\nname = \"goods\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\n\n\
    [[table]]\nname = \"plain\"\nkey = [\"id\"]\npolicy = \"none\"\n";

fn write(table: &str, number: u64, id: u64, version: u64) -> Change {
    let row = json!({"id": id, "version": version});
    Change::write("shop", number, table, json!({"id": id}), row).without("pos")
}

fn with_id(table: &str, number: u64, id: u64, version: u64) -> Change {
    write(table, number, id, version).with("event_id", json!(format!("e{number}")))
}

async fn rows(scene: &Scene) -> Vec<String> {
    let query = "SELECT 'goods ' || id || ' ' || version FROM goods \
                 UNION ALL SELECT 'plain ' || id || ' ' || version FROM plain ORDER BY 1";
    scene.column(query).await
}

/// Version 1, version 2, then version 1 again: under rules that go by arrival a repetition that is not told shows.
async fn told_by_event_id(name: &str, kind: Kind) {
    let scene = Scene::new(name, kind, TABLES).await;
    scene.write(RULES);
    let first = ["goods", "plain"].map(|table| with_id(table, 1, 7, 1));
    let second = ["goods", "plain"].map(|table| with_id(table, 2, 7, 2));
    scene.publish(first.iter().chain(&second).chain(&first)).await;
    let report = scene.run().await;
    assert_eq!((report.sum("applied"), report.sum("duplicate")), (4, 2), "within a batch: {report:?}");
    // Another process, which knows only what the sink does.
    scene.publish(first.iter().chain(&second)).await;
    let report = scene.run().await;
    assert_eq!((report.sum("applied"), report.sum("duplicate")), (0, 4), "after a restart: {report:?}");
    assert_eq!(rows(&scene).await, ["goods 7 2", "plain 7 2"]);
    // A delete and a repetition of what it deleted.
    let gone = Change::delete("shop", 3, "goods", json!({"id": 7}), Value::Null)
        .without("pos")
        .with("event_id", json!("e3"));
    scene.publish([&gone, &second[0]]).await;
    let report = scene.run().await;
    assert_eq!((report.sum("deleted"), report.sum("duplicate")), (1, 1), "{report:?}");
    assert_eq!(rows(&scene).await, ["plain 7 2"]);
    scene.audit().await;
    assert_eq!(grade(&scene).await, "B");
}

#[tokio::test]
async fn sqlite_tells_repetitions_by_event_id() {
    told_by_event_id("event_ids_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_tells_repetitions_by_event_id() {
    told_by_event_id("event_ids_postgres", Kind::Postgres).await;
}

async fn grade(scene: &Scene) -> String {
    let status: Value = scene.call(&["status", "--json"]).await.done().json();
    let sources = status["sources"].as_array().unwrap();
    let shop = sources.iter().find(|s| s["name"] == "shop").unwrap_or_else(|| panic!("{status}"));
    shop["grade"].as_str().unwrap().to_owned()
}

/// The message's id stands in for the event's. JetStream itself tells such repetitions for two minutes only, so the
/// stream's window is made short.
#[tokio::test]
async fn the_id_of_the_message_is_an_event_id() {
    let scene = Scene::new("message_ids", Kind::Sqlite, TABLES).await;
    scene.write(RULES);
    let mut config = scene.jetstream.get_stream(&scene.stream).await.unwrap().cached_info().config.clone();
    config.duplicate_window = Duration::from_millis(100);
    scene.jetstream.update_stream(config).await.unwrap();
    for _ in 0..2 {
        let mut headers = Change::headers();
        headers.insert("Nats-Msg-Id", "m1");
        scene.publish_bytes("goods", headers, write("goods", 1, 7, 1).payload()).await;
        // Longer than the stream's window, of which the server knows when it is over.
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let report = scene.run().await;
    assert_eq!((report.sum("applied"), report.sum("duplicate")), (1, 1), "{report:?}");
}

/// Neither position nor id: what comes again takes effect again, and that is said.
#[tokio::test]
async fn grades_are_told_before_and_after() {
    let scene = Scene::new("grades", Kind::Sqlite, TABLES).await;
    scene.write(RULES);
    scene.publish([&with_id("goods", 1, 1, 1)]).await;
    let warned = |found: &reconverge_tests::Found, words: &str| {
        found.problems.iter().any(|p| p.severity == "warning" && p.message.contains(words))
    };
    let found = scene.check().await;
    assert!(found.ok && warned(&found, "grade B"), "{found:?}");
    let change = write("goods", 2, 1, 2);
    scene.publish([&change, &change]).await;
    let found = scene.check().await;
    assert!(found.ok && warned(&found, "grade C"), "{found:?}");
    let report = scene.run().await;
    assert_eq!(report.sum("applied"), 3, "{report:?}");
    assert_eq!(grade(&scene).await, "C");
    let told = scene.call(&["status"]).await.done().stdout;
    assert!(told.contains("not at all"), "{told}");
    let placed = Change::write("shop", 3, "goods", json!({"id": 2}), json!({"id": 2, "version": 1}));
    scene.publish([&placed]).await;
    assert!(!warned(&scene.check().await, "grade"), "its newest change has a position");
    scene.run().await;
    assert_eq!(grade(&scene).await, "A", "the grade is that of what came since the lane was claimed");
}

async fn storm(name: &str, kind: Kind) -> (Scene, u16) {
    let mut scene = Scene::new(name, kind, TABLES).await;
    scene.rows = 50;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    scene.write(&format!("{RULES}\n[metrics]\nlisten = \"127.0.0.1:{port}\"\n"));
    (scene, port)
}

/// Waits until a metric has a value: it is counted just after the commit that the sink shows.
async fn until_metric(port: u16, line: &str, value: &str) {
    let mut found = None;
    for _ in 0..400 {
        found = metric(port, line).await;
        if found.as_deref() == Some(value) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{line} was to become {value}: {found:?}");
}

async fn metric(port: u16, line: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text.lines().find_map(|l| l.strip_prefix(line).map(|rest| rest.trim().to_owned()))
}

/// Five hundred repetitions of one event: none of them asks the sink's table of seen events.
#[tokio::test]
async fn a_storm_of_repeats_is_absorbed_without_a_query_each() {
    let (scene, port) = storm("storm", Kind::Postgres).await;
    let running = scene.start(&["run", "--json"]);
    let of_rows = |n: u64| with_id("goods", n, n, 1);
    let sequence = scene.publish([&of_rows(1)]).await[0];
    scene.until_committed(sequence).await;
    // When the next batch is committed, what the first one saw is in the window.
    let sequence = scene.publish([&of_rows(2)]).await[0];
    scene.until_committed(sequence).await;
    let scans =
        "SELECT coalesce(idx_scan, 0) FROM pg_stat_user_indexes WHERE indexrelname = 'seen_event_pkey'";
    let repeats = vec![of_rows(1); 500];
    let last = *scene.publish(&repeats).await.last().unwrap();
    scene.until_committed(last).await;
    until_metric(port, "reconverge_repeats_total{told_by=\"window\"}", "500").await;
    running.signal("TERM").await;
    let report: reconverge_tests::Report = running.ended().await.done().json();
    assert_eq!((report.sum("applied"), report.sum("duplicate")), (2, 500), "{report:?}");

    // One question for each of the two new events, and one look of each of their inserts.
    let scanned: u64 = scene.column(scans).await[0].parse().unwrap();
    assert!(scanned <= 4, "the sink was asked {scanned} times");
    scene.audit().await;
}
