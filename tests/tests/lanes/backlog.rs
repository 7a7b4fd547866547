//! A backlog in one lane is not another lane's: a change in `main` waits for one batch of `bulk` at most.

use std::time::Duration;

use reconverge_tests::{Change, Kind, Scene};
use serde_json::json;

const TABLES: &str = "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);
    CREATE TABLE notes (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);
    CREATE TABLE passed (id bigint PRIMARY KEY NOT NULL, bulk bigint NOT NULL);
    CREATE TRIGGER tell AFTER INSERT ON goods BEGIN
      INSERT INTO passed SELECT NEW.id, sequence FROM reconverge_checkpoint WHERE lane LIKE '%/bulk/0';
    END;";
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

/// How far `bulk` was in the very transaction that wrote a row of `main`; `None` before that.
async fn bulk_when_written(scene: &Scene, id: u64) -> Option<u64> {
    let told = scene.column(&format!("SELECT bulk FROM passed WHERE id = {id}")).await;
    told.first().map(|sequence| sequence.parse().unwrap())
}

/// How far it is now.
async fn bulk_now(scene: &Scene) -> u64 {
    scene.column("SELECT sequence FROM reconverge_checkpoint WHERE lane LIKE '%/bulk/0'").await[0]
        .parse()
        .unwrap()
}

async fn a_backlog_delays_no_other_lane(scene: &Scene) {
    scene.write(RULES);
    // The change waits for no others, so that its way to the lane is short.
    scene.replace("linger_ms = 20", "linger_ms = 1");
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
        let before = bulk_now(scene).await;
        scene.publish(&[write("goods", id, id)]).await;
        let after = loop {
            if let Some(sequence) = bulk_when_written(scene, id).await {
                break sequence;
            }
        };
        assert!(after < BACKLOG, "the backlog is over: it proves nothing");
        waited.push((after - before) / BATCH);
    }
    waited.sort_unstable();
    // One is in its transaction when the change comes to the lane (that there is no other behind it is what
    // `lanes_of_one_file_take_turns` shows); some more pass on the change's way there, the more so where the machine has
    // other work.
    assert!(waited[waited.len() / 2] <= 5, "batches of bulk between a change and its commit: {waited:?}");
    running.stopped().await;
}

/// Two lanes and one file take turns; the worst case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_a_million_delays_no_other_lane() {
    let scene = Scene::new("backlog", Kind::Sqlite, TABLES).await;
    a_backlog_delays_no_other_lane(&scene).await;
}
