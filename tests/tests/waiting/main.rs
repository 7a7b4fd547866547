//! What waits on time, end to end: changes of a source whose clock is ahead, and changes of tables that are paused, by
//! hand, by a storm of dead letters, or because somebody altered the table under a running pipeline. Nothing is lost, and
//! every other table goes on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

mod skew;

use std::{collections::BTreeMap, time::Duration};

use reconverge_tests::{Change, Kind, Scene, guest};
use serde::Deserialize;
use serde_json::{Value, json};

const TABLES: &str = "CREATE TABLE orders (id bigint PRIMARY KEY NOT NULL, amount bigint, note text);
    CREATE TABLE others (id bigint PRIMARY KEY NOT NULL, note text);";

const RULES: &str = r#"
[[table]]
name = "orders"
key = ["id"]
policy = "lww:commit-time"
before_images = "full"

[[table]]
name = "others"
key = ["id"]
policy = "lww:commit-time"
"#;

/// One line of `tables list --json`.
#[derive(Debug, Deserialize)]
struct State {
    table: String,
    state: String,
    why: Option<String>,
    waiting: u64,
}

async fn scene(name: &str, kind: Kind) -> Scene {
    let scene = Scene::new(name, kind, TABLES).await;
    scene.write(RULES);
    scene
}

fn order(commit: u64, id: i64, amount: i64) -> Change {
    // As text, which both a bigint and a text column take.
    let row = json!({"id": id, "amount": amount.to_string(), "note": format!("order {commit}")});
    Change::write("east", commit, "orders", json!({"id": id}), row)
}

fn other(commit: u64, id: i64) -> Change {
    let row = json!({"id": id, "note": format!("other {commit}")});
    Change::write("east", commit, "others", json!({"id": id}), row)
}

fn now() -> i64 {
    i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap()
}

async fn orders(scene: &Scene) -> Vec<String> {
    scene.column("SELECT note FROM orders ORDER BY id").await
}

async fn others(scene: &Scene) -> Vec<String> {
    scene.column("SELECT note FROM others ORDER BY id").await
}

async fn states(scene: &Scene) -> Vec<State> {
    scene.call(&["tables", "list", "--json"]).await.done().json()
}

async fn state_of(scene: &Scene, table: &str) -> State {
    states(scene).await.into_iter().find(|s| s.table == table).unwrap()
}

async fn ledger(scene: &Scene) -> BTreeMap<String, u64> {
    scene.audit().await.lanes.remove(0).dispositions
}

fn counts<'a>(list: impl IntoIterator<Item = (&'a str, u64)>) -> BTreeMap<String, u64> {
    list.into_iter().map(|(word, n)| (word.to_owned(), n)).collect()
}

/// Looks again until it is so.
async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// By hand: the table's changes wait, also over a restart, and come in order.
async fn a_table_paused_by_hand(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    scene.publish(&[order(1, 1, 1)]).await;
    scene.run().await;
    scene.call(&["tables", "pause", "orders", "--reason", "migration 14"]).await.done();
    let no_order = Change::delete("east", 4, "orders", json!({"id": 1}), Value::Null);
    scene.publish(&[order(2, 1, 2), order(3, 2, 3), no_order, other(5, 1), order(6, 1, 6)]).await;
    scene.run().await;
    assert_eq!(
        (orders(&scene).await, others(&scene).await),
        (vec!["order 1".into()], vec!["other 5".into()])
    );
    let paused = state_of(&scene, "orders").await;
    assert_eq!(
        (paused.state.as_str(), paused.why.as_deref(), paused.waiting),
        ("paused", Some("migration 14"), 4)
    );
    assert_eq!(ledger(&scene).await, counts([("applied", 2), ("parked", 4)]));
    scene.run().await;
    assert_eq!(orders(&scene).await, ["order 1"]);
    scene.call(&["tables", "resume", "orders"]).await.done();
    scene.run().await;
    assert_eq!(orders(&scene).await, ["order 6", "order 3"]);
    assert_eq!(state_of(&scene, "orders").await.waiting, 0);
    assert_eq!(ledger(&scene).await, counts([("applied", 5), ("deleted", 1)]));
    let twice = scene.call(&["tables", "resume", "orders"]).await;
    assert!(twice.stderr.contains("is not paused"), "{}", twice.stderr);
}

