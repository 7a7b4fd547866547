//! Hot reload under load: nothing is lost, repeated or reordered while plugins are swapped, every decision names the
//! generation that made it, and what is not fit to run changes nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reconverge_tests::{Change, Kind, Running, Scene, guest, micros};
use serde_json::{Value, json};

const TABLE: &str = "CREATE TABLE shifts (id bigint PRIMARY KEY NOT NULL, modification_epoch bigint NOT NULL, \
                     region_source text NOT NULL, note text);";
const KEYS: u64 = 20;
const RUN: [&str; 6] = ["run", "--owner", "the-same", "--json", "--log", "json"];
/// How long a swap may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn rules(plugin: &str, config: &str, reload: &str) -> String {
    format!(
        "[[table]]\nname = \"shifts\"\nkey = [\"id\"]\npolicy = {{ plugin = \"{plugin}\" }}\ndeletes = \"win\"\n\
         archive = \"loser\"\n\n[[plugin]]\nname = \"{plugin}\"\npath = \"plugin.wasm\"\nstage = \"merge\"\n{config}\n\
         [reload]\n{reload}\n"
    )
}

/// The same plugin with another digest: a custom section at its end that nothing reads.
fn variant(wasm: &[u8], number: u8) -> Vec<u8> {
    let mut bytes = wasm.to_vec();
    bytes.extend_from_slice(&[0, 3, 1, b'v', number]);
    bytes
}

/// Puts a plugin where the pipeline looks for it, whole or not at all.
fn put(scene: &Scene, bytes: &[u8]) {
    let new = scene.folder().join("plugin.new");
    fs::write(&new, bytes).unwrap();
    fs::rename(new, scene.folder().join("plugin.wasm")).unwrap();
}

fn change(n: u64) -> Change {
    let (source, id) = (["east", "west"][usize::try_from(n % 2).unwrap()], (n / 2) % KEYS);
    let row = json!({
        "id": id, "modification_epoch": n.wrapping_mul(0x9E37_79B9) % 977, "region_source": source,
        "note": format!("change {n}"),
    });
    Change::write(source, n + 1, "shifts", json!({"id": id}), row)
}

/// Who stands after the first `changes` of them, as the rule says: the greater epoch, then the greater region, then the
/// later one.
fn expected(changes: u64) -> Vec<Vec<Option<String>>> {
    let mut rows = BTreeMap::new();
    for n in 0..changes {
        let change = change(n);
        let row = change.field("after");
        let order =
            (row["modification_epoch"].as_u64(), row["region_source"].as_str().map(str::to_owned), micros(n));
        let stands = rows.entry(row["id"].as_u64()).or_insert_with(|| (order.clone(), row.clone()));
        if order > stands.0 {
            *stands = (order, row);
        }
    }
    let text = |value: &Value| Some(value.to_string().trim_matches('"').to_owned());
    rows.into_values()
        .map(|(_, row)| ["id", "modification_epoch", "note"].map(|c| text(&row[c])).to_vec())
        .collect()
}

