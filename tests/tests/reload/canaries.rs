//! A new artifact at first on one table or one lane: the others go on as before until it is promoted, and it leaves no
//! trace when it is rolled back.

use std::fs;

use reconverge_tests::{Change, Kind, Scene, guest};
use serde_json::json;

use crate::{PATIENCE, RUN, file, put, until_phase};

const TABLES: [&str; 2] = ["shifts", "breaks"];

fn pipeline(lane: &str) -> String {
    let table = |name: &str| {
        let lane = if name == "breaks" { lane } else { "" };
        format!(
            "[[table]]\nname = {name:?}\nkey = [\"id\"]\npolicy = {{ plugin = \"merge\" }}\ndeletes = \"win\"\n{lane}\n"
        )
    };
    let plugin = "[[plugin]]\nname = \"merge\"\npath = \"plugin.wasm\"\nstage = \"merge\"\n";
    let lanes = if lane.is_empty() { "" } else { "[[lane]]\nname = \"bulk\"\n" };
    format!("{}{}{plugin}{lanes}", table("shifts"), table("breaks"))
}

/// In both tables a row that the newer edit has and an older one comes for, and then one that nobody contests. Returns
/// whether the older edit stands, table by table.
async fn older_edit_stands(scene: &Scene, round: u64) -> [bool; 2] {
    let write = |table, source, place, id, epoch| {
        let row = json!({"id": id, "modification_epoch": epoch, "region_source": source, "note": "n"});
        Change::write(source, place, table, json!({"id": id}), row)
    };
    let of = |(nth, table): (u64, &'static str)| {
        let (place, id) = (100 * round + 10 * nth + 1, 2 * round);
        [
            write(table, "east", place, id, 5),
            write(table, "west", place + 1, id, 3),
            write(table, "east", place + 2, id + 1, 5),
        ]
    };
    let changes: Vec<Change> = (0..).zip(TABLES).flat_map(of).collect();
    scene.publish(&changes).await;
    let mut stands = [false; 2];
    for (table, stands) in TABLES.iter().zip(&mut stands) {
        let last = format!("SELECT id FROM {table} WHERE id = {}", 2 * round + 1);
        let came = async {
            while scene.column(&last).await.is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, came).await.expect("the row nobody contests");
        let epoch = format!("SELECT modification_epoch FROM {table} WHERE id = {}", 2 * round);
        *stands = scene.column(&epoch).await == ["3"];
    }
    stands
}

async fn canary(name: &str, kind: Kind, lane: &str, on: [&str; 2]) {
    let columns = "(id bigint PRIMARY KEY NOT NULL, modification_epoch bigint NOT NULL, region_source text NOT NULL, note text)";
    let scene =
        Scene::new(name, kind, &TABLES.map(|t| format!("CREATE TABLE {t} {columns};")).concat()).await;
    scene.write(&pipeline(lane));
    put(&scene, &fs::read(guest("schedule-merge")).unwrap());
    let mut running = scene.start(&RUN);
    running.until_told("lane.claimed", if lane.is_empty() { 1 } else { 2 }).await;
    // It takes whatever comes.
    let taker = file(&scene, "taker.wasm", &fs::read(guest("faulty")).unwrap());
    assert_eq!(older_edit_stands(&scene, 1).await, [false, false], "the rule as it was");
    let deploy = ["plugin", "deploy", &taker, "--plugin", "merge", on[0], on[1], "--json"];
    let shown: serde_json::Value = scene.call(&deploy).await.done().json();
    assert_eq!(shown["reports"][0]["phase"], "canary", "{shown}");
    assert_eq!(
        older_edit_stands(&scene, 2).await,
        [false, true],
        "the new rule on one, the old on the other"
    );
    scene.call(&["plugin", "rollback", "merge"]).await.done();
    until_phase(&scene, "live").await;
    assert_eq!(older_edit_stands(&scene, 3).await, [false, false], "as it was again");
    scene.call(&deploy).await.done();
    until_phase(&scene, "canary").await;
    assert_eq!(older_edit_stands(&scene, 4).await, [false, true]);
    scene.call(&["plugin", "promote", "merge"]).await.done();
    until_phase(&scene, "live").await;
    assert_eq!(older_edit_stands(&scene, 5).await, [true, true], "the new rule everywhere");
    running.stopped().await;
    scene.audit().await;
}

#[tokio::test]
async fn on_one_table_it_decides_that_table_alone() {
    canary("canary_table", Kind::Sqlite, "", ["--table", "breaks"]).await;
}

#[tokio::test]
async fn on_one_lane_it_decides_that_lane_alone() {
    canary("canary_lane", Kind::Postgres, "lane = \"bulk\"", ["--lane", "bulk"]).await;
}
