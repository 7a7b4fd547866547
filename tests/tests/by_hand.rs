//! What an operator does by hand with what is kept beside: rows that wait for their parents, and changes that wait on
//! time, are released or discarded. The lane that keeps them does it, whether it runs at that moment or later; nothing goes
//! without a record, and the ledger balances.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use std::time::Duration;

use reconverge_tests::{
    Kind, Scene,
    albums::{TABLES, album, counts, ledger, names, no_album, note, rules, track},
};
use serde_json::{Value, json};

async fn scene(name: &str, kind: Kind) -> Scene {
    let tables = TABLES.replace("album bigint, name text", "album bigint, name text UNIQUE");
    let mut scene = Scene::new(name, kind, &tables).await;
    scene.rows = 1;
    scene.write(&rules("", "", ""));
    scene
}

fn now() -> i64 {
    i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap()
}

/// Kept rows as `table: why`.
async fn kept(scene: &Scene) -> Vec<String> {
    let kept: Vec<Value> = scene.call(&["parked", "list", "--json"]).await.done().json();
    let word = |k: &Value, name: &str| k[name].as_str().unwrap().to_owned();
    let mut lines: Vec<String> =
        kept.iter().map(|k| format!("{}: {}", word(k, "table"), word(k, "why"))).collect();
    lines.sort();
    lines
}

/// Discarded dead letters as the command shows them, oldest first.
async fn discarded(scene: &Scene) -> Vec<Value> {
    let told = scene.call(&["dlq", "list", "--state", "discarded", "--json"]).await.done();
    let mut letters: Vec<Value> = told.json();
    letters.reverse();
    letters
}

/// A row goes in without its parent, and what waited for it with it; from then on it is a row like any other.
async fn a_row_is_released(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    scene.publish(&[note(1, 1, 1), track(2, 1, 9), track(3, 2, 9)]).await;
    scene.run().await;
    assert_eq!(kept(&scene).await, ["notes: parent", "tracks: parent", "tracks: parent"]);
    // No lane runs: the word stands until one does.
    let asked =
        scene.call(&["parked", "release", "tracks", "1", "--wait", "0", "--by", "ann"]).await.done().stdout;
    assert!(asked.contains("is to be released: lane"), "{asked}");
    let shown = scene.call(&["parked", "show", "tracks", "1"]).await.done().stdout;
    assert!(shown.contains("asked for") && shown.contains("ann"), "{shown}");
    assert_eq!(names(&scene).await, Vec::<String>::new());
    scene.run().await;
    assert_eq!(names(&scene).await, ["note 1", "track 2"]);
    assert_eq!(kept(&scene).await, ["tracks: parent"]);
    assert_eq!(ledger(&scene).await, counts([("applied", 2), ("parked", 1)]));
    // The parent comes and goes after all.
    scene.publish(&[album(4, 9)]).await;
    let report = scene.run().await;
    assert_eq!(names(&scene).await, ["album 4", "note 1", "track 2", "track 3"]);
    assert_eq!(report.local_writes, 0);
    scene.publish(&[no_album(5, 9)]).await;
    scene.run().await;
    assert_eq!(names(&scene).await, Vec::<String>::new());
    assert_eq!(kept(&scene).await, ["notes: parent", "tracks: orphaned", "tracks: orphaned"]);
    assert_eq!(
        ledger(&scene).await,
        counts([("applied", 1), ("deleted", 1), ("orphaned", 2), ("parked", 1)])
    );
    // A later change of its own meets the rule again.
    let running = scene.start(&["run", "--owner", "the-same"]);
    scene.call(&["parked", "release", "tracks", "2", "--wait", "60"]).await.done();
    assert_eq!(names(&scene).await, ["track 3"]);
    scene.publish(&[track(6, 2, 9)]).await;
    scene.until_rows("tracks", 0).await;
    running.stopped().await;
    let none = scene.call(&["parked", "release", "tracks", "77"]).await;
    assert!(none.stderr.contains("nothing of table tracks is kept under this key"), "{}", none.stderr);
}

