//! Promises 1 and 5: a row whose parent is of another lane. Whichever lane puts it in or takes it out, its change stays
//! counted in the lane that it was delivered to, with the disposition that it has by now.

use std::collections::BTreeMap;

use reconverge_tests::{
    Change, Kind, Scene,
    albums::{TABLES, names, rules},
};
use serde_json::{Value, json};

/// Parents in one lane, children in another, grandchildren in a third.
fn three_lanes() -> String {
    let lanes = "\n[[lane]]\nname = \"heads\"\n\n[[lane]]\nname = \"tails\"\n";
    rules("lane = \"heads\"", "", "lane = \"tails\"") + lanes
}

fn write(table: &str, commit: u64, id: i64, rest: &Value) -> Change {
    let mut row = json!({"id": id, "name": format!("{table} {commit}")});
    row.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    Change::write("east", commit, table, json!({"id": id}), row)
}

fn album(commit: u64, id: i64) -> Change {
    write("albums", commit, id, &json!({}))
}

fn track(commit: u64, id: i64, album: i64) -> Change {
    write("tracks", commit, id, &json!({"album": album}))
}

fn note(commit: u64, id: i64, track: i64) -> Change {
    write("notes", commit, id, &json!({"track": track}))
}

/// Dispositions lane by lane: `heads: applied 1`. `status` says the same.
async fn ledgers(scene: &Scene) -> Vec<String> {
    let audit = scene.audit().await;
    assert!(audit.balanced && audit.lanes.iter().all(|lane| lane.delivered == lane.sum), "{audit:?}");
    let words = |counts: &BTreeMap<String, u64>| {
        let words: Vec<String> = counts.iter().map(|(word, n)| format!("{word} {n}")).collect();
        words.join(", ")
    };
    let status: Value = scene.call(&["status", "--json"]).await.done().json();
    let of_status = |name: &str| {
        let lanes = status["lanes"].as_array().unwrap();
        let lane = lanes.iter().find(|lane| lane["lane"] == name).unwrap();
        serde_json::from_value::<BTreeMap<String, u64>>(lane["counts"].clone()).unwrap()
    };
    let mut lines = Vec::new();
    for lane in &audit.lanes {
        assert_eq!(of_status(&lane.lane), lane.dispositions, "{}", lane.lane);
        let name = lane.lane.split('/').nth(2).unwrap();
        lines.push(format!("{name}: {}", words(&lane.dispositions)));
    }
    lines.sort();
    lines
}

async fn each_change_is_counted_in_its_own_lane(name: &str, kind: Kind) {
    let scene = Scene::new(name, kind, TABLES).await;
    scene.write(&three_lanes());
    let after = async |changes: &[Change]| {
        scene.publish(changes).await;
        scene.run().await;
        ledgers(&scene).await
    };
    let waiting = after(&[track(1, 1, 1), track(2, 2, 1), note(3, 1, 1)]).await;
    assert_eq!(waiting, ["heads: ", "main: parked 2", "tails: parked 1"]);
    // The album's lane puts in rows of both other lanes.
    assert_eq!(after(&[album(4, 1)]).await, ["heads: applied 1", "main: applied 2", "tails: applied 1"]);
    // It takes them out again: more rows than it has ever applied itself.
    let gone = Change::delete("east", 5, "albums", json!({"id": 1}), Value::Null);
    let without = after(&[gone]).await;
    assert_eq!(without, ["heads: applied 1, deleted 1", "main: orphaned 2", "tails: parked 1"]);
    let shown = scene.call(&["parked", "show", "tracks", "1"]).await.done().stdout;
    assert!(shown.contains("counted by") && shown.contains("/main/0"), "{shown}");
    // A row that is kept by the parent's lane is given up by a change in its own.
    let gone = Change::delete("east", 6, "tracks", json!({"id": 2}), Value::Null);
    let fewer = after(&[gone]).await;
    assert_eq!(
        fewer,
        ["heads: applied 1, deleted 1", "main: applied 1, deleted 1, orphaned 1", "tails: parked 1"]
    );
    let back = after(&[album(7, 1)]).await;
    assert_eq!(back, ["heads: applied 2, deleted 1", "main: applied 2, deleted 1", "tails: applied 1"]);
    assert_eq!(names(&scene).await, ["albums 7", "notes 3", "tracks 1"]);
}

