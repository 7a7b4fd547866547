//! Rows that the application wrote, before and while a lane works, and how a row of ours stays known as ours.

use reconverge_streams::sink::{Claim, CommitError, Sink};

use crate::{
    postgres::connect,
    world::{cell, lane},
};

use super::world_of;

#[tokio::test]
async fn a_row_stays_ours_through_vacuum_cluster_and_an_added_column() {
    let ddl = "CREATE TABLE notes (id int PRIMARY KEY, a text); CREATE TABLE spare (id int)";
    let world = world_of(ddl, &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    batch.run(&mut claim).await;
    for upkeep in [
        "VACUUM (FREEZE) notes",
        "VACUUM (FULL, FREEZE) notes",
        "CLUSTER notes USING notes_pkey",
        "ALTER TABLE notes ADD COLUMN later int DEFAULT 5",
        "ANALYZE notes",
        "SELECT * FROM notes FOR UPDATE",
    ] {
        world.fixture.batch(upkeep).await;
        assert!(world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].local.is_none(), "{upkeep}");
    }
    world.fixture.batch("UPDATE notes SET a = 'theirs'").await;
    assert!(
        world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].local.is_some(),
        "an update of the application"
    );
}

#[tokio::test]
async fn a_local_write_bears_its_commit_time() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text";
    let before: i64 = world.ask(now).await.expect("a time").parse().expect("a number");
    world.fixture.batch("INSERT INTO notes VALUES (1, 'theirs'), (2, 'theirs')").await;
    let after: i64 = world.ask(now).await.expect("a time").parse().expect("a number");
    let found = world.stands(&mut claim, 0, &[&["1"], &["2"], &["3"]], &[]).await;
    for key in &found.keys[..2] {
        let at = key.local.expect("a local write").at.expect("the server keeps commit times");
        assert!((before..=after).contains(&at), "{before} <= {at} <= {after}");
    }
    assert!(found.keys[2].local.is_none());
    world.fixture.batch("DELETE FROM notes WHERE id = 1").await;
    assert!(
        world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].local.is_none(),
        "never ours, and gone"
    );
}

#[tokio::test]
async fn a_row_that_the_application_inserts_meanwhile_is_not_overwritten() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("ours"))]);
    let (wanted, writes) = batch.done();
    let standing = claim.begin(wanted.clone()).await.expect("ours");
    assert!(standing.tables[0].keys[0].row.is_none());
    world.fixture.batch("INSERT INTO notes VALUES (1, 'theirs')").await;
    assert!(matches!(claim.commit(writes).await, Err(CommitError::Again(_))));
    let standing = claim.begin(wanted).await.expect("ours");
    assert!(standing.tables[0].keys[0].local.is_some());
    assert_eq!(cell(&standing.tables[0], 0, 1).as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_row_under_lock_cannot_be_written_by_the_application() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    world.fixture.batch("INSERT INTO notes VALUES (1, 'theirs')").await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("ours"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted).await.expect("ours");
    let app = connect(&world.fixture.url).await;
    let theirs =
        tokio::spawn(
            async move { app.batch_execute("UPDATE notes SET a = a || '+theirs' WHERE id = 1").await },
        );
    world.until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')").await;
    claim.commit(writes).await.expect("nobody came between");
    theirs.await.expect("no panic").expect("the application's turn comes");
    assert_eq!(world.ask("SELECT a FROM notes").await.as_deref(), Some("ours+theirs"));
    assert!(world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].local.is_some());
}

#[tokio::test]
async fn two_lanes_that_meet_on_a_new_key_see_each_other() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut main = world.claim().await;
    let mut request = world.request("one");
    request.lane = lane("other");
    let mut other = world.sink.claim(request).await.expect("another lane");
    let written = |text: &'static str| {
        let mut batch = world.batch(0);
        batch.upsert(0, &[("id", Some("1")), ("a", Some(text))]);
        batch.done()
    };
    let ((wanted, first), (_, second)) = (written("first"), written("second"));
    main.begin(wanted.clone()).await.expect("ours");
    other.begin(wanted.clone()).await.expect("ours");
    main.commit(first).await.expect("the first one");
    assert!(matches!(other.commit(second).await, Err(CommitError::Again(_))));
    let standing = other.begin(wanted).await.expect("ours");
    let key = &standing.tables[0].keys[0];
    assert!(key.row.is_some() && key.version.is_some() && key.local.is_none());
}

#[tokio::test]
async fn a_lane_that_waited_for_a_version_writes_it_where_it_lies_then() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut main = world.claim().await;
    let mut request = world.request("one");
    request.lane = lane("other");
    let mut other = world.sink.claim(request).await.expect("another lane");
    let written = |from: u64, text: &'static str| {
        let mut batch = world.batch(from);
        batch.upsert(0, &[("id", Some("1")), ("a", Some(text))]);
        batch.done()
    };
    let (wanted, writes) = written(0, "first");
    main.begin(wanted).await.expect("ours");
    main.commit(writes).await.expect("a row with its version");
    let (wanted, writes) = written(1, "second");
    main.begin(wanted).await.expect("ours");
    let (asked, last) = written(0, "third");
    let waiting = async { other.begin(asked).await.map(drop) };
    let meanwhile = async {
        world.until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')").await;
        main.commit(writes).await.map(drop)
    };
    let (begun, committed) = tokio::join!(waiting, meanwhile);
    begun.expect("its turn comes");
    committed.expect("nobody came between");
    other.commit(last).await.expect("the version is locked");
    assert_eq!(world.ask("SELECT a FROM notes").await.as_deref(), Some("third"));
    // A version that was not written would say that the application wrote the row.
    assert!(world.stands(&mut main, 0, &[&["1"]], &[]).await.keys[0].local.is_none());
}
