//! Promise 5, end to end: a child row is in the sink only while its parent is. It is kept beside until then, comes in
//! with its parent's transaction, and goes out before its parent does; what will not come is told apart.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use reconverge_tests::{
    Change, Kind, Scene,
    albums::{TABLES, counts, ledger, names, no_album, note, rules, track},
    guest,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// One line of `parked list --json`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Kept {
    table: String,
    key: String,
    why: String,
    waits_table: String,
    waits_key: String,
}

async fn scene(name: &str, kind: Kind) -> Scene {
    let texts = match kind {
        Kind::Sqlite => "\"text[]\"",
        Kind::Postgres => "text[]",
    };
    let with_regions = format!("name text, regions {texts});");
    let mut scene = Scene::new(name, kind, &TABLES.replacen("name text);", &with_regions, 1)).await;
    scene.rows = 1;
    scene.write(&family());
    scene
}

/// Albums with whole before images, since residency looks at them.
fn family() -> String {
    rules("before_images = \"full\"", "", "")
}

fn album(commit: u64, id: i64) -> Change {
    let row = json!({"id": id, "name": format!("album {commit}"), "regions": ["here"]});
    Change::write("east", commit, "albums", json!({"id": id}), row.clone()).with("before", row)
}

/// Kept rows as `table key: why, what they wait for`.
async fn kept(scene: &Scene) -> Vec<String> {
    let kept: Vec<Kept> = scene.call(&["parked", "list", "--json"]).await.done().json();
    let id = |key: &str| serde_json::from_str::<Value>(key).unwrap()["id"].to_string().replace('"', "");
    let line =
        |k: &Kept| format!("{} {}: {}, {} {}", k.table, id(&k.key), k.why, k.waits_table, id(&k.waits_key));
    let mut lines: Vec<String> = kept.iter().map(line).collect();
    lines.sort();
    lines
}