#[tokio::test]
async fn promise_01_each_change_is_counted_in_its_own_lane_sqlite() {
    each_change_is_counted_in_its_own_lane("ledgers_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn promise_01_each_change_is_counted_in_its_own_lane_postgres() {
    each_change_is_counted_in_its_own_lane("ledgers_postgres", Kind::Postgres).await;
}

/// Changes whose clocks are ahead, of a table that then goes to another lane: released or discarded there, counted where
/// they came, and so are the rows that they make and that wait for a parent.
async fn what_waited_on_time_is_counted_where_it_came(name: &str, kind: Kind) {
    let scene = Scene::new(name, kind, TABLES).await;
    scene.write(&rules("", "", ""));
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
    let ahead = |id| track(u64::try_from(id).unwrap(), id, 1).with("at", json!(now + 3_600_000_000));
    let after = async |changes: &[Change]| {
        scene.publish(changes).await;
        scene.run().await;
        ledgers(&scene).await
    };
    assert_eq!(after(&[ahead(1), ahead(2), ahead(3)]).await, ["main: parked 3"]);
    scene.write(&(rules("", "lane = \"tails\"", "") + "\n[[lane]]\nname = \"tails\"\n"));
    scene.call(&["lanes", "move"]).await.done();
    let shown = scene.call(&["parked", "show", "tracks", "1"]).await.done().stdout;
    assert!(shown.contains("counted by") && shown.contains("/main/0"), "{shown}");
    for (hand, id) in [("release", "1"), ("discard", "2"), ("release", "3")] {
        scene.call(&["parked", hand, "tracks", id, "--wait", "0", "--by", "ann"]).await.done();
    }
    assert_eq!(after(&[]).await, ["main: dead-lettered 1, parked 2", "tails: "]);
    assert_eq!(names(&scene).await, Vec::<String>::new());
    assert_eq!(after(&[album(4, 1)]).await, ["main: applied 3, dead-lettered 1", "tails: "]);
    assert_eq!(names(&scene).await, ["albums 4", "tracks 1", "tracks 3"]);
    let gone = Change::delete("east", 5, "albums", json!({"id": 1}), Value::Null);
    let left = after(&[gone]).await;
    assert_eq!(left, ["main: applied 1, dead-lettered 1, deleted 1, orphaned 2", "tails: "]);
    // A change of its own comes to the new lane, and loses against the one whose clock was ahead.
    let counted = after(&[track(6, 1, 1).with("at", json!(now))]).await;
    assert_eq!(counted[1], "tails: kept-current 1");
}

#[tokio::test]
async fn promise_01_what_waited_on_time_is_counted_where_it_came_sqlite() {
    what_waited_on_time_is_counted_where_it_came("ahead_moved_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn promise_01_what_waited_on_time_is_counted_where_it_came_postgres() {
    what_waited_on_time_is_counted_where_it_came("ahead_moved_postgres", Kind::Postgres).await;
}

/// While all lanes run: the lane that counted a row takes over what another moved, so that its own checkpoint says it.
#[tokio::test]
async fn a_running_lane_takes_over_what_others_moved() {
    let scene = Scene::new("ledgers_running", Kind::Postgres, TABLES).await;
    scene.write(&three_lanes());
    scene.publish(&[track(1, 1, 1), note(2, 1, 1)]).await;
    scene.run().await;
    let running = scene.start(&["run"]);
    scene.publish(&[album(3, 1)]).await;
    scene.until_rows("notes", 1).await;
    let left = "SELECT 'left' FROM reconverge.reclassified UNION ALL \
                SELECT lane FROM reconverge.checkpoint WHERE counts[10] > 0";
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !scene.column(left).await.is_empty() {
        assert!(std::time::Instant::now() < until, "{:?}", scene.column(left).await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    running.stopped().await;
    assert_eq!(ledgers(&scene).await, ["heads: applied 1", "main: applied 1", "tails: applied 1"]);
}
