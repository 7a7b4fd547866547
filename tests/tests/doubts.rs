//! What `check` doubts about a pipeline from the newest changes that its stream holds, before anything is applied.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use reconverge_tests::{Change, Kind, Scene};
use serde_json::json;

const TABLES: &str = "CREATE TABLE stock (id bigint PRIMARY KEY NOT NULL, amount bigint);
    CREATE TABLE places (id bigint PRIMARY KEY NOT NULL, name text, shelf text);";

const RULES: &str = r#"
[[table]]
name = "stock"
key = ["id"]
policy = "counter:amount"
before_images = "full"

[[table]]
name = "places"
key = ["id"]
policy = "column-merge"
before_images = "full"
"#;

fn stock(commit: u64, amount: i64) -> Change {
    let row = json!({"id": 1, "amount": amount});
    Change::write("east", commit, "stock", json!({"id": 1}), row.clone()).with("before", row)
}

fn place(commit: u64) -> Change {
    let row = json!({"id": 1, "name": "hall", "shelf": "a"});
    Change::write("east", commit, "places", json!({"id": 1}), row)
}

/// The warnings about one table.
async fn warned(scene: &Scene, table: &str) -> Vec<String> {
    let found = scene.check().await;
    assert!(found.ok, "{found:?}");
    let named = format!("table `{table}`");
    let warnings = found.problems.iter().filter(|p| p.severity == "warning" && p.message.contains(&named));
    warnings.map(|p| p.message.clone()).collect()
}

#[tokio::test]
async fn rules_that_put_rows_together_need_positions_and_full_before_images() {
    let scene = Scene::new("doubts", Kind::Sqlite, TABLES).await;
    scene.write(RULES);
    assert!(warned(&scene, "stock").await.is_empty() && warned(&scene, "places").await.is_empty());
    // As it should be, and one whose before image was left out.
    let whole = json!({"id": 1, "name": "hall", "shelf": "b"});
    scene.publish(&[stock(1, 5), place(2).with("before", whole)]).await;
    assert!(warned(&scene, "stock").await.is_empty() && warned(&scene, "places").await.is_empty());
    scene.publish(&[place(3).with("before", json!({"id": 1}))]).await;
    let told = warned(&scene, "places").await;
    assert!(told.len() == 1 && told[0].contains("lacks columns of the row before it"), "{told:?}");
    assert!(warned(&scene, "stock").await.is_empty());
    // The newest change of the stream has no position.
    scene.publish(&[stock(4, 6).without("pos").with("event_id", json!("e4"))]).await;
    let told = warned(&scene, "stock").await;
    assert!(told.len() == 1 && told[0].contains("is added again"), "{told:?}");
    let told = warned(&scene, "places").await;
    assert!(
        told.iter().any(|told| told.contains("which needs positions, and source `main` sends none")),
        "{told:?}"
    );
}
