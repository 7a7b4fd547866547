//! Changes of a source whose clock is ahead: they wait for their time, and what is of their keys behind them.

use reconverge_tests::{Kind, Scene};
use serde_json::json;

use super::{RULES, TABLES, counts, ledger, now, order, orders, scene, until};

/// A change of the future is kept until its time has passed, a later one of its key behind it, and other keys go on.
async fn a_clock_that_is_ahead(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    let running = scene.start(&["run", "--owner", "the-same"]);
    let at = now() + 20_000_000;
    let ahead = order(1, 1, 10).with("at", json!(at));
    // The later change of the key has an honest clock and loses against the one before it, as it would have at once.
    scene.publish(&[ahead.clone(), order(2, 1, 20).with("at", json!(now())), order(3, 2, 30)]).await;
    scene.until_rows("orders", 1).await;
    assert_eq!(orders(&scene).await, ["order 3"]);
    let told = scene.call(&["parked", "list", "--why", "skew"]).await.done().stdout;
    assert_eq!(told.matches("orders").count(), 2, "{told}");
    // The same change once more is the one that waits.
    scene.publish(&[ahead]).await;
    until("the repetition has a disposition", async || {
        scene.audit().await.lanes.remove(0).dispositions.get("regressed") == Some(&1)
    })
    .await;
    assert!(now() < at, "the machine is too slow for this test");
    scene.until_rows("orders", 2).await;
    assert!(now() >= at, "released before its time");
    assert_eq!(orders(&scene).await, ["order 1", "order 3"]);
    running.stopped().await;
    assert_eq!(ledger(&scene).await, counts([("applied", 2), ("kept-current", 1), ("regressed", 1)]));
    assert_eq!(scene.call(&["parked", "list"]).await.done().stdout, "no rows are kept\n");
}

#[tokio::test]
async fn sqlite_a_clock_that_is_ahead() {
    a_clock_that_is_ahead("ahead_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_a_clock_that_is_ahead() {
    a_clock_that_is_ahead("ahead_postgres", Kind::Postgres).await;
}

/// A batch of which a change is taken out after it was decoded, and its keys found, beside the batch before it.
async fn repetitions_that_were_decoded_ahead(name: &str, kind: Kind) {
    let mut scene = Scene::new(name, kind, TABLES).await;
    scene.rows = 2;
    scene.write(RULES);
    let ahead = order(1, 1, 10).with("at", json!(now() + 600_000_000));
    let mut changes = vec![ahead.clone()];
    for id in 2..40 {
        // Each batch has a repetition of what waits, and a change that goes on.
        changes.extend([order(id as u64, id, 1), ahead.clone()]);
    }
    scene.publish(&changes).await;
    scene.run().await;
    assert_eq!(orders(&scene).await.len(), 38);
    assert_eq!(ledger(&scene).await, counts([("applied", 38), ("parked", 1), ("duplicate", 38)]));
}

#[tokio::test]
async fn sqlite_repetitions_that_were_decoded_ahead() {
    repetitions_that_were_decoded_ahead("repeated_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_repetitions_that_were_decoded_ahead() {
    repetitions_that_were_decoded_ahead("repeated_postgres", Kind::Postgres).await;
}
