//! The ledgers of lanes whose rows come and go with parents of another lane: every change stays counted where it was
//! delivered, and its disposition there is the present one.

use reconverge_streams::{
    by_hand::{Hand, HandWord},
    disposition::{Counts, Disposition},
    family::{ChildrenWanted, FamilyWanted, Relatives},
    logical::Logical,
    position::Position,
    records::{Query, Records},
    roster::{LaneStart, Roster, Switch, TableMove},
    sink::{Claim, CommitError, Sink, SinkError},
    waiting::{WaitingId, WaitingWanted, WaitingWrite, Why},
    writes::Counted,
};

use crate::{
    batch::Batch,
    family::tables,
    fixture::{Fixture, Table},
    world::{World, id},
};

/// Table 0.
const AUDIO: usize = 0;
/// Table 1, whose column 1 names an audio.
const TEXT: usize = 1;
const MAIN: &str = "pipe/us/main/0";
const BULK: &str = "pipe/us/bulk/0";

use Disposition::{Applied, Orphaned, Parked};

/// Lane `main` keeps text 10 until audio 1 comes.
async fn main_keeps_ten<F: Fixture>(world: &World<F>) -> <F::Sink as Sink>::Claim {
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.keep(TEXT, &["10"], r#"{"id":10,"audio":1,"body":"ten"}"#, (AUDIO, &["1"]), false);
    batch.run(&mut claim).await;
    claim
}

/// How many changes lane by lane are applied, parked and orphaned, as a reader of the ledger sees it.
async fn told<F: Fixture>(world: &World<F>) -> Vec<(String, [u64; 3])> {
    let lanes = world.sink.checkpoints(Some("pipe")).await.expect("checkpoints");
    assert!(lanes.iter().all(|lane| lane.delivered == lane.counts.sum()), "{lanes:?}");
    lanes.into_iter().map(|lane| (lane.lane, three(&lane.counts))).collect()
}

fn three(counts: &Counts) -> [u64; 3] {
    [Applied, Parked, Orphaned].map(|d| counts.get(d))
}

fn lanes(bulk: [u64; 3], main: [u64; 3]) -> [(String, [u64; 3]); 2] {
    [(BULK.to_owned(), bulk), (MAIN.to_owned(), main)]
}

/// Something of `main`'s moves in a batch.
fn moved<F: Fixture>(batch: &mut Batch<'_, F>, from: Disposition, to: Disposition) {
    batch.writes.elsewhere.push((MAIN.into(), from, to));
}

/// Text 10, where it waits for audio 1, as a batch of this lane finds it.
async fn ten<F: Fixture>(world: &World<F>, claim: &mut <F::Sink as Sink>::Claim) -> Relatives {
    let (begun, _) = world.batch(claim.checkpoint().sequence).done();
    claim.begin(begun).await.expect("the lane is ours");
    let waiting = vec![(id(AUDIO), world.keys(AUDIO, &[&["1"]]))];
    let family = claim.family(FamilyWanted { waiting, ..FamilyWanted::default() }).await;
    claim.abandon().await;
    family.expect("an answer").waiting.remove(0)
}

pub async fn a_row_that_another_lane_brings_in_moves_in_the_ledger_of_its_own<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut main = main_keeps_ten(&world).await;
    // And another, that a move which is taken over twice would take along.
    let mut batch = world.batch(1);
    batch.keep(TEXT, &["11"], r#"{"id":11,"audio":2,"body":"eleven"}"#, (AUDIO, &["2"]), false);
    batch.run(&mut main).await;
    let mut bulk = world.claim_lane("bulk").await;
    let counted_by =
        |found: &Relatives| found.standing.keys[0].kept.as_ref().expect("kept").counted_by.clone();
    assert_eq!(counted_by(&ten(&world, &mut bulk).await).as_deref(), Some(MAIN));
    assert_eq!(counted_by(&ten(&world, &mut main).await), None, "its own");
    let mut batch = world.batch(0);
    batch.upsert(AUDIO, &[("id", Some("1"))]);
    batch.unkeep(TEXT, &["10"]);
    moved(&mut batch, Parked, Applied);
    batch.run(&mut bulk).await;
    // Who reads the ledger sees it at once, and the lane itself when it looks; both see it once.
    let expected = lanes([1, 0, 0], [1, 1, 0]);
    assert_eq!(told(&world).await, expected);
    for _ in 0..2 {
        main.balance().await.expect("ours");
        assert_eq!(three(&main.checkpoint().counts), [1, 1, 0]);
        assert_eq!(told(&world).await, expected);
    }
    let mut batch = world.batch(2);
    batch.next(Applied);
    batch.run(&mut main).await;
    assert_eq!(told(&world).await, lanes([1, 0, 0], [2, 1, 0]));
}

pub async fn what_another_lane_moved_goes_before_what_the_lane_moves_itself<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut main = main_keeps_ten(&world).await;
    let mut bulk = world.claim_lane("bulk").await;
    let mut batch = world.batch(0);
    batch.keep(TEXT, &["10"], r#"{"id":10,"audio":1,"body":"ten"}"#, (AUDIO, &["1"]), true);
    batch.writes.kept[0].counted_by = Some(MAIN.into());
    moved(&mut batch, Parked, Orphaned);
    batch.run(&mut bulk).await;
    let mut batch = world.batch(1);
    batch.next(Applied);
    batch.unkeep(TEXT, &["10"]);
    batch.writes.reclassified.push((Orphaned, Applied, 1));
    batch.run(&mut main).await;
    assert_eq!(three(&main.checkpoint().counts), [2, 0, 0]);
    assert_eq!(told(&world).await[1], (MAIN.to_owned(), [2, 0, 0]));
}

pub async fn a_lane_that_is_claimed_has_what_was_moved_meanwhile<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut main = main_keeps_ten(&world).await;
    let mut bulk = world.claim_lane("bulk").await;
    let mut batch = world.batch(0);
    for (from, to) in [(Parked, Orphaned), (Orphaned, Parked), (Parked, Applied)] {
        batch.next(Applied);
        moved(&mut batch, from, to);
    }
    batch.run(&mut bulk).await;
    assert_eq!(three(&main.checkpoint().counts), [0, 1, 0]);
    main.release().await;
    let main = world.claim().await;
    assert_eq!(three(&main.checkpoint().counts), [1, 0, 0]);
    assert_eq!(told(&world).await, lanes([3, 0, 0], [1, 0, 0]));
}

