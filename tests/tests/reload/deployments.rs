//! Artifacts in the store: deployed, shown in shadow, promoted, refused, rolled back, pinned, and turned back by faults.

use std::fs;

use reconverge_tests::{Change, Kind, Scene, guest};
use serde_json::{Value, json};

use crate::{
    RUN, TABLE, change, deployed_to, expected, file, put, rows, rules, until_phase, until_status, variant,
};

#[tokio::test]
async fn a_deployment_goes_live_is_rolled_back_and_outlives_the_process() {
    let (scene, mut running, wasm) = deployed_to("deployed").await;
    let first = file(&scene, "first.wasm", &variant(&wasm, 1));
    let shown: Value =
        scene.call(&["plugin", "deploy", &first, "--plugin", "merge", "--json"]).await.done().json();
    assert_eq!(shown["reports"][0]["phase"], "live", "{shown}");
    running.until_told("generation.taken", 1).await;
    // The plugin is the only one of the pipeline, so its name need not be said.
    let second = file(&scene, "second.wasm", &variant(&wasm, 2));
    scene.call(&["plugin", "deploy", &second]).await.done();
    running.until_told("generation.taken", 2).await;
    let digest = |shown: &Value| shown["deployment"]["sha256"].as_str().unwrap().to_owned();
    let back: Value = scene.call(&["plugin", "rollback", "merge", "--json"]).await.done().json();
    assert_eq!(digest(&back), digest(&shown));
    running.until_told("generation.taken", 3).await;
    scene.call(&["plugin", "pin", "merge", "--by", "on-call"]).await.done();
    let refused = scene.call(&["plugin", "deploy", &second]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("pinned") && refused.stderr.contains("on-call"), "{}", refused.stderr);
    running.stopped().await;
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
    let all = |status: &Value| status["reports"][0]["compared"]["changes"].as_u64() >= Some(200);
    let compared = &until_status(&scene, "shown with all changes", all).await["reports"][0]["compared"];
    assert!(compared["differ"].as_u64() > Some(0), "{compared}");
    let words = compared["examples"].to_string();
    assert!(
        words.contains("kept-current") && words.contains("applied") && !words.contains("change "),
        "{words}"
    );
    assert_eq!(rows(&scene).await, expected(200));
    scene.call(&["plugin", "promote", "merge"]).await.done();
    running.until_told("generation.taken", 1).await;
    running.stopped().await;
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
    running.stopped().await;
    let recorded = scene.column(&format!("SELECT plugins FROM {}", scene.sidecar("generation"))).await;
    let refused = reconverge::plugin::Digest::of(&fs::read(guest("faulty")).unwrap()).to_string();
    assert!(!recorded.is_empty() && !recorded.concat().contains(&refused), "it never decided: {recorded:?}");
}

/// Shown in shadow until it has decided forty changes alike, live by that rule alone, and then it fails.
#[tokio::test]
async fn a_deployment_that_fails_is_turned_back_for_all_processes() {
    let scene = Scene::new("turned_back", Kind::Sqlite, TABLE).await;
    let config = "config = { mode = \"trap\", marker = \"poison\", column = \"note\" }";
    scene.write(&rules("merge", config, "max_faults = 0"));
    let wasm = fs::read(guest("faulty")).unwrap();
    put(&scene, &wasm);
    let mut running = scene.start(&RUN);
    running.until_told("lane.claimed", 1).await;
    let next = file(&scene, "next.wasm", &variant(&wasm, 1));
    let words = ["plugin", "deploy", &next, "--shadow-changes", "40", "--max-diff", "0", "--no-wait"];
    scene.call(&words).await.done();
    until_phase(&scene, "shadow").await;
    assert_eq!(running.talk().matches("generation.taken").count(), 0, "nothing is live before it was shown");
    scene.publish(&(0..40).map(change).collect::<Vec<_>>()).await;
    running.until_told("generation.taken", 1).await;
    until_phase(&scene, "live").await;
    let row = json!({"id": 3, "modification_epoch": 9999, "region_source": "west", "note": "poison"});
    let poison = Change::write("west", 1000, "shifts", json!({"id": 3}), row);
    let last = scene.publish([&poison, &change(1001)]).await.pop().unwrap();
    scene.until_committed(last).await;
    until_phase(&scene, "taken-back").await;
    // The store says so to the others.
    let turned = |status: &Value| status["deployment"]["taken_back"].is_string();
    let status = until_status(&scene, "turned back", turned).await;
    assert_eq!(status["deployment"]["sha256"], json!(reconverge::plugin::Digest::of(&wasm).to_string()));
    running.stopped().await;
    assert_eq!(scene.letters().await.len(), 1, "the poison cost its own change");
    let report = scene.audit().await;
    assert_eq!(report.lanes[0].delivered, 42, "the batch was decided once more and not lost");
}

#[tokio::test]
async fn what_nobody_trusted_has_signed_is_neither_deployed_nor_taken() {
    let (scene, mut running, wasm) = deployed_to("unsigned").await;
    let next = file(&scene, "next.wasm", &variant(&wasm, 1));
    scene.call(&["plugin", "deploy", &next]).await.done();
    running.until_told("generation.taken", 1).await;
    running.stopped().await;
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    scene.write(&rules("merge", "", &format!("trusted_keys = [\"{key}\"]")));
    let refused = scene.call(&["plugin", "deploy", &next]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("not signed"), "{}", refused.stderr);
    let refused = scene.call(&["run", "--until-caught-up"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("not signed"), "{}", refused.stderr);
}
