//! What the application writes in the sink's own database while a region is cut off: a contestant like any other.
//! It wins or loses by the table's rule, and is never overwritten as if it were ours.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use reconverge_tests::{Change, Kind, Scene, micros};
use serde_json::{Value, json};

const TABLES: &str = "CREATE TABLE shifts (id bigint PRIMARY KEY, note text, version bigint NOT NULL);
    CREATE TABLE badges (id bigint PRIMARY KEY, note text, version bigint NOT NULL);";
const RULES: &str = "[[table]]\nname = \"shifts\"\nkey = [\"id\"]\npolicy = \"max:version\"\n\
    deletes = \"ordered\"\nbefore_images = \"full\"\narchive = \"loser\"\n\n\
    [[table]]\nname = \"badges\"\nkey = [\"id\"]\npolicy = \"max:version\"\ndeletes = \"win\"\n";

fn row(id: i64, note: &str, version: i64) -> Value {
    json!({"id": id, "note": note, "version": version})
}

fn write(commit: u64, table: &str, id: i64, note: &str, version: i64) -> Change {
    Change::write("east", commit, table, json!({"id": id}), row(id, note, version))
}

/// Two tables with rows 1 to 6 of version 10, as the pipeline wrote them.
async fn before_the_outage(name: &str, kind: Kind) -> Scene {
    let ddl = match kind {
        Kind::Sqlite => TABLES.replace("PRIMARY KEY", "PRIMARY KEY NOT NULL"),
        Kind::Postgres => TABLES.to_owned(),
    };
    let scene = Scene::new(name, kind, &ddl).await;
    scene.write(RULES);
    let both = ["shifts", "badges"].into_iter().zip([0, 10]);
    let changes = both.flat_map(|(table, commit)| {
        (1..=6).map(move |id: i64| write(commit + id.unsigned_abs(), table, id, "east", 10))
    });
    scene.publish(&changes.collect::<Vec<_>>()).await;
    assert_eq!(scene.run().await.sum("applied"), 12);
    scene
}

async fn rows(scene: &Scene, table: &str) -> Vec<String> {
    scene.column(&format!("SELECT id || ' ' || note || ' ' || version FROM {table} ORDER BY id")).await
}

async fn changed_inserted_and_deleted_by_hand(name: &str, kind: Kind) {
    let scene = before_the_outage(name, kind).await;
    scene
        .sink
        .execute(
            "UPDATE shifts SET note = 'hand', version = 20 WHERE id IN (1, 2);
             UPDATE shifts SET note = 'hand', version = 5 WHERE id = 3;
             INSERT INTO shifts VALUES (7, 'hand', 20), (8, 'hand', 20);
             DELETE FROM shifts WHERE id = 4;",
        )
        .await
        .unwrap();
    let deleted = |commit, id, version| {
        Change::delete("east", commit, "shifts", json!({"id": id}), row(id, "east", version))
    };
    let changes = [
        write(101, "shifts", 1, "late", 15),
        write(102, "shifts", 2, "late", 25),
        write(103, "shifts", 3, "late", 6),
        // Deletes are ordered and its order value went with it: nothing stands, the next change takes (ADR 0007).
        write(104, "shifts", 4, "late", 3),
        write(105, "shifts", 5, "late", 11),
        write(106, "shifts", 7, "late", 15),
        write(107, "shifts", 8, "late", 25),
        // A delete of version 10 loses against what the application wrote since, and wins against what it did not.
        deleted(108, 1, 10),
        deleted(109, 6, 10),
    ];
    scene.publish(&changes).await;
    let report = scene.run().await;
    assert_eq!(
        rows(&scene, "shifts").await,
        ["1 hand 20", "2 late 25", "3 late 6", "4 late 3", "5 late 11", "7 hand 20", "8 late 25"]
    );
    assert_eq!(report.count("shifts", "kept-current"), 3, "{report:?}");
    assert_eq!(report.local_writes, 6, "rows 1, 2, 3, 4, 7 and 8");
    let decisions = scene.decisions().await;
    let of = |id: &str| {
        let is_it =
            |key: &str| serde_json::from_str::<Value>(key).unwrap()["id"].to_string().trim_matches('"') == id;
        decisions.iter().find(|decision| is_it(&decision.key)).unwrap_or_else(|| panic!("{decisions:?}"))
    };
    assert_eq!(of("7").current_origin.as_deref(), Some("here"));
    let archived = |side: &Option<Value>| side.as_ref().map(|row| row["note"].clone());
    assert_eq!(archived(&of("8").current), Some(json!("hand")), "the loser is archived");
    scene.audit().await;
}

