//! `reconverge capture`: contests of a running pipeline, which `plugin test` takes as they are, without what residency
//! has not passed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use reconverge_tests::{Change, Kind, Scene, guest};
use serde_json::{Value, json};

const TABLES: &str =
    "CREATE TABLE shifts (id bigint PRIMARY KEY NOT NULL, modification_epoch bigint NOT NULL,
        region_source text NOT NULL, note text);";

fn rules() -> String {
    format!(
        "[[table]]\nname = \"shifts\"\nkey = [\"id\"]\npolicy = {{ plugin = \"rule\" }}\narchive = \"loser\"\n\n\
         [[plugin]]\nname = \"rule\"\npath = {:?}\nstage = \"merge\"\ntables = [\"shifts\"]\n",
        guest("schedule-merge")
    )
}

fn shift(source: &'static str, commit: u64, id: u64, epoch: u64) -> Change {
    let row = json!({"id": id, "modification_epoch": epoch, "region_source": source, "note": "n"});
    Change::write(source, commit, "shifts", json!({"id": id}), row)
}

fn lines(scene: &Scene, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(scene.folder().join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn a_lane_that_is_behind_gives_contests(name: &str, kind: Kind) {
    let scene = Scene::new(name, kind, TABLES).await;
    scene.write(&rules());
    let first: Vec<Change> = (1..=6).map(|id| shift("east", id, id, 10)).collect();
    let sequences = scene.publish(&first).await;
    scene.run_to(*sequences.last().unwrap()).await;
    let before: Vec<Change> = (1..=6).map(|id| shift("west", 100 + id, id, 7 + id)).collect();
    scene.publish(&before).await;
    let taken: Value = scene.call(&["capture", "--json"]).await.done().json();
    assert_eq!((&taken["contests"], &taken["left_out"]), (&json!(6), &json!(0)), "{taken}");
    let found = lines(&scene, "captured.jsonl");
    assert_eq!(found[0]["tables"][0]["columns"]["modification_epoch"], json!("int"));
    for (contest, id) in found[1..].iter().zip(1..) {
        assert_eq!(contest["incoming"]["after"]["modification_epoch"], json!(7 + id), "{contest}");
        assert_eq!(contest["incoming"]["origin"], json!("west"));
        assert_eq!(contest["current"]["row"]["region_source"], json!("east"), "{contest}");
        assert_eq!(contest["current"]["origin"], json!("east"));
    }
    // What the plugin says offline is what the pipeline does.
    let wasm = guest("schedule-merge");
    let words = ["plugin", "test", wasm.to_str().unwrap(), "--golden", "captured.jsonl"];
    scene.call(&[&words[..], &["--update"]].concat()).await.done();
    let takes = lines(&scene, "captured.jsonl").iter().filter(|c| c["expect"]["verdict"] == "take").count();
    scene.call(&words).await.done();
    scene.run().await;
    let west = scene.column("SELECT id FROM shifts WHERE region_source = 'west'").await;
    assert_eq!((west.len(), takes), (4, 4), "of one epoch the greater region wins");
    // And from the history, both rows as they stood then.
    scene.call(&["capture", "--decided", "--table", "shifts", "--out", "decided.jsonl"]).await.done();
    let decided = lines(&scene, "decided.jsonl");
    assert!(decided.len() > 1, "the history keeps both rows of contests: {decided:?}");
    assert!(decided[1..].iter().all(|c| c["current"]["row"]["region_source"] == "east"), "{decided:?}");
    let words = ["plugin", "test", wasm.to_str().unwrap(), "--golden", "decided.jsonl", "--update"];
    scene.call(&words).await.done();
    scene.audit().await;
}

#[tokio::test]
async fn contests_are_taken_from_a_lane_that_is_behind() {
    a_lane_that_is_behind_gives_contests("capture_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn on_postgres_too() {
    a_lane_that_is_behind_gives_contests("capture_postgres", Kind::Postgres).await;
}

#[tokio::test]
async fn what_residency_lets_go_is_not_captured() {
    let tables = "CREATE TABLE people (id text PRIMARY KEY NOT NULL, name text, email text, consent \"text[]\" NOT NULL);";
    let scene = Scene::new("capture_residency", Kind::Sqlite, tables).await;
    scene.write(&format!(
        "[[table]]\nname = \"people\"\nkey = [\"id\"]\npolicy = \"lww:commit-time\"\nbefore_images = \"full\"\n\n\
         [[plugin]]\nname = \"residency\"\npath = {:?}\nstage = \"residency\"\ntables = [\"*\"]\n\
         config = {{ zone = \"us\", tables = [{{ table = \"people\", consent = \"consent\", redact = [\"email\"] }}] }}\n",
        guest("residency")
    ));
    let person = |commit: u64, id: &str, words: &str, zone: &str| {
        let row = json!({"id": id, "name": "plain", "email": words, "consent": [zone]});
        let was = json!({"id": id, "name": "plain", "email": "canary-before", "consent": ["eu"]});
        Change::write("east", commit, "people", json!({"id": id}), row).with("before", was)
    };
    scene.publish(&[person(1, "a", "canary-redacted", "eu"), person(2, "b", "allowed", "us")]).await;
    let taken: Value = scene.call(&["capture", "--json"]).await.done().json();
    assert_eq!(taken["contests"], json!(2), "{taken}");
    let text = std::fs::read_to_string(scene.folder().join("captured.jsonl")).unwrap();
    assert!(text.contains("allowed") && !text.contains("canary"), "{text}");
    assert_eq!(lines(&scene, "captured.jsonl")[1]["incoming"]["after"]["email"], Value::Null);
    let ended = scene.call(&["capture", "--table", "nobody"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
}
