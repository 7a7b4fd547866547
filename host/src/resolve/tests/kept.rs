//! Rows that are kept beside: who counts them, what an operator says of them, what the sink would not take, and what
//! becomes of those whose parent does not come.

use std::collections::{HashMap, HashSet};

use reconverge_streams::{
    by_hand::Hand,
    disposition::Disposition::{self, Applied, DeadLettered, KeptCurrent, Orphaned, Parked},
    table::TableId,
};

use super::{
    family::{World, key_of},
    family_oracle::{A, B, C, Event, What, change},
};
use crate::{
    plan::Orphans,
    resolve::{ByHand, LeftOut, Resolved},
};

/// A row that names an `a`.
fn child(table: usize, id: i64, a: i64) -> Event {
    Event { a: Some(a), ..change(table, id, What::Write) }
}

fn parent(id: i64) -> Event {
    change(A, id, What::Write)
}

fn row((table, id): (usize, i64)) -> (TableId, Vec<u8>) {
    (TableId(u16::try_from(table).unwrap()), key_of(id))
}

async fn world(orphans: Orphans, trees: bool) -> World {
    let mut world = World::new(trees).await;
    world.plan.tables.iter_mut().for_each(|table| table.orphans = orphans);
    world
}

/// The rows in the sink, and those that are kept with the reason.
async fn found(world: &World) -> (Vec<(usize, i64)>, Vec<(usize, i64, String)>) {
    let (there, kept) = world.found().await;
    let kept = kept.into_iter().map(|((table, id), (_, why, _))| (table, id, why));
    (there.into_keys().collect(), kept.collect())
}

fn kept(table: usize, id: i64, why: &str) -> (usize, i64, String) {
    (table, id, why.into())
}

fn moved(resolved: &Resolved) -> Vec<(Disposition, Disposition)> {
    resolved.reclassified.iter().map(|(_, from, to)| (*from, *to)).collect()
}

async fn look_at(world: &mut World, rows: &[(usize, i64)], left_out: LeftOut) -> Resolved {
    let swept: Vec<_> = rows.iter().map(|at| row(*at)).map(|(table, key)| (table, vec![key])).collect();
    world.apply_batch(world.batch(&[]), &swept, &left_out).await
}

/// Region west saw a row first, then it was of the other source; now its parent leaves.
async fn left_after_two_sources(world: &mut World) -> Resolved {
    let mut first = world.batch(&[parent(1), child(B, 1, 1)]);
    let west = world.plan.names.intern("west").unwrap();
    let change_of_west = &mut first.0.tables[B].changes[0];
    (change_of_west.source, change_of_west.origin) = (west, west);
    world.apply_batch(first, &[], &LeftOut::default()).await;
    world.apply(&[child(B, 1, 1)]).await;
    world.apply(&[change(A, 1, What::Delete)]).await
}

/// A row that comes in with its parent, or leaves with it, is blamed by a number of its own.
#[tokio::test]
async fn rows_that_move_with_their_parent_are_named() {
    let mut world = World::new(false).await;
    world.apply(&[child(B, 1, 1), child(B, 2, 1)]).await;
    for (what, change) in [("come", parent(1)), ("leave", change(A, 1, What::Delete))] {
        let resolved = world.apply(&[change]).await;
        let writes = &resolved.writes.tables.iter().find(|t| t.table == TableId(1)).unwrap();
        let blamed = writes.upserts.iter().flat_map(|u| &u.changes).chain(&writes.deletes.changes);
        let named: HashSet<_> = blamed.map(|at| resolved.relative(*at).expect(what).clone()).collect();
        assert_eq!(named, HashSet::from([row((B, 1)), row((B, 2))]), "{what}");
        let own = resolved.writes.tables.iter().find(|t| t.table == TableId(0)).unwrap();
        let mut own = own.upserts.iter().flat_map(|u| &u.changes).chain(&own.deletes.changes);
        assert!(own.all(|at| *at == 0 && resolved.relative(*at).is_none()));
        assert!(
            writes.versions.iter().all(|version| version.counted.is_none()),
            "their changes were counted before"
        );
    }
    let resolved = world.apply(&[parent(1), child(B, 3, 1)]).await;
    let counted = |table: u16| {
        let writes = resolved.writes.tables.iter().find(|t| t.table == TableId(table)).unwrap();
        writes.versions.iter().filter(|version| version.counted.is_some()).count()
    };
    assert_eq!([0, 1].map(counted), [0, 1], "who counted is remembered of rows that have parents");
}

