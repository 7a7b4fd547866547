//! What a batch leaves in the tables, and what one that did not commit leaves: nothing.

use reconverge_streams::{
    disposition::Disposition,
    logical::Logical,
    sink::{Claim, CommitError},
};

use crate::{
    fixture::{Fixture, Table},
    world::{World, texts},
};

fn notes() -> Table {
    Table::new("notes", &[("id", Logical::Int), ("a", Logical::Text), ("b", Logical::Text)])
}

pub async fn only_named_columns_are_written<F: Fixture>() {
    let world = World::<F>::new(vec![notes()]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x")), ("b", Some("y"))]);
    batch.upsert(0, &[("id", Some("2")), ("a", Some("x")), ("b", Some("y"))]);
    batch.upsert(0, &[("id", Some("3"))]);
    batch.run(&mut claim).await;
    let mut batch = world.batch(3);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("new"))]);
    batch.upsert(0, &[("id", Some("2")), ("b", None)]);
    batch.upsert(0, &[("id", Some("3"))]);
    batch.run(&mut claim).await;
    let expected = texts(&[
        &[Some("1"), Some("new"), Some("y")],
        &[Some("2"), Some("x"), None],
        &[Some("3"), None, None],
    ]);
    assert_eq!(world.rows(0).await, expected);
}

/// A column that takes no null keeps its value where a batch does not write it, and a new row without it is refused.
pub async fn a_needed_column_may_be_left_out_of_a_row_that_is_there<F: Fixture>() {
    let world = World::<F>::new(vec![notes().not_null("b")]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x")), ("b", Some("y"))]);
    batch.run(&mut claim).await;
    let mut batch = world.batch(1);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("new"))]);
    batch.run(&mut claim).await;
    assert_eq!(world.rows(0).await, texts(&[&[Some("1"), Some("new"), Some("y")]]));
    assert!(world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].local.is_none());
    let mut batch = world.batch(2);
    batch.upsert(0, &[("id", Some("2")), ("a", Some("x"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted).await.expect("ours");
    let refused = claim.commit(writes).await.expect_err("the row lacks a value");
    assert!(matches!(refused, CommitError::Guilty(..)), "{refused:?}");
}

pub async fn a_default_fills_a_new_row<F: Fixture>() {
    let world = World::<F>::new(vec![notes().not_null("b").default("b", "none given")]).await;
    assert!(world.shapes[0].columns[2].not_null && world.shapes[0].columns[2].has_default);
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    batch.run(&mut claim).await;
    assert_eq!(world.rows(0).await, texts(&[&[Some("1"), Some("x"), Some("none given")]]));
    assert!(world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].local.is_none());
    let mut batch = world.batch(1);
    batch.upsert(0, &[("id", Some("1")), ("b", Some("given"))]);
    batch.run(&mut claim).await;
    assert_eq!(world.rows(0).await, texts(&[&[Some("1"), Some("x"), Some("given")]]));
}

pub async fn a_delete_takes_the_row<F: Fixture>() {
    let world = World::<F>::new(vec![notes()]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    batch.upsert(0, &[("id", Some("2")), ("a", Some("x"))]);
    batch.run(&mut claim).await;
    let mut batch = world.batch(2);
    batch.delete(0, &["1"], None);
    batch.run(&mut claim).await;
    assert_eq!(world.rows(0).await, texts(&[&[Some("2"), Some("x"), None]]));
}

pub async fn a_delete_of_nothing_is_nothing<F: Fixture>() {
    let world = World::<F>::new(vec![notes()]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.delete(0, &["1"], None);
    batch.run(&mut claim).await;
    assert_eq!(world.rows(0).await, texts(&[]));
    assert!(world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].version.is_some());
}

pub async fn several_tables_commit_together<F: Fixture>() {
    let child = Table::new("children", &[("id", Logical::Int), ("of", Logical::Int)]);
    let world = World::<F>::new(vec![notes(), child]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(1, &[("id", Some("10")), ("of", Some("1"))]);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("parent"))]);
    batch.run(&mut claim).await;
    assert_eq!((world.rows(0).await.len(), world.rows(1).await.len()), (1, 1));
    let mut batch = world.batch(2);
    batch.delete(0, &["1"], None);
    batch.delete(1, &["10"], None);
    batch.run(&mut claim).await;
    assert_eq!((world.rows(0).await.len(), world.rows(1).await.len()), (0, 0));
}

