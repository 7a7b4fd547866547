//! The next batch begun with a commit, as the server and the application see it.

use reconverge_streams::{
    postgres::{PostgresClaim, PostgresSink},
    sink::{Claim, Sink},
    standing::Wanted,
    writes::Writes,
};

use crate::{
    cut::Proxy,
    postgres::{Postgres, connect},
    world::World,
};

use super::world_of;

const DDL: &str = "CREATE TABLE notes (id int PRIMARY KEY, a text)";
const OPEN: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction')";

fn batch(world: &World<Postgres>, from: u64, id: &str, a: &str) -> (Wanted, Writes) {
    let mut batch = world.batch(from);
    batch.upsert(0, &[("id", Some(id)), ("a", Some(a))]);
    batch.done()
}

/// Commits one batch and then one behind which the next, on row 1, is foreseen. The first commit of a claim prepares its
/// statements, which takes answers.
async fn foreseen(
    world: &World<Postgres>,
    claim: &mut PostgresClaim,
    between: impl AsyncFnOnce(&mut PostgresClaim, Writes),
) -> (Wanted, Writes) {
    for (from, a) in [(0, "first"), (1, "second")] {
        let (wanted, writes) = batch(world, from, "1", a);
        claim.begin(wanted).await.expect("ours");
        claim.commit(writes).await.expect("good");
    }
    let (wanted, writes) = batch(world, 2, "1", "third");
    let next = batch(world, 3, "1", "ours");
    claim.begin(wanted).await.expect("ours");
    claim.foresee(next.0.clone());
    between(claim, writes).await;
    next
}

async fn commit(claim: &mut PostgresClaim, writes: Writes) {
    assert_eq!(claim.commit(writes).await.expect("good").sequence, 3);
}

#[tokio::test]
async fn the_next_batch_is_begun_with_the_commit_and_holds_its_rows() {
    let world = world_of(DDL, &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let (wanted, writes) = foreseen(&world, &mut claim, commit).await;
    assert_eq!(world.ask("SELECT a FROM notes").await.as_deref(), Some("third"), "the commit stands");
    assert_eq!(world.ask(&format!("SELECT ({OPEN})::text")).await.as_deref(), Some("true"));
    // The application waits for what was read, and so loses nothing: it writes after us.
    let app = connect(&world.fixture.url).await;
    let writing = tokio::spawn(async move { app.batch_execute("UPDATE notes SET a = a || ' theirs'").await });
    world.until("EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')").await;
    let standing = claim.begin(wanted).await.expect("it is begun");
    assert!(standing.tables[0].keys[0].local.is_none());
    assert_eq!(claim.commit(writes).await.expect("good").sequence, 4);
    writing.await.expect("no panic").expect("its turn");
    assert_eq!(world.ask("SELECT a FROM notes").await.as_deref(), Some("ours theirs"));
}

#[tokio::test]
async fn an_answer_that_is_lost_with_the_next_batch_begun_is_found_out() {
    let world = world_of(DDL, &[("notes", &["id"])]).await;
    let proxy = Proxy::before(&world.fixture.url).await;
    let sink = PostgresSink::connect(&proxy.url).await.expect("a sink");
    let mut claim: PostgresClaim = sink.claim(world.request("one")).await.expect("the lane is free");
    let cut = async |claim: &mut PostgresClaim, writes: Writes| {
        proxy.swallow_answers();
        let (committed, ()) = tokio::join!(claim.commit(writes), async {
            world.until("SELECT sequence = 3 FROM reconverge.checkpoint").await;
            world.until(OPEN).await;
            proxy.cut();
        });
        assert_eq!(committed.expect("it took effect").sequence, 3);
    };
    let (wanted, writes) = foreseen(&world, &mut claim, cut).await;
    let standing = claim.begin(wanted).await.expect("begun anew");
    assert!(standing.tables[0].keys[0].local.is_none());
    assert_eq!(claim.commit(writes).await.expect("good").sequence, 4);
}

#[tokio::test]
async fn a_session_killed_with_the_next_batch_begun_costs_a_second_beginning() {
    let world = world_of(DDL, &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let (wanted, writes) = foreseen(&world, &mut claim, commit).await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'";
    world.fixture.batch(kill).await;
    world.until(&format!("NOT {OPEN}")).await;
    world.fixture.batch("UPDATE notes SET a = 'theirs'").await;
    let standing = claim.begin(wanted).await.expect("on a new connection");
    assert!(standing.tables[0].keys[0].local.is_some(), "the application came between");
    assert_eq!(claim.commit(writes).await.expect("good").sequence, 4);
}

#[tokio::test]
async fn a_beginning_that_fails_does_not_undo_the_commit() {
    let world = world_of(DDL, &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let app = connect(&world.fixture.url).await;
    app.batch_execute("INSERT INTO notes VALUES (9, 'theirs')").await.expect("an insert");
    for (from, a) in [(0, "first"), (1, "second")] {
        let (wanted, writes) = batch(&world, from, "1", a);
        claim.begin(wanted).await.expect("ours");
        claim.commit(writes).await.expect("good");
    }
    let (wanted, writes) = batch(&world, 2, "1", "third");
    let (next, of_next) = batch(&world, 3, "9", "ours");
    claim.begin(wanted).await.expect("ours");
    claim.foresee(next.clone());
    app.batch_execute("BEGIN; UPDATE notes SET a = 'open' WHERE id = 9").await.expect("it holds the row");
    let (committed, ()) = tokio::join!(claim.commit(writes), async {
        world.until("EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')").await;
        let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
                      WHERE datname = current_database() AND wait_event_type = 'Lock'";
        world.fixture.batch(cancel).await;
    });
    assert_eq!(committed.expect("the commit stands").sequence, 3);
    assert_eq!(world.ask("SELECT a FROM notes WHERE id = 1").await.as_deref(), Some("third"));
    world
        .until(&format!("NOT {}", OPEN.replace("state =", "application_name = 'reconverge' AND state =")))
        .await;
    app.batch_execute("COMMIT").await.expect("its turn");
    let standing = claim.begin(next).await.expect("begun anew");
    assert!(standing.tables[0].keys[0].row.is_some());
    assert_eq!(claim.commit(of_next).await.expect("good").sequence, 4);
}
