//! The program killed in the middle, with no chance to tidy up, and started again: the same rows, each change
//! counted once. And told to stop: it commits what it has in hand, gives its lane up, and ends well.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use reconverge_capture::split_brain::{LAST, differing};
use reconverge_tests::{Kind, Scene, expected_dispositions, split_brain};

/// Runs for ever, as the same owner after each restart, so that it need not wait for its own lease.
const RUN: [&str; 3] = ["run", "--owner", "the-same"];

/// What the recording comes to, whoever broke it off.
async fn is_whole(scene: &Scene) {
    let differing = differing(&scene.sink).await.unwrap();
    assert!(differing.is_empty(), "{} rows differ, such as {}", differing.len(), differing[0]);
    let audit = scene.audit().await;
    let expected = expected_dispositions();
    let lane = &audit.lanes[0];
    assert_eq!((audit.lanes.len(), lane.delivered, lane.sum), (1, LAST, LAST));
    for (word, count) in &lane.dispositions {
        let sum: u64 = expected.values().filter_map(|counts| counts.get(word)).sum();
        assert_eq!(*count, sum, "{word}");
    }
}

async fn killed_in_the_middle(name: &str, kind: Kind) {
    let scene = split_brain(name, kind, 25).await;
    for sequence in [1, 300, 900, 1500, 2100, 2700, 3300] {
        let running = scene.start(&RUN);
        scene.until_committed(sequence).await;
        running.signal("KILL").await;
        let ended = running.ended().await;
        assert_eq!(ended.code, None, "it was to die by the signal: {ended:?}");
        let checkpoint = scene.checkpoint().await.unwrap();
        assert_eq!(checkpoint.delivered, checkpoint.sum, "{checkpoint:?}");
        assert_eq!(checkpoint.delivered, checkpoint.sequence, "each message is one change: {checkpoint:?}");
    }
    let before = scene.checkpoint().await.unwrap().sequence;
    assert!(before < LAST, "nothing was left to do after the last kill");
    let words = ["run", "--owner", "the-same", "--until-caught-up", "--json"];
    let report: reconverge_tests::Report = scene.call(&words).await.done().json();
    assert!(report.changes <= LAST - before, "{} of {}", report.changes, LAST - before);
    is_whole(&scene).await;
}

#[tokio::test]
async fn sqlite_killed_in_the_middle() {
    killed_in_the_middle("killed_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_killed_in_the_middle() {
    killed_in_the_middle("killed_postgres", Kind::Postgres).await;
}

async fn told_to_stop(name: &str, kind: Kind, signal: &str) {
    let scene = split_brain(name, kind, 25).await;
    let running = scene.start(&["run", "--json"]);
    scene.until_committed(500).await;
    running.signal(signal).await;
    let ended = running.ended().await.done();
    let report: reconverge_tests::Report = ended.json();
    let checkpoint = scene.checkpoint().await.unwrap();
    assert_eq!((checkpoint.delivered, checkpoint.sum), (report.changes, report.changes));
    assert!(checkpoint.sequence < LAST, "it ran to the end before it was told to stop");
    assert_eq!(checkpoint.owner, None, "a lane that was given up has no owner");
    assert!(ended.stderr.contains("the batch in hand is committed first"), "{}", ended.stderr);
    // Another process need not wait for the lease.
    scene.run().await;
    is_whole(&scene).await;
}

#[tokio::test]
async fn sqlite_told_to_stop() {
    told_to_stop("stopped_sqlite", Kind::Sqlite, "TERM").await;
}

#[tokio::test]
async fn postgres_told_to_stop() {
    told_to_stop("stopped_postgres", Kind::Postgres, "INT").await;
}
