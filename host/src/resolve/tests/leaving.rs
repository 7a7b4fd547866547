//! What becomes of rows that leave with their parents, beside being kept: as what they are counted, and how many may go at
//! once.

use reconverge_streams::{disposition::Disposition, sink::Claim as _, table::TableId};

use super::{
    family::World,
    family_oracle::{Event, What},
};
use crate::{
    plan::Rule,
    resolve::{LeftOut, Resolved},
};

fn event(table: usize, id: i64, a: Option<i64>, what: What) -> Event {
    Event { table, id, a, b: None, what }
}

async fn try_apply(world: &mut World, events: &[Event]) -> Result<Resolved, TableId> {
    world.try_batch(world.batch(events), &[], &LeftOut::default()).await
}

/// What the lane counts as applied, merged, orphaned and parked.
fn counts(world: &World) -> [u64; 4] {
    let counts = world.claim.checkpoint().counts;
    [Disposition::Applied, Disposition::Merged, Disposition::Orphaned, Disposition::Parked]
        .map(|what| counts.get(what))
}

/// A row that a merge wrote is counted as merged while it is in the sink, however often its parent comes and goes.
#[tokio::test]
async fn a_merged_row_counts_as_merged_while_it_is_in_the_sink() {
    let mut world = World::new(false).await;
    world.plan.tables[1].rule = Rule::Plugin(vec![3]);
    let parent = |what| event(0, 1, None, what);
    let child = event(1, 1, Some(1), What::Write);
    world.apply(&[parent(What::Write), child.clone()]).await;
    world.apply(std::slice::from_ref(&child)).await;
    assert_eq!(counts(&world), [2, 1, 0, 0]);
    for _ in 0..2 {
        world.apply(&[parent(What::Delete)]).await;
        assert_eq!(counts(&world)[1..], [0, 1, 0]);
        world.apply(&[parent(What::Write)]).await;
        assert_eq!(counts(&world)[1..], [1, 0, 0]);
    }
    // One that was merged while it was kept beside counts so once it comes in.
    world.apply(&[parent(What::Delete), child.clone()]).await;
    assert_eq!(counts(&world)[1..], [1, 1, 0], "the one before it was replaced, and stays what it was");
    world.apply(&[parent(What::Write)]).await;
    assert_eq!(counts(&world)[1..], [2, 0, 0]);
    // A change that simply stands takes its place.
    world.plan.tables[1].rule = Rule::TakeIncoming;
    world.apply(&[child]).await;
    world.apply(&[parent(What::Delete)]).await;
    assert_eq!(counts(&world)[1..], [2, 1, 0]);
    world.apply(&[parent(What::Write)]).await;
    assert_eq!(counts(&world)[1..], [2, 0, 0]);
    assert_eq!(counts(&world).iter().sum::<u64>() + 4, world.claim.checkpoint().delivered);
}

/// Those below go with the one that leaves, all at once or not at all; more than may go are told before they are all read.
#[tokio::test]
async fn more_rows_than_may_leave_at_once_are_told() {
    let mut world = World::new(true).await;
    // A chain of six, a row with six below it, and a child of each in another table.
    let chain = (0..6).map(|id: i64| event(0, id, (id > 0).then_some(id - 1), What::Write));
    let broad = (10..17).map(|id: i64| event(0, id, (id > 10).then_some(10), What::Write));
    let others = (0..17).map(|id: i64| event(1, id, Some(id), What::Write));
    let all: Vec<Event> = chain.chain(broad).chain(others).collect();
    world.apply(&all).await;
    let before = world.found().await;
    for (top, leave) in [(0, 5 + 6), (10, 6 + 7)] {
        world.plan.leaving_max = leave - 1;
        let gone = [event(0, top, None, What::Delete)];
        assert!(try_apply(&mut world, &gone).await.is_err(), "{leave} leave");
        assert_eq!(world.found().await, before, "nothing of the batch was written");
    }
    world.plan.leaving_max = 3;
    let refused = try_apply(&mut world, &[event(0, 10, None, What::Delete)]).await;
    assert_eq!(refused.err(), Some(TableId(0)), "told of the first that are too many");
    world.plan.leaving_max = 13;
    world.apply(&[event(0, 10, None, What::Delete)]).await;
    world.plan.leaving_max = 11;
    world.apply(&[event(0, 0, None, What::Delete)]).await;
    let (there, kept) = world.found().await;
    assert_eq!((there.len(), kept.len()), (0, before.0.len() + before.1.len() - 2));
}
