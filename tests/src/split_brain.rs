//! The recording of `examples/split-brain` as a scene: its stream, filled once in a test binary, its tables in a
//! database of the test's own, and the example's own pipeline file.

use std::collections::BTreeMap;

use reconverge_capture::split_brain::{self, STREAM, create_tables, fill_stream};
use reconverge_servers::project_root;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{Kind, Scene, guest, servers};

/// A scene with the example's pipeline file, but for the ends, the pipeline's name, and batches of `rows` changes.
pub async fn split_brain(name: &str, kind: Kind, rows: usize) -> Scene {
    static FILLED: OnceCell<()> = OnceCell::const_new();
    let mut scene = Scene::without_stream(servers::nats(), name, kind, "").await;
    create_tables(&scene.sink).await.unwrap();
    FILLED.get_or_init(|| async { fill_stream(&scene.jetstream).await.unwrap() }).await;
    (scene.stream, scene.rows) = (STREAM.to_owned(), rows);
    scene.write_split_brain();
    scene
}

impl Scene {
    /// Writes the example's pipeline file with this scene's ends, name and batches.
    pub fn write_split_brain(&self) {
        guest("schedule-merge");
        let text = std::fs::read_to_string(split_brain::folder().join("pipeline.toml")).unwrap();
        let plugins = format!("{}/plugins/", project_root().display());
        let source = format!("[source]\nurl = {:?}\n", self.nats);
        let limits = format!("\n[limits]\nbatch = {{ rows = {} }}\n", self.rows);
        let text = text
            .replace("\"split-brain\"", &format!("{:?}", self.pipeline))
            .replace("../../plugins/", &plugins)
            .replace("${RECONVERGE_SINK_URL}", &self.sink.url())
            .replace("[source]\n", &source);
        self.write_whole(&(text + &limits));
    }
}

/// What became of each change, in the words of the serial script, by table and disposition.
#[must_use]
pub fn expected_dispositions() -> BTreeMap<String, BTreeMap<String, u64>> {
    let text = std::fs::read_to_string(split_brain::folder().join("expected_dispositions.json")).unwrap();
    let counts: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    let tables = counts.into_iter().filter(|(name, _)| name != "of these");
    tables.map(|(name, told)| (name, of_table(&told))).collect()
}

/// Where the script holds changes back behind their parent (`parking`), three wait at its end. Here who stands is
/// decided without regard to parents (`plain`), and what waits is a row: of the three changes two are rows that
/// stand, and the third lost against one of them.
fn of_table(told: &Value) -> BTreeMap<String, u64> {
    let counts = told.get("both").or_else(|| told.get("plain")).and_then(Value::as_object).unwrap();
    let waiting = told
        .get("parking")
        .map_or(0, |parking| counts["first"].as_u64().unwrap() - parking["first"].as_u64().unwrap());
    let mut ours = BTreeMap::new();
    for (word, count) in counts {
        let word = match word.as_str() {
            "first" | "taken" | "taken, after a delete" => "applied",
            "refused truncate" => "dead-lettered",
            same => same,
        };
        *ours.entry(word.to_owned()).or_default() += count.as_u64().unwrap();
    }
    if waiting > 0 {
        *ours.entry("applied".to_owned()).or_default() -= waiting;
        ours.insert("parked".to_owned(), waiting);
    }
    ours
}
