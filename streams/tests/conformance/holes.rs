//! Holes: what is recorded of them, who may close them, and where the checkpoint stands behind one.

use reconverge_streams::{
    disposition::Disposition,
    hole::{ACCEPTED, FILLED, Hole, HoleKind, OPEN, Passed, Resume},
    records::{Query, Records},
    sink::{Claim, SinkError},
    writes::DeadLetter,
};

use crate::{fixture::Fixture, sidecar::letter, sidecar::shifts, world::World};

const CREATED: i64 = 1_700_000_000_000_000;

fn all() -> Query {
    Query { limit: 100, ..Query::default() }
}

fn trimmed(first: u64, last: u64) -> Hole {
    Hole { kind: HoleKind::Trimmed, first, last: Some(last) }
}

pub async fn a_hole_is_recorded_once_and_listed<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    assert!(world.sink.holes(&all()).await.expect("holes").is_empty());
    let found = claim.record_hole(&trimmed(6, 10)).await.expect("ours");
    assert_eq!((found.first, found.last, found.state.as_str()), (6, Some(10), OPEN));
    // Found again: the stream was trimmed further.
    let again = claim.record_hole(&trimmed(6, 14)).await.expect("ours");
    assert_eq!((again.id, again.first, again.last), (found.id, 6, Some(14)));
    let unknown = Hole { kind: HoleKind::Recreated, first: 6, last: None };
    let other = claim.record_hole(&unknown).await.expect("ours");
    assert_ne!(other.id, found.id);
    let listed = world.sink.holes(&all()).await.expect("holes");
    assert_eq!(listed, [other.clone(), again.clone()]);
    assert_eq!((listed[1].lane.as_str(), listed[1].stream.as_str()), ("pipe/us/main/0", "CDC"));
    assert_eq!((listed[1].kind.as_str(), listed[0].kind.as_str()), ("trimmed", "recreated"));
    assert_eq!((listed[0].last, listed[0].passed_at.as_ref(), listed[0].by.as_ref()), (None, None, None));
    let one = Query { id: Some(other.id.to_string()), ..all() };
    assert_eq!(world.sink.holes(&one).await.expect("holes").len(), 1);
    assert!(
        world.sink.holes(&Query { word: Some(ACCEPTED.into()), ..all() }).await.expect("holes").is_empty()
    );
    assert!(
        world.sink.holes(&Query { pipeline: Some("pip".into()), ..all() }).await.expect("holes").is_empty()
    );
    assert_eq!(claim.checkpoint().sequence, 0, "a hole that is recorded moves nothing");
}

pub async fn an_accepted_hole_keeps_the_bounds_that_were_accepted<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let found = claim.record_hole(&trimmed(1, 10)).await.expect("ours");
    assert!(world.sink.accept_hole(found.id, "ann", Some("sent again")).await.expect("a write"));
    assert!(!world.sink.accept_hole(found.id, "bob", None).await.expect("a write"));
    assert!(!world.sink.accept_hole(found.id + 7, "bob", None).await.expect("a write"));
    let again = claim.record_hole(&trimmed(1, 20)).await.expect("ours");
    assert_eq!((again.id, again.last, again.state.as_str()), (found.id, Some(10), ACCEPTED));
    assert_eq!((again.by.as_deref(), again.note.as_deref()), (Some("ann"), Some("sent again")));
    assert!(again.is_accepted() && again.closed_at.is_some());
    claim.pass_hole(found.id, Passed::AsItIs, Resume::Behind(10)).await.expect("ours");
    assert_eq!((claim.checkpoint().sequence, claim.checkpoint().scanned), (10, 10));
    // What was lost behind it is another hole, which nobody has accepted.
    let behind = claim.record_hole(&trimmed(11, 20)).await.expect("ours");
    assert_ne!(behind.id, found.id);
    assert_eq!((behind.first, behind.last, behind.state.as_str()), (11, Some(20), OPEN));
    let kept = world.claim().await;
    assert_eq!(kept.checkpoint().sequence, 10, "it is in the sink");
}

pub async fn a_hole_that_a_mirror_filled_says_so<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let found = claim.record_hole(&trimmed(1, 2)).await.expect("ours");
    let mut batch = world.batch(0);
    batch.next(Disposition::Filtered);
    batch.next(Disposition::Filtered);
    batch.run(&mut claim).await;
    let how = Passed::Filled { mirror: "CDC_MIRROR".into() };
    claim.pass_hole(found.id, how, Resume::Behind(1)).await.expect("ours");
    assert_eq!(claim.checkpoint().sequence, 2, "never back");
    let hole = world.sink.holes(&all()).await.expect("holes").remove(0);
    assert_eq!((hole.state.as_str(), hole.by.as_deref()), (FILLED, Some("CDC_MIRROR")));
    assert!(hole.passed_at.is_some() && hole.closed_at.is_some());
    assert!(!world.sink.accept_hole(hole.id, "ann", None).await.expect("a write"), "nothing is lost");
}

pub async fn a_lane_begins_anew_and_keeps_its_ledger_and_letters<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.next(Disposition::DeadLettered);
    batch.next(Disposition::Filtered);
    batch.writes.dead.push(letter(&world, 1, "of the old stream"));
    batch.run(&mut claim).await;
    let hole = Hole { kind: HoleKind::Recreated, first: 3, last: None };
    let found = claim.record_hole(&hole).await.expect("ours");
    let anew = Resume::Anew { stream_created: CREATED + 5_000_000, sequence: 0 };
    claim.pass_hole(found.id, Passed::AsItIs, anew).await.expect("ours");
    let c = claim.checkpoint().clone();
    assert_eq!((c.stream_created, c.sequence, c.scanned, c.delivered), (CREATED + 5_000_000, 0, 0, 2));
    // The new stream's first message is another one than the old stream's.
    let mut batch = world.batch(0);
    batch.next(Disposition::DeadLettered);
    let fresh = letter(&world, 1, "of the new stream");
    batch.writes.dead.push(DeadLetter { digest: [1; 32], ..fresh });
    batch.run(&mut claim).await;
    let letters = world.sink.dead_letters(&all()).await.expect("letters");
    let told: Vec<_> = letters.iter().map(|l| (l.stream.as_str(), l.reason.as_str())).collect();
    assert_eq!(told[0], ("CDC", "of the new stream"));
    let old = format!("CDC@{}", found.id);
    assert_eq!(told[1], (old.as_str(), "of the old stream"));
    assert_eq!(claim.checkpoint().delivered, 3);
    assert_eq!(world.claim().await.checkpoint().stream_created, CREATED + 5_000_000);
    // The same hole again is a new one.
    let again = world.claim().await.record_hole(&hole).await.expect("ours");
    assert_ne!(again.id, found.id);
}

pub async fn a_late_owner_records_and_passes_no_hole<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut late = world.claim().await;
    let known = late.record_hole(&trimmed(1, 5)).await.expect("ours");
    world.fixture.end_leases().await;
    let new = world.claim_as("two").await.expect("the lease is over");
    assert!(matches!(late.record_hole(&trimmed(1, 9)).await, Err(SinkError::Fenced(_))));
    let passing = late.pass_hole(known.id, Passed::AsItIs, Resume::Behind(9)).await;
    assert!(matches!(passing, Err(SinkError::Fenced(_))));
    let hole = world.sink.holes(&all()).await.expect("holes").remove(0);
    assert_eq!((hole.last, hole.passed_at), (Some(5), None));
    assert_eq!(new.checkpoint().sequence, 0);
}
