//! Rows that cannot be written: found exactly, at nobody else's cost.

use reconverge_streams::{
    logical::Logical,
    sink::{Claim, CommitError},
    standing::Wanted,
};

use crate::{
    batch::Batch,
    fixture::{Fixture, Table},
    world::{World, id, texts},
};

fn seats() -> Table {
    Table::new("seats", &[("id", Logical::Int), ("seat", Logical::Text), ("note", Logical::Text)])
        .unique("seat")
}

/// Begins and commits a batch that must be refused; the changes that are to blame.
async fn guilty<F: Fixture>(
    claim: &mut <F::Sink as reconverge_streams::sink::Sink>::Claim,
    batch: Batch<'_, F>,
) -> Vec<u32> {
    let (wanted, writes) = batch.done();
    claim.begin(wanted).await.expect("ours");
    match claim.commit(writes).await {
        Err(CommitError::Guilty(changes, cause)) => {
            assert!(!cause.code.is_empty() && !cause.text.is_empty());
            changes
        }
        other => panic!("some changes cannot be written: {other:?}"),
    }
}

async fn seated<F: Fixture>() -> World<F> {
    let world = World::<F>::new(vec![seats()]).await;
    assert!(world.shapes[0].has_other_unique);
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("seat", Some("A")), ("note", Some("one"))]);
    batch.upsert(0, &[("id", Some("2")), ("seat", Some("B")), ("note", Some("two"))]);
    batch.upsert(0, &[("id", Some("3")), ("seat", None), ("note", Some("three"))]);
    batch.run(&mut claim).await;
    world
}

pub async fn unique_values_swap_within_a_batch<F: Fixture>() {
    let world = seated::<F>().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(3);
    batch.upsert(0, &[("id", Some("2")), ("seat", Some("A"))]);
    batch.upsert(0, &[("id", Some("1")), ("seat", Some("B"))]);
    batch.upsert(0, &[("id", Some("4")), ("seat", Some("C"))]);
    batch.run(&mut claim).await;
    let expected = texts(&[
        &[Some("1"), Some("B"), Some("one")],
        &[Some("2"), Some("A"), Some("two")],
        &[Some("3"), None, Some("three")],
        &[Some("4"), Some("C"), None],
    ]);
    assert_eq!(world.rows(0).await, expected);
    let found = world.stands(&mut claim, 0, &[&["1"], &["2"], &["4"]], &[]).await;
    assert!(found.keys.iter().all(|k| k.local.is_none()));
}

pub async fn a_unique_value_moves_from_a_deleted_row<F: Fixture>() {
    let world = seated::<F>().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(3);
    batch.delete(0, &["1"], None);
    batch.upsert(0, &[("id", Some("5")), ("seat", Some("A"))]);
    batch.run(&mut claim).await;
    // And along a chain: 5 leaves A to 2, which leaves B to 3.
    let mut batch = world.batch(5);
    batch.upsert(0, &[("id", Some("3")), ("seat", Some("B"))]);
    batch.upsert(0, &[("id", Some("2")), ("seat", Some("A"))]);
    batch.upsert(0, &[("id", Some("5")), ("seat", Some("Z"))]);
    batch.run(&mut claim).await;
    let expected = texts(&[
        &[Some("2"), Some("A"), Some("two")],
        &[Some("3"), Some("B"), Some("three")],
        &[Some("5"), Some("Z"), None],
    ]);
    assert_eq!(world.rows(0).await, expected);
}

pub async fn a_real_clash_is_guilty<F: Fixture>() {
    let world = seated::<F>().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(3);
    batch.upsert(0, &[("id", Some("6")), ("seat", Some("F"))]);
    let clash = batch.upsert(0, &[("id", Some("7")), ("seat", Some("A"))]);
    batch.upsert(0, &[("id", Some("8")), ("seat", Some("H"))]);
    assert_eq!(guilty(&mut claim, batch).await, [clash]);
    assert_eq!(world.rows(0).await.len(), 3);
    assert_eq!(claim.checkpoint().sequence, 3);
}

