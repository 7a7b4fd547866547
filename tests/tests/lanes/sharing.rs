//! Several processes share the lanes of one pipeline: each gets its fair share, and when one joins, leaves, dies or
//! freezes, nothing is lost and nothing is done twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reconverge_tests::{Change, Kind, Lanes, Running, Scene, delivered, shares};
use serde_json::json;

const TABLE: &str = "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);";
/// Short enough for a test; the margins between them are those of the defaults.
const RULES: &str = "lease = { stale = \"3s\", heartbeat = \"500ms\" }\n\n\
    [[table]]\nname = \"goods\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\n";
const PARTITIONS: u32 = 4;

/// `count` changes, in every partition alike, behind those that were sent before.
async fn publish(scene: &Scene, sent: &mut u64, count: u64) {
    let change = |n: u64| {
        let id = n % 40;
        let row = json!({"id": id, "version": n});
        let partition = u32::try_from(id % u64::from(PARTITIONS)).unwrap();
        Change::write("east", n, "goods", json!({"id": id}), row).in_partition(partition)
    };
    let changes: Vec<Change> = (*sent + 1..=*sent + count).map(change).collect();
    scene.publish(&changes).await;
    *sent += count;
}

async fn scene(name: &str, kind: Kind) -> Scene {
    let mut scene = Scene::new(name, kind, TABLE).await;
    (scene.rows, scene.partitions) = (20, PARTITIONS);
    scene.write(RULES);
    scene
}

fn start(scene: &Scene, owner: &str) -> Running {
    scene.start(&["run", "--owner", owner, "--json"])
}

async fn until_shared(scene: &Scene, expected: &[(&str, usize)]) -> Lanes {
    let expected: BTreeMap<String, usize> = expected.iter().map(|(o, n)| ((*o).to_owned(), *n)).collect();
    scene.until_lanes(&format!("{expected:?}"), |lanes| shares(lanes) == expected).await
}

async fn until_all(scene: &Scene, sent: u64) -> Lanes {
    scene.until_lanes(&format!("{sent} changes"), |lanes| delivered(lanes) >= sent).await
}

/// The takeovers as (previous owner, new owner), each once.
async fn takeovers(scene: &Scene) -> Vec<String> {
    let table = scene.sidecar("takeover");
    scene.column(&format!("SELECT DISTINCT previous || ' to ' || owner FROM {table} ORDER BY 1")).await
}

/// Every change was applied, and only once: under `take-incoming` a repeated one would count as a duplicate.
async fn is_whole(scene: &Scene, sent: u64) {
    let lanes = until_all(scene, sent).await;
    assert_eq!(delivered(&lanes), sent, "{lanes:?}");
    let wrong = format!("SELECT id FROM goods WHERE version <= {}", sent - 40);
    assert_eq!(scene.column(&wrong).await, Vec::<String>::new());
    let audit = scene.audit().await;
    let applied: u64 = audit.lanes.iter().filter_map(|lane| lane.dispositions.get("applied")).sum();
    assert_eq!(applied, sent, "{audit:?}");
}

async fn shared_by_those_who_are_there(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    let mut sent = 0;
    publish(&scene, &mut sent, 400).await;
    let one = start(&scene, "one");
    until_shared(&scene, &[("one", 4)]).await;
    let two = start(&scene, "two");
    publish(&scene, &mut sent, 400).await;
    until_shared(&scene, &[("one", 2), ("two", 2)]).await;
    let three = start(&scene, "three");
    publish(&scene, &mut sent, 400).await;
    scene
        .until_lanes("three processes with a share each", |lanes| {
            let shares = shares(lanes);
            shares.len() == 3 && shares.values().all(|n| (1..=2).contains(n))
        })
        .await;
    assert_eq!(takeovers(&scene).await, Vec::<String>::new(), "lanes were given up, not taken");
    // One leaves in good order: no need to wait for its lease.
    two.stopped().await;
    publish(&scene, &mut sent, 400).await;
    until_shared(&scene, &[("one", 2), ("three", 2)]).await;
    assert_eq!(takeovers(&scene).await, Vec::<String>::new());
    // One dies: its lanes are taken when its lease is over, and that is recorded.
    three.signal("KILL").await;
    three.ended().await;
    let died = Instant::now();
    publish(&scene, &mut sent, 400).await;
    until_shared(&scene, &[("one", 4)]).await;
    assert!(died.elapsed() < Duration::from_secs(30), "{:?}", died.elapsed());
    assert_eq!(takeovers(&scene).await, ["three to one"]);
    is_whole(&scene, sent).await;
    one.stopped().await;
}