/// Looked at and left as they are, kept rows are not written again.
#[tokio::test]
async fn a_row_that_goes_on_waiting_is_left_alone() {
    let mut world = World::new(false).await;
    world.apply(&[child(B, 1, 1)]).await;
    world.apply(&[parent(9)]).await;
    let resolved = look_at(&mut world, &[(B, 1)], LeftOut::default()).await;
    assert!(resolved.writes.kept.is_empty() && resolved.writes.unkept.is_empty());
    assert!(resolved.writes.tables.iter().all(|table| table.versions.is_empty()));
    assert_eq!(world.parked().await[0].sequence, 1);
    // A row of the sink that a batch meets and leaves alone, neither.
    world.apply(&[parent(1)]).await;
    let mut again = world.batch(&[child(B, 1, 1)]);
    again.0.tables[B].changes[0].position.as_mut().unwrap().commit = 1;
    let resolved = world.apply_batch(again, &[], &LeftOut::default()).await;
    assert!(resolved.writes.tables.iter().all(|table| table.versions.is_empty()));
    // With another reason it is filed anew.
    let mut world = World::new(false).await;
    world.apply(&[child(B, 1, 1)]).await;
    let resolved = world.apply(&[change(A, 1, What::Delete)]).await;
    assert_eq!(
        (moved(&resolved), world.parked().await[0].why.as_str()),
        (vec![(Parked, Orphaned)], "orphaned")
    );
}

/// Of two parents that are missing, one that does not come decides.
#[tokio::test]
async fn one_parent_that_does_not_come_is_enough() {
    for gone in [A, B] {
        let mut world = World::new(false).await;
        world.apply(&[Event { b: Some(1), ..child(C, 1, 1) }, change(gone, 1, What::Delete)]).await;
        assert_eq!(found(&world).await.1, [kept(C, 1, "orphaned")]);
        assert_eq!(world.parked().await[0].waits_table.as_deref(), Some("a"), "filed under the first");
    }
    // A parent that this batch makes a dead letter is known not to come.
    let mut world = World::new(false).await;
    world.apply(&[child(B, 1, 1), change(A, 1, What::Refused)]).await;
    assert_eq!(found(&world).await.1, [kept(B, 1, "orphaned")]);
}

fn by_hand(hand: Hand, at: (usize, i64)) -> LeftOut {
    LeftOut { by_hand: Some(ByHand { hand, row: row(at) }), ..LeftOut::default() }
}

/// A row that is released goes in without its parent, whatever its table does with orphans; no other row does.
#[tokio::test]
async fn a_row_that_is_released_goes_in_alone() {
    for trees in [false, true] {
        let mut world = World::new(trees).await;
        world.apply(&[child(B, 1, 1), child(B, 2, 1), child(C, 1, 1)]).await;
        let all = [(B, 1), (B, 2), (C, 1)];
        let resolved = look_at(&mut world, &all, by_hand(Hand::Release, (B, 1))).await;
        assert_eq!(found(&world).await, (vec![(B, 1)], vec![kept(B, 2, "parent"), kept(C, 1, "parent")]));
        assert_eq!(moved(&resolved), [(Parked, Applied)]);
    }
    for orphans in [Orphans::DeadLetter, Orphans::WithoutReference] {
        let mut world = World::new(false).await;
        world.apply(&[change(A, 1, What::Delete), child(B, 1, 1), child(B, 2, 1)]).await;
        world.plan.tables.iter_mut().for_each(|table| table.orphans = orphans);
        look_at(&mut world, &[(B, 1)], by_hand(Hand::Release, (B, 1))).await;
        assert_eq!(world.row(B, 1).await.unwrap()[1], Some(1), "whole, {orphans:?}");
        assert_eq!(found(&world).await.1, [kept(B, 2, "orphaned")]);
    }
    // A change of the row in the same batch is decided as ever.
    let mut world = World::new(false).await;
    world.apply(&[child(B, 1, 1)]).await;
    let batch = world.batch(&[child(B, 1, 1)]);
    world.apply_batch(batch, &[], &by_hand(Hand::Release, (B, 1))).await;
    assert_eq!(found(&world).await, (vec![], vec![kept(B, 1, "parent")]));
}

