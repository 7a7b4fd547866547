//! Files that change under a running pipeline: a hundred swaps under load, what is not fit, what fails after the swap.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reconverge_tests::{Change, Kind, Scene, guest};
use serde_json::json;

use crate::{RUN, TABLE, change, expected, put, rows, rules, variant};

/// Publishes without end until told to stop; returns how many.
async fn publish_until(scene: &Scene, stop: &AtomicBool) -> u64 {
    let mut next = 0;
    while !stop.load(Ordering::Relaxed) {
        let changes: Vec<Change> = (next..next + 50).map(change).collect();
        scene.publish(&changes).await;
        next += 50;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    next
}

async fn swapped_under_load(name: &str, kind: Kind, swaps: u8) {
    let mut scene = Scene::new(name, kind, TABLE).await;
    scene.rows = 25;
    scene.write(&rules("merge", "", "watch = true"));
    let wasm = fs::read(guest("schedule-merge")).unwrap();
    put(&scene, &wasm);
    let mut running = scene.start(&RUN);
    let stop = Arc::new(AtomicBool::new(false));
    let swapping = async {
        running.until_told("lane.claimed", 1).await;
        for number in 1..=swaps {
            put(&scene, &variant(&wasm, number));
            // In the transaction of the first batch that it decided.
            running.until_told("generation.recorded", usize::from(number)).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (published, ()) = tokio::join!(publish_until(&scene, &stop), swapping);
    scene.until_committed(published).await;
    let report: reconverge_tests::Report = running.stopped().await.json();
    assert_eq!(report.changes, published, "each change once");
    assert_eq!(rows(&scene).await, expected(published));
    scene.audit().await;
    let (generation, decision) = (scene.sidecar("generation"), scene.sidecar("decision"));
    let from = scene.column(&format!("SELECT from_sequence FROM {generation} ORDER BY id")).await;
    let from: Vec<u64> = from.iter().map(|sequence| sequence.parse().unwrap()).collect();
    assert_eq!(from.len(), usize::from(swaps) + 1, "each swap is on record");
    assert!(from.is_sorted() && from.last() > from.first(), "swaps happened on the way: {from:?}");
    // A decision's generation is the newest that began before its sequence.
    let wrong = format!(
        "SELECT count(*) FROM {decision} d WHERE d.generation <> \
         (SELECT max(g.id) FROM {generation} g WHERE g.from_sequence < d.sequence)"
    );
    assert_eq!(scene.column(&wrong).await, ["0"]);
    let named = scene.column(&format!("SELECT count(DISTINCT generation) FROM {decision}")).await;
    assert!(named[0].parse::<u8>().unwrap() > 1, "decisions of several generations");
}

#[tokio::test]
async fn reload() {
    swapped_under_load("reload_postgres", Kind::Postgres, 100).await;
}

#[tokio::test]
async fn reload_on_sqlite() {
    swapped_under_load("reload_sqlite", Kind::Sqlite, 20).await;
}

#[tokio::test]
async fn what_is_not_fit_changes_nothing() {
    let scene = Scene::new("unfit", Kind::Sqlite, TABLE).await;
    scene.write(&rules("merge", "", "watch = true"));
    let wasm = fs::read(guest("schedule-merge")).unwrap();
    put(&scene, &wasm);
    let mut running = scene.start(&RUN);
    running.until_told("lane.claimed", 1).await;
    let other_stage = fs::read(guest("drop-temporary")).unwrap();
    let cut = &wasm[..wasm.len() / 2];
    for (number, (bytes, why)) in
        [(&b"no plugin"[..], "begins like text"), (cut, "damaged"), (&other_stage, "merge")]
            .into_iter()
            .enumerate()
    {
        put(&scene, bytes);
        running.until_told("reload.refused", number + 1).await;
        let told = running.talk();
        let line = told.lines().rfind(|line| line.contains("reload.refused")).unwrap().to_owned();
        assert!(line.contains(why) && line.contains("\"merge\""), "{line}");
    }
    let sequences = scene.publish(&(0..40).map(change).collect::<Vec<_>>()).await;
    scene.until_committed(*sequences.last().unwrap()).await;
    running.stopped().await;
    assert_eq!(rows(&scene).await, expected(40));
    assert_eq!(scene.column(&format!("SELECT count(*) FROM {}", scene.sidecar("generation"))).await, ["1"]);
    scene.audit().await;
}

/// A filter that traps where a note says so: at the start that costs the change, after a swap it costs the swap.
async fn taken_back(name: &str, kind: Kind) {
    let scene = Scene::new(name, kind, TABLE).await;
    let config = "config = { mode = \"trap\", marker = \"poison\", column = \"note\" }";
    scene.write(&rules("bad", config, "watch = true\nmax_faults = 0"));
    let wasm = fs::read(guest("faulty")).unwrap();
    put(&scene, &wasm);
    let mut running = scene.start(&RUN);
    running.until_told("lane.claimed", 1).await;
    put(&scene, &variant(&wasm, 1));
    running.until_told("generation.taken", 1).await;
    let mut changes: Vec<Change> = (0..40).map(change).collect();
    let poison = |n: u64, id: u64| {
        let row = json!({"id": id, "modification_epoch": 9999, "region_source": "west", "note": "poison"});
        Change::write("west", n, "shifts", json!({"id": id}), row)
    };
    changes.push(poison(1000, 3));
    changes.push(change(1001));
    let sequences = scene.publish(&changes).await;
    scene.until_committed(*sequences.last().unwrap()).await;
    running.until_told("generation.taken_back", 1).await;
    running.stopped().await;
    let generation = scene.sidecar("generation");
    let ids = scene.column(&format!("SELECT id FROM {generation} ORDER BY id")).await;
    let letters = scene.letters().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!((letters[0].sequence, letters[0].code.as_str()), (sequences[40], "trap"));
    let by = letters[0].generation.unwrap().to_string();
    let plugins = |id: &str| format!("SELECT plugins FROM {generation} WHERE id = {id}");
    assert_eq!(
        scene.column(&plugins(&by)).await,
        scene.column(&plugins(&ids[0])).await,
        "the new generation was taken back before it decided, and the first one did"
    );
    let report = scene.audit().await;
    assert_eq!(report.lanes[0].delivered, 42);
}

#[tokio::test]
async fn a_generation_that_fails_is_taken_back_and_its_batch_decided_by_the_one_before() {
    taken_back("back_sqlite", Kind::Sqlite).await;
    taken_back("back_postgres", Kind::Postgres).await;
}

#[test]
fn variants_are_plugins_with_digests_of_their_own() {
    let wasm = fs::read::<&Path>(guest("schedule-merge").as_ref()).unwrap();
    assert_ne!(variant(&wasm, 1), variant(&wasm, 2));
    assert!(variant(&wasm, 1).starts_with(&wasm));
}
