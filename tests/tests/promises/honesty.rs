//! Promise 11: a stream that was trimmed past the checkpoint, rolled back or made anew is told, never read on in
//! silence.

use std::path::Path;

use reconverge_capture::create_stream;
use reconverge_servers::{NatsServer, scratch};
use reconverge_tests::{Change, Ended, Kind, Scene, jetstream};
use serde_json::json;

const TABLE: &str = "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, note text);";
const RULES: &str = "[[table]]\nname = \"goods\"\nkey = [\"id\"]\n";

fn changes(commits: std::ops::RangeInclusive<u64>) -> Vec<Change> {
    let of = |id: u64| Change::write("east", id, "goods", json!({"id": id}), json!({"id": id, "note": "n"}));
    commits.map(of).collect()
}

/// A run that was refused: it says what happened and what to do, and has applied nothing.
async fn refused(scene: &Scene, words: &[&str]) -> Ended {
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

#[tokio::test]
async fn promise_11_honest_holes_trimmed() {
    for (name, kind) in [("trimmed_sqlite", Kind::Sqlite), ("trimmed_postgres", Kind::Postgres)] {
        let scene = Scene::new(name, kind, TABLE).await;
        scene.write(RULES);
        scene.publish(&changes(1..=5)).await;
        assert_eq!(scene.run().await.sum("applied"), 5);
        scene.publish(&changes(6..=20)).await;
        let stream = scene.jetstream.get_stream(&scene.stream).await.unwrap();
        stream.purge().sequence(11).await.unwrap();
        refused(&scene, &["begins at sequence 11", "applied up to 5", "5 sequences between them are gone"])
            .await;
        assert_eq!(scene.column("SELECT count(*) FROM goods").await, ["5"]);
        // Only on the operator's word.
        scene.write(RULES);
        let text = std::fs::read_to_string(scene.folder().join("pipeline.toml")).unwrap();
        scene.write_whole(&text.replace("[source]\n", "[source]\non_hole = \"continue\"\n"));
        assert_eq!(scene.run().await.sum("applied"), 10);
    }
}

#[tokio::test]
async fn promise_11_honest_holes_recreated() {
    let scene = Scene::new("recreated", Kind::Sqlite, TABLE).await;
    scene.write(RULES);
    scene.publish(&changes(1..=5)).await;
    scene.run().await;
    scene.jetstream.delete_stream(&scene.stream).await.unwrap();
    create_stream(&scene.jetstream, &scene.stream, &["recreated.>"]).await.unwrap();
    scene.publish(&changes(6..=20)).await;
    refused(&scene, &["was created anew"]).await;
    // The same when the pipeline runs while it happens.
    let mut scene = Scene::new("recreated_under_way", Kind::Sqlite, TABLE).await;
    scene.rows = 5;
    scene.write(RULES);
    scene.publish(&changes(1..=5)).await;
    let running = scene.start(&["run"]);
    scene.until_committed(5).await;
    scene.jetstream.delete_stream(&scene.stream).await.unwrap();
    create_stream(&scene.jetstream, &scene.stream, &["recreated_under_way.>"]).await.unwrap();
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
    refused(&scene, &["ends at sequence 5", "applied up to 10", "rolled back"]).await;
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
