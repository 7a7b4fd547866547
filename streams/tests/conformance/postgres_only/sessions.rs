//! Sessions that are waited for, killed or cut off, and what is there afterwards.

use reconverge_streams::{
    disposition::Disposition,
    postgres::{PostgresClaim, PostgresSink},
    sink::{Claim, CommitError, Sink, SinkError},
};

use crate::{
    cut::Proxy,
    fixture::Fixture,
    postgres::{Postgres, connect},
    world::World,
};

use super::world_of;

/// The server process of the lane's session, while its batch is open.
const LANE_SESSION: &str =
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'";

#[tokio::test]
async fn an_old_owner_with_an_open_batch_is_waited_for() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
    let take = |owner: &'static str| {
        let (sink, request) = (world.sink.clone(), world.request(owner));
        tokio::spawn(async move { sink.claim(request).await.map(|c| c.checkpoint().clone()) })
    };
    let mut old = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    let (wanted, writes) = batch.done();
    world.fixture.end_leases().await;
    old.begin(wanted.clone()).await.expect("ours");
    let taking = take("two");
    world.until(waiting).await;
    old.commit(writes.clone()).await.expect("nobody has it yet");
    // The commit renewed the lease, so the lane is not stale any more.
    assert!(matches!(taking.await.expect("no panic"), Err(SinkError::Held { .. })));
    // The same process, restarted, need not wait for the lease, only for the batch.
    let mut batch = world.batch(1);
    batch.upsert(0, &[("id", Some("2")), ("a", Some("y"))]);
    let (wanted, writes) = batch.done();
    old.begin(wanted).await.expect("ours");
    let taking = take("one");
    world.until(waiting).await;
    old.commit(writes).await.expect("the batch was open before");
    let taken = taking.await.expect("no panic").expect("the same owner");
    assert_eq!((taken.sequence, taken.delivered), (2, 2));
    // One that gives up leaves its lane at the old truth.
    world.fixture.end_leases().await;
    let mut two = world.claim_as("two").await.expect("stale");
    assert_eq!(two.checkpoint().sequence, 2);
    two.release().await;
}

/// Ends the lane's session on the server.
async fn kill_lane(world: &World<Postgres>) {
    let pid = world.fixture.app().query_one(LANE_SESSION, &[]).await.expect("a lane's session");
    let pid: i32 = pid.get(0);
    world.fixture.batch(&format!("SELECT pg_terminate_backend({pid})")).await;
    world.until(&format!("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid})")).await;
}

#[tokio::test]
async fn a_session_killed_before_the_commit_costs_a_second_try() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted.clone()).await.expect("ours");
    kill_lane(&world).await;
    assert!(matches!(claim.commit(writes.clone()).await, Err(CommitError::Again(_))));
    assert_eq!(world.ask("SELECT count(*)::text FROM notes").await.as_deref(), Some("0"));
    claim.begin(wanted).await.expect("on a new connection");
    assert_eq!(claim.commit(writes).await.expect("the second try").sequence, 1);
    // Between batches it is not even noticed.
    claim.begin(world.batch(1).done().0).await.expect("ours");
    kill_lane(&world).await;
    claim.abandon().await;
    let mut batch = world.batch(1);
    batch.upsert(0, &[("id", Some("2")), ("a", Some("y"))]);
    batch.run(&mut claim).await;
}

#[tokio::test]
async fn a_session_killed_during_the_commit_leaves_nothing() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    batch.upsert(0, &[("id", Some("2")), ("a", Some("x"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted.clone()).await.expect("ours");
    // The application's open insert of the same key makes the commit wait half-way.
    let app = connect(&world.fixture.url).await;
    app.batch_execute("BEGIN; INSERT INTO notes VALUES (2, 'theirs')").await.expect("an insert");
    let (failed, ()) = tokio::join!(claim.commit(writes.clone()), async {
        world.until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')").await;
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                    WHERE datname = current_database() AND wait_event_type = 'Lock'";
        world.fixture.batch(kill).await;
    });
    assert!(matches!(failed, Err(CommitError::Again(_))), "{failed:?}");
    app.batch_execute("ROLLBACK").await.expect("the application gives up");
    assert_eq!(world.ask("SELECT count(*)::text FROM notes").await.as_deref(), Some("0"));
    claim.begin(wanted).await.expect("on a new connection");
    assert_eq!(claim.commit(writes).await.expect("the second try").delivered, 2);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_out() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let proxy = Proxy::before(&world.fixture.url).await;
    let sink = PostgresSink::connect(&proxy.url).await.expect("a sink");
    let mut claim: PostgresClaim = sink.claim(world.request("one")).await.expect("the lane is free");
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted).await.expect("ours");
    // The first commit of a claim prepares its statements, which needs answers: so the second one is cut.
    claim.commit(writes).await.expect("committed");
    let mut batch = world.batch(1);
    batch.upsert(0, &[("id", Some("2")), ("a", Some("x"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted).await.expect("ours");
    proxy.swallow_answers();
    let (committed, ()) = tokio::join!(claim.commit(writes), async {
        world.until("SELECT sequence = 2 FROM reconverge.checkpoint").await;
        proxy.cut();
    });
    let committed = committed.expect("it took effect, whatever became of the answer");
    assert_eq!((committed.sequence, committed.delivered), (2, 2));
    let mut batch = world.batch(2);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("y"))]);
    batch.run(&mut claim).await;
}

#[tokio::test]
async fn a_claim_given_up_half_way_through_a_call_works_on() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let app = connect(&world.fixture.url).await;
    world.fixture.batch("INSERT INTO notes VALUES (1, 'theirs')").await;
    app.batch_execute("BEGIN; UPDATE notes SET a = 'open'").await.expect("the application holds the row");
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    let (wanted, _) = batch.done();
    tokio::select! {
        biased;
        _ = claim.begin(wanted) => panic!("the row is locked"),
        () = world.until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')") => {}
    }
    app.batch_execute("COMMIT").await.expect("the row is free");
    let mut batch = world.batch(0);
    batch.next(Disposition::Filtered);
    batch.run(&mut claim).await;
    assert_eq!(claim.checkpoint().sequence, 1);
}
