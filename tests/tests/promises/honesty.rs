//! Promise 11: a stream that was trimmed past the checkpoint, rolled back or made anew is told, never read on in
//! silence.

use std::path::Path;

use reconverge_capture::create_stream;
use reconverge_servers::{NatsServer, scratch};
use reconverge_tests::{Change, Ended, Kind, Scene, held_up, jetstream};
use serde_json::{Value, json};

pub(crate) const TABLE: &str = "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, note text);";
pub(crate) const RULES: &str = "[[table]]\nname = \"goods\"\nkey = [\"id\"]\n";

pub(crate) fn changes(commits: std::ops::RangeInclusive<u64>) -> Vec<Change> {
    let of = |id: u64| Change::write("east", id, "goods", json!({"id": id}), json!({"id": id, "note": "n"}));
    commits.map(of).collect()
}

/// A run that was refused: it says what happened and what to do, and has applied nothing.
pub(crate) async fn refused(scene: &Scene, words: &[&str]) -> Ended {
    let before = scene.checkpoint().await;
    let ended = scene.call(&["run", "--until-caught-up", "--json"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for word in words.iter().chain(&["hint:"]) {
        assert!(ended.stderr.contains(word), "{word:?} is not in {}", ended.stderr);
    }
    let after = scene.checkpoint().await;
    let ledger = |checkpoint: &Option<reconverge_tests::Checkpoint>| {
        checkpoint.as_ref().map(|c| (c.sequence, c.delivered, c.sum))
    };
    assert_eq!(ledger(&before), ledger(&after));
    ended
}

/// The recorded holes, the newest first: kind, first, last, state, whether the lane has passed it, by whom, why.
pub(crate) async fn holes(scene: &Scene) -> Vec<[String; 7]> {
    let ended = scene.call(&["holes", "list", "--json"]).await.done();
    let found: Vec<Value> = ended.json();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let of = |hole: &Value| {
        let passed = if hole["passed_at"].is_null() { "waits" } else { "passed" };
        [
            &hole["kind"],
            &hole["first"],
            &hole["last"],
            &hole["state"],
            &json!(passed),
            &hole["by"],
            &hole["note"],
        ]
        .map(text)
    };
    found.iter().map(of).collect()
}

/// Accepts the one hole that is open.
pub(crate) async fn accept_open(scene: &Scene) {
    let open: Vec<Value> = scene.call(&["holes", "list", "--state", "open", "--json"]).await.done().json();
    assert_eq!(open.len(), 1, "{open:?}");
    scene.call(&["holes", "accept", &open[0]["id"].to_string(), "--by", "ann"]).await.done();
}

pub(crate) fn hole<const N: usize>(words: [&str; N]) -> [String; N] {
    words.map(str::to_owned)
}

/// Writes the pipeline file with one more line in `[source]`.
pub(crate) fn write_with(scene: &Scene, line: &str) {
    scene.write(RULES);
    let text = std::fs::read_to_string(scene.folder().join("pipeline.toml")).unwrap();
    scene.write_whole(&text.replace("[source]\n", &format!("[source]\n{line}\n")));
}

pub(crate) async fn ids(scene: &Scene) -> Vec<u64> {
    let ids = scene.column("SELECT id FROM goods ORDER BY id").await;
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

pub(crate) async fn purge(scene: &Scene, first: u64) {
    let stream = scene.jetstream.get_stream(&scene.stream).await.unwrap();
    stream.purge().sequence(first).await.unwrap();
}

#[tokio::test]
async fn promise_11_honest_holes_trimmed() {
    for (name, kind) in [("trimmed_sqlite", Kind::Sqlite), ("trimmed_postgres", Kind::Postgres)] {
        let scene = Scene::new(name, kind, TABLE).await;
        scene.write(RULES);
        scene.publish(&changes(1..=5)).await;
        assert_eq!(scene.run().await.sum("applied"), 5);
        scene.publish(&changes(6..=20)).await;
        purge(&scene, 11).await;
        let words = [
            "begins at sequence 11",
            "applied up to 5",
            "5 sequences between them are gone",
            "holes accept 1",
        ];
        let told = refused(&scene, &words).await;
        assert!(told.stderr.contains("lane.hole"), "{}", told.stderr);
        assert_eq!(scene.column("SELECT count(*) FROM goods").await, ["5"]);
        assert_eq!(holes(&scene).await, [hole(["trimmed", "6", "10", "open", "waits", "null", "null"])]);
        let status: Value = scene.call(&["status", "--json"]).await.done().json();
        assert_eq!(status["holes"].as_array().map(Vec::len), Some(1), "{status}");
        // Asked again it is the same hole, and the lane waits still.
        refused(&scene, &["holes accept 1"]).await;
        // Somebody takes the loss; meanwhile the stream has lost more, which nobody has accepted.
        let accept = ["holes", "accept", "1", "--by", "ann", "--note", "sent again"];
        let accepted = scene.call(&accept).await.done();
        assert!(accepted.stdout.contains("hole 1 is accepted"), "{accepted:?}");
        let twice = scene.call(&accept).await;
        assert_eq!(twice.code, Some(1), "{twice:?}");
        assert!(twice.stderr.contains("not open, it is accepted, by ann"), "{twice:?}");
        assert_eq!(scene.call(&["holes", "accept", "77"]).await.code, Some(1));
        purge(&scene, 14).await;
        let ended = scene.call(&["run", "--until-caught-up"]).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            ended.stderr.contains("begins at sequence 14") && ended.stderr.contains("up to 10"),
            "{ended:?}"
        );
        let both = [
            hole(["trimmed", "11", "13", "open", "waits", "null", "null"]),
            hole(["trimmed", "6", "10", "accepted", "passed", "ann", "sent again"]),
        ];
        assert_eq!(holes(&scene).await, both);
        accept_open(&scene).await;
        assert_eq!(scene.run().await.sum("applied"), 7);
        assert_eq!(ids(&scene).await, (1..=5).chain(14..=20).collect::<Vec<_>>());
        assert!(holes(&scene).await.iter().all(|hole| hole[4] == "passed"));
    }
}

#[tokio::test]
async fn promise_11_honest_holes_trimmed_and_gone_on() {
    let scene = Scene::new("gone_on", Kind::Sqlite, TABLE).await;
    scene.write(RULES);
    scene.publish(&changes(1..=5)).await;
    scene.run().await;
    scene.publish(&changes(6..=20)).await;
    purge(&scene, 11).await;
    write_with(&scene, "on_hole = \"continue\"");
    let ended = scene.call(&["run", "--until-caught-up", "--json"]).await.done();
    assert!(ended.stderr.contains("lane.hole"), "it goes on, and not in silence: {}", ended.stderr);
    assert_eq!(ended.json::<reconverge_tests::Report>().sum("applied"), 10);
    assert_eq!(holes(&scene).await, [hole(["trimmed", "6", "10", "open", "passed", "null", "null"])]);
    scene.call(&["holes", "accept", "1", "--by", "ann"]).await.done();
    let open = scene.call(&["holes", "list", "--state", "open"]).await.done();
    assert_eq!(open.stdout, "no holes\n");
}

/// The stream loses what a running lane has not applied: the sink is held up meanwhile.
#[tokio::test]
async fn promise_11_honest_holes_trimmed_under_way() {
    let mut scene = Scene::new("trimmed_under_way", Kind::Postgres, TABLE).await;
    scene.rows = 5;
    scene.write(RULES);
    scene.publish(&changes(1..=5)).await;
    let running = scene.start(&["run"]);
    scene.until_committed(5).await;
    let (blocker, waits) = held_up(&scene).await;
    // Far more than a reader asks for ahead, so that most of it stands at the server.
    scene.publish(&changes(6..=4000)).await;
    waits.until_it_waits().await;
    purge(&scene, 3990).await;
    drop(blocker);
    let ended = running.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("begins at sequence 3990"), "{}", ended.stderr);
    // What had come before is whole; nothing from behind the hole was applied.
    let (applied, found) = (ids(&scene).await, holes(&scene).await);
    let last = *applied.last().unwrap();
    assert_eq!(applied, (1..=last).collect::<Vec<_>>());
    assert!(last < 3989, "{last}");
    let first = (last + 1).to_string();
    assert_eq!(found, [hole(["trimmed", &first, "3989", "open", "waits", "null", "null"])]);
    scene.call(&["holes", "accept", "1", "--by", "ann"]).await.done();
    scene.run().await;
    assert_eq!(ids(&scene).await, (1..=last).chain(3990..=4000).collect::<Vec<_>>());
}

/// A lane that was claimed and had applied nothing yet is told from one that begins.
#[tokio::test]
async fn promise_11_honest_holes_before_the_first_change() {
    let scene = Scene::new("before_the_first", Kind::Sqlite, TABLE).await;
    scene.write(RULES);
    scene.call(&["run", "--until-caught-up"]).await.done();
    scene.publish(&changes(1..=20)).await;
    purge(&scene, 11).await;
    refused(&scene, &["begins at sequence 11", "applied up to 0"]).await;
    // One that begins takes what is there.
    let scene = Scene::new("late_beginner", Kind::Sqlite, TABLE).await;
    scene.write(RULES);
    scene.publish(&changes(1..=20)).await;
    purge(&scene, 11).await;
    assert_eq!(scene.run().await.sum("applied"), 10);
    assert!(holes(&scene).await.is_empty());
}

async fn recreated(scene: &Scene, subjects: &str) {
    scene.jetstream.delete_stream(&scene.stream).await.unwrap();
    create_stream(&scene.jetstream, &scene.stream, &[subjects]).await.unwrap();
}

#[tokio::test]
async fn promise_11_honest_holes_recreated() {
    for (name, kind) in [("recreated", Kind::Sqlite), ("recreated_postgres", Kind::Postgres)] {
        let scene = Scene::new(name, kind, TABLE).await;
        scene.write(RULES);
        scene.publish(&changes(1..=5)).await;
        scene.publish_bytes("goods", Change::headers(), "not a change").await;
        scene.run().await;
        recreated(&scene, &format!("{name}.>")).await;
        scene.publish_bytes("goods", Change::headers(), "not one either").await;
        scene.publish(&changes(4..=20)).await;
        refused(&scene, &["was created anew", "holes accept 1"]).await;
        assert_eq!(holes(&scene).await, [hole(["recreated", "7", "null", "open", "waits", "null", "null"])]);
        scene.call(&["holes", "accept", "1", "--by", "ann"]).await.done();
        // From its beginning; what was applied before is known.
        let report = scene.run().await;
        let ended = ["applied", "duplicate", "dead-lettered"].map(|word| report.sum(word));
        assert_eq!(ended, [15, 2, 1], "{report:?}");
        assert_eq!(ids(&scene).await, (1..=20).collect::<Vec<_>>());
        let letters: Vec<Value> = scene.call(&["dlq", "list", "--json"]).await.done().json();
        let of: Vec<_> = letters.iter().map(|letter| (&letter["stream"], &letter["sequence"])).collect();
        assert_eq!(of.len(), 2, "neither took the other's place: {of:?}");
        assert_eq!(of[1].0, &json!(format!("{}@1", scene.stream)));
        let audit = scene.call(&["audit", "--json"]).await.done();
        assert!(audit.stdout.contains("recreated"), "what cannot be counted again is told: {}", audit.stdout);
    }
}

#[tokio::test]
async fn promise_11_honest_holes_recreated_under_way() {
    let mut scene = Scene::new("recreated_under_way", Kind::Sqlite, TABLE).await;
    scene.rows = 5;
    scene.write(RULES);
    scene.publish(&changes(1..=5)).await;
    let running = scene.start(&["run"]);
    scene.until_committed(5).await;
    recreated(&scene, "recreated_under_way.>").await;
    scene.publish(&changes(6..=20)).await;
    let ended = running.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("was created anew"), "{}", ended.stderr);
    assert_eq!(scene.column("SELECT count(*) FROM goods").await, ["5"]);
}