#[tokio::test]
async fn sqlite_changed_inserted_and_deleted_by_hand() {
    changed_inserted_and_deleted_by_hand("hand_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_changed_inserted_and_deleted_by_hand() {
    changed_inserted_and_deleted_by_hand("hand_postgres", Kind::Postgres).await;
}

/// Where deletes win, a row that the application deleted stays away from other sources, whatever their version.
async fn a_delete_by_hand_wins(name: &str, kind: Kind) {
    let scene = before_the_outage(name, kind).await;
    scene.sink.execute("DELETE FROM badges WHERE id IN (1, 2)").await.unwrap();
    scene.publish(&[write(201, "badges", 1, "late", 99), write(202, "badges", 3, "late", 99)]).await;
    let report = scene.run().await;
    assert_eq!(
        (report.count("badges", "kept-current"), report.count("badges", "applied")),
        (1, 1),
        "{report:?}"
    );
    let stand = ["3 late 99", "4 east 10", "5 east 10", "6 east 10"];
    assert_eq!(rows(&scene, "badges").await, stand);
    // Once more: what stands is now our own tombstone, and it is the same.
    scene.publish(&[write(203, "badges", 1, "later", 100)]).await;
    assert_eq!(scene.run().await.count("badges", "kept-current"), 1);
    assert_eq!(rows(&scene, "badges").await, stand);
}

#[tokio::test]
async fn sqlite_a_delete_by_hand_wins() {
    a_delete_by_hand_wins("gone_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_a_delete_by_hand_wins() {
    a_delete_by_hand_wins("gone_postgres", Kind::Postgres).await;
}

/// A row that was there before the first run has no version, and is the application's.
async fn rows_that_were_there_first(name: &str, kind: Kind) {
    let ddl = format!("{TABLES} INSERT INTO shifts VALUES (1, 'first', 20), (2, 'first', 20);");
    let scene = Scene::new(name, kind, &ddl.replace("PRIMARY KEY", "PRIMARY KEY NOT NULL")).await;
    scene.write(RULES);
    scene.publish(&[write(1, "shifts", 1, "east", 19), write(2, "shifts", 2, "east", 21)]).await;
    assert_eq!(scene.run().await.local_writes, 2);
    assert_eq!(rows(&scene, "shifts").await, ["1 first 20", "2 east 21"]);
}

#[tokio::test]
async fn sqlite_rows_that_were_there_first() {
    rows_that_were_there_first("first_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_rows_that_were_there_first() {
    rows_that_were_there_first("first_postgres", Kind::Postgres).await;
}

/// PostgreSQL keeps commit times here, so a row that the application wrote has one; SQLite keeps none, and unknown
/// is smaller than any known time.
#[tokio::test]
async fn by_commit_time_a_local_write_counts_from_when_it_was_written() {
    let rules = "[[table]]\nname = \"shifts\"\nkey = [\"id\"]\npolicy = \"lww:commit-time\"\n";
    for (name, kind, stands) in
        [("time_sqlite", Kind::Sqlite, "1 late 1"), ("time_postgres", Kind::Postgres, "1 hand 1")]
    {
        let scene = Scene::new(name, kind, &TABLES.replace("PRIMARY KEY", "PRIMARY KEY NOT NULL")).await;
        scene.write(rules);
        scene.publish(&[write(1, "shifts", 1, "east", 1)]).await;
        scene.run().await;
        scene.sink.execute("UPDATE shifts SET note = 'hand'").await.unwrap();
        // Later than what it replaces, and long before now.
        scene.publish(&[write(2, "shifts", 1, "late", 1)]).await;
        scene.run().await;
        assert_eq!(rows(&scene, "shifts").await, [stands]);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_micros()).unwrap();
        assert!(now > micros(2));
        scene.publish(&[write(3, "shifts", 1, "latest", 1).with("at", json!(now))]).await;
        scene.run().await;
        assert_eq!(rows(&scene, "shifts").await, ["1 latest 1"]);
    }
}
