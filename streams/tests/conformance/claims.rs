//! Ownership: who gets a lane, and who is stopped.

use reconverge_streams::{
    checkpoint::PlanDigest,
    disposition::Disposition,
    logical::Logical,
    sink::{Claim, Sink, SinkError},
    standing::Wanted,
};

use crate::{
    fixture::{Fixture, Table},
    world::{World, texts},
};

fn people() -> Vec<Table> {
    vec![Table::new("people", &[("id", Logical::Int), ("name", Logical::Text)])]
}

fn nothing(from: u64) -> Wanted {
    Wanted { from, ..Wanted::default() }
}

pub async fn a_fresh_lane_starts_at_nothing<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let claim = world.claim().await;
    let c = claim.checkpoint();
    assert_eq!(c.lane, "pipe/us/main/0");
    assert_eq!((c.stream.as_str(), c.stream_created), ("CDC", 1_700_000_000_000_000));
    assert_eq!((c.sequence, c.scanned, c.delivered, c.counts.sum()), (0, 0, 0, 0));
    assert_eq!((c.owner.as_deref(), c.plan, c.committed_at), (Some("one"), PlanDigest([7; 32]), None));
    assert!(c.epoch >= 1 && c.lease_until.is_some());
}

pub async fn a_held_lane_is_refused_until_its_lease_ends<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let one = world.claim().await;
    match world.claim_as("two").await {
        Err(SinkError::Held { lane, owner, ends_in_ms }) => {
            assert_eq!((lane.as_str(), owner.as_str()), ("pipe/us/main/0", "one"));
            assert!((1..=600_001).contains(&ends_in_ms), "{ends_in_ms}");
        }
        other => panic!("held by another: {:?}", other.map(|c| c.checkpoint().clone())),
    }
    world.fixture.end_leases().await;
    let two = world.claim_as("two").await.expect("the lease is over");
    assert_eq!(two.checkpoint().owner.as_deref(), Some("two"));
    assert!(two.checkpoint().epoch > one.checkpoint().epoch);
}

pub async fn an_owner_takes_its_own_lane_back_at_once<F: Fixture>() {
    let mut world = World::<F>::new(people()).await;
    let before = world.claim().await.checkpoint().epoch;
    world.restart().await;
    assert_eq!(world.claim().await.checkpoint().epoch, before + 1);
}

pub async fn a_late_owner_is_fenced_at_begin<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let mut late = world.claim().await;
    world.fixture.end_leases().await;
    let mut new = world.claim_as("two").await.expect("the lease is over");
    assert!(matches!(late.begin(nothing(0)).await, Err(SinkError::Fenced(_))));
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("name", Some("new"))]);
    batch.run(&mut new).await;
    assert!(matches!(late.begin(nothing(1)).await, Err(SinkError::Fenced(_))));
    assert_eq!(world.rows(0).await, texts(&[&[Some("1"), Some("new")]]));
}

pub async fn a_late_owner_is_fenced_at_idle<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let mut late = world.claim().await;
    world.fixture.end_leases().await;
    let new = world.claim_as("two").await.expect("the lease is over");
    assert!(matches!(late.idle(99).await, Err(SinkError::Fenced(_))));
    assert!(matches!(late.generation(1, "[]".into(), "late").await, Err(SinkError::Fenced(_))));
    late.release().await;
    // The late owner's release gave nobody else's lane up.
    assert!(matches!(world.claim_as("three").await, Err(SinkError::Held { .. })));
    assert_eq!(new.checkpoint().sequence, 0);
}

pub async fn a_takeover_waits_for_the_open_batch_and_reads_the_truth<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let mut old = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("name", Some("old"))]);
    let (wanted, writes) = batch.done();
    old.begin(wanted).await.expect("ours");
    let sink = world.fixture.open().await;
    let request = world.request("one");
    let taking = tokio::spawn(async move { sink.claim(request).await.map(|c| c.checkpoint().clone()) });
    // Whether the claim asks before or after the commit, it may only see what the commit left.
    tokio::task::yield_now().await;
    let committed = old.commit(writes).await.expect("the batch was open before");
    let taken = taking.await.expect("no panic").expect("the same owner");
    assert_eq!((taken.sequence, taken.delivered), (1, 1));
    assert_eq!(taken.epoch, committed.epoch + 1);
    assert!(matches!(old.begin(nothing(1)).await, Err(SinkError::Fenced(_))));
}

pub async fn another_sequence_is_fenced<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let mut claim = world.claim().await;
    assert!(matches!(claim.begin(nothing(5)).await, Err(SinkError::Fenced(_))));
    claim.begin(nothing(0)).await.expect("the checkpoint's own sequence");
    claim.abandon().await;
}

pub async fn another_plan_is_refused<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let mut claim = world.claim().await;
    claim.release().await;
    let mut request = world.request("two");
    request.plan = PlanDigest([8; 32]);
    match world.sink.claim(request).await {
        Err(SinkError::OtherPlan { stored, asked, .. }) => {
            assert_eq!((stored, asked), (PlanDigest([7; 32]), PlanDigest([8; 32])));
        }
        other => panic!("another plan: {:?}", other.map(|c| c.checkpoint().clone())),
    }
    // The refusal took nothing.
    assert_eq!(world.claim_as("three").await.expect("free").checkpoint().epoch, claim.checkpoint().epoch + 1);
}

pub async fn release_lets_another_claim_at_once<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let mut one = world.claim().await;
    one.idle(4).await.expect("ours");
    one.release().await;
    let two = world.claim_as("two").await.expect("given up");
    assert_eq!((two.checkpoint().sequence, two.checkpoint().owner.as_deref()), (4, Some("two")));
}

pub async fn idle_raises_sequence_and_scanned<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.next(Disposition::Filtered);
    batch.run(&mut claim).await;
    claim.idle(40).await.expect("ours");
    let raised = claim.checkpoint().clone();
    assert_eq!((raised.sequence, raised.scanned, raised.delivered), (40, 40, 1));
    claim.idle(7).await.expect("ours");
    assert_eq!((claim.checkpoint().sequence, claim.checkpoint().scanned), (40, 40));
    let mut batch = world.batch(40);
    batch.next(Disposition::Filtered);
    batch.writes.scanned = 60;
    batch.run(&mut claim).await;
    assert_eq!((claim.checkpoint().sequence, claim.checkpoint().scanned), (41, 60));
    let again = world.claim().await;
    assert_eq!((again.checkpoint().sequence, again.checkpoint().scanned), (41, 60));
}

pub async fn prepare_twice_is_harmless<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let mut claim = world.claim().await;
    claim.idle(3).await.expect("ours");
    let other = world.fixture.open().await;
    let (a, b) = tokio::join!(world.sink.prepare(), other.prepare());
    a.expect("known");
    b.expect("known");
    assert_eq!(other.check().await.expect("a check"), []);
    assert_eq!(world.claim().await.checkpoint().sequence, 3);
}