/// A row that is discarded does not stand any more; its key keeps its order value. A newer row of the key is another one.
#[tokio::test]
async fn a_row_that_is_discarded_goes() {
    let mut world = World::new(true).await;
    world.apply(&[child(A, 1, 7), child(B, 1, 7), child(B, 2, 7)]).await;
    let all = [(A, 1), (B, 1), (B, 2)];
    let resolved = look_at(&mut world, &all, by_hand(Hand::Discard, (B, 1))).await;
    assert_eq!(found(&world).await.1, [kept(A, 1, "parent"), kept(B, 2, "parent")]);
    assert_eq!(
        (moved(&resolved), &resolved.discarded[..]),
        (vec![(Parked, DeadLettered)], &[row((B, 1))][..])
    );
    assert_eq!((world.counts().get(Parked), world.counts().get(DeadLettered)), (2, 1));
    let batch = world.batch(&[child(B, 2, 8)]);
    let resolved = world.apply_batch(batch, &[], &by_hand(Hand::Discard, (B, 2))).await;
    assert!(resolved.discarded.is_empty());
    assert_eq!(found(&world).await.1, [kept(A, 1, "parent"), kept(B, 2, "parent")]);
    // What is in the sink is not kept: there is nothing to discard.
    world.apply(&[change(A, 8, What::Write)]).await;
    let resolved = look_at(&mut world, &[(B, 2)], by_hand(Hand::Discard, (B, 2))).await;
    assert!(resolved.discarded.is_empty() && found(&world).await.0.contains(&(B, 2)));
}

/// A row that the sink would not take stays beside, its parent there or not, until a change of its own comes.
#[tokio::test]
async fn a_row_that_the_sink_would_not_take_stays_beside() {
    for (trees, table) in [(false, B), (true, B), (true, A)] {
        let mut world = World::new(trees).await;
        world.apply(&[child(table, 5, 1), child(table, 6, 1)]).await;
        let left_out = || LeftOut { rows: HashSet::from([row((table, 5))]), ..LeftOut::default() };
        let resolved = world.apply_batch(world.batch(&[parent(1)]), &[], &left_out()).await;
        assert_eq!(found(&world).await, (vec![(A, 1), (table, 6)], vec![kept(table, 5, "orphaned")]));
        let mut fates = moved(&resolved);
        fates.sort();
        assert_eq!(fates, [(Parked, Applied), (Parked, Orphaned)]);
        world.apply(&[parent(1)]).await;
        assert_eq!(
            found(&world).await.1,
            [kept(table, 5, "orphaned")],
            "its parent's next change is not its own"
        );
        let batch = world.batch(&[child(table, 5, 1)]);
        world.apply_batch(batch, &[], &left_out()).await;
        assert_eq!(
            found(&world).await,
            (vec![(A, 1), (table, 5), (table, 6)], vec![]),
            "{table}, trees: {trees}"
        );
    }
}

