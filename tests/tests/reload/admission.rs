//! Golden contests stand before a generation: those of the pipeline file, and those that travel with a deployment.

use std::{fs, path::Path};

use reconverge_servers::project_root;
use reconverge_tests::{Kind, Scene, guest};
use serde_json::Value;

use crate::{RUN, TABLE, deployed_to, put, rules, variant};

/// A plugin's folder as `plugin build` leaves it, with the golden contests of the schedule merge.
fn folder(scene: &Scene, name: &str, wasm: &[u8]) -> String {
    let folder = scene.folder().join(name);
    fs::create_dir_all(folder.join("build")).unwrap();
    fs::write(folder.join("build/rule.wasm"), wasm).unwrap();
    contests(&folder.join("contests"));
    folder.to_str().unwrap().to_owned()
}

fn contests(to: &Path) {
    fs::create_dir_all(to).unwrap();
    let golden = project_root().join("plugins/schedule-merge/contests/golden.jsonl");
    fs::copy(golden, to.join("golden.jsonl")).unwrap();
}

const TOLD: &str =
    "golden.jsonl:3 `the older edit loses`: it says take where keep and archive is written down";

#[tokio::test]
async fn contests_travel_with_a_deployment_and_a_difference_refuses_it() {
    let (scene, mut running, wasm) = deployed_to("golden_deployed").await;
    let good = folder(&scene, "good", &variant(&wasm, 1));
    let shown: Value = scene.call(&["plugin", "deploy", &good, "--json"]).await.done().json();
    assert_eq!(shown["reports"][0]["phase"], "live", "{shown}");
    assert!(shown["deployment"]["contests"].is_string(), "{shown}");
    running.until_told("generation.taken", 1).await;
    let bad = folder(&scene, "bad", &fs::read(guest("faulty")).unwrap());
    let refused = scene.call(&["plugin", "deploy", &bad, "--plugin", "merge", "--json"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let shown: Value = refused.json();
    let why = shown["reports"][0]["why"].as_str().unwrap();
    assert_eq!(shown["reports"][0]["phase"], "refused", "{shown}");
    assert!(why.contains("golden contests are decided otherwise") && why.contains(TOLD), "{why}");
    // A roll back goes to what ran before, whatever the contests of the refused one say.
    scene.call(&["plugin", "rollback", "merge"]).await.done();
    running.stopped().await;
    let generations = scene.column(&format!("SELECT plugins FROM {}", scene.sidecar("generation"))).await;
    let refused = reconverge::plugin::Digest::of(&fs::read(guest("faulty")).unwrap()).to_string();
    assert!(
        !generations.is_empty() && !generations.concat().contains(&refused),
        "it never decided: {generations:?}"
    );
}

#[tokio::test]
async fn contests_of_the_pipeline_stand_before_every_artifact() {
    let scene = Scene::new("golden_watched", Kind::Sqlite, TABLE).await;
    contests(&scene.folder().join("golden"));
    scene.write(&rules("merge", "contests = \"golden\"", ""));
    let (good, bad) = (fs::read(guest("schedule-merge")).unwrap(), fs::read(guest("faulty")).unwrap());
    put(&scene, &bad);
    let found = scene.check().await;
    assert!(found.problems.iter().any(|problem| problem.message.contains(TOLD)), "{found:?}");
    let ended = scene.call(&["run", "--until-caught-up"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    put(&scene, &good);
    assert!(scene.check().await.ok);
    let mut running = scene.start(&[&RUN[..], &["--watch"]].concat());
    running.until_told("lane.claimed", 1).await;
    put(&scene, &bad);
    running.until_told("reload.refused", 1).await;
    assert!(running.talk().contains(TOLD), "{}", running.talk());
    put(&scene, &variant(&good, 1));
    running.until_told("generation.taken", 1).await;
    running.stopped().await;
}