pub async fn a_batch_that_was_given_up_moves_nothing_elsewhere<F: Fixture>() {
    let seats = Table::new("seats", &[("id", Logical::Int), ("seat", Logical::Text)]).unique("seat");
    let world = World::<F>::new(tables().into_iter().chain([seats]).collect()).await;
    let seats = world.tables.len() - 1;
    let _main = main_keeps_ten(&world).await;
    let mut bulk = world.claim_lane("bulk").await;
    let mut batch = world.batch(0);
    batch.next(Applied);
    moved(&mut batch, Parked, Applied);
    let (wanted, _) = batch.done();
    bulk.begin(wanted).await.expect("ours");
    bulk.abandon().await;
    assert_eq!(told(&world).await, lanes([0, 0, 0], [0, 1, 0]));
    // Nor does one that cannot be written.
    let mut batch = world.batch(0);
    for id in ["1", "2"] {
        batch.upsert(seats, &[("id", Some(id)), ("seat", Some("A"))]);
    }
    moved(&mut batch, Parked, Applied);
    let (wanted, writes) = batch.done();
    bulk.begin(wanted).await.expect("ours");
    assert!(matches!(bulk.commit(writes).await, Err(CommitError::Guilty(..))));
    assert_eq!(told(&world).await, lanes([0, 0, 0], [0, 1, 0]));
}