/// ADR 0032: a change is counted by the lane that it was delivered to, whichever lane moves its row.
#[tokio::test]
async fn the_lane_that_counted_a_change_is_told_of_its_fate() {
    let mut ours = World::new(false).await;
    let mut theirs = ours.beside("other").await;
    ours.apply(&[parent(1), child(B, 1, 1)]).await;
    let lane = |resolved: &Resolved| -> Vec<_> {
        resolved.writes.elsewhere.iter().map(|(lane, from, to)| (lane.contains("main"), *from, *to)).collect()
    };
    let gone = theirs.apply(&[change(A, 1, What::Delete)]).await;
    assert_eq!((lane(&gone), gone.writes.reclassified.len()), (vec![(true, Applied, Orphaned)], 0));
    let kept = |counted_by: Option<String>| counted_by.is_some_and(|lane| lane.contains("main"));
    assert!(kept(gone.writes.kept[0].counted_by.as_deref().map(str::to_owned)));
    let looked = look_at(&mut theirs, &[(B, 1)], LeftOut::default()).await;
    assert!(looked.writes.kept.is_empty() && looked.writes.elsewhere.is_empty());
    let back = theirs.apply(&[Event { a: None, ..change(A, 1, What::Write) }]).await;
    assert_eq!((lane(&back), back.writes.reclassified.len()), (vec![(true, Orphaned, Applied)], 0));
    // A change of its own makes it this lane's.
    theirs.apply(&[change(A, 1, What::Delete)]).await;
    let own = theirs.apply(&[child(B, 1, 2)]).await;
    assert_eq!(own.writes.kept[0].counted_by, None);
    // Refiled by a third, it is still the lane's that counted it.
    let refiled = ours.apply(&[change(A, 2, What::Delete)]).await;
    assert!(refiled.writes.kept[0].counted_by.as_deref().is_some_and(|lane| lane.contains("other")));
    assert_eq!(lane(&refiled), [(false, Parked, Orphaned)]);
}

/// A row that is kept because its parent left names the change that set it, whoever else has written the key.
#[tokio::test]
async fn a_kept_row_names_the_source_of_its_change() {
    let mut world = World::new(false).await;
    let resolved = left_after_two_sources(&mut world).await;
    let kept = &resolved.writes.kept[0];
    assert_eq!((&*world.plan.names.get(kept.source), kept.position.commit), ("east", 3));
}

/// What the application wrote was counted by nobody.
#[tokio::test]
async fn a_row_of_the_application_that_leaves_is_in_no_ledger() {
    for orphans in [Orphans::Keep, Orphans::DeadLetter] {
        let mut world = world(orphans, false).await;
        world.apply(&[parent(1)]).await;
        world.write_locally(B, [1, 1, 0, 99]).await;
        let resolved = world.apply(&[change(A, 1, What::Delete)]).await;
        assert_eq!(moved(&resolved), [], "{orphans:?}");
        assert_eq!(world.row(B, 1).await, None);
    }
}

/// A row that the application put in the place of a kept one displaces it.
#[tokio::test]
async fn a_kept_row_is_displaced_by_a_local_one() {
    let mut world = World::new(false).await;
    world.apply(&[child(B, 1, 1)]).await;
    world.write_locally(B, [1, 2, 0, 99]).await;
    let resolved = look_at(&mut world, &[(B, 1)], LeftOut::default()).await;
    assert_eq!((moved(&resolved), world.parked().await.len()), (vec![(Parked, KeptCurrent)], 0));
}

/// Envelopes, which a redrive sends like any other message, and the fates of dead orphans.
#[tokio::test]
async fn an_orphan_may_be_a_dead_letter() {
    let mut world = world(Orphans::DeadLetter, false).await;
    world.plan.by_source_name = HashMap::from([
        ("public.a".to_owned(), TableId(0)),
        ("public.b".to_owned(), TableId(1)),
        ("public.c".to_owned(), TableId(2)),
    ]);
    world.plan.tables[B].key_from = vec![("old_id".into(), 0)];
    let resolved = left_after_two_sources(&mut world).await;
    assert_eq!((world.row(B, 1).await, world.parked().await.len()), (None, 0));
    assert_eq!(
        (moved(&resolved), &resolved.discarded[..]),
        (vec![(Applied, DeadLettered)], &[row((B, 1))][..])
    );
    let letter = &resolved.writes.dead[0];
    assert_eq!((letter.stage, letter.code, letter.sequence), ("parked", "orphaned", 4));
    assert_eq!(letter.subject, "s");
    let envelope: serde_json::Value = serde_json::from_slice(letter.bytes.as_ref().unwrap()).unwrap();
    let expected = serde_json::json!({
        "v": 1, "op": "u", "table": "public.b", "key": {"old_id": 1},
        "after": {"old_id": 1, "a": 1, "b": null, "mark": 3}, "origin": "east", "at": 3,
        "pos": {"source": "east", "epoch": 0, "commit": "3", "ordinal": 0}
    });
    assert_eq!(envelope, expected);
    // A change that finds its parent gone is refused itself.
    let resolved = world.apply(&[child(B, 2, 1), child(B, 3, 9)]).await;
    assert_eq!((resolved.writes.dead[0].stage, resolved.writes.dead.len()), ("resolve", 1));
    assert_eq!(moved(&resolved), []);
    assert_eq!(found(&world).await, (vec![], vec![kept(B, 3, "parent")]));
    // One that was kept when its parent turned out not to come.
    let resolved = world.apply(&[change(A, 9, What::Filtered)]).await;
    assert_eq!((moved(&resolved), world.counts().get(DeadLettered)), (vec![(Parked, DeadLettered)], 3));
    assert_eq!(found(&world).await, (vec![], vec![]));
}