async fn children_come_and_go_with_their_parents(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    // Each change in a batch of its own: the note, its track, another track without album, and then the album.
    scene.publish(&[note(1, 1, 1), track(2, 1, Some(1)), track(3, 2, None)]).await;
    scene.run().await;
    assert_eq!(names(&scene).await, ["track 3"]);
    assert_eq!(kept(&scene).await, ["notes 1: parent, tracks 1", "tracks 1: parent, albums 1"]);
    assert_eq!(ledger(&scene).await, counts([("applied", 1), ("parked", 2)]));
    let told = scene.call(&["explain", "notes", "1"]).await.done().stdout;
    for part in ["kept beside until its parent comes", "It waits for tracks {\"id\"", "note 1"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let shown = scene.call(&["parked", "show", "tracks", "1"]).await.done().stdout;
    assert!(shown.contains("albums {\"id\"") && shown.contains("track 2"), "{shown}");
    // A later change of a kept row meets it where it is kept.
    scene.publish(&[track(4, 1, Some(1))]).await;
    scene.run().await;
    assert_eq!(names(&scene).await, ["track 3"]);
    scene.publish(&[album(5, 1)]).await;
    scene.run().await;
    assert_eq!(names(&scene).await, ["album 5", "note 1", "track 3", "track 4"]);
    assert!(kept(&scene).await.is_empty());
    assert_eq!(ledger(&scene).await, counts([("applied", 5)]));
    // The album leaves, and what names it goes first.
    scene.publish(&[no_album(6, 1)]).await;
    scene.run().await;
    assert_eq!(names(&scene).await, ["track 3"]);
    assert_eq!(kept(&scene).await, ["notes 1: parent, tracks 1", "tracks 1: orphaned, albums 1"]);
    assert_eq!(
        ledger(&scene).await,
        counts([("applied", 3), ("deleted", 1), ("orphaned", 1), ("parked", 1)])
    );
    let status = scene.call(&["status"]).await.done().stdout;
    assert!(status.contains("kept rows of table") && status.contains("orphaned"), "{status}");
    // It comes back, and so do they, as they were: nothing of it is a local write.
    scene.publish(&[album(7, 1), note(8, 2, 1)]).await;
    let report = scene.run().await;
    assert_eq!(names(&scene).await, ["album 7", "note 1", "note 8", "track 3", "track 4"]);
    assert_eq!(report.local_writes, 0);
    assert_eq!(ledger(&scene).await, counts([("applied", 7), ("deleted", 1)]));
}

#[tokio::test]
async fn sqlite_children_come_and_go_with_their_parents() {
    children_come_and_go_with_their_parents("family_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_children_come_and_go_with_their_parents() {
    children_come_and_go_with_their_parents("family_postgres", Kind::Postgres).await;
}

/// Parents that are known not to come by themselves: residency keeps one away, one is a dead letter; whichever of
/// parent and child is first.
async fn children_of_parents_that_will_not_come(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    let elsewhere = |commit, id| {
        let row = json!({"id": id, "name": "elsewhere", "regions": ["there"]});
        Change::write("east", commit, "albums", json!({"id": id}), row.clone()).with("before", row)
    };
    let bad = |commit, id| {
        let row = json!({"id": id, "name": {"no": "text"}, "regions": 7});
        Change::write("east", commit, "albums", json!({"id": id}), row)
    };
    scene
        .publish(&[track(1, 3, Some(3)), bad(2, 3), bad(3, 4), track(4, 4, Some(4)), track(5, 5, Some(5))])
        .await;
    scene.run().await;
    // From now on with a rule of residency. A dead letter that it has not passed would keep no key to know it by.
    scene.write(&format!(
        "{}\n[[plugin]]\nname = \"residency\"\npath = {:?}\nstage = \"residency\"\ntables = [\"albums\"]\n\
         config = {{ zone = \"here\", tables = [{{ table = \"albums\", consent = \"regions\" }}] }}\n",
        family(),
        guest("residency")
    ));
    scene.publish(&[track(6, 1, Some(1)), elsewhere(7, 1), elsewhere(8, 2), track(9, 2, Some(2))]).await;
    scene.run().await;
    assert_eq!(names(&scene).await, Vec::<String>::new());
    assert_eq!(
        kept(&scene).await,
        [
            "tracks 1: orphaned, albums 1",
            "tracks 2: orphaned, albums 2",
            "tracks 3: orphaned, albums 3",
            "tracks 4: orphaned, albums 4",
            "tracks 5: parent, albums 5",
        ]
    );
    assert_eq!(
        ledger(&scene).await,
        counts([("dead-lettered", 2), ("orphaned", 4), ("parked", 1), ("suppressed", 2)])
    );
    // They come after all.
    scene.publish(&(1..=5).map(|id: i64| album(10 + id.unsigned_abs(), id)).collect::<Vec<_>>()).await;
    scene.run().await;
    assert_eq!(names(&scene).await.len(), 10);
    assert!(kept(&scene).await.is_empty());
}

#[tokio::test]
async fn sqlite_children_of_parents_that_will_not_come() {
    children_of_parents_that_will_not_come("orphans_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_children_of_parents_that_will_not_come() {
    children_of_parents_that_will_not_come("orphans_postgres", Kind::Postgres).await;
}

/// Killed between the children and their parents, and started again: what is kept is durable. And a parent that the
/// application writes itself is found by the sweep of a quiet lane.
async fn kept_rows_outlive_the_process(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    let sequences = scene
        .publish(&(1..=20).map(|id: i64| track(id.unsigned_abs(), id, Some(id))).collect::<Vec<_>>())
        .await;
    let words = ["run", "--owner", "the-same"];
    let running = scene.start(&words);
    scene.until_committed(sequences[11]).await;
    running.signal("KILL").await;
    assert_eq!(running.ended().await.code, None);
    let running = scene.start(&words);
    scene.until_committed(sequences[19]).await;
    assert!(names(&scene).await.is_empty());
    assert_eq!(kept(&scene).await.len(), 20);
    scene.sink.execute("INSERT INTO albums (id, name) VALUES (7, 'by hand')").await.unwrap();
    scene.until_rows("tracks", 1).await;
    assert_eq!(names(&scene).await, ["by hand", "track 7"]);
    running.signal("KILL").await;
    running.ended().await;
    let albums: Vec<Change> =
        (1..=20).filter(|id: &i64| *id != 7).map(|id| album(100 + id.unsigned_abs(), id)).collect();
    scene.publish(&albums).await;
    scene.call(&["run", "--owner", "the-same", "--until-caught-up"]).await.done();
    assert_eq!(scene.column("SELECT count(*) FROM tracks").await, ["20"]);
    assert!(kept(&scene).await.is_empty());
    assert_eq!(ledger(&scene).await, counts([("applied", 39)]));
}

#[tokio::test]
async fn sqlite_kept_rows_outlive_the_process() {
    kept_rows_outlive_the_process("durable_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_kept_rows_outlive_the_process() {
    kept_rows_outlive_the_process("durable_postgres", Kind::Postgres).await;
}

/// More rows would go with a parent than may in one transaction: the lane stops with nothing written, until they may.
async fn more_than_may_leave_at_once(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    let tracks: Vec<Change> = (1..=4).map(|id: i64| track(10 + id.unsigned_abs(), id, Some(1))).collect();
    let mut all = vec![album(1, 1)];
    all.extend(tracks);
    scene.publish(&all).await;
    scene.run().await;
    scene.write(&format!("leaving = 3\n{}", family()));
    scene.publish(&[no_album(20, 1), album(21, 2)]).await;
    let stopped = scene.call(&["run", "--until-caught-up"]).await;
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    let told = "more than 3 rows would leave the sink with rows of table albums, limits.leaving is 3";
    assert!(
        stopped.stderr.contains(told) && stopped.stderr.contains("raise limits.leaving"),
        "{}",
        stopped.stderr
    );
    assert_eq!(names(&scene).await.len(), 5, "all of it is as it was");
    scene.write(&format!("leaving = 4\n{}", family()));
    scene.run().await;
    assert_eq!(names(&scene).await, ["album 21"]);
    assert_eq!(ledger(&scene).await, counts([("applied", 2), ("deleted", 1), ("orphaned", 4)]));
}

#[tokio::test]
async fn sqlite_more_than_may_leave_at_once() {
    more_than_may_leave_at_once("leaving_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_more_than_may_leave_at_once() {
    more_than_may_leave_at_once("leaving_postgres", Kind::Postgres).await;
}

/// A row whose place another has taken since: the sink cannot take it in when its parent comes.
async fn a_row_that_cannot_come_in_stays_beside(name: &str, kind: Kind) {
    const TABLES: &str = "CREATE TABLE albums (id bigint PRIMARY KEY NOT NULL, name text);
        CREATE TABLE tracks (id bigint PRIMARY KEY NOT NULL, album bigint, name text UNIQUE);";
    const RULES: &str = r#"
[[table]]
name = "albums"
key = ["id"]
policy = "lww:commit-time"

[[table]]
name = "tracks"
key = ["id"]
priority = 1
policy = "lww:commit-time"
depends_on = [{ table = "albums", columns = ["album"] }]
"#;
    let mut scene = Scene::new(name, kind, TABLES).await;
    scene.rows = 1;
    scene.write(RULES);
    let album = |commit, id| {
        let row = json!({"id": id, "name": format!("album {id}")});
        Change::write("east", commit, "albums", json!({"id": id}), row)
    };
    let track = |commit, id, album, name: &str| {
        let row = json!({"id": id, "album": album, "name": name});
        Change::write("east", commit, "tracks", json!({"id": id}), row)
    };
    let rows = "SELECT name FROM albums UNION ALL SELECT name FROM tracks ORDER BY name";
    scene.publish(&[track(1, 1, 1, "overture"), track(2, 2, 1, "finale")]).await;
    scene.publish(&[album(3, 2), track(4, 9, 2, "overture"), album(5, 1), track(6, 10, 1, "reprise")]).await;
    scene.run().await;
    // Its parent's batch went on, with the other child, and so did what came after.
    assert_eq!(scene.column(rows).await, ["album 1", "album 2", "finale", "overture", "reprise"]);
    assert_eq!(kept(&scene).await, ["tracks 1: orphaned, albums 1"]);
    assert_eq!(ledger(&scene).await, counts([("applied", 5), ("orphaned", 1)]));
    // A change of its own decides anew: this one names no place that is taken.
    scene.publish(&[track(7, 1, 1, "prelude")]).await;
    scene.run().await;
    assert!(kept(&scene).await.is_empty());
    let all = ["album 1", "album 2", "finale", "overture", "prelude", "reprise"];
    assert_eq!(scene.column(rows).await, all);
    assert_eq!(ledger(&scene).await, counts([("applied", 7)]));
}

#[tokio::test]
async fn sqlite_a_row_that_cannot_come_in_stays_beside() {
    a_row_that_cannot_come_in_stays_beside("taken_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_a_row_that_cannot_come_in_stays_beside() {
    a_row_that_cannot_come_in_stays_beside("taken_postgres", Kind::Postgres).await;
}