pub async fn a_late_owner_takes_no_moves<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut late = main_keeps_ten(&world).await;
    let mut bulk = world.claim_lane("bulk").await;
    world.fixture.end_leases().await;
    let mut owner = world.claim_as("two").await.expect("the lease is over");
    let mut batch = world.batch(0);
    batch.next(Applied);
    moved(&mut batch, Parked, Applied);
    batch.run(&mut bulk).await;
    assert!(matches!(late.balance().await, Err(SinkError::Fenced(_))));
    assert_eq!(told(&world).await[1].1, [1, 0, 0]);
    owner.balance().await.expect("ours");
    assert_eq!(three(&owner.checkpoint().counts), [1, 0, 0]);
    assert_eq!(told(&world).await[1].1, [1, 0, 0]);
}

pub async fn who_counted_a_row_is_remembered<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let (mut main, mut bulk) = (world.claim().await, world.claim_lane("bulk").await);
    let mut batch = world.batch(0);
    batch.counted = Some(Counted { merged: true, ..Counted::default() });
    batch.upsert(TEXT, &[("id", Some("20")), ("audio", Some("2"))]);
    batch.run(&mut main).await;
    let who = async |claim: &mut <F::Sink as Sink>::Claim| {
        let (begun, _) = world.batch(claim.checkpoint().sequence).done();
        claim.begin(begun).await.expect("the lane is ours");
        let parents = world.keys(AUDIO, &[&["2"]]);
        let children = vec![ChildrenWanted { child: id(TEXT), columns: vec![1], parent: id(AUDIO), parents }];
        let family = claim.family(FamilyWanted { children, ..FamilyWanted::default() }).await;
        claim.abandon().await;
        family.expect("an answer").children[0].standing.keys[0].counted.clone()
    };
    let by = |lane: Option<&str>, merged| Counted { by: lane.map(Into::into), merged };
    assert_eq!(who(&mut main).await, by(None, true), "its own");
    assert_eq!(who(&mut bulk).await, by(Some(MAIN), true));
    // Written by another lane for the sake of its parent: that counts no change of the row.
    let mut batch = world.batch(0);
    batch.upsert(TEXT, &[("id", Some("20")), ("audio", Some("2"))]);
    batch.run(&mut bulk).await;
    assert_eq!(who(&mut bulk).await, by(Some(MAIN), true));
    // Kept by that lane, it still is the first one's.
    let mut batch = world.batch(1);
    batch.keep(TEXT, &["20"], r#"{"id":20,"audio":1,"body":null}"#, (AUDIO, &["1"]), false);
    batch.writes.kept[0].counted_by = Some(MAIN.into());
    batch.run(&mut bulk).await;
    let query = Query { limit: 9, ..Query::default() };
    let kept = world.sink.parked(&query).await.expect("a list").remove(0);
    assert_eq!((kept.lane.as_str(), kept.counted_by.as_str()), (BULK, MAIN));
    let found = ten(&world, &mut main).await;
    assert_eq!(found.standing.keys[0].kept.as_ref().expect("kept").counted_by, None);
    // A change of its own that came to the other lane.
    let mut batch = world.batch(2);
    batch.counted = Some(Counted::default());
    batch.upsert(TEXT, &[("id", Some("20")), ("audio", Some("2"))]);
    batch.unkeep(TEXT, &["20"]);
    batch.run(&mut bulk).await;
    assert_eq!(who(&mut main).await, by(Some(BULK), false));
    // One that waited on time, and was counted where it came.
    let mut batch = world.batch(3);
    batch.counted = Some(by(Some(MAIN), true));
    batch.upsert(TEXT, &[("id", Some("20")), ("audio", Some("2"))]);
    batch.run(&mut bulk).await;
    assert_eq!(who(&mut bulk).await, by(Some(MAIN), true));
    assert_eq!(who(&mut main).await, by(None, true));
}

pub async fn a_table_that_moves_to_another_lane_leaves_what_was_counted<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut main = main_keeps_ten(&world).await;
    main.release().await;
    text_goes_to_bulk(&world).await;
    let mut bulk = world.claim_lane("bulk").await;
    let found = ten(&world, &mut bulk).await;
    assert_eq!(found.standing.keys[0].kept.as_ref().expect("kept").counted_by.as_deref(), Some(MAIN));
    let mut batch = world.batch(1);
    batch.next(Applied);
    batch.unkeep(TEXT, &["10"]);
    moved(&mut batch, Parked, Applied);
    batch.run(&mut bulk).await;
    assert_eq!(told(&world).await, lanes([1, 0, 0], [1, 0, 0]));
}