#[tokio::test]
async fn promise_11_honest_holes_rolled_back() {
    let folder = scratch("rolled-back").unwrap();
    let mut server = NatsServer::start(&folder.path().join("nats")).unwrap();
    let mut scene = Scene::on(&server, "rolled_back", Kind::Sqlite, TABLE).await;
    scene.write(RULES);
    scene.publish(&changes(1..=5)).await;
    server.stop().unwrap();
    let (store, backup) = (server.folder().join("jetstream"), folder.path().join("backup"));
    copy(&store, &backup);
    server.restart().unwrap();
    scene.jetstream = jetstream(&server).await;
    scene.publish(&changes(6..=10)).await;
    assert_eq!(scene.run().await.sum("applied"), 10);
    // The server comes back from a backup: the same stream, with less in it.
    server.stop().unwrap();
    std::fs::remove_dir_all(&store).unwrap();
    copy(&backup, &store);
    server.restart().unwrap();
    scene.jetstream = jetstream(&server).await;
    refused(&scene, &["ends at sequence 5", "applied up to 10", "rolled back", "holes accept 1"]).await;
    assert_eq!(holes(&scene).await, [hole(["rolled-back", "6", "10", "open", "waits", "null", "null"])]);
    // The source sends again what was lost, and more, and the lane reads all of it once more.
    scene.publish(&changes(8..=9)).await;
    scene.call(&["holes", "accept", "1", "--by", "ann"]).await.done();
    let report = scene.run().await;
    assert_eq!((report.sum("duplicate"), report.sum("applied")), (7, 0), "{report:?}");
    scene.publish(&changes(11..=15)).await;
    assert_eq!(scene.run().await.sum("applied"), 5);
    assert_eq!(ids(&scene).await, (1..=15).collect::<Vec<_>>());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