#[tokio::test]
async fn promise_09_lanes_are_shared_by_those_who_are_there_sqlite() {
    shared_by_those_who_are_there("shared_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn promise_09_lanes_are_shared_by_those_who_are_there_postgres() {
    shared_by_those_who_are_there("shared_postgres", Kind::Postgres).await;
}

/// Frozen past its lease, overridden, and woken: what it had in hand it cannot write.
async fn a_frozen_process_writes_nothing(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    let mut sent = 0;
    publish(&scene, &mut sent, 200).await;
    let frozen = start(&scene, "frozen");
    until_all(&scene, sent).await;
    frozen.signal("STOP").await;
    publish(&scene, &mut sent, 400).await;
    let heir = start(&scene, "heir");
    let lanes = until_all(&scene, sent).await;
    assert_eq!(shares(&lanes), [("heir".to_owned(), 4)].into());
    assert_eq!(takeovers(&scene).await, ["frozen to heir"]);
    frozen.signal("CONT").await;
    publish(&scene, &mut sent, 400).await;
    // It learns that its lanes are another's, and gets a share of them by asking.
    until_shared(&scene, &[("frozen", 2), ("heir", 2)]).await;
    publish(&scene, &mut sent, 400).await;
    is_whole(&scene, sent).await;
    assert_eq!(takeovers(&scene).await, ["frozen to heir"], "nobody was overridden since");
    for process in [frozen, heir] {
        process.stopped().await;
    }
}

#[tokio::test]
async fn promise_09_a_frozen_process_writes_nothing_sqlite() {
    a_frozen_process_writes_nothing("frozen_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn promise_09_a_frozen_process_writes_nothing_postgres() {
    a_frozen_process_writes_nothing("frozen_postgres", Kind::Postgres).await;
}

/// A batch that takes longer than the lease does not cost the lane: the process gives its sign of life beside it.
#[tokio::test]
async fn a_slow_batch_keeps_its_lane() {
    let scene = scene("slow", Kind::Postgres).await;
    let mut sent = 0;
    publish(&scene, &mut sent, 40).await;
    let one = start(&scene, "one");
    until_all(&scene, sent).await;
    let two = start(&scene, "two");
    until_shared(&scene, &[("one", 2), ("two", 2)]).await;
    let reconverge_capture::Database::Postgres(url) = &scene.sink else { panic!("a scene of PostgreSQL") };
    let (mut application, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    let lock = application.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE goods IN ACCESS EXCLUSIVE MODE").await.unwrap();
    publish(&scene, &mut sent, 40).await;
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        assert_eq!(shares(&scene.lanes().await), [("one".to_owned(), 2), ("two".to_owned(), 2)].into());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    lock.rollback().await.unwrap();
    is_whole(&scene, sent).await;
    assert_eq!(takeovers(&scene).await, Vec::<String>::new());
    for process in [one, two] {
        process.stopped().await;
    }
}

/// A job beside a pipeline that runs: what the other has done is done.
#[tokio::test]
async fn a_job_ends_when_the_others_have_done_its_work() {
    let scene = scene("job", Kind::Postgres).await;
    let mut sent = 0;
    publish(&scene, &mut sent, 200).await;
    let one = start(&scene, "one");
    until_shared(&scene, &[("one", 4)]).await;
    scene.call(&["run", "--until-caught-up", "--owner", "job"]).await.done();
    is_whole(&scene, sent).await;
    assert_eq!(shares(&scene.lanes().await), [("one".to_owned(), 4)].into());
    one.stopped().await;
}
