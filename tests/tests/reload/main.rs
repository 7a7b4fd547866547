//! Hot reload under load: nothing is lost, repeated or reordered while plugins are swapped, every decision names the
//! generation that made it, and what is not fit to run changes nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

mod admission;
mod canaries;
mod deployments;
mod swaps;

use std::collections::BTreeMap;
use std::fs;
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

/// One process of a pipeline that follows deployments, and the plugin that it starts with.
async fn deployed_to(name: &str) -> (Scene, Running, Vec<u8>) {
    let scene = Scene::new(name, Kind::Sqlite, TABLE).await;
    scene.write(&rules("merge", "", ""));
    let wasm = fs::read(guest("schedule-merge")).unwrap();
    put(&scene, &wasm);
    let mut running = scene.start(&RUN);
    running.until_told("lane.claimed", 1).await;
    (scene, running, wasm)
}

/// Writes a file to deploy, and the words that deploy it.
fn file(scene: &Scene, name: &str, bytes: &[u8]) -> String {
    let file = scene.folder().join(name);
    fs::write(&file, bytes).unwrap();
    file.to_str().unwrap().to_owned()
}

/// What `plugin status` says of the plugin, as soon as it is as wanted.
async fn until_status(scene: &Scene, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let reached = async {
        loop {
            let status: Value = scene.call(&["plugin", "status", "merge", "--json"]).await.done().json();
            if is_wanted(&status[0]) {
                return status[0].clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let status = tokio::time::timeout(PATIENCE, reached).await;
    status.unwrap_or_else(|_| panic!("it never was {what}"))
}

async fn until_phase(scene: &Scene, wanted: &str) {
    until_status(scene, wanted, |status| status["reports"][0]["phase"] == wanted).await;
}

/// The rows as `expected` gives them.
async fn rows(scene: &Scene) -> Vec<Vec<Option<String>>> {
    scene.texts("SELECT id, modification_epoch, note FROM shifts ORDER BY id").await
}
