//! A source whose positions begin anew: restored from a backup it counts on from an older position, and what it writes
//! then is no repetition. Nothing of it is skipped.

use reconverge_tests::{Change, Kind, Scene};
use serde_json::{Value, json};

const TABLES: &str = "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);
    CREATE TABLE plain (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);";
const RULES: &str = "[[table]]\nname = \"goods\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\n\n\
    [[table]]\nname = \"plain\"\nkey = [\"id\"]\npolicy = \"none\"\n";

/// A change at a position, committed at a moment: `micros(moment)`.
fn write(table: &str, position: u64, moment: u64, id: u64) -> Change {
    let row = json!({"id": id, "version": moment});
    Change::write("shop", moment, table, json!({"id": id}), row)
        .with("pos", json!({"source": "shop", "commit": position.to_string(), "ordinal": 0}))
}

/// What the source wrote before it was lost: positions and moments 101 to 120, ten keys.
fn before(table: &'static str) -> impl Iterator<Item = Change> {
    (101..=120).map(move |n| write(table, n, n, n % 10))
}

/// What it writes after it was restored to position 105: moments 201 and on.
fn after(table: &'static str, keys: std::ops::Range<u64>) -> impl Iterator<Item = Change> {
    keys.map(move |id| write(table, 105 + id, 201 + id, id))
}

async fn versions(scene: &Scene, table: &str) -> Vec<String> {
    scene.column(&format!("SELECT id || ' ' || version FROM {table} WHERE version > 200 ORDER BY 1")).await
}

async fn restored(name: &str, kind: Kind, table: &'static str) {
    let mut scene = Scene::new(name, kind, TABLES).await;
    scene.rows = 4;
    scene.write(RULES);
    scene.publish(&before(table).collect::<Vec<_>>()).await;
    scene.run().await;
    let first = scene.publish(&after(table, 0..9).collect::<Vec<_>>()).await[0];
    let halted = scene.call(&["run", "--until-caught-up"]).await;
    assert_eq!(halted.code, Some(1), "{halted:?}");
    assert!(halted.stderr.contains("source epoch?"), "{halted:?}");
    assert!(halted.stderr.contains("reconverge source epoch bump shop"), "{halted:?}");
    assert_eq!(versions(&scene, table).await, Vec::<String>::new(), "nothing was written, nothing skipped");
    assert_eq!(scene.checkpoint().await.unwrap().sequence, first - 1);
    let status: Value = scene.call(&["status", "--json"]).await.done().json();
    assert_eq!(status["suspicions"].as_array().unwrap().len(), 4, "those of the batch: {status}");
    // Starting again does not help, and notes nothing twice.
    assert_eq!(scene.call(&["run", "--until-caught-up"]).await.code, Some(1));
    let listed: Value = scene.call(&["source", "list", "--json"]).await.done().json();
    assert_eq!(listed["suspicions"].as_array().unwrap().len(), 4, "{listed}");
    let said: Value = scene.call(&["source", "epoch", "bump", "shop", "--json"]).await.done().json();
    assert_eq!(
        said,
        json!({"source": "shop", "stream": scene.stream, "epoch": 1, "from_sequence": first, "suspicions": 4})
    );
    let report = scene.run().await;
    assert_eq!(report.sum("applied"), 9, "{report:?}");
    let all: Vec<String> = (0..9).map(|id| format!("{id} {}", 201 + id)).collect();
    assert_eq!(versions(&scene, table).await, all);
    // What it published before it was lost is older, and what comes again is told.
    let again: Vec<Change> = after(table, 0..9).collect();
    scene.publish(&again).await;
    let report = scene.run().await;
    assert_eq!(report.sum("applied"), if table == "plain" { 1 } else { 0 }, "{report:?}");
    assert_eq!(versions(&scene, table).await, all);
    scene.audit().await;
}

#[tokio::test]
async fn sqlite_a_restored_source_halts_the_lane() {
    restored("epochs_sqlite", Kind::Sqlite, "goods").await;
}

#[tokio::test]
async fn postgres_a_restored_source_halts_the_lane() {
    restored("epochs_postgres", Kind::Postgres, "goods").await;
}

#[tokio::test]
async fn a_restored_source_of_tables_with_one_writer_halts_the_lane() {
    restored("epochs_none", Kind::Sqlite, "plain").await;
}

/// One or two keys do not halt; their changes are dead letters, kept until the operator has looked. A third key, of
/// another batch, halts.
#[tokio::test]
async fn a_few_suspicions_are_dead_letters() {
    for (name, kind) in [("few_sqlite", Kind::Sqlite), ("few_postgres", Kind::Postgres)] {
        let scene = Scene::new(name, kind, TABLES).await;
        scene.write(RULES);
        scene.publish(&before("goods").collect::<Vec<_>>()).await;
        scene.run().await;
        let first = scene.publish(&after("goods", 0..2).collect::<Vec<_>>()).await[0];
        let report = scene.run().await;
        assert_eq!((report.sum("dead-lettered"), report.sum("regressed")), (2, 0), "{report:?}");
        let letters = scene.letters().await;
        assert!(letters.iter().all(|l| l.code == "source-epoch"), "{letters:?}");
        scene.publish(&after("goods", 2..3).collect::<Vec<_>>()).await;
        let halted = scene.call(&["run", "--until-caught-up"]).await;
        assert_eq!(halted.code, Some(1), "{halted:?}");
        assert!(halted.stderr.contains("3 keys of source `shop`"), "{halted:?}");
        // It was restored: the epoch begins at the first of them, and the two come back as dead letters do.
        let said: Value = scene.call(&["source", "epoch", "bump", "shop", "--json"]).await.done().json();
        assert_eq!((&said["from_sequence"], &said["suspicions"]), (&json!(first), &json!(3)), "{said}");
        let ids: Vec<String> = letters.iter().map(|l| l.id.to_string()).collect();
        let words: Vec<&str> = ["dlq", "redrive"].into_iter().chain(ids.iter().map(String::as_str)).collect();
        scene.call(&words).await.done();
        let report = scene.run().await;
        assert_eq!(report.sum("applied"), 3, "{report:?}");
        assert_eq!(versions(&scene, "goods").await, ["0 201", "1 202", "2 203"]);
        scene.audit().await;
    }
}