/// Puts a plan in force in which table `text` is of lane `bulk`.
async fn text_goes_to_bulk<F: Fixture>(world: &World<F>) {
    let stored = world.sink.checkpoints(None).await.expect("checkpoints").remove(0);
    let request = world.request("one");
    let start = LaneStart {
        lane: BULK.into(),
        stream: request.stream.clone(),
        stream_created: request.stream_created,
        sequence: 1,
    };
    let switch = Switch {
        pipeline: "pipe".into(),
        expected: vec![(MAIN.into(), stored.epoch, stored.sequence)],
        plan: request.plan,
        form: "{}".into(),
        by: "a test".into(),
        lanes: vec![start],
        moved: vec![TableMove { table: "text".into(), from: MAIN.into(), to: BULK.into() }],
        since: Vec::new(),
        gates_dropped: Vec::new(),
    };
    world.sink.switch(&switch).await.expect("as expected");
}

pub async fn a_change_that_waits_on_time_goes_with_its_table_and_stays_counted<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut main = world.claim().await;
    let of = |table, key: &str| WaitingId { sequence: 1, table: id(table), key: world.key(table, &[key]) };
    let mut batch = world.batch(0);
    for id in [of(AUDIO, "1"), of(TEXT, "10"), of(TEXT, "11")] {
        batch.next(Parked);
        batch.writes.waiting.push(WaitingWrite {
            id,
            why: Why::Paused,
            until: None,
            source: world.name("us-east"),
            position: Position::default(),
            moved: None,
            change: b"a change".to_vec(),
        });
    }
    batch.writes.through = 1;
    batch.run(&mut main).await;
    let who = async |claim: &mut <F::Sink as Sink>::Claim| {
        let all = claim.waiting(WaitingWanted::All).await.expect("a list").into_iter();
        all.map(|waiting| (waiting.id, waiting.counted_by.as_deref().map(String::from))).collect::<Vec<_>>()
    };
    assert_eq!(who(&mut main).await.iter().filter(|(_, by)| by.is_none()).count(), 3, "its own");
    main.release().await;
    text_goes_to_bulk(&world).await;
    let mut bulk = world.claim_lane("bulk").await;
    let expected = [of(TEXT, "10"), of(TEXT, "11")].map(|id| (id, Some(MAIN.to_owned())));
    assert_eq!(who(&mut bulk).await, expected);
    let query = Query { limit: 9, table: Some("text".into()), ..Query::default() };
    let kept = world.sink.parked(&query).await.expect("a list");
    let shown: Vec<_> = kept.iter().map(|kept| (&*kept.lane, &*kept.counted_by)).collect();
    assert_eq!(shown, [(BULK, MAIN), (BULK, MAIN)]);
    // Asked for by hand it says so too.
    let word = HandWord {
        pipeline: "pipe".into(),
        table: "text".into(),
        key: world.key(TEXT, &["10"]),
        hand: Hand::Discard,
        by: "a test".into(),
        note: None,
    };
    world.sink.ask(&word).await.expect("asked");
    let orders = bulk.orders().await.expect("orders");
    assert!(!orders.is_empty() && orders.iter().all(|order| order.counted_by.as_deref() == Some(MAIN)));
    // Decided there, both change their fate in the ledger of the lane that they came to.
    let (mut wanted, mut writes) = world.batch(1).done();
    (wanted.from, writes.through) = (1, 1);
    writes.released = expected.into_iter().map(|(id, _)| id).collect();
    writes.elsewhere = vec![(MAIN.into(), Parked, Applied), (MAIN.into(), Parked, Orphaned)];
    bulk.begin(wanted).await.expect("ours");
    bulk.commit(writes).await.expect("a good batch");
    assert_eq!(who(&mut bulk).await, []);
    assert_eq!(told(&world).await, lanes([0, 0, 0], [1, 1, 1]));
}
