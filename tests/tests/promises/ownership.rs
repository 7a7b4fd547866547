//! Promise 9: an old owner that wakes up late cannot write. As processes, and with the two claims side by side.

use std::sync::Arc;
use std::time::Duration;

use reconverge_capture::Database;
use reconverge_streams::{
    checkpoint::{LaneId, PlanDigest},
    names::Names,
    postgres::PostgresSink,
    sink::{Claim as _, ClaimRequest, Sink, SinkError},
    sqlite::SqliteSink,
    standing::Wanted,
    writes::Writes,
};
use reconverge_tests::{Change, Kind, Scene};
use serde_json::json;

const TABLE: &str = "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);";
const RULES: &str = "[[table]]\nname = \"goods\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\n";

fn changes(commits: std::ops::RangeInclusive<u64>) -> Vec<Change> {
    let of = |commit: u64| {
        let id = commit % 10;
        Change::write("east", commit, "goods", json!({"id": id}), json!({"id": id, "version": commit}))
    };
    commits.map(of).collect()
}

/// The old owner is stopped in its sleep, another takes its lane and works, and the old one goes on where it was.
async fn a_late_riser(name: &str, kind: Kind) {
    let scene = Scene::new(name, kind, TABLE).await;
    scene.write(RULES);
    scene.publish(&changes(1..=100)).await;
    let old = scene.start(&["run", "--owner", "blue", "--json"]);
    scene.until_committed(100).await;
    old.signal("STOP").await;
    scene.publish(&changes(101..=300)).await;
    // The same name, so that it need not wait until the lease is over; its epoch is another all the same.
    let words = ["run", "--owner", "blue", "--until-caught-up", "--json"];
    let report: reconverge_tests::Report = scene.call(&words).await.done().json();
    assert_eq!(report.changes, 200);
    old.signal("CONT").await;
    scene.publish(&changes(301..=310)).await;
    scene.until_committed(310).await;
    old.signal("TERM").await;
    let told: reconverge_tests::Report = old.ended().await.done().json();
    assert_eq!(told.changes, 110, "the old owner applied what was not its any more");
    let checkpoint = scene.checkpoint().await.unwrap();
    assert_eq!((checkpoint.delivered, checkpoint.sum), (310, 310));
    assert_eq!(scene.column("SELECT min(version) FROM goods").await, ["301"]);
    scene.audit().await;
}

#[tokio::test]
async fn promise_09_one_writer_sqlite() {
    a_late_riser("late_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn promise_09_one_writer_postgres() {
    a_late_riser("late_postgres", Kind::Postgres).await;
}

fn request(names: &Arc<Names>) -> ClaimRequest {
    ClaimRequest {
        lane: LaneId { pipeline: "p".into(), source: "main".into(), lane: "main".into(), partition: 0 },
        owner: "blue".into(),
        lease: Duration::from_secs(15),
        stream: "S".into(),
        stream_created: 1,
        plan: PlanDigest([7; 32]),
        tables: Vec::new(),
        region: "here".into(),
        names: Arc::clone(names),
    }
}

/// Every call of an old claim is fenced, whether its transaction was to begin or had begun.
async fn two_claims<K: Sink>(sink: &K) {
    sink.prepare().await.unwrap();
    let names = Arc::new(Names::default());
    let mut old = sink.claim(request(&names)).await.unwrap();
    old.begin(Wanted::default()).await.unwrap();
    old.commit(Writes { through: 5, scanned: 5, ..Writes::default() }).await.unwrap();
    let mut new = sink.claim(request(&names)).await.unwrap();
    assert_eq!(new.checkpoint().sequence, 5);
    let begun = old.begin(Wanted { from: 5, ..Wanted::default() }).await;
    assert!(matches!(begun, Err(SinkError::Fenced(_))), "{begun:?}");
    let committed = old.commit(Writes { through: 9, scanned: 9, ..Writes::default() }).await;
    assert!(committed.is_err(), "{committed:?}");
    assert!(matches!(old.idle(9).await, Err(SinkError::Fenced(_))));
    assert!(matches!(old.generation(5, "[]".into(), "blue").await, Err(SinkError::Fenced(_))));
    // Nor can it give away what is not its any more.
    old.release().await;
    new.begin(Wanted { from: 5, ..Wanted::default() }).await.unwrap();
    let after = new.commit(Writes { through: 6, scanned: 6, ..Writes::default() }).await.unwrap();
    assert_eq!(after.sequence, 6);
    assert_eq!(after.owner.as_deref(), Some("blue"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_09_one_writer_of_two_claims() {
    let scene = Scene::new("claims_sqlite", Kind::Sqlite, TABLE).await;
    let Database::Sqlite(file) = &scene.sink else { unreachable!("a scene of SQLite") };
    two_claims(&SqliteSink::open(file).unwrap()).await;
    let scene = Scene::new("claims_postgres", Kind::Postgres, TABLE).await;
    two_claims(&PostgresSink::connect(&scene.sink.url()).await.unwrap()).await;
}
