//! Lanes of one PostgreSQL that meet on a parent: none misses the other, whoever is first.

use reconverge_streams::{
    family::{ChildrenWanted, FamilyWanted, Presence},
    keys::KeyList,
    postgres::PostgresClaim,
    sink::{Claim, Sink},
};

use crate::{
    family::tables,
    postgres::Postgres,
    world::{World, id, lane, texts},
};

const AUDIO: usize = 0;
const TEXT: usize = 1;

/// Somebody waits for the lock of a parent.
const SOMEBODY_WAITS: &str = "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

async fn claim(world: &World<Postgres>, name: &str) -> PostgresClaim {
    let mut request = world.request(name);
    request.lane = lane(name);
    world.sink.claim(request).await.expect("a free lane")
}

fn parents(world: &World<Postgres>) -> FamilyWanted {
    FamilyWanted { parents: vec![(id(AUDIO), world.keys(AUDIO, &[&["1"]]))], ..FamilyWanted::default() }
}

fn waiting(world: &World<Postgres>) -> FamilyWanted {
    FamilyWanted { waiting: vec![(id(AUDIO), world.keys(AUDIO, &[&["1"]]))], ..FamilyWanted::default() }
}

fn children(world: &World<Postgres>) -> FamilyWanted {
    let parents = world.keys(AUDIO, &[&["1"]]);
    let children = vec![ChildrenWanted { child: id(TEXT), columns: vec![1], parent: id(AUDIO), parents }];
    FamilyWanted { children, ..FamilyWanted::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_comes_waits_for_the_child_that_is_kept_back() {
    let world = World::<Postgres>::new(tables()).await;
    let (mut child, mut parent) = (claim(&world, "bulk").await, claim(&world, "main").await);
    let mut batch = world.batch(0);
    batch.keep(TEXT, &["10"], r#"{"id":10,"audio":1,"body":"ten"}"#, (AUDIO, &["1"]), false);
    let (wanted, kept) = batch.done();
    child.begin(wanted).await.expect("ours");
    let looked = child.family(parents(&world)).await.expect("an answer");
    assert_eq!(looked.parents, [[Presence::Unknown]]);
    let mut batch = world.batch(0);
    batch.upsert(AUDIO, &[("id", Some("1"))]);
    batch.upsert(TEXT, &[("id", Some("10")), ("audio", Some("1")), ("body", Some("ten"))]);
    batch.unkeep(TEXT, &["10"]);
    let (mut wanted, writes) = batch.done();
    wanted.tables.pop();
    parent.begin(wanted).await.expect("ours");
    let asked = waiting(&world);
    let asking = tokio::spawn(async move {
        let family = parent.family(asked).await.expect("an answer");
        (family, parent)
    });
    world.until(SOMEBODY_WAITS).await;
    child.commit(kept).await.expect("kept");
    let (family, mut parent) = asking.await.expect("no panic");
    assert_eq!(family.waiting.len(), 1, "the parent finds the child that was kept back meanwhile");
    assert_eq!(family.waiting[0].keys, KeyList::from_iter([world.key(TEXT, &["10"])]));
    parent.commit(writes).await.expect("written");
    assert_eq!(world.rows(TEXT).await, texts(&[&[Some("10"), Some("1"), Some("ten")]]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_waits_for_the_parent_that_comes() {
    let world = World::<Postgres>::new(tables()).await;
    let (mut child, mut parent) = (claim(&world, "bulk").await, claim(&world, "main").await);
    let mut batch = world.batch(0);
    batch.upsert(AUDIO, &[("id", Some("1"))]);
    let (wanted, writes) = batch.done();
    parent.begin(wanted).await.expect("ours");
    assert!(parent.family(waiting(&world)).await.expect("an answer").waiting.is_empty());
    let (wanted, _) = world.batch(0).done();
    child.begin(wanted).await.expect("ours");
    let asked = parents(&world);
    let asking = tokio::spawn(async move { child.family(asked).await.expect("an answer") });
    world.until(SOMEBODY_WAITS).await;
    parent.commit(writes).await.expect("written");
    assert_eq!(asking.await.expect("no panic").parents, [[Presence::In]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_waits_for_the_parent_that_leaves() {
    let world = World::<Postgres>::new(tables()).await;
    let (mut child, mut parent) = (claim(&world, "bulk").await, claim(&world, "main").await);
    let mut batch = world.batch(0);
    batch.upsert(AUDIO, &[("id", Some("1"))]);
    batch.run(&mut parent).await;
    let mut batch = world.batch(1);
    batch.delete(AUDIO, &["1"], None);
    let (wanted, writes) = batch.done();
    parent.begin(wanted).await.expect("ours");
    assert!(parent.family(children(&world)).await.expect("an answer").children[..].is_empty());
    let (wanted, _) = world.batch(0).done();
    child.begin(wanted).await.expect("ours");
    let asked = parents(&world);
    let asking = tokio::spawn(async move { child.family(asked).await.expect("an answer") });
    world.until(SOMEBODY_WAITS).await;
    parent.commit(writes).await.expect("written");
    assert_eq!(asking.await.expect("no panic").parents, [[Presence::Gone]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_of_one_parent_do_not_wait_for_each_other() {
    let world = World::<Postgres>::new(tables()).await;
    let (mut one, mut two) = (claim(&world, "bulk").await, claim(&world, "main").await);
    for lane in [&mut one, &mut two] {
        lane.begin(world.batch(0).done().0).await.expect("ours");
        assert_eq!(lane.family(parents(&world)).await.expect("an answer").parents, [[Presence::Unknown]]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_in_order_asks_for_its_family_again() {
    let mut tables = tables();
    tables[TEXT] = tables[TEXT].clone().unique("body");
    let world = World::<Postgres>::new(tables).await;
    let mut lane = claim(&world, "main").await;
    let mut batch = world.batch(0);
    batch.upsert(TEXT, &[("id", Some("10")), ("body", Some("ten"))]);
    batch.upsert(TEXT, &[("id", Some("20")), ("body", Some("twenty"))]);
    batch.run(&mut lane).await;
    // Two rows exchange a unique value, so the batch is written in order, under another transaction.
    let mut batch = world.batch(2);
    batch.upsert(TEXT, &[("id", Some("10")), ("body", Some("twenty"))]);
    batch.upsert(TEXT, &[("id", Some("20")), ("body", Some("ten"))]);
    batch.keep(TEXT, &["30"], r#"{"id":30,"audio":1,"body":"thirty"}"#, (AUDIO, &["1"]), false);
    let (wanted, writes) = batch.done();
    for parent_came in [true, false] {
        lane.begin(wanted.clone()).await.expect("ours");
        let found = lane.family(parents(&world)).await.expect("an answer");
        assert_eq!(found.parents, [[Presence::Unknown]]);
        if parent_came {
            // The application does not take the lock: it comes between the two transactions.
            world.fixture.batch("INSERT INTO audio (id) VALUES (1)").await;
            let again = lane.commit(writes.clone()).await;
            assert!(matches!(again, Err(reconverge_streams::sink::CommitError::Again(_))), "{again:?}");
            world.fixture.batch("DELETE FROM audio").await;
        } else {
            lane.commit(writes.clone()).await.expect("written in order");
        }
    }
    assert_eq!(world.rows(TEXT).await.len(), 2);
}
