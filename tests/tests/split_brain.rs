//! The recording of two regions through the whole product: whatever the sink and the size of the batches, the rows
//! that must stand do, and every change has the disposition that the serial script gives it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use std::collections::BTreeSet;

use reconverge_capture::split_brain::differing;
use reconverge_tests::{Kind, Scene, expected_dispositions, split_brain};

async fn is_right(scene: &Scene) {
    let differing = differing(&scene.sink).await.unwrap();
    let told: Vec<String> = differing.iter().take(20).map(ToString::to_string).collect();
    assert!(told.is_empty(), "{} rows differ:\n{}", differing.len(), told.join("\n"));
    scene.audit().await;
}

/// Plays the recording in batches of `rows` changes, once and once more.
async fn plays(name: &str, kind: Kind, rows: usize) {
    let scene = split_brain(name, kind, rows).await;
    let report = scene.run().await;
    assert_eq!(report.tables, expected_dispositions(), "batches of {rows}");
    // A key change comes as two messages, which no batch parts.
    assert!(report.batches >= report.changes / (rows as u64 + 1), "{} batches", report.batches);
    is_right(&scene).await;
    let again = scene.run().await;
    assert_eq!((again.changes, again.batches), (0, 0));
    is_right(&scene).await;
}

#[tokio::test]
async fn sqlite_in_batches_of_1() {
    plays("sqlite_1", Kind::Sqlite, 1).await;
}

#[tokio::test]
async fn sqlite_in_batches_of_7() {
    plays("sqlite_7", Kind::Sqlite, 7).await;
}

#[tokio::test]
async fn sqlite_in_batches_of_100() {
    plays("sqlite_100", Kind::Sqlite, 100).await;
}

#[tokio::test]
async fn sqlite_in_batches_of_1000() {
    plays("sqlite_1000", Kind::Sqlite, 1000).await;
}

#[tokio::test]
async fn postgres_in_batches_of_1() {
    plays("postgres_1", Kind::Postgres, 1).await;
}

#[tokio::test]
async fn postgres_in_batches_of_7() {
    plays("postgres_7", Kind::Postgres, 7).await;
}

#[tokio::test]
async fn postgres_in_batches_of_100() {
    plays("postgres_100", Kind::Postgres, 100).await;
}

#[tokio::test]
async fn postgres_in_batches_of_1000() {
    plays("postgres_1000", Kind::Postgres, 1000).await;
}

/// Another pipeline reads the stream from its beginning into the same sink: the gate knows every change, so that
/// not one of them is even compared.
async fn read_again(name: &str, kind: Kind) {
    let mut scene = split_brain(name, kind, 500).await;
    let first = scene.run().await;
    let letters = scene.letters().await;
    scene.pipeline = format!("{}-again", scene.pipeline);
    scene.write_split_brain();
    let second = scene.run().await;
    assert_eq!(second.changes, first.changes);
    let words: BTreeSet<&str> =
        second.tables.values().flat_map(|counts| counts.keys()).map(String::as_str).collect();
    // A truncate has no key and so no gate.
    assert_eq!(words.into_iter().collect::<Vec<_>>(), ["dead-lettered", "duplicate", "regressed"]);
    assert_eq!(second.sum("dead-lettered"), first.sum("dead-lettered"));
    is_right(&scene).await;
    let count = format!("SELECT count(*) FROM {}", scene.sidecar("dead_letter"));
    assert_eq!(scene.column(&count).await, [letters.len().to_string()], "a letter stands twice");
}

#[tokio::test]
async fn sqlite_read_again_by_another_pipeline() {
    read_again("sqlite_again", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_read_again_by_another_pipeline() {
    read_again("postgres_again", Kind::Postgres).await;
}

#[tokio::test]
async fn the_plugin_saves_what_last_writer_wins_would_destroy() {
    let scene = split_brain("saved", Kind::Sqlite, 1000).await;
    scene.run().await;
    let decisions = scene.decisions().await;
    let kept = decisions.iter().filter(|decision| {
        decision.table == "agent_schedules"
            && decision.outcome == "kept-current"
            && decision.incoming.is_some()
    });
    let by_plugin = kept.filter(|decision| decision.decided_by == "plugin:schedule-merge").count();
    assert!(by_plugin > 100, "{by_plugin} losers were archived by the plugin's word");
    let explained = scene.call(&["explain", "agent_schedules", "1008"]).await.done();
    assert!(explained.stdout.contains("plugin:schedule-merge"), "{}", explained.stdout);
}