/// A publisher whose clock was set back, and that repeats itself: the operator says so, and all of it is older.
#[tokio::test]
async fn a_clock_that_was_set_back_is_dismissed() {
    let scene = Scene::new("dismissed", Kind::Sqlite, TABLES).await;
    scene.write(RULES);
    scene.publish(&before("goods").collect::<Vec<_>>()).await;
    scene.run().await;
    scene.publish(&after("goods", 0..9).collect::<Vec<_>>()).await;
    assert_eq!(scene.call(&["run", "--until-caught-up"]).await.code, Some(1));
    scene.call(&["source", "epoch", "dismiss", "shop"]).await.done();
    let report = scene.run().await;
    assert_eq!((report.sum("regressed"), report.sum("applied")), (9, 0), "{report:?}");
    // What comes later is looked at anew.
    scene.publish(&after("goods", 0..9).collect::<Vec<_>>()).await;
    assert_eq!(scene.call(&["run", "--until-caught-up"]).await.code, Some(1));
}

/// A publisher that knows it says so in the stream.
#[tokio::test]
async fn a_control_message_begins_an_epoch() {
    for (name, kind) in [("control_sqlite", Kind::Sqlite), ("control_postgres", Kind::Postgres)] {
        let scene = Scene::new(name, kind, TABLES).await;
        scene.write(RULES);
        scene.publish(&before("goods").collect::<Vec<_>>()).await;
        let subject = format!("{name}.shop.0._.epoch");
        let body = json!({"source": "shop", "epoch": 3}).to_string();
        let sent =
            scene.jetstream.publish_with_headers(subject, Change::headers(), body.into()).await.unwrap();
        sent.await.unwrap();
        scene.publish(&after("goods", 0..9).collect::<Vec<_>>()).await;
        let report = scene.run().await;
        assert_eq!((report.sum("applied"), report.sum("control")), (29, 1), "{report:?}");
        // Another process knows it too.
        scene.publish(&[write("goods", 116, 230, 1)]).await;
        assert_eq!(scene.run().await.sum("applied"), 1);
        let listed: Value = scene.call(&["source", "list", "--json"]).await.done().json();
        let shop = listed["sources"].as_array().unwrap().iter().find(|s| s["name"] == "shop").unwrap();
        assert_eq!(shop["epoch"], json!(3));
        scene.audit().await;
    }
}

/// The keys of several lanes count together: none of them may take a restored source for a few wrong clocks.
#[tokio::test]
async fn suspicions_of_several_lanes_count_together() {
    for (name, kind) in [("lanes_suspect_sqlite", Kind::Sqlite), ("lanes_suspect_postgres", Kind::Postgres)] {
        let scene = Scene::new(name, kind, TABLES).await;
        let bulk = "[[table]]\nname = \"plain\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\nlane = \"bulk\"\n\n\
            [[lane]]\nname = \"bulk\"\n";
        let (goods, _) = RULES.split_once("\n\n[[table]]").unwrap();
        scene.write(&format!("{goods}\n\n{bulk}"));
        scene.publish(&before("goods").chain(before("plain")).collect::<Vec<_>>()).await;
        scene.run().await;
        scene.publish(&after("goods", 0..2).collect::<Vec<_>>()).await;
        assert_eq!(scene.run().await.sum("dead-lettered"), 2);
        scene.publish(&after("plain", 2..3).collect::<Vec<_>>()).await;
        let halted = scene.call(&["run", "--until-caught-up"]).await;
        assert_eq!(halted.code, Some(1), "{halted:?}");
        assert!(halted.stderr.contains("3 keys of source `shop`"), "{halted:?}");
        assert_eq!(versions(&scene, "plain").await, Vec::<String>::new());
    }
}

/// The operator's word reaches a lane that goes on.
#[tokio::test]
async fn a_running_lane_learns_of_an_epoch() {
    for (name, kind) in [("learns_sqlite", Kind::Sqlite), ("learns_postgres", Kind::Postgres)] {
        let scene = Scene::new(name, kind, TABLES).await;
        scene.write(RULES);
        let mut running = scene.start(&["run", "--json", "--log", "json"]);
        scene.publish(&before("goods").collect::<Vec<_>>()).await;
        let last = *scene.publish(&after("goods", 0..2).collect::<Vec<_>>()).await.last().unwrap();
        scene.until_committed(last).await;
        let letters = scene.letters().await;
        assert_eq!(letters.iter().map(|l| l.code.as_str()).collect::<Vec<_>>(), ["source-epoch"; 2]);
        scene.call(&["source", "epoch", "bump", "shop"]).await.done();
        running.until_told("epoch.learnt", 1).await;
        let ids: Vec<String> = letters.iter().map(|l| l.id.to_string()).collect();
        let words: Vec<&str> = ["dlq", "redrive"].into_iter().chain(ids.iter().map(String::as_str)).collect();
        scene.call(&words).await.done();
        let last = *scene.publish(&after("goods", 2..9).collect::<Vec<_>>()).await.last().unwrap();
        scene.until_committed(last).await;
        running.stopped().await;
        let all: Vec<String> = (0..9).map(|id| format!("{id} {}", 201 + id)).collect();
        assert_eq!(versions(&scene, "goods").await, all);
        scene.audit().await;
    }
}
