//! Promise 4: a lane that is declared `after` another commits only what the other has resolved up to.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::{Duration, Instant};

use reconverge_capture::Database;
use reconverge_tests::{Change, Kind, Lanes, Scene};
use serde_json::json;
use tokio_postgres::{Client, NoTls, Transaction};

const TABLES: &str = "CREATE TABLE head (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);
    CREATE TABLE line (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);
    CREATE TABLE tail (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);";
const RULES: &str = "lease = { stale = \"2s\", heartbeat = \"300ms\" }\n\n\
    [[table]]\nname = \"head\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\n\n\
    [[table]]\nname = \"line\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\npriority = 1\n\n\
    [[table]]\nname = \"tail\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\nlane = \"bulk\"\n\n\
    [[lane]]\nname = \"bulk\"\nafter = [\"main\"]\n";

fn write(table: &str, id: u64, version: u64) -> Change {
    let row = json!({"id": id, "version": version});
    Change::write("east", version * 100 + id, table, json!({"id": id}), row)
}

async fn client(scene: &Scene) -> Client {
    let Database::Postgres(url) = &scene.sink else { panic!("a scene of PostgreSQL") };
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    client
}

/// Where the lane before is held up by a lock of the application's, the lane behind it waits, its lease kept, and goes
/// on when the lock is gone.
#[tokio::test]
async fn promise_04_a_lane_waits_for_the_one_before() {
    let scene = Scene::new("barrier", Kind::Postgres, TABLES).await;
    scene.write(RULES);
    scene.publish(&[write("head", 1, 1), write("tail", 1, 1)]).await;
    let running = scene.start(&["run", "--owner", "one"]);
    let reached =
        |lanes: &Lanes, sequence| lanes.len() == 2 && lanes.values().all(|l| l.sequence >= sequence);
    scene.until_lanes("both lanes are at work", |lanes| reached(lanes, 2)).await;
    let mut application = client(&scene).await;
    let lock = application.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE head IN ACCESS EXCLUSIVE MODE").await.unwrap();
    scene.publish(&[write("head", 1, 2), write("tail", 1, 2)]).await;
    // Longer than the lease: neither lane is lost meanwhile.
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        assert_eq!(
            scene.column("SELECT version FROM tail").await,
            ["1"],
            "it went before the lane before it"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lock.rollback().await.unwrap();
    let lanes = scene.until_lanes("both go on", |lanes| reached(lanes, 4)).await;
    assert!(lanes.values().all(|lane| lane.owner.as_deref() == Some("one")), "{lanes:?}");
    assert_eq!(scene.column("SELECT version FROM tail").await, ["2"]);
    let takeovers = scene.column("SELECT count(*) FROM reconverge.takeover").await;
    assert_eq!(takeovers, ["0"]);
    running.stopped().await;
}

/// The lane before gets nothing at all, neither in its own process nor in another: its partition's end is known all the
/// same.
async fn a_quiet_lane_blocks_nobody(name: &str, kind: Kind) {
    let scene = Scene::new(name, kind, TABLES).await;
    scene.write(RULES);
    let sent = scene.publish(&(1..=20).map(|n| write("tail", n, n)).collect::<Vec<_>>()).await;
    let report = scene.run().await;
    assert_eq!((report.changes, report.count("tail", "applied")), (20, 20));
    let running = scene.start(&["run"]);
    let more = scene.publish(&[write("tail", 1, 99)]).await;
    let reached = |lanes: &Lanes| lanes.get("main/bulk/0").is_some_and(|lane| lane.sequence >= more[0]);
    let began = Instant::now();
    scene.until_lanes("the lane behind a quiet one commits", reached).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(sent.last(), Some(&20));
    running.stopped().await;
}

#[tokio::test]
async fn promise_04_a_quiet_lane_blocks_nobody_sqlite() {
    a_quiet_lane_blocks_nobody("quiet_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn promise_04_a_quiet_lane_blocks_nobody_postgres() {
    a_quiet_lane_blocks_nobody("quiet_postgres", Kind::Postgres).await;
}

/// A reader looks all the time: tables of a lane are seen to change together, and the lane behind is never ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_04_seen_together_and_in_order() {
    let mut scene = Scene::new("together", Kind::Postgres, TABLES).await;
    scene.rows = 30;
    scene.write(RULES);
    let changes: Vec<Change> = (1..=1500)
        .flat_map(|version| ["line", "head", "tail"].map(|table| write(table, 1, version)))
        .collect();
    scene.publish(&changes).await;
    let reader = client(&scene).await;
    let done = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn({
        let done = Arc::clone(&done);
        async move {
            let look = "SELECT coalesce((SELECT version FROM head), 0), coalesce((SELECT version FROM line), 0), \
                        coalesce((SELECT version FROM tail), 0)";
            let mut seen = std::collections::BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                let row = reader.query_one(look, &[]).await.unwrap();
                let (head, line, tail): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
                assert_eq!(head, line, "priorities of one lane are seen together");
                assert!(tail <= head, "the lane behind is ahead: {tail} of {head}");
                seen.insert(head);
            }
            seen.len()
        }
    });
    let report = scene.run().await;
    assert_eq!(report.changes, 4500);
    done.store(true, Ordering::Relaxed);
    let states = watching.await.unwrap();
    assert!(states > 3, "the reader saw only {states} states: it proves nothing");
    assert_eq!(scene.column("SELECT version FROM tail").await, ["1500"]);
    scene.audit().await;
}

/// Holds a table against everybody else until the transaction ends.
async fn lock<'a>(application: &'a mut Client, table: &str) -> Transaction<'a> {
    let lock = application.transaction().await.unwrap();
    lock.batch_execute(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
    lock
}

/// With `yield_lag` the lesser lane pauses while the other has not kept up with the stream for that long, also for
/// changes that stand before what holds the other up: the barrier alone would let those go.
#[tokio::test]
async fn a_lane_yields_to_one_that_lags() {
    let mut scene = Scene::new("yields", Kind::Postgres, TABLES).await;
    scene.rows = 1;
    scene.write(&format!("{RULES}yield_lag = \"1s\"\n"));
    scene.publish(&[write("head", 1, 1), write("tail", 1, 1)]).await;
    let running = scene.start(&["run"]);
    let both = |lanes: &Lanes, sequence| lanes.len() == 2 && lanes.values().all(|l| l.sequence >= sequence);
    scene.until_lanes("both lanes are at work", |lanes| both(lanes, 2)).await;
    let (mut one, mut other) = (client(&scene).await, client(&scene).await);
    let (on_tail, on_head) = (lock(&mut one, "tail").await, lock(&mut other, "head").await);
    // The lesser lane hangs in the first of these, with the second one behind it.
    scene.publish(&[write("tail", 1, 2), write("tail", 1, 3)]).await;
    let main = |lanes: &Lanes| lanes.get("main/main/0").is_some_and(|main| main.sequence >= 4);
    scene.until_lanes("the other has passed both by", main).await;
    scene.publish(&[write("head", 1, 2)]).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    on_tail.rollback().await.unwrap();
    scene.until_lanes("the first is committed", |lanes| lanes["main/bulk/0"].sequence >= 3).await;
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        assert_eq!(scene.column("SELECT version FROM tail").await, ["2"], "it did not yield");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    on_head.rollback().await.unwrap();
    scene.until_lanes("both go on", |lanes| both(lanes, 5)).await;
    assert_eq!(scene.column("SELECT version FROM tail").await, ["3"]);
    running.stopped().await;
}
