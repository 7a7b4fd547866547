//! A backlog in one lane is not another lane's: a change in `main` waits for one batch of `bulk` at most.

use std::time::Duration;

use reconverge_tests::{Change, Kind, Scene};
use serde_json::json;

const TABLES: &str = "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);
    CREATE TABLE notes (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);";
const RULES: &str = "[[table]]\nname = \"goods\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\n\n\
    [[table]]\nname = \"notes\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\nlane = \"bulk\"\n\n\
    [[lane]]\nname = \"bulk\"\n";
const BACKLOG: u64 = 1_000_000;
const BATCH: u64 = 1000;

fn write(table: &str, id: u64, version: u64) -> Change {
    let row = json!({"id": id, "version": version});
    Change::write("east", version, table, json!({"id": id}), row)
}

/// Publishes without waiting for each acknowledgement; the stream's own count tells when all are there.
async fn publish_backlog(scene: &Scene) {
    let client = scene.jetstream.client();
    let subject = write("notes", 0, 0).subject("backlog");
    for n in 1..=BACKLOG {
        let change = write("notes", n % 500_000, n);
        client.publish_with_headers(subject.clone(), Change::headers(), change.payload()).await.unwrap();
        if n % 10_000 == 0 {
            // So that neither the client nor the server has more in hand than it takes.
            client.flush().await.unwrap();
        }
    }
    client.flush().await.unwrap();
    loop {
        let state = scene.jetstream.get_stream(&scene.stream).await.unwrap().cached_info().state.clone();
        if state.last_sequence >= BACKLOG {
            assert_eq!(state.messages, BACKLOG);
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How far `bulk` is, and whether the row is there, in one look.
async fn look(scene: &Scene, id: u64) -> (u64, bool) {
    let query = format!(
        "SELECT (SELECT sequence FROM {} WHERE lane LIKE '%/bulk/0'), (SELECT count(*) FROM goods WHERE id = {id})",
        scene.sidecar("checkpoint")
    );
    let row = scene.texts(&query).await.remove(0);
    let number = |at: usize| row[at].as_deref().unwrap_or("0").parse::<u64>().unwrap();
    (number(0), number(1) == 1)
}

async fn a_backlog_delays_no_other_lane(scene: &Scene) {
    scene.write(RULES);
    publish_backlog(scene).await;
    let running = scene.start(&["run"]);
    // `main` looks through what is not its own, while `bulk` has begun on its backlog.
    scene
        .until_lanes("main is through", |lanes| {
            lanes.get("main/main/0").is_some_and(|lane| lane.sequence >= BACKLOG)
                && lanes.get("main/bulk/0").is_some_and(|lane| lane.sequence > 0)
        })
        .await;
    let mut waited = Vec::new();
    for id in 1..=15 {
        let (before, _) = look(scene, id).await;
        scene.publish(&[write("goods", id, id)]).await;
        let (after, _) = loop {
            let seen = look(scene, id).await;
            if seen.1 {
                break seen;
            }
        };
        assert!(after < BACKLOG, "the backlog is over: it proves nothing");
        waited.push((after - before) / BATCH);
    }
    waited.sort_unstable();
    // One is in its transaction when the change comes; the looks before and after it may be as old as others, more so
    // where the machine has other work.
    assert!(waited[waited.len() / 2] <= 5, "batches of bulk between a change and its commit: {waited:?}");
    running.stopped().await;
}

/// Two lanes and one file take turns; the worst case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_a_million_delays_no_other_lane() {
    let scene = Scene::new("backlog", Kind::Sqlite, TABLES).await;
    a_backlog_delays_no_other_lane(&scene).await;
}