/// Waits until the log has `times` of an event.
async fn until_told(running: &mut Running, event: &str, times: usize) {
    let told = async {
        while running.talk().matches(&format!("\"{event}\"")).count() < times {
            assert!(running.runs(), "it ended:\n{}", running.talk());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, told).await.is_err() {
        panic!("{event} was not told {times} times:\n{}", running.talk());
    }
}

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
        until_told(&mut running, "lane.claimed", 1).await;
        for number in 1..=swaps {
            put(&scene, &variant(&wasm, number));
            until_told(&mut running, "generation.taken", usize::from(number)).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (published, ()) = tokio::join!(publish_until(&scene, &stop), swapping);
    scene.until_committed(published).await;
    running.signal("TERM").await;
    let report: reconverge_tests::Report = running.ended().await.done().json();
    assert_eq!(report.changes, published, "each change once");
    let rows = scene.texts("SELECT id, modification_epoch, note FROM shifts ORDER BY id").await;
    assert_eq!(rows, expected(published));
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
    until_told(&mut running, "lane.claimed", 1).await;
    let other_stage = fs::read(guest("drop-temporary")).unwrap();
    let cut = &wasm[..wasm.len() / 2];
    for (number, (bytes, why)) in
        [(&b"no plugin"[..], "begins like text"), (cut, "damaged"), (&other_stage, "merge")]
            .into_iter()
            .enumerate()
    {
        put(&scene, bytes);
        until_told(&mut running, "reload.refused", number + 1).await;
        let told = running.talk();
        let line = told.lines().rfind(|line| line.contains("reload.refused")).unwrap().to_owned();
        assert!(line.contains(why) && line.contains("\"merge\""), "{line}");
    }
    let sequences = scene.publish(&(0..40).map(change).collect::<Vec<_>>()).await;
    scene.until_committed(*sequences.last().unwrap()).await;
    running.signal("TERM").await;
    running.ended().await.done();
    assert_eq!(
        scene.texts("SELECT id, modification_epoch, note FROM shifts ORDER BY id").await,
        expected(40)
    );
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
    until_told(&mut running, "lane.claimed", 1).await;
    put(&scene, &variant(&wasm, 1));
    until_told(&mut running, "generation.taken", 1).await;
    let mut changes: Vec<Change> = (0..40).map(change).collect();
    let poison = |n: u64, id: u64| {
        let row = json!({"id": id, "modification_epoch": 9999, "region_source": "west", "note": "poison"});
        Change::write("west", n, "shifts", json!({"id": id}), row)
    };
    changes.push(poison(1000, 3));
    changes.push(change(1001));
    let sequences = scene.publish(&changes).await;
    scene.until_committed(*sequences.last().unwrap()).await;
    until_told(&mut running, "generation.taken_back", 1).await;
    running.signal("TERM").await;
    running.ended().await.done();
    let generation = scene.sidecar("generation");
    let ids = scene.column(&format!("SELECT id FROM {generation} ORDER BY id")).await;
    let letters = scene.letters().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!((letters[0].sequence, letters[0].code.as_str()), (sequences[40], "trap"));
    let by = letters[0].generation.unwrap().to_string();
    assert_ne!(by, ids[1], "the new generation was taken back before it decided");
    let plugins = |id: &str| format!("SELECT plugins FROM {generation} WHERE id = {id}");
    assert_eq!(
        scene.column(&plugins(&by)).await,
        scene.column(&plugins(&ids[0])).await,
        "the first one decided"
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

/// One process of a pipeline that follows deployments, and the plugin that it starts with.
async fn deployed_to(name: &str) -> (Scene, Running, Vec<u8>) {
    let scene = Scene::new(name, Kind::Sqlite, TABLE).await;
    scene.write(&rules("merge", "", ""));
    let wasm = fs::read(guest("schedule-merge")).unwrap();
    put(&scene, &wasm);
    let mut running = scene.start(&RUN);
    until_told(&mut running, "lane.claimed", 1).await;
    (scene, running, wasm)
}

/// Writes a file to deploy, and the words that deploy it.
fn file(scene: &Scene, name: &str, bytes: &[u8]) -> String {
    let file = scene.folder().join(name);
    fs::write(&file, bytes).unwrap();
    file.to_str().unwrap().to_owned()
}

async fn phase(scene: &Scene) -> String {
    let status: Value = scene.call(&["plugin", "status", "merge", "--json"]).await.done().json();
    status[0]["reports"][0]["phase"].as_str().unwrap_or("none").to_owned()
}

async fn until_phase(scene: &Scene, wanted: &str) {
    let reached = async {
        while phase(scene).await != wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, reached).await.is_err() {
        panic!("it never was {wanted}");
    }
}

#[tokio::test]
async fn a_deployment_goes_live_is_rolled_back_and_outlives_the_process() {
    let (scene, mut running, wasm) = deployed_to("deployed").await;
    let first = file(&scene, "first.wasm", &variant(&wasm, 1));
    let shown: Value =
        scene.call(&["plugin", "deploy", &first, "--plugin", "merge", "--json"]).await.done().json();
    assert_eq!(shown["reports"][0]["phase"], "live", "{shown}");
    until_told(&mut running, "generation.taken", 1).await;
    // The plugin is the only one of the pipeline, so its name need not be said.
    let second = file(&scene, "second.wasm", &variant(&wasm, 2));
    scene.call(&["plugin", "deploy", &second]).await.done();
    until_told(&mut running, "generation.taken", 2).await;
    let digest = |shown: &Value| shown["deployment"]["sha256"].as_str().unwrap().to_owned();
    let back: Value = scene.call(&["plugin", "rollback", "merge", "--json"]).await.done().json();
    assert_eq!(digest(&back), digest(&shown));
    until_told(&mut running, "generation.taken", 3).await;
    scene.call(&["plugin", "pin", "merge", "--by", "on-call"]).await.done();
    let refused = scene.call(&["plugin", "deploy", &second]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("pinned") && refused.stderr.contains("on-call"), "{}", refused.stderr);
    running.signal("TERM").await;
    running.ended().await.done();
    let last = scene.publish(&(0..40).map(change).collect::<Vec<_>>()).await.pop().unwrap();
    scene.run_to(last).await;
    let plugins = format!("SELECT plugins FROM {} ORDER BY id DESC LIMIT 1", scene.sidecar("generation"));
    assert!(scene.column(&plugins).await[0].contains(&digest(&back)), "a new process runs what is deployed");
    scene.audit().await;
}

#[tokio::test]
async fn a_deployment_in_shadow_writes_nothing_until_it_is_promoted() {
    let (scene, mut running, _) = deployed_to("shadowed").await;
    // It takes every change, whatever its epoch.
    let faulty = fs::read(guest("faulty")).unwrap();
    let other = file(&scene, "other.wasm", &faulty);
    scene.call(&["plugin", "deploy", &other, "--plugin", "merge", "--by-hand", "--no-wait"]).await.done();
    until_phase(&scene, "shadow").await;
    let sequences = scene.publish(&(0..200).map(change).collect::<Vec<_>>()).await;
    scene.until_committed(*sequences.last().unwrap()).await;
    let differs = async {
        loop {
            let status: Value = scene.call(&["plugin", "status", "--json"]).await.done().json();
            let compared = &status[0]["reports"][0]["compared"];
            if compared["changes"].as_u64() >= Some(200) {
                return compared.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let compared = tokio::time::timeout(PATIENCE, differs).await.unwrap();
    assert!(compared["differ"].as_u64() > Some(0), "{compared}");
    let words = compared["examples"].to_string();
    assert!(
        words.contains("kept-current") && words.contains("applied") && !words.contains("change "),
        "{words}"
    );
    assert_eq!(
        scene.texts("SELECT id, modification_epoch, note FROM shifts ORDER BY id").await,
        expected(200)
    );
    scene.call(&["plugin", "promote", "merge"]).await.done();
    until_told(&mut running, "generation.taken", 1).await;
    running.signal("TERM").await;
    running.ended().await.done();
}

#[tokio::test]
async fn a_deployment_that_decides_too_much_otherwise_is_refused() {
    let (scene, running, wasm) = deployed_to("differing").await;
    let sequences = scene.publish(&(0..200).map(change).collect::<Vec<_>>()).await;
    scene.until_committed(*sequences.last().unwrap()).await;
    let other = file(&scene, "other.wasm", &fs::read(guest("faulty")).unwrap());
    let refused =
        scene.call(&["plugin", "deploy", &other, "--plugin", "merge", "--max-diff", "3", "--json"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let shown: Value = refused.json();
    let report = &shown["reports"][0];
    assert_eq!(report["phase"], "refused", "{shown}");
    assert!(report["why"].as_str().unwrap().contains("3 may differ"), "{shown}");
    let same = file(&scene, "same.wasm", &variant(&wasm, 1));
    let shown: Value = scene
        .call(&["plugin", "deploy", &same, "--plugin", "merge", "--max-diff", "0", "--json"])
        .await
        .done()
        .json();
    let compared = &shown["reports"][0]["compared"];
    assert_eq!(compared["differ"].as_u64(), Some(0), "{shown}");
    assert!(compared["changes"].as_u64() > Some(0), "{shown}");
    running.signal("TERM").await;
    running.ended().await.done();
    assert_eq!(scene.column(&format!("SELECT count(*) FROM {}", scene.sidecar("generation"))).await, ["2"]);
}