#[tokio::test]
async fn sqlite_a_row_is_released() {
    a_row_is_released("hand_release_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_a_row_is_released() {
    a_row_is_released("hand_release_postgres", Kind::Postgres).await;
}

/// Where the sink will not have the row, the operator is told why, and it stays kept.
async fn a_release_that_the_sink_refuses(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    scene.sink.execute("INSERT INTO tracks VALUES (50, NULL, 'track 1')").await.unwrap();
    if kind == Kind::Postgres {
        scene
            .sink
            .execute("ALTER TABLE tracks ADD CONSTRAINT of_an_album FOREIGN KEY (album) REFERENCES albums")
            .await
            .unwrap();
    }
    scene.publish(&[track(1, 1, 9), track(2, 2, 9)]).await;
    let running = scene.start(&["run", "--owner", "the-same"]);
    scene.until_committed(2).await;
    let refused = scene.call(&["parked", "release", "tracks", "1", "--wait", "60"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    let expected = if kind == Kind::Postgres { "of_an_album" } else { "UNIQUE" };
    let (told, is_told) = (&refused.stderr, refused.stderr.contains("the release was refused"));
    assert!(is_told && (told.contains(expected) || told.contains("nique")), "{told}");
    let shown = scene.call(&["parked", "show", "tracks", "1"]).await.done().stdout;
    assert!(shown.contains("refused, since"), "{shown}");
    if kind == Kind::Postgres {
        let refused = scene.call(&["parked", "release", "tracks", "2", "--wait", "60"]).await;
        assert!(refused.stderr.contains("of_an_album"), "{}", refused.stderr);
    } else {
        scene.call(&["parked", "release", "tracks", "2", "--wait", "60"]).await.done();
    }
    // The lane goes on, and what it can do later it does.
    scene.sink.execute("DELETE FROM tracks WHERE id = 50").await.unwrap();
    scene.publish(&[album(3, 9)]).await;
    scene.until_rows("tracks", 2).await;
    running.stopped().await;
    assert_eq!(names(&scene).await, ["album 3", "track 1", "track 2"]);
    assert_eq!(ledger(&scene).await, counts([("applied", 3)]));
}

#[tokio::test]
async fn sqlite_a_release_that_the_sink_refuses() {
    a_release_that_the_sink_refuses("hand_refuse_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_a_release_that_the_sink_refuses() {
    a_release_that_the_sink_refuses("hand_refuse_postgres", Kind::Postgres).await;
}

/// A row that is discarded stands no more and leaves a closed letter with who and why; older changes do not bring it
/// back, and its children know that it will not come.
async fn rows_are_discarded(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    scene.publish(&[album(1, 9), track(2, 1, 9), track(3, 2, 9), note(4, 1, 1), no_album(5, 9)]).await;
    scene.run().await;
    assert_eq!(kept(&scene).await, ["notes: parent", "tracks: orphaned", "tracks: orphaned"]);
    // Both have the sequence of the album's delete, and a letter each.
    for id in ["1", "2"] {
        let args =
            ["parked", "discard", "tracks", id, "--wait", "0", "--by", "ann", "--note", "never recorded"];
        scene.call(&args).await.done();
    }
    scene.run().await;
    assert_eq!(kept(&scene).await, ["notes: orphaned"]);
    let letters = discarded(&scene).await;
    assert_eq!(letters.len(), 2, "{letters:?}");
    for letter in &letters {
        let of = |name: &str| letter[name].as_str().unwrap_or_default();
        assert_eq!((of("table"), of("closed_by"), of("note")), ("tracks", "ann", "never recorded"));
        assert_eq!((of("stage"), of("code"), letter["closed_at"].is_null()), ("parked", "discarded", false));
    }
    let id = letters[0]["id"].to_string();
    let row = scene.call(&["dlq", "show", &id, "--bytes", "-"]).await.done().stdout;
    assert!(row.contains("track "), "{row}");
    assert_eq!(
        ledger(&scene).await,
        counts([("applied", 1), ("dead-lettered", 2), ("deleted", 1), ("orphaned", 1)])
    );
    // Its order value stays: what is older loses, what is newer stands.
    let older = track(6, 1, 9).with("at", json!(1));
    scene.publish(&[older, track(7, 2, 9), album(8, 9)]).await;
    scene.run().await;
    assert_eq!(names(&scene).await, ["album 8", "track 7"]);
    assert_eq!(
        ledger(&scene).await,
        counts([("applied", 3), ("dead-lettered", 2), ("deleted", 1), ("kept-current", 1), ("orphaned", 1)])
    );
}

#[tokio::test]
async fn sqlite_rows_are_discarded() {
    rows_are_discarded("hand_discard_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_rows_are_discarded() {
    rows_are_discarded("hand_discard_postgres", Kind::Postgres).await;
}

/// Changes that wait on time: decided before their time, or given up; of a paused table only given up.
async fn changes_that_wait_on_time(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    let ahead = now() + 3_600_000_000;
    let early = |commit, id| album(commit, id).with("at", json!(ahead));
    scene.publish(&[early(1, 1), album(2, 1).with("at", json!(now())), early(3, 2), early(4, 3)]).await;
    let running = scene.start(&["run", "--owner", "the-same"]);
    scene.until_committed(4).await;
    // The whole line of the key, in its order: the later change loses against the one whose clock is ahead.
    scene.call(&["parked", "release", "albums", "1", "--wait", "60"]).await.done();
    assert_eq!(names(&scene).await, ["album 1"]);
    scene.call(&["parked", "discard", "albums", "2", "--wait", "60", "--by", "ann"]).await.done();
    assert_eq!(names(&scene).await, ["album 1"]);
    assert_eq!(kept(&scene).await, ["albums: skew"]);
    let letters = discarded(&scene).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["sequence"], json!(3));
    scene.call(&["tables", "pause", "albums"]).await.done();
    let refused = scene.call(&["parked", "release", "albums", "3"]).await;
    assert!(refused.stderr.contains("table albums is paused"), "{}", refused.stderr);
    scene.call(&["parked", "discard", "albums", "3", "--wait", "60", "--by", "ann"]).await.done();
    scene.call(&["tables", "resume", "albums"]).await.done();
    // It never arrived: a change of the same key is decided as if it had not been sent.
    scene.publish(&[album(5, 3)]).await;
    scene.until_rows("albums", 2).await;
    running.stopped().await;
    assert_eq!(names(&scene).await, ["album 1", "album 5"]);
    assert_eq!(ledger(&scene).await, counts([("applied", 2), ("dead-lettered", 2), ("kept-current", 1)]));
}

#[tokio::test]
async fn sqlite_changes_that_wait_on_time() {
    changes_that_wait_on_time("hand_time_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_changes_that_wait_on_time() {
    changes_that_wait_on_time("hand_time_postgres", Kind::Postgres).await;
}

/// A message that changes a row's key waits as two halves, one under each key, and goes as one, by whichever it is named.
async fn a_key_change_goes_whole(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    scene.publish(&[album(1, 1), album(2, 3)]).await;
    scene.run().await;
    let ahead = json!(now() + 3_600_000_000);
    let moved = |commit, from: i64, to| {
        album(commit, to).with("before", json!({"id": from, "name": "album"})).with("at", ahead.clone())
    };
    scene.publish(&[moved(3, 1, 2), moved(4, 3, 4)]).await;
    scene.run().await;
    assert_eq!(kept(&scene).await, ["albums: skew"; 4]);
    for (key, left) in [("1", 2), ("4", 0)] {
        scene.call(&["parked", "discard", "albums", key, "--wait", "0", "--by", "ann"]).await.done();
        scene.run().await;
        assert_eq!(kept(&scene).await.len(), left, "by key {key}");
    }
    assert_eq!(names(&scene).await, ["album 1", "album 2"], "neither row went, and none came");
    let letters = discarded(&scene).await;
    assert!(letters.iter().all(|letter| letter["closed_by"] == "ann"), "{letters:?}");
    let mut sequences: Vec<_> = letters.iter().map(|letter| letter["sequence"].as_u64().unwrap()).collect();
    sequences.dedup();
    assert_eq!(sequences, [3, 4]);
    assert_eq!(ledger(&scene).await, counts([("applied", 2), ("dead-lettered", 4)]));
}

#[tokio::test]
async fn sqlite_a_key_change_goes_whole() {
    a_key_change_goes_whole("hand_moved_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_a_key_change_goes_whole() {
    a_key_change_goes_whole("hand_moved_postgres", Kind::Postgres).await;
}

/// Words of the operator while the lane is at work on the same keys: whatever comes first, every change has one
/// disposition, what stands is in one place, and there is a letter for each row that was discarded and for no other.
async fn by_hand_beside_a_running_lane(name: &str, kind: Kind) {
    let scene = scene(name, kind).await;
    let running = scene.start(&["run", "--owner", "the-same"]);
    let mut commit = 0;
    let tracks = async |commit: &mut u64| {
        for id in 0..7 {
            *commit += 1;
            scene.publish(&[track(*commit, id, 100 + id)]).await;
        }
        scene.until_committed(*commit).await;
    };
    for round in 0..6_i64 {
        tracks(&mut commit).await;
        let id = round.to_string();
        let hand = if round % 2 == 0 { "release" } else { "discard" };
        // Twice it is carried out before the parent comes. Else the row may have come by the time that the lane looks.
        let wait = if round < 2 { "60" } else { "0" };
        scene.call(&["parked", hand, "tracks", &id, "--wait", wait]).await.done();
        commit += 1;
        scene.publish(&[album(commit, 100 + round)]).await;
    }
    tracks(&mut commit).await;
    tokio::time::timeout(Duration::from_secs(60), scene.until_rows("tracks", 6)).await.unwrap();
    running.stopped().await;
    scene.run().await;
    let ledger = ledger(&scene).await;
    assert_eq!(ledger.values().sum::<u64>(), commit);
    assert_eq!((kept(&scene).await, ledger.get("parked")), (vec!["tracks: parent".to_owned()], Some(&1)));
    let letters = discarded(&scene).await.len() as u64;
    assert!((1..=3).contains(&letters), "{letters} letters");
    assert_eq!(ledger.get("dead-lettered"), Some(&letters));
    let names: Vec<String> = (0..6).map(|id| format!("track {}", commit - 6 + id)).collect();
    assert_eq!(scene.column("SELECT name FROM tracks ORDER BY id").await, names);
}

#[tokio::test]
async fn sqlite_by_hand_beside_a_running_lane() {
    by_hand_beside_a_running_lane("hand_beside_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_by_hand_beside_a_running_lane() {
    by_hand_beside_a_running_lane("hand_beside_postgres", Kind::Postgres).await;
}
