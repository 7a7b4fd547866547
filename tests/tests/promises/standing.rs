//! Promises about what a batch does to the sink: tables in the order of their priorities and visible together, a
//! plugin contained, the application's own writes seen.

use std::time::Duration;

use reconverge_tests::{Change, Kind, Scene, guest};
use serde_json::{Value, json};

/// Pairs of a parent and its child.
const PAIRS: u64 = 150;

#[tokio::test]
async fn promise_04_priority_order() {
    // A foreign key that is checked at once, and triggers that note the order of the statements. The child's change
    // comes before its parent's, and a parent's delete before its child's.
    let ddl = "CREATE TABLE parents (id bigint PRIMARY KEY); \
               CREATE TABLE children (id bigint PRIMARY KEY, parent bigint NOT NULL REFERENCES parents (id)); \
               CREATE TABLE noted (number serial, what text); \
               CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                   INSERT INTO noted (what) VALUES (TG_TABLE_NAME || ' ' || TG_OP); RETURN NULL; END $$; \
               CREATE TRIGGER n AFTER INSERT OR DELETE ON parents EXECUTE FUNCTION note(); \
               CREATE TRIGGER n AFTER INSERT OR DELETE ON children EXECUTE FUNCTION note();";
    let mut scene = Scene::new("priority", Kind::Postgres, ddl).await;
    scene.rows = usize::try_from(2 * PAIRS).unwrap();
    let table = |name: &str, priority: u8| {
        format!(
            "[[table]]\nname = \"{name}\"\nkey = [\"id\"]\npriority = {priority}\npolicy = \"take-incoming\"\n\n"
        )
    };
    // So long a linger that a batch is as large as it may be.
    scene.write(&format!("{}{}", table("children", 1), table("parents", 0)));
    let text = std::fs::read_to_string(scene.folder().join("pipeline.toml")).unwrap();
    scene.write_whole(&text.replace("linger_ms = 20", "linger_ms = 5000"));
    let change = |commit, table, id, row: Option<Value>| match row {
        Some(row) => Change::write("east", commit, table, json!({"id": id}), row),
        None => Change::delete("east", commit, table, json!({"id": id}), Value::Null),
    };
    let come = (1..=PAIRS).flat_map(|id| {
        let child = change(2 * id, "children", id, Some(json!({"id": id, "parent": id})));
        [child, change(2 * id + 1, "parents", id, Some(json!({"id": id})))]
    });
    let go = (1..=PAIRS).flat_map(|id| {
        let parent = change(10_000 + 2 * id, "parents", id, None);
        [parent, change(10_001 + 2 * id, "children", id, None)]
    });
    let half = scene.publish(&come.collect::<Vec<_>>()).await.len() as u64;
    let mut running = scene.start(&["run", "--until-sequence", &half.to_string(), "--json"]);
    let mut seen = Vec::new();
    while running.runs() {
        let query = "SELECT (SELECT count(*) FROM parents) || ' ' || (SELECT count(*) FROM children)";
        seen.extend(scene.column(query).await);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let report: reconverge_tests::Report = running.ended().await.done().json();
    assert_eq!((report.batches, report.sum("applied")), (1, 2 * PAIRS), "{report:?}");
    seen.dedup();
    let all = format!("{PAIRS} {PAIRS}");
    assert!(seen.iter().all(|counts| counts == "0 0" || *counts == all), "half a batch was seen: {seen:?}");
    scene.publish(&go.collect::<Vec<_>>()).await;
    let report = scene.run().await;
    assert_eq!((report.batches, report.sum("deleted")), (1, 2 * PAIRS), "{report:?}");
    assert_eq!(scene.column("SELECT count(*) FROM parents").await, ["0"]);
    let noted = scene.column("SELECT what FROM noted ORDER BY number").await;
    assert_eq!(noted, ["parents INSERT", "children INSERT", "children DELETE", "parents DELETE"]);
}

/// See `containment.rs` for every way to misbehave.
#[tokio::test]
async fn promise_07_containment() {
    let ddl = "CREATE TABLE notes (id bigint PRIMARY KEY NOT NULL, note text); \
               CREATE TABLE other (id bigint PRIMARY KEY NOT NULL, note text);";
    let scene = Scene::new("contained", Kind::Sqlite, ddl).await;
    scene.write(&format!(
        "[[table]]\nname = \"notes\"\nkey = [\"id\"]\n\n[[table]]\nname = \"other\"\nkey = [\"id\"]\n\n\
         [[plugin]]\nname = \"bad\"\npath = {:?}\nstage = \"filter\"\ntables = [\"notes\"]\n\
         config = {{ mode = \"loop\", marker = \"poison\" }}\n",
        guest("faulty")
    ));
    let of = |table: &str, id: u64| {
        let note = if id == 5 { "poison" } else { "fine" };
        Change::write("east", id, table, json!({"id": id}), json!({"id": id, "note": note}))
    };
    let changes: Vec<Change> = (1..=10).flat_map(|id| [of("notes", id), of("other", id)]).collect();
    scene.publish(&changes).await;
    let report = scene.run().await;
    assert_eq!((report.count("notes", "applied"), report.count("notes", "dead-lettered")), (9, 1));
    assert_eq!(report.count("other", "applied"), 10);
}

/// See `local_writes.rs` for every way to write.
#[tokio::test]
async fn promise_13_local_writes_are_seen() {
    let ddl = "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);";
    for (name, kind) in [("seen_sqlite", Kind::Sqlite), ("seen_postgres", Kind::Postgres)] {
        let scene = Scene::new(name, kind, ddl).await;
        scene.write("[[table]]\nname = \"goods\"\nkey = [\"id\"]\npolicy = \"max:version\"\n");
        let of = |commit, version| {
            Change::write("east", commit, "goods", json!({"id": 1}), json!({"id": 1, "version": version}))
        };
        scene.publish(&[of(1, 1)]).await;
        scene.run().await;
        scene.sink.execute("UPDATE goods SET version = 7").await.unwrap();
        scene.publish(&[of(2, 6)]).await;
        assert_eq!(scene.run().await.local_writes, 1);
        assert_eq!(scene.column("SELECT version FROM goods").await, ["7"]);
        let met = scene.decisions().await.into_iter().next().unwrap();
        assert_eq!(met.current_origin.as_deref(), Some("here"), "what stands is the application's, not ours");
    }
}