pub async fn of_two_rows_that_want_one_value_the_later_is_guilty<F: Fixture>() {
    let world = seated::<F>().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(3);
    // The earlier one names more columns, so that a sink which writes set by set meets the later one first.
    batch.upsert(0, &[("id", Some("6")), ("seat", Some("F")), ("note", Some("earlier"))]);
    let later = batch.upsert(0, &[("id", Some("7")), ("seat", Some("F"))]);
    assert_eq!(guilty(&mut claim, batch).await, [later]);
}

pub async fn a_null_where_none_may_be_is_guilty<F: Fixture>() {
    let table = Table::new("strict", &[("id", Logical::Int), ("v", Logical::Text)]).not_null("v");
    let world = World::<F>::new(vec![table]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("v", Some("x"))]);
    let first = batch.upsert(0, &[("id", Some("2")), ("v", None)]);
    batch.upsert(0, &[("id", Some("3")), ("v", Some("x"))]);
    let second = batch.upsert(0, &[("id", Some("4"))]);
    let found = guilty(&mut claim, batch).await;
    // A sink may find one of them first; it may not find an innocent one.
    assert!(!found.is_empty() && found.iter().all(|c| [first, second].contains(c)), "{found:?}");
    assert_eq!(world.rows(0).await, texts(&[]));
}

pub async fn innocent_neighbours_are_written_without_the_guilty<F: Fixture>() {
    let strict = Table::new("strict", &[("id", Logical::Int), ("v", Logical::Text)]).not_null("v");
    let world = World::<F>::new(vec![strict, seats()]).await;
    let mut claim = world.claim().await;
    let mut banned: Vec<u32> = Vec::new();
    let mut tries = 0;
    loop {
        let mut batch = world.batch(0);
        for change in 0..6_u32 {
            let key = change.to_string();
            if banned.contains(&change) {
                batch.next(reconverge_streams::disposition::Disposition::DeadLettered);
                continue;
            }
            match change {
                2 => batch.upsert(0, &[("id", Some(&key)), ("v", None)]),
                4 | 5 => batch.upsert(1, &[("id", Some(&key)), ("seat", Some("S"))]),
                _ => batch.upsert(0, &[("id", Some(&key)), ("v", Some("x"))]),
            };
        }
        let (wanted, writes) = batch.done();
        claim.begin(wanted).await.expect("ours");
        match claim.commit(writes).await {
            Ok(after) => {
                assert_eq!((after.sequence, after.delivered), (6, 6));
                break;
            }
            Err(CommitError::Guilty(changes, _)) => banned.extend(changes),
            Err(other) => panic!("only rows are wrong: {other}"),
        }
        tries += 1;
        assert!(tries <= 2, "each try finds a guilty one");
    }
    banned.sort_unstable();
    assert_eq!(banned, [2, 5]);
    let expected = texts(&[&[Some("0"), Some("x")], &[Some("1"), Some("x")], &[Some("3"), Some("x")]]);
    assert_eq!(world.rows(0).await, expected);
    assert_eq!(world.rows(1).await, texts(&[&[Some("4"), Some("S"), None]]));
}

pub async fn a_table_that_is_gone_is_paused<F: Fixture>() {
    let other = Table::new("other", &[("id", Logical::Int), ("v", Logical::Text)]);
    let world = World::<F>::new(vec![seats(), other]).await;
    let mut claim = world.claim().await;
    world.fixture.drop_table(&world.tables[1]).await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("seat", Some("A"))]);
    batch.upsert(1, &[("id", Some("1")), ("v", Some("x"))]);
    let (_, writes) = batch.done();
    claim.begin(Wanted { from: 0, ..Wanted::default() }).await.expect("ours");
    match claim.commit(writes).await {
        Err(CommitError::PauseTable(table, cause)) => {
            assert_eq!(table, id(1));
            assert!(!cause.code.is_empty());
        }
        other => panic!("the table is gone: {other:?}"),
    }
    assert_eq!(world.rows(0).await, texts(&[]));
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("seat", Some("A"))]);
    batch.run(&mut claim).await;
    assert_eq!(world.rows(0).await.len(), 1);
}
