//! A table that was filled before the pipeline came: `adopt` says where its rows come from and what they contain, so that
//! changes that are in them do nothing, and what comes after is compared with what they are.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use reconverge_tests::{Change, Kind, Scene};
use serde_json::{Value, json};

const TABLES: &str =
    "CREATE TABLE shifts (id bigint PRIMARY KEY NOT NULL, note text, version bigint NOT NULL);
    CREATE TABLE badges (id bigint PRIMARY KEY NOT NULL, note text);
    INSERT INTO shifts VALUES (1, 'dump', 20), (2, 'dump', 20), (3, 'dump', 20);
    INSERT INTO badges VALUES (1, 'dump'), (2, 'dump');";
const RULES: &str = "[[table]]\nname = \"shifts\"\nkey = [\"id\"]\npolicy = \"max:version\"\n\
    deletes = \"ordered\"\nbefore_images = \"full\"\n\n\
    [[table]]\nname = \"badges\"\nkey = [\"id\"]\npolicy = \"none\"\n";

fn shift(commit: u64, id: i64, version: i64) -> Change {
    let row = json!({"id": id, "note": "east", "version": version});
    Change::write("east", commit, "shifts", json!({"id": id}), row)
}

fn badge(commit: u64, id: i64) -> Change {
    Change::write("east", commit, "badges", json!({"id": id}), json!({"id": id, "note": "east"}))
}

async fn rows(scene: &Scene, table: &str) -> Vec<String> {
    scene.column(&format!("SELECT id || ' ' || note FROM {table} ORDER BY id")).await
}

async fn adopt(scene: &Scene, words: &[&str]) -> Vec<Value> {
    scene.call(&[&["adopt", "--json"], words].concat()).await.done().json()
}

/// The counts of a table in an answer of `adopt`.
fn counts(answer: &[Value], table: &str) -> [u64; 4] {
    let of = answer.iter().find(|t| t["table"] == table).unwrap();
    ["adopted", "ours", "local", "lanes_raised"].map(|name| of[name].as_u64().unwrap())
}

async fn filled(name: &str, kind: Kind) -> Scene {
    let scene = Scene::new(name, kind, TABLES).await;
    scene.write(RULES);
    scene
}

async fn a_dump_with_its_position(name: &str, kind: Kind) {
    let scene = filled(name, kind).await;
    let through = ["--through", "east=100", "--at", "2026-03-01T06:30:00Z"];
    let looked = adopt(&scene, &[&through[..], &["--dry-run"]].concat()).await;
    assert_eq!((counts(&looked, "shifts"), counts(&looked, "badges")), ([3, 0, 0, 0], [0, 0, 0, 1]));
    let adopted = adopt(&scene, &through).await;
    assert_eq!(counts(&adopted, "shifts"), [3, 0, 0, 0], "a dry run leaves nothing");
    assert_eq!(counts(&adopted, "badges"), [0, 0, 0, 1]);
    // What is in the dump comes again, late: whatever its rows say, it is known.
    let late = [shift(99, 1, 99), badge(100, 1)];
    // What came after it.
    let new = [shift(101, 2, 19), shift(102, 3, 21), badge(103, 2)];
    scene.publish(late.iter().chain(&new)).await;
    let report = scene.run().await;
    assert_eq!(rows(&scene, "shifts").await, ["1 dump", "2 dump", "3 east"]);
    assert_eq!(rows(&scene, "badges").await, ["1 dump", "2 east"]);
    assert_eq!(report.sum("regressed"), 2, "{report:?}");
    assert_eq!(report.local_writes, 0, "{report:?}");
    let explained: Value = scene.call(&["explain", "shifts", "2", "--json"]).await.done().json();
    assert_eq!(explained["version"]["origin"], "east", "{explained}");
    scene.audit().await;
    assert_eq!(counts(&adopt(&scene, &through).await, "shifts"), [0, 3, 0, 0], "they are the pipeline's");
}

#[tokio::test]
async fn sqlite_a_dump_with_its_position() {
    a_dump_with_its_position("adopt_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_a_dump_with_its_position() {
    a_dump_with_its_position("adopt_postgres", Kind::Postgres).await;
}

async fn what_the_application_wrote_is_asked_for(name: &str, kind: Kind) {
    let scene = filled(name, kind).await;
    scene.publish(&[shift(1, 1, 21), shift(2, 2, 21), shift(3, 9, 21)]).await;
    scene.run().await;
    scene.sink.execute("UPDATE shifts SET note = 'repair' WHERE id IN (1, 9)").await.unwrap();
    assert_eq!(counts(&adopt(&scene, &["--table", "shifts"]).await, "shifts"), [1, 1, 2, 0]);
    assert_eq!(counts(&adopt(&scene, &["--local"]).await, "shifts"), [2, 2, 0, 0]);
    // The repair counts as what was replicated: it keeps its version, by which a newer one wins and an older one loses.
    scene.publish(&[shift(4, 1, 22), shift(5, 9, 20)]).await;
    let report = scene.run().await;
    assert_eq!(report.local_writes, 0, "{report:?}");
    assert_eq!(rows(&scene, "shifts").await, ["1 east", "2 east", "3 dump", "9 repair"]);
}

#[tokio::test]
async fn sqlite_what_the_application_wrote_is_asked_for() {
    what_the_application_wrote_is_asked_for("repair_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_what_the_application_wrote_is_asked_for() {
    what_the_application_wrote_is_asked_for("repair_postgres", Kind::Postgres).await;
}

#[tokio::test]
async fn a_pipeline_that_runs_is_left_alone() {
    let scene = filled("adopt_running", Kind::Sqlite).await;
    scene.publish(&[shift(1, 9, 21)]).await;
    let running = scene.start(&["run"]);
    scene.until_committed(1).await;
    let refused = scene.call(&["adopt"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("stop all processes of the pipeline"), "{}", refused.stderr);
    running.stopped().await.done();
    let unknown = scene.call(&["adopt", "--table", "nowhere"]).await;
    assert!(unknown.stderr.contains("its tables are shifts, badges"), "{}", unknown.stderr);
}
