//! Rows that name rows of their own table, one change after another: which of them are in the sink, and which other rows of
//! the sink are looked at for that (SURFACE (g) 7).

use std::collections::HashSet;

use reconverge_streams::keys::KeyList;
use reconverge_streams::table::TableId;

use super::{
    family::{World, key_of},
    family_oracle::{Event, What},
};
use crate::{plan::Orphans, resolve::LeftOut};

fn write(id: i64, above: Option<i64>) -> Event {
    Event { table: 0, id, a: above, b: None, what: What::Write }
}

/// The ids of the rows in the sink, and of those that are kept with whether their parent is known not to come.
async fn found(world: &World) -> (Vec<i64>, Vec<(i64, bool)>) {
    let (there, kept) = world.found().await;
    let kept = kept.into_iter().map(|((_, id), (_, why, _))| (id, why == "orphaned"));
    (there.into_keys().map(|(_, id)| id).collect(), kept.collect())
}

fn waiting(ids: &[i64]) -> Vec<(i64, bool)> {
    ids.iter().map(|id| (*id, false)).collect()
}

/// A world with the chain 0, 1 below it, 2 below that, and so on, all of it in the sink.
async fn chain(rows: i64) -> World {
    let mut world = World::new(true).await;
    let all: Vec<Event> = (0..rows).map(|id| write(id, (id > 0).then(|| id - 1))).collect();
    world.apply(&all).await;
    assert_eq!(found(&world).await.0, (0..rows).collect::<Vec<_>>());
    world
}

/// A row that is moved below one of its own grandchildren makes a ring with rows of the sink which the batch does not bring:
/// none of them has a top. Once one of them names nobody again all are back.
#[tokio::test]
async fn a_row_below_its_own_grandchild_is_in_a_ring() {
    for rows in 2..6 {
        let mut world = chain(rows).await;
        let all: Vec<i64> = (0..rows).collect();
        world.apply(&[write(0, Some(rows - 1))]).await;
        assert_eq!(found(&world).await, (vec![], waiting(&all)), "a ring of {rows}");
        world.apply(&[write(rows - 1, None)]).await;
        assert_eq!(found(&world).await, (all, vec![]), "a chain of {rows}");
    }
}

/// Within one batch, too; beside it what is in no ring goes in.
#[tokio::test]
async fn rows_that_name_each_other() {
    let mut world = World::new(true).await;
    world
        .apply(&[
            write(0, Some(1)),
            write(1, Some(0)),
            write(2, Some(2)),
            write(3, Some(2)),
            write(4, Some(1)),
        ])
        .await;
    assert_eq!(found(&world).await, (vec![2, 3], waiting(&[0, 1, 4])));
    // Rows that are in the sink and name each other from now on.
    let mut world = World::new(true).await;
    world.apply(&[write(0, None), write(1, None)]).await;
    world.apply(&[write(0, Some(1)), write(1, Some(0))]).await;
    assert_eq!(found(&world).await, (vec![], waiting(&[0, 1])));
}

/// A row that is moved to another place of the tree stays in the sink with all that is below it.
#[tokio::test]
async fn a_row_that_is_moved_takes_what_is_below_along() {
    let mut world = chain(5).await;
    world.apply(&[write(3, Some(0))]).await;
    assert_eq!(found(&world).await, (vec![0, 1, 2, 3, 4], vec![]));
    // To one that is nowhere: it waits, and those below it with it.
    world.apply(&[write(3, Some(9))]).await;
    assert_eq!(found(&world).await, (vec![0, 1, 2], waiting(&[3, 4])));
}

/// Only for a row that was in the sink and names another one now the rows above are looked at, each once.
#[tokio::test]
async fn the_rows_above_a_moved_row_are_looked_at_once() {
    for (change, looked_at) in [(write(0, Some(5)), vec![1, 2, 3, 4, 5]), (write(5, Some(4)), vec![])] {
        let mut world = chain(6).await;
        world.apply(std::slice::from_ref(&change)).await;
        // What leaves asks for those below it, within a bound.
        let above = world.asked.iter().filter(|asked| asked.children_max.is_none());
        let mut ids: Vec<i64> = Vec::new();
        for wanted in above.flat_map(|asked| &asked.children) {
            let cells = &wanted.parents.cells.columns[0];
            ids.extend((0..wanted.parents.keys.len()).map(|row| cells.int(row)));
        }
        ids.sort_unstable();
        assert_eq!(ids, looked_at, "{change:?}");
    }
}

/// A row that loses its reference and stays is a parent like any other: one that waited for something else comes in below.
#[tokio::test]
async fn a_row_comes_in_below_one_that_loses_its_reference() {
    let mut world = World::new(true).await;
    world.plan.tables[1].orphans = Orphans::WithoutReference;
    let below = |id, a, b| Event { table: 1, id, a, b, what: What::Write };
    world.apply(&[below(9, None, None), below(1, None, Some(9)), below(2, Some(5), Some(1))]).await;
    world.apply(&[Event { what: What::Delete, ..below(9, None, None) }, write(5, None)]).await;
    let (there, kept) = world.found().await;
    assert_eq!((there.into_keys().collect(), kept.len()), (vec![(0, 5), (1, 1), (1, 2)], 0));
}

/// A row that the sink would not take in stays beside although its parent came, and so does what is below it.
#[tokio::test]
async fn what_is_below_a_row_that_stays_beside_stays_too() {
    let mut world = World::new(true).await;
    world.apply(&[write(1, Some(0))]).await;
    let left_out = LeftOut { rows: HashSet::from([(TableId(0), key_of(1))]), ..LeftOut::default() };
    world.apply_batch(world.batch(&[write(0, None), write(2, Some(1))]), &[], &left_out).await;
    assert_eq!(found(&world).await, (vec![0], vec![(1, true), (2, false)]));
}

/// A sink is asked for rows by the bytes of their keys and by the same keys as cells.
#[tokio::test]
async fn parents_are_asked_for_by_their_cells_too() {
    let mut world = World::new(true).await;
    let batch = [write(1, Some(7)), write(2, Some(8))];
    world.apply(&batch).await;
    let (_, asked) = &world.asked[0].parents[0];
    assert_eq!(asked.keys, KeyList::from_iter([key_of(7), key_of(8)]));
    assert_eq!([0, 1].map(|row| asked.cells.columns[0].int(row)), [7, 8]);
}