#[tokio::test]
async fn sqlite_a_table_paused_by_hand() {
    a_table_paused_by_hand("by_hand_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_a_table_paused_by_hand() {
    a_table_paused_by_hand("by_hand_postgres", Kind::Postgres).await;
}

/// Somebody alters the table while the pipeline runs: its changes wait, others go on, and when it is mended nothing is
/// missing. Where PostgreSQL writes the rows anew for it, they count as the application's, of that moment (promise 13):
/// the change of such a row is decided against it, and not lost either.
async fn a_table_altered_under_a_running_pipeline(name: &str, kind: Kind, break_it: &str, mend_it: &str) {
    let is_rewritten = ["retyped_postgres", "dropped_postgres"].contains(&name);
    let scene = scene(name, kind).await;
    let running = scene.start(&["run", "--owner", "the-same"]);
    scene.publish(&[order(1, 1, 1), other(2, 1)]).await;
    scene.until_rows("orders", 1).await;
    scene.sink.execute(break_it).await.unwrap();
    scene.publish(&[order(3, 1, 3), other(4, 2), order(5, 2, 5), other(6, 3)]).await;
    scene.until_rows("others", 3).await;
    until("the table is paused", async || state_of(&scene, "orders").await.state == "paused").await;
    let paused = state_of(&scene, "orders").await;
    assert_eq!((paused.waiting, state_of(&scene, "others").await.state.as_str()), (2, "running"));
    let refused = scene.call(&["tables", "resume", "orders"]).await;
    if mend_it.is_empty() {
        refused.done();
    } else {
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        scene.sink.execute(mend_it).await.unwrap();
        scene.call(&["tables", "resume", "orders"]).await.done();
    }
    scene.publish(&[order(7, 3, 7)]).await;
    scene.until_rows("orders", 3).await;
    let first = if is_rewritten { "1" } else { "3" };
    assert_eq!(orders(&scene).await, [&format!("order {first}"), "order 5", "order 7"]);
    assert_eq!(scene.column("SELECT CAST(amount AS text) FROM orders ORDER BY id").await, [first, "5", "7"]);
    running.stopped().await;
    let kept = u64::from(is_rewritten);
    let all = [("applied", 7 - kept), ("kept-current", kept)];
    assert_eq!(ledger(&scene).await, counts(all.into_iter().filter(|(_, n)| *n > 0)));
}

#[tokio::test]
async fn postgres_a_column_is_dropped() {
    let (bad, good) = (
        "ALTER TABLE orders DROP COLUMN id CASCADE",
        "ALTER TABLE orders ADD id bigint; UPDATE orders SET id = 1; ALTER TABLE orders ADD PRIMARY KEY (id)",
    );
    a_table_altered_under_a_running_pipeline("dropped_postgres", Kind::Postgres, bad, good).await;
}

#[tokio::test]
async fn postgres_a_column_is_retyped() {
    let bad = "ALTER TABLE orders ALTER amount TYPE text";
    a_table_altered_under_a_running_pipeline("retyped_postgres", Kind::Postgres, bad, "").await;
}

#[tokio::test]
async fn postgres_a_table_is_renamed() {
    let (bad, good) = ("ALTER TABLE orders RENAME TO gone", "ALTER TABLE gone RENAME TO orders");
    a_table_altered_under_a_running_pipeline("renamed_postgres", Kind::Postgres, bad, good).await;
}

#[tokio::test]
async fn sqlite_a_column_is_retyped() {
    let bad = "CREATE TABLE o (id bigint PRIMARY KEY NOT NULL, amount text, note text); INSERT INTO o SELECT * FROM orders;
        DROP TABLE orders; ALTER TABLE o RENAME TO orders";
    a_table_altered_under_a_running_pipeline("retyped_sqlite", Kind::Sqlite, bad, "").await;
}

#[tokio::test]
async fn sqlite_a_table_is_renamed() {
    let (bad, good) = ("ALTER TABLE orders RENAME TO gone", "ALTER TABLE gone RENAME TO orders");
    a_table_altered_under_a_running_pipeline("renamed_sqlite", Kind::Sqlite, bad, good).await;
}

/// A column that the pipeline does not write by name is no fault; one that comes while the table is paused is filled.
async fn a_column_that_comes(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    scene.publish(&[order(1, 1, 1)]).await;
    scene.run().await;
    scene.call(&["tables", "pause", "orders"]).await.done();
    let with_more = |commit: u64, id: u64| {
        let row = json!({"id": id, "amount": commit.to_string(), "note": format!("order {commit}"), "more": format!("more {commit}")});
        Change::write("east", commit, "orders", json!({"id": id}), row)
    };
    scene.publish(&[with_more(2, 2)]).await;
    scene.run().await;
    scene.sink.execute("ALTER TABLE orders ADD more text").await.unwrap();
    scene.call(&["tables", "resume", "orders"]).await.done();
    scene.publish(&[with_more(3, 3)]).await;
    scene.run().await;
    assert_eq!(
        scene.column("SELECT more FROM orders WHERE more IS NOT NULL ORDER BY id").await,
        ["more 2", "more 3"]
    );
    assert_eq!(ledger(&scene).await, counts([("applied", 3)]));
}

#[tokio::test]
async fn sqlite_a_column_that_comes() {
    a_column_that_comes("comes_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_a_column_that_comes() {
    a_column_that_comes("comes_postgres", Kind::Postgres).await;
}

/// Too many dead letters in a batch pause the table, and what would have been dead letters waits. Those of a batch that
/// is no storm are dead letters.
async fn a_storm_of_dead_letters(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    let bad = |commit: u64| {
        let row = json!({"id": commit, "amount": "many", "note": "bad"});
        Change::write("east", commit, "orders", json!({"id": commit}), row)
    };
    let mut changes: Vec<Change> = (1..=20).map(bad).collect();
    changes.push(order(21, 1, 1));
    scene.publish(&changes).await;
    scene.run().await;
    assert_eq!(state_of(&scene, "orders").await.state, "running");
    assert_eq!(ledger(&scene).await, counts([("applied", 1), ("dead-lettered", 20)]));
    let mut changes: Vec<Change> = (101..=121).map(bad).collect();
    changes.extend([order(122, 2, 2), other(123, 1)]);
    scene.publish(&changes).await;
    scene.run().await;
    let paused = state_of(&scene, "orders").await;
    assert_eq!((paused.state.as_str(), paused.waiting), ("paused", 22));
    assert!(paused.why.unwrap().starts_with("storm: 21 of 22 changes"));
    assert_eq!(others(&scene).await, ["other 123"]);
    assert_eq!(ledger(&scene).await, counts([("applied", 2), ("dead-lettered", 20), ("parked", 22)]));
    // The sink learns to hold what comes, and nothing of the storm is missing.
    let retype = match kind {
        Kind::Postgres => "ALTER TABLE orders ALTER amount TYPE text",
        Kind::Sqlite => {
            "CREATE TABLE o (id bigint PRIMARY KEY NOT NULL, amount text, note text); INSERT INTO o SELECT * FROM orders;
             DROP TABLE orders; ALTER TABLE o RENAME TO orders"
        }
    };
    scene.sink.execute(retype).await.unwrap();
    scene.call(&["tables", "resume", "orders"]).await.done();
    scene.run().await;
    assert_eq!(scene.column("SELECT count(*) FROM orders WHERE amount = 'many'").await, ["21"]);
    assert_eq!(ledger(&scene).await.get("parked"), None);
}

#[tokio::test]
async fn sqlite_a_storm_of_dead_letters() {
    a_storm_of_dead_letters("storm_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_a_storm_of_dead_letters() {
    a_storm_of_dead_letters("storm_postgres", Kind::Postgres).await;
}

/// Promise 10 where changes wait: of a suppressed row nothing but its key is kept, and it takes part all the same.
async fn what_residency_suppresses_is_not_kept(name: &str, kind: Kind) {
    let regions = if kind == Kind::Sqlite { "\"text[]\"" } else { "text[]" };
    let ddl = format!("CREATE TABLE people (id bigint PRIMARY KEY NOT NULL, note text, regions {regions});");
    let scene = Scene::new(name, kind, &ddl).await;
    scene.write(&format!(
        "[[table]]\nname = \"people\"\nkey = [\"id\"]\npolicy = \"lww:commit-time\"\nbefore_images = \"full\"\n\n\
         [[plugin]]\nname = \"residency\"\npath = {:?}\nstage = \"residency\"\ntables = [\"people\"]\n\
         config = {{ zone = \"here\", tables = [{{ table = \"people\", consent = \"regions\" }}] }}\n",
        guest("residency")
    ));
    let person = |commit: u64, id: i64, region: &str, note: &str| {
        let row = json!({"id": id, "note": note, "regions": [region]});
        Change::write("east", commit, "people", json!({"id": id}), row.clone()).with("before", row)
    };
    scene.publish(&[person(1, 1, "here", "plain"), person(2, 2, "here", "plain")]).await;
    scene.run().await;
    scene.call(&["tables", "pause", "people"]).await.done();
    scene.publish(&[person(3, 1, "there", "canary-of-a-person"), person(4, 3, "here", "welcome")]).await;
    scene.run().await;
    let parked = scene.sidecar("parked");
    let kept = match kind {
        Kind::Sqlite => format!("SELECT CAST(change AS TEXT) FROM {parked} ORDER BY sequence"),
        Kind::Postgres => format!("SELECT convert_from(change, 'UTF8') FROM {parked} ORDER BY sequence"),
    };
    let kept = scene.column(&kept).await;
    assert_eq!(kept.len(), 2);
    assert!(kept[0].contains("suppressed") && !kept[0].contains("canary"), "{}", kept[0]);
    assert!(kept[1].contains("welcome"), "{}", kept[1]);
    scene.call(&["tables", "resume", "people"]).await.done();
    scene.run().await;
    assert_eq!(scene.column("SELECT CAST(id AS text) FROM people ORDER BY id").await, ["2", "3"]);
    assert_eq!(ledger(&scene).await, counts([("applied", 3), ("suppressed", 1)]));
}

#[tokio::test]
async fn sqlite_what_residency_suppresses_is_not_kept() {
    what_residency_suppresses_is_not_kept("residence_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_what_residency_suppresses_is_not_kept() {
    what_residency_suppresses_is_not_kept("residence_postgres", Kind::Postgres).await;
}

/// Over `limits.parked` a job ends with a word, and a lane that runs for ever stops pulling until there is room.
async fn the_limit_of_what_waits(name: &str, kind: Kind) {
    let mut scene = scene(name, kind).await;
    scene.rows = 5;
    let limit = "[limits.parked]\nrows = 8\n";
    scene.write(&format!("{limit}{RULES}"));
    scene.publish(&[order(1, 1, 1)]).await;
    scene.run().await;
    scene.call(&["tables", "pause", "orders"]).await.done();
    scene.publish(&(2..=31).map(|n: u64| order(n, n.cast_signed(), 1)).collect::<Vec<_>>()).await;
    let ended = scene.call(&["run", "--owner", "the-same", "--until-caught-up"]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("limits.parked.rows is 8"), "{}", ended.stderr);
    let waiting = state_of(&scene, "orders").await.waiting;
    assert!(
        (8..13).contains(&waiting),
        "{waiting} wait: more than one batch over the limit, or less than it"
    );
    let running = scene.start(&["run", "--owner", "the-same"]);
    scene.call(&["tables", "resume", "orders"]).await.done();
    scene.until_rows("orders", 31).await;
    running.stopped().await;
    assert_eq!(ledger(&scene).await, counts([("applied", 31)]));
}

#[tokio::test]
async fn sqlite_the_limit_of_what_waits() {
    the_limit_of_what_waits("limit_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_the_limit_of_what_waits() {
    the_limit_of_what_waits("limit_postgres", Kind::Postgres).await;
}
