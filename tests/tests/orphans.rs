//! `orphans`: what becomes of a row whose parent is known not to come, by its table's choice: a dead letter, or a row
//! without what names the parent. (Kept apart is what `dependencies.rs` tries.)

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use reconverge_tests::{
    Kind, Scene,
    albums::{TABLES, album, counts, ledger, names, no_album, note, rules, track},
};
use serde_json::{Value, json};

async fn scene(name: &str, kind: Kind, orphans: &str) -> Scene {
    let tables = TABLES.replace("track bigint", "track bigint NOT NULL");
    let mut scene = Scene::new(name, kind, &tables).await;
    scene.rows = 1;
    scene.write(&rules("", &format!("orphans = {orphans:?}"), ""));
    scene
}

/// Tracks as `name of album`.
async fn tracks(scene: &Scene) -> Vec<String> {
    let of = "SELECT name || ' of ' || coalesce(CAST(album AS text), 'none') FROM tracks ORDER BY id";
    scene.column(of).await
}

/// In the sink when its parent leaves, waiting when it turns out not to come, and coming after it went: three letters,
/// each of which can be sent again.
async fn orphans_become_dead_letters(name: &str, kind: Kind) {
    let scene = scene(name, kind, "dead-letter").await;
    scene.publish(&[album(1, 1), track(2, 1, 1), note(3, 1, 1), track(4, 2, 2)]).await;
    scene.run().await;
    assert_eq!(names(&scene).await, ["album 1", "note 3", "track 2"]);
    scene.publish(&[no_album(5, 1), no_album(6, 2), track(7, 3, 2)]).await;
    scene.run().await;
    assert_eq!(names(&scene).await, Vec::<String>::new());
    let letters = scene.letters().await;
    assert_eq!(letters.len(), 3, "{letters:?}");
    assert!(letters.iter().all(|l| l.code == "orphaned" && l.state == "open"), "{letters:?}");
    // The note waits for a track that will not come by itself.
    let kept: Vec<Value> = scene.call(&["parked", "list", "--json"]).await.done().json();
    assert_eq!((kept.len(), &kept[0]["why"]), (1, &json!("orphaned")));
    let dead = [("applied", 1), ("dead-lettered", 3), ("deleted", 1), ("no-op", 1), ("orphaned", 1)];
    assert_eq!(ledger(&scene).await, counts(dead));
    // The albums come after all: the tracks do not, until somebody sends them again.
    scene.publish(&[album(8, 1), album(9, 2)]).await;
    scene.run().await;
    assert_eq!(names(&scene).await, ["album 8", "album 9"]);
    for letter in scene.letters().await {
        scene.call(&["dlq", "redrive", &letter.id.to_string()]).await.done();
    }
    scene.run().await;
    assert_eq!(tracks(&scene).await, ["track 2 of 1", "track 4 of 2", "track 7 of 2"]);
    assert_eq!(names(&scene).await.len(), 6, "the note is back");
}

#[tokio::test]
async fn sqlite_orphans_become_dead_letters() {
    orphans_become_dead_letters("orphans_dead_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_orphans_become_dead_letters() {
    orphans_become_dead_letters("orphans_dead_postgres", Kind::Postgres).await;
}

/// The same three, each in the sink with null where it names its album; what may still come is waited for.
async fn orphans_do_without(name: &str, kind: Kind) {
    let scene = scene(name, kind, "without-reference").await;
    if kind == Kind::Postgres {
        scene.sink.execute("ALTER TABLE tracks ADD FOREIGN KEY (album) REFERENCES albums").await.unwrap();
    }
    scene.publish(&[album(1, 1), track(2, 1, 1), note(3, 1, 1), track(4, 2, 2), track(5, 5, 5)]).await;
    scene.run().await;
    assert_eq!(names(&scene).await, ["album 1", "note 3", "track 2"]);
    scene.publish(&[no_album(6, 1), no_album(7, 2), track(8, 3, 2)]).await;
    let report = scene.run().await;
    assert_eq!(tracks(&scene).await, ["track 2 of none", "track 4 of none", "track 8 of none"]);
    assert_eq!(report.local_writes, 0);
    let kept: Vec<Value> = scene.call(&["parked", "list", "--json"]).await.done().json();
    assert_eq!((kept.len(), &kept[0]["why"]), (1, &json!("parent")));
    assert_eq!(ledger(&scene).await, counts([("applied", 5), ("deleted", 1), ("no-op", 1), ("parked", 1)]));
    // The album comes after all: a row names it again by its next change.
    scene.publish(&[album(9, 1), track(10, 1, 1)]).await;
    let report = scene.run().await;
    assert_eq!(report.local_writes, 0);
    assert_eq!(tracks(&scene).await, ["track 10 of 1", "track 4 of none", "track 8 of none"]);
    assert_eq!(ledger(&scene).await, counts([("applied", 7), ("deleted", 1), ("no-op", 1), ("parked", 1)]));
}

#[tokio::test]
async fn sqlite_orphans_do_without() {
    orphans_do_without("orphans_without_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_orphans_do_without() {
    orphans_do_without("orphans_without_postgres", Kind::Postgres).await;
}

#[tokio::test]
async fn a_reference_that_is_needed_is_refused() {
    let scene = scene("orphans_refused", Kind::Sqlite, "keep").await;
    scene.write(&rules("", "orphans = \"without-reference\"", "orphans = \"without-reference\""));
    let refused = scene.call(&["check"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("notes.track` may not be null"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("tracks.album"), "{}", refused.stderr);
}
