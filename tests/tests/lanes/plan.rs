//! A changed plan: refused with what would be skipped or repeated, and put in force by `lanes move` without either.

use std::path::Path;

use reconverge_capture::Database;
use reconverge_tests::{Change, Kind, Lanes, Scene};
use serde_json::json;

const TABLES: &str = "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);
    CREATE TABLE notes (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);
    CREATE TABLE tags (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);";
const LEASE: &str = "lease = { stale = \"2s\", heartbeat = \"300ms\" }\n\n";

fn table(name: &str, policy: &str, lane: &str) -> String {
    format!("[[table]]\nname = {name:?}\nkey = [\"id\"]\npolicy = {policy:?}\nlane = {lane:?}\n\n")
}

fn write(table: &str, id: u64, version: u64) -> Change {
    let row = json!({"id": id, "version": version});
    Change::write("east", version * 100 + id, table, json!({"id": id}), row)
}

/// Keeps the pipeline file as it is under another name, and returns that name.
fn keep(folder: &Path) -> &'static str {
    std::fs::copy(folder.join("pipeline.toml"), folder.join("old.toml")).unwrap();
    "old.toml"
}

async fn a_changed_plan(name: &str, kind: Kind) {
    let scene = Scene::new(name, kind, TABLES).await;
    let old = format!("{LEASE}{}{}", table("goods", "max:version", "main"), table("notes", "none", "main"));
    scene.write(&old);
    scene.publish(&[write("goods", 1, 1), write("notes", 1, 5), write("tags", 1, 1)]).await;
    scene.run().await;
    let before = scene.lanes().await;
    // `notes` gets a lane of its own, and `tags` is new.
    scene.write(&format!(
        "{LEASE}{}{}{}[[lane]]\nname = \"bulk\"\n",
        table("goods", "max:version", "main"),
        table("notes", "none", "bulk"),
        table("tags", "max:version", "main")
    ));
    let refused = scene.call(&["run", "--until-caught-up"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    for part in [
        "the plan has changed",
        "lane `bulk` is new",
        "table `notes` goes from lane `main` to `bulk`: source `main`, partition 0: its changes from 1 to 3 are repeated",
        "table `tags` is new: its changes up to sequence 3 were counted as unlisted and are skipped",
        "hint: ",
    ] {
        assert!(refused.stderr.contains(part), "{part}\n{}", refused.stderr);
    }
    assert_eq!(scene.lanes().await, before, "a refusal changes nothing");
    // All lanes stand at one sequence: the old file is not needed.
    let moved = scene.call(&["lanes", "move", "--by", "me"]).await.done();
    assert!(moved.stdout.contains("met at sequence 3"), "{}", moved.stdout);
    let again = scene.call(&["lanes", "move"]).await.done();
    assert!(again.stdout.contains("nothing to move"), "{}", again.stdout);
    // What is older than what the table has seen is known as such in its new lane too.
    scene
        .publish(&[write("notes", 1, 4), write("notes", 1, 6), write("tags", 1, 2), write("goods", 1, 2)])
        .await;
    let report = scene.run().await;
    assert_eq!(report.changes, 4, "{report:?}");
    assert_eq!((report.count("notes", "regressed"), report.count("notes", "applied")), (1, 1), "{report:?}");
    assert_eq!(scene.column("SELECT version FROM notes").await, ["6"]);
    assert_eq!(scene.column("SELECT version FROM tags").await, ["2"]);
    // Each lane's ledger is recounted from where the plan came into force.
    scene.audit().await;
    let since = format!("SELECT since_sequence FROM {} WHERE name LIKE '%tags'", scene.sidecar("target"));
    let since: serde_json::Value = serde_json::from_str(&scene.column(&since).await[0]).unwrap();
    assert_eq!(since, json!({format!("{}/main/main/0", scene.pipeline): 3}));
    // The old file is now the changed one.
    scene.write(&old);
    assert_eq!(scene.call(&["run", "--until-caught-up"]).await.code, Some(2));
}

#[tokio::test]
async fn a_changed_plan_is_refused_and_moved_sqlite() {
    a_changed_plan("plan_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn a_changed_plan_is_refused_and_moved_postgres() {
    a_changed_plan("plan_postgres", Kind::Postgres).await;
}

/// Changes of a paused table go along to its new lane, which decides them; counted they stay where they came.
async fn what_waits_goes_along(name: &str, kind: Kind) {
    let scene = Scene::new(name, kind, TABLES).await;
    let rules = |lane| {
        format!("{LEASE}{}{}", table("goods", "max:version", "main"), table("notes", "max:version", lane))
    };
    scene.write(&rules("main"));
    scene.call(&["run", "--until-caught-up"]).await.done();
    scene.call(&["tables", "pause", "notes"]).await.done();
    scene
        .publish(&[write("notes", 1, 5), write("goods", 1, 1), write("notes", 2, 1), write("notes", 1, 6)])
        .await;
    scene.run().await;
    let ledgers = async || -> Vec<_> {
        let audit = scene.audit().await;
        assert!(audit.balanced && audit.lanes.iter().all(|lane| lane.delivered == lane.sum), "{audit:?}");
        audit.lanes.into_iter().map(|lane| lane.dispositions.into_iter().collect::<Vec<_>>()).collect()
    };
    let counts =
        |list: &[(&str, u64)]| list.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect::<Vec<_>>();
    assert_eq!(ledgers().await, [counts(&[("applied", 1), ("parked", 3)])]);
    scene.write(&(rules("bulk") + "[[lane]]\nname = \"bulk\"\n"));
    scene.call(&["lanes", "move"]).await.done();
    // A later one of a key that waits is counted by the new lane.
    scene.publish(&[write("notes", 2, 3)]).await;
    scene.run().await;
    assert_eq!(ledgers().await, [counts(&[("parked", 1)]), counts(&[("applied", 1), ("parked", 3)])]);
    scene.call(&["tables", "resume", "notes"]).await.done();
    scene.run().await;
    assert_eq!(scene.column("SELECT version FROM notes ORDER BY id").await, ["6", "3"]);
    assert_eq!(ledgers().await, [counts(&[("applied", 1)]), counts(&[("applied", 4)])]);
}

#[tokio::test]
async fn promise_01_what_waits_goes_along_and_stays_counted_sqlite() {
    what_waits_goes_along("along_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn promise_01_what_waits_goes_along_and_stays_counted_postgres() {
    what_waits_goes_along("along_postgres", Kind::Postgres).await;
}

/// One lane is far behind when its process dies: the move runs it by the old plan up to the other, then switches.
#[tokio::test]
async fn a_move_brings_lanes_together_first() {
    let mut scene = Scene::new("apart", Kind::Postgres, TABLES).await;
    scene.rows = 10;
    let lane = "[[lane]]\nname = \"bulk\"\n";
    let rules = |notes: &str| {
        format!(
            "{LEASE}{}{}{lane}",
            table("goods", "take-incoming", "main"),
            table("notes", "take-incoming", notes)
        )
    };
    scene.write(&rules("bulk"));
    let changes: Vec<Change> =
        (1..=100).flat_map(|n| ["goods", "notes"].map(|t| write(t, n % 7, n))).collect();
    scene.publish(&changes).await;
    let Database::Postgres(url) = &scene.sink else { panic!("a scene of PostgreSQL") };
    let (mut application, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    let lock = application.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE notes IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let running = scene.start(&["run", "--owner", "one"]);
    let through = |lanes: &Lanes| lanes.get("main/main/0").is_some_and(|lane| lane.sequence >= 200);
    scene.until_lanes("main is through", through).await;
    running.signal("KILL").await;
    running.ended().await;
    lock.rollback().await.unwrap();
    let stopped = scene.lanes().await;
    assert!(stopped["main/bulk/0"].sequence < 200, "{stopped:?}");
    let old = keep(scene.folder());
    // The table goes to the lane that is ahead: without the move its backlog would be skipped.
    scene.write(&rules("main"));
    let refused = scene.call(&["run", "--until-caught-up"]).await;
    assert!(refused.stderr.contains("are skipped"), "{}", refused.stderr);
    let held = scene.call(&["lanes", "move", "--from", old]).await;
    assert_eq!(held.code, Some(1), "the dead process keeps its lanes until its lease is over: {held:?}");
    let free = async {
        loop {
            let list = scene.call(&["lanes", "list", "--json"]).await.done();
            let list: serde_json::Value = list.json();
            if list["lanes"].as_array().unwrap().iter().all(|lane| lane["state"] == "free") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), free).await.unwrap();
    let apart = scene.call(&["lanes", "move"]).await;
    assert_eq!(apart.code, Some(1), "{apart:?}");
    assert!(apart.stderr.contains("apart/main/bulk/0 stand behind"), "{}", apart.stderr);
    scene.call(&["lanes", "move", "--from", old]).await.done();
    scene.publish(&[write("notes", 1, 200)]).await;
    let report = scene.run().await;
    assert_eq!((report.changes, report.sum("applied")), (1, 1), "{report:?}");
    let wrong = "SELECT id FROM notes WHERE version <> (SELECT max(n) FROM generate_series(1, 100) n WHERE n % 7 = id) AND id <> 1";
    assert_eq!(scene.column(wrong).await, Vec::<String>::new());
    assert_eq!(scene.column("SELECT count(*) FROM notes").await, ["7"]);
    scene.audit().await;
    let list: serde_json::Value = scene.call(&["lanes", "list", "--json"]).await.done().json();
    assert_eq!(list["takeovers"][0]["previous"], "one", "{list}");
}