/// In a tree what hangs below a dead orphan is an orphan too, in the same transaction.
#[tokio::test]
async fn orphans_of_orphans() {
    let mut world = world(Orphans::DeadLetter, true).await;
    world.apply(&[parent(1), child(A, 2, 1), child(A, 3, 2), parent(4), child(A, 5, 4)]).await;
    let resolved = world.apply(&[change(A, 1, What::Delete)]).await;
    assert_eq!((resolved.writes.dead.len(), moved(&resolved).len()), (2, 2));
    assert_eq!(found(&world).await, (vec![(A, 4), (A, 5)], vec![]));
}

/// The row goes in, or stays, with null where it names a parent that does not come; everything else stays as it is.
#[tokio::test]
async fn an_orphan_may_stay_without_its_reference() {
    let mut world = world(Orphans::WithoutReference, false).await;
    world
        .apply(&[
            parent(1),
            change(B, 1, What::Write),
            Event { b: Some(1), ..child(C, 1, 1) },
            child(B, 2, 1),
        ])
        .await;
    let resolved = world.apply(&[change(A, 1, What::Delete)]).await;
    assert_eq!(world.row(C, 1).await, Some([Some(1), None, Some(1), Some(3)]));
    assert_eq!(world.row(B, 2).await, Some([Some(2), None, None, Some(4)]));
    assert_eq!((moved(&resolved), resolved.writes.kept.len()), (vec![], 0));
    for writes in resolved.writes.tables.iter().filter(|t| t.table != TableId(0)) {
        assert_eq!(writes.upserts[0].columns, [0, 1], "only what names the parent is written");
    }
    // Another parent that may still come: the row waits for it, whole.
    world.apply(&[Event { b: Some(9), ..child(C, 2, 1) }]).await;
    assert_eq!(found(&world).await.1, [kept(C, 2, "parent")]);
    world.apply(&[change(B, 9, What::Write)]).await;
    assert_eq!(world.row(C, 2).await.unwrap()[..3], [Some(2), None, Some(9)]);
    // A change that names a parent that is gone.
    world.apply(&[child(C, 3, 1)]).await;
    assert_eq!(world.row(C, 3).await.unwrap()[..3], [Some(3), None, None]);
    // In a tree, too.
    let mut world = self::world(Orphans::WithoutReference, true).await;
    world.apply(&[parent(1), child(A, 2, 1), child(A, 3, 2)]).await;
    world.apply(&[change(A, 1, What::Delete)]).await;
    assert_eq!(found(&world).await, (vec![(A, 2), (A, 3)], vec![]));
    assert_eq!([world.row(A, 2).await.unwrap()[1], world.row(A, 3).await.unwrap()[1]], [None, Some(2)]);
}

/// Without anything gone nobody is an orphan.
#[tokio::test]
async fn a_parent_that_may_come_is_waited_for() {
    for orphans in [Orphans::DeadLetter, Orphans::WithoutReference] {
        let mut world = world(orphans, false).await;
        world.apply(&[child(B, 1, 1)]).await;
        assert_eq!(found(&world).await, (vec![], vec![kept(B, 1, "parent")]), "{orphans:?}");
        world.apply(&[parent(1)]).await;
        assert_eq!(found(&world).await, (vec![(A, 1), (B, 1)], vec![]));
    }
}
