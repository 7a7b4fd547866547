//! Rows with several parents, parents of which a dead letter comes later, and how many rows may leave at once.

use std::collections::HashSet;

use reconverge_streams::keys::KeyList;
use reconverge_streams::table::TableId;

use super::{
    family::{World, key_of},
    family_oracle::{A, B, C, Event, What, change},
};
use crate::{plan::Orphans, resolve::LeftOut};

/// A row of `c` that names an `a` and a `b`.
fn of_both(id: i64, a: i64, b: i64) -> Event {
    Event { a: Some(a), b: Some(b), ..change(C, id, What::Write) }
}

/// Why the only row is kept, and which table's row it waits for.
async fn why(world: &World) -> (String, Option<String>) {
    let [kept] = <[_; 1]>::try_from(world.parked().await).unwrap();
    (kept.why, kept.waits_table)
}

fn waits(why: &str, table: &str) -> (String, Option<String>) {
    (why.to_owned(), Some(table.to_owned()))
}

/// A row that may stand without a parent that is gone waits for the one that may come, whichever it names first.
#[tokio::test]
async fn a_row_waits_for_the_parent_that_may_come() {
    for (gone, other) in [(B, "a"), (A, "b")] {
        let mut world = World::new(false).await;
        world.plan.tables[C].orphans = Orphans::WithoutReference;
        world.apply(&[change(gone, 1, What::Delete)]).await;
        world.apply(&[of_both(1, 1, 1)]).await;
        assert_eq!(why(&world).await, waits("parent", other));
        world.apply(&[change(if gone == A { B } else { A }, 1, What::Write)]).await;
        assert_eq!(world.parked().await.len(), 0);
        assert!(world.row(C, 1).await.is_some());
    }
    // Of two that may come the first is waited for first, then the other.
    let mut world = World::new(false).await;
    world.plan.tables[C].orphans = Orphans::WithoutReference;
    world.apply(&[of_both(1, 1, 1)]).await;
    assert_eq!(why(&world).await, waits("parent", "a"));
    world.apply(&[change(A, 1, What::Write)]).await;
    assert_eq!(why(&world).await, waits("parent", "b"));
    world.apply(&[change(B, 1, What::Write)]).await;
    assert!(world.row(C, 1).await.is_some());
}

/// A row that waits is told when its parent becomes a dead letter in a later batch, and no other table's.
#[tokio::test]
async fn a_dead_letter_tells_those_that_wait_for_its_row() {
    let mut world = World::new(false).await;
    world.apply(&[Event { a: Some(1), ..change(B, 7, What::Write) }]).await;
    assert_eq!(why(&world).await, waits("parent", "a"));
    world.apply(&[change(C, 1, What::Refused)]).await;
    assert_eq!(why(&world).await, waits("parent", "a"), "another table's row of that key");
    world.apply(&[change(A, 1, What::Refused)]).await;
    assert_eq!(why(&world).await, waits("orphaned", "a"));
}

/// A row that stays beside although its parent came brings in nobody: those that wait for it are not asked for.
#[tokio::test]
async fn nobody_is_asked_for_below_a_row_that_stays_beside() {
    let mut world = World::new(false).await;
    world.apply(&[Event { a: Some(1), ..change(B, 1, What::Write) }, of_both(1, 1, 1)]).await;
    let left_out = LeftOut { rows: HashSet::from([(TableId(1), key_of(1))]), ..LeftOut::default() };
    world.apply_batch(world.batch(&[change(A, 1, What::Write)]), &[], &left_out).await;
    let asked: Vec<_> = world.asked.iter().flat_map(|asked| &asked.waiting).collect();
    let [(table, keys)] = &asked[..] else { panic!("one question: {asked:?}") };
    assert_eq!((*table, &keys.keys), (TableId(0), &KeyList::from_iter([key_of(1)])));
    assert_eq!(world.parked().await.len(), 2);
}

/// A row that is written and stays is asked for no children, however many there are.
#[tokio::test]
async fn the_children_of_a_row_that_stays_are_not_asked_for() {
    let mut world = World::new(false).await;
    let child = |id| Event { a: Some(1), ..change(B, id, What::Write) };
    world.apply(&[change(A, 1, What::Write), child(1), child(2), child(3)]).await;
    world.plan.leaving_max = 1;
    world.apply(&[change(A, 1, What::Write)]).await;
    assert!(world.asked.iter().all(|asked| asked.children.is_empty()), "{:?}", world.asked);
    assert_eq!(world.parked().await.len(), 0);
}

/// As many as may leave do, though one answer holds them all; an answer that was cut at the bound tells of too many, though
/// some of its rows are the batch's own.
#[tokio::test]
async fn an_answer_at_the_bound_is_whole_and_one_beyond_it_was_cut() {
    let child = |id| Event { a: Some(1), ..change(B, id, What::Write) };
    let mut world = World::new(false).await;
    world.apply(&[change(A, 1, What::Write), child(1), child(2), child(3), child(4)]).await;
    world.plan.leaving_max = 2;
    let events = [change(A, 1, What::Delete), child(1)];
    let refused = world.try_batch(world.batch(&events), &[], &LeftOut::default()).await;
    assert_eq!(refused.err(), Some(TableId(0)));
    world.plan.leaving_max = 4;
    world.apply(&[change(A, 1, What::Delete)]).await;
    assert_eq!(world.parked().await.len(), 4);
}
