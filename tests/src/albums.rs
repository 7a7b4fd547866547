//! A family of three tables, for tests of parents and children: albums, their tracks (which may have none), and notes on
//! tracks. Rows bear the name of their kind and of the commit that wrote them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Change, Scene};

/// The tables, without foreign keys, for either sink.
pub const TABLES: &str = "CREATE TABLE albums (id bigint PRIMARY KEY NOT NULL, name text);
    CREATE TABLE tracks (id bigint PRIMARY KEY NOT NULL, album bigint, name text);
    CREATE TABLE notes (id bigint PRIMARY KEY NOT NULL, track bigint, name text);";

/// Their rules: the last writer wins, and each depends on the one before. With further lines for each.
#[must_use]
pub fn rules(albums: &str, tracks: &str, notes: &str) -> String {
    format!(
        r#"
[[table]]
name = "albums"
key = ["id"]
policy = "lww:commit-time"
{albums}

[[table]]
name = "tracks"
key = ["id"]
priority = 1
policy = "lww:commit-time"
depends_on = [{{ table = "albums", columns = ["album"] }}]
{tracks}

[[table]]
name = "notes"
key = ["id"]
priority = 2
policy = "lww:commit-time"
depends_on = [{{ table = "tracks", columns = ["track"] }}]
{notes}
"#
    )
}

/// An album is written.
#[must_use]
pub fn album(commit: u64, id: i64) -> Change {
    let row = json!({"id": id, "name": format!("album {commit}")});
    Change::write("east", commit, "albums", json!({"id": id}), row)
}

/// An album is deleted.
#[must_use]
pub fn no_album(commit: u64, id: i64) -> Change {
    Change::delete("east", commit, "albums", json!({"id": id}), Value::Null)
}

/// A track is written.
#[must_use]
pub fn track(commit: u64, id: i64, album: impl Into<Option<i64>>) -> Change {
    let row = json!({"id": id, "album": album.into(), "name": format!("track {commit}")});
    Change::write("east", commit, "tracks", json!({"id": id}), row)
}

/// A note is written.
#[must_use]
pub fn note(commit: u64, id: i64, track: i64) -> Change {
    let row = json!({"id": id, "track": track, "name": format!("note {commit}")});
    Change::write("east", commit, "notes", json!({"id": id}), row)
}

/// Names of the rows in all three tables, in their order.
pub async fn names(scene: &Scene) -> Vec<String> {
    let all = "SELECT name FROM albums UNION ALL SELECT name FROM tracks UNION ALL SELECT name FROM notes ORDER BY name";
    scene.column(all).await
}

/// The dispositions of the only lane's ledger; it balances, and matches the stream.
pub async fn ledger(scene: &Scene) -> BTreeMap<String, u64> {
    scene.audit().await.lanes.remove(0).dispositions
}

/// Dispositions as they are expected.
#[must_use]
pub fn counts<const N: usize>(list: [(&str, u64); N]) -> BTreeMap<String, u64> {
    list.into_iter().map(|(word, n)| (word.to_owned(), n)).collect()
}