pub async fn abandon_leaves_nothing<F: Fixture>() {
    let world = World::<F>::new(vec![notes()]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    let (wanted, _) = batch.done();
    claim.begin(wanted).await.expect("ours");
    claim.abandon().await;
    claim.abandon().await;
    assert_eq!(world.rows(0).await, texts(&[]));
    assert_eq!(world.claim().await.checkpoint().sequence, 0);
}

pub async fn a_dropped_claim_leaves_nothing<F: Fixture>() {
    let world = World::<F>::new(vec![notes()]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    let (wanted, _) = batch.done();
    claim.begin(wanted).await.expect("ours");
    drop(claim);
    // Neither the lane nor a lock is left behind.
    let mut claim = world.claim().await;
    assert_eq!(claim.checkpoint().sequence, 0);
    assert_eq!(world.rows(0).await, texts(&[]));
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("2")), ("a", Some("y"))]);
    batch.run(&mut claim).await;
    assert_eq!(world.rows(0).await, texts(&[&[Some("2"), Some("y"), None]]));
}

pub async fn a_claim_works_on_after_abandon<F: Fixture>() {
    let world = World::<F>::new(vec![notes()]).await;
    let mut claim = world.claim().await;
    for _ in 0..2 {
        let mut batch = world.batch(0);
        batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
        let (wanted, _) = batch.done();
        claim.begin(wanted).await.expect("ours");
        claim.abandon().await;
    }
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    batch.run(&mut claim).await;
    claim.idle(9).await.expect("ours");
    let mut batch = world.batch(9);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("y"))]);
    batch.run(&mut claim).await;
    assert_eq!(world.rows(0).await, texts(&[&[Some("1"), Some("y"), None]]));
}

pub async fn the_ledger_adds_up_over_batches_and_restarts<F: Fixture>() {
    let mut world = World::<F>::new(vec![notes()]).await;
    for round in 0..3_u64 {
        let mut claim = world.claim().await;
        let from = claim.checkpoint().sequence;
        assert_eq!(from, round * 5);
        let mut batch = world.batch(from);
        batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
        batch.next(Disposition::Filtered);
        batch.next(Disposition::DeadLettered);
        batch.next(Disposition::TooOld);
        batch.next(Disposition::Filtered);
        batch.writes.committed_at = [Some(500), None, Some(400)][usize::try_from(round).expect("small")];
        batch.writes.generation = 7;
        batch.run(&mut claim).await;
        world.restart().await;
    }
    let claim = world.claim().await;
    let c = claim.checkpoint();
    assert_eq!((c.delivered, c.counts.sum(), c.sequence), (15, 15, 15));
    assert_eq!((c.counts.get(Disposition::Filtered), c.counts.get(Disposition::TooOld)), (6, 3));
    assert_eq!((c.committed_at, c.generation), (Some(500), 7));
}

pub async fn many_rows_in_one_batch<F: Fixture>() {
    let world = World::<F>::new(vec![notes()]).await;
    let mut claim = world.claim().await;
    let ids: Vec<String> = (0..3_000).map(|i| i.to_string()).collect();
    let mut batch = world.batch(0);
    for id in &ids {
        batch.upsert(0, &[("id", Some(id)), ("a", Some(id)), ("b", Some("z"))]);
    }
    batch.run(&mut claim).await;
    let mut batch = world.batch(3_000);
    for id in &ids[..1_500] {
        batch.delete(0, &[id], None);
    }
    batch.run(&mut claim).await;
    let rows = world.rows(0).await;
    assert_eq!(rows.len(), 1_500);
    assert!(rows.iter().all(|r| r[0] == r[1]));
    let keys: Vec<[&str; 1]> = ids.iter().map(|i| [i.as_str()]).collect();
    let keys: Vec<&[&str]> = keys.iter().map(<[&str; 1]>::as_slice).collect();
    let found = world.stands(&mut claim, 0, &keys, &[]).await;
    assert_eq!(found.keys.iter().filter(|k| k.row.is_some()).count(), 1_500);
    assert!(found.keys.iter().all(|k| k.version.is_some() && k.local.is_none()));
}
