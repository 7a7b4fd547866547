//! A batch that is foreseen with the commit of the one before it: the same as one that was not, whatever comes between.

use reconverge_streams::{
    logical::Logical,
    sink::{Claim, CommitError},
    standing::{StandingKind, Wanted},
    writes::Writes,
};

use crate::{
    fixture::{Fixture, Table},
    world::{Row, World, cell, texts},
};

fn seats() -> Vec<Table> {
    let columns = &[("id", Logical::Int), ("seat", Logical::Text)];
    vec![Table::new("seats", columns).unique("seat")]
}

/// A batch behind `from` that writes these rows.
fn writing<F: Fixture>(world: &World<F>, from: u64, rows: &[Row<'_>]) -> (Wanted, Writes) {
    let mut batch = world.batch(from);
    rows.iter().for_each(|row| _ = batch.upsert(0, row));
    batch.done()
}

/// What the lane asks for before it knows from where.
fn ahead(wanted: &Wanted) -> Wanted {
    Wanted { from: 0, ..wanted.clone() }
}

pub async fn what_is_foreseen_stands_as_the_commit_left_it<F: Fixture>() {
    let world = World::<F>::new(seats()).await;
    let mut claim = world.claim().await;
    let batches: Vec<_> = (0..4_u64)
        .map(|at| {
            let seat = format!("seat {at}");
            writing(&world, at, &[&[("id", Some("1")), ("seat", Some(&seat))]])
        })
        .collect();
    for (at, (wanted, writes)) in batches.iter().enumerate() {
        let standing = claim.begin(wanted.clone()).await.expect("ours");
        let found = &standing.tables[0];
        let before = found.keys[0].row.map(|row| cell(found, row, 1).expect("a seat"));
        assert_eq!(before, at.checked_sub(1).map(|before| format!("seat {before}")));
        assert!(found.keys[0].local.is_none(), "batch {at}: our own row");
        let before = (at > 0).then(|| world.version(StandingKind::Row, at as u64));
        assert_eq!(found.keys[0].version, before);
        if let Some((next, _)) = batches.get(at + 1) {
            claim.foresee(ahead(next));
        }
        assert_eq!(claim.commit(writes.clone()).await.expect("good").sequence, at as u64 + 1);
    }
    assert_eq!(world.rows(0).await, texts(&[&[Some("1"), Some("seat 3")]]));
}

pub async fn another_batch_than_was_foreseen<F: Fixture>() {
    let world = World::<F>::new(seats()).await;
    let mut claim = world.claim().await;
    let (wanted, writes) = writing(&world, 0, &[&[("id", Some("1")), ("seat", Some("a"))]]);
    let (foreseen, _) = writing(&world, 1, &[&[("id", Some("2")), ("seat", Some("b"))]]);
    claim.begin(wanted).await.expect("ours");
    claim.foresee(ahead(&foreseen));
    claim.commit(writes).await.expect("good");
    let (wanted, writes) = writing(&world, 1, &[&[("id", Some("1")), ("seat", Some("c"))]]);
    let standing = claim.begin(wanted).await.expect("ours");
    assert!(standing.tables[0].keys[0].row.is_some(), "row 1, not row 2");
    claim.commit(writes).await.expect("good");
    assert_eq!(world.rows(0).await, texts(&[&[Some("1"), Some("c")]]));
}

pub async fn what_is_foreseen_is_closed_by_any_other_call<F: Fixture>() {
    let world = World::<F>::new(seats()).await;
    let mut claim = world.claim().await;
    let next = |from: u64| writing(&world, from, &[&[("id", Some("1")), ("seat", Some("a"))]]);
    // The first commits of a claim may still have something to prepare, and begin nothing.
    for at in 0..5_u64 {
        let (wanted, writes) = next(at);
        let standing = claim.begin(wanted).await.expect("ours");
        let found = &standing.tables[0];
        let seat = found.keys[0].row.and_then(|row| cell(found, row, 1));
        assert_eq!(
            seat.as_deref(),
            (at > 0).then_some("theirs"),
            "batch {at}: what stands now, not what stood then"
        );
        claim.foresee(ahead(&next(at + 1).0));
        claim.commit(writes).await.expect("good");
        match at {
            0 | 2 => claim.abandon().await,
            1 | 3 => claim.idle(at + 1).await.expect("the lane is kept"),
            _ => claim.release().await,
        }
        // Nothing is locked any more.
        let row = [("id", Some("1")), ("seat", Some("theirs"))];
        world.fixture.app_write(&world.tables[0], &row).await;
    }
    // And the lane is anybody's.
    let mut other = world.claim_as("two").await.expect("it was given up");
    assert_eq!(other.checkpoint().sequence, 5);
    let (wanted, writes) = next(5);
    other.begin(wanted).await.expect("theirs now");
    other.commit(writes).await.expect("good");
}

pub async fn a_commit_that_fails_begins_nothing<F: Fixture>() {
    let world = World::<F>::new(seats()).await;
    let mut claim = world.claim().await;
    let (wanted, writes) = writing(&world, 0, &[&[("id", Some("1")), ("seat", Some("a"))]]);
    claim.begin(wanted).await.expect("ours");
    claim.commit(writes).await.expect("good");
    let taken: Row<'_> = &[("id", Some("2")), ("seat", Some("a"))];
    let (wanted, writes) = writing(&world, 1, &[taken]);
    let (next, of_next) = writing(&world, 2, &[&[("id", Some("3")), ("seat", Some("c"))]]);
    claim.begin(wanted).await.expect("ours");
    claim.foresee(ahead(&next));
    match claim.commit(writes).await {
        Err(CommitError::Guilty(changes, _)) => assert_eq!(changes, [0]),
        other => panic!("a seat that is taken: {other:?}"),
    }
    assert_eq!(claim.checkpoint().sequence, 1);
    assert!(claim.begin(next.clone()).await.is_err(), "the batch before it is not there");
    let (wanted, writes) = writing(&world, 1, &[&[("id", Some("2")), ("seat", Some("b"))]]);
    claim.begin(wanted).await.expect("ours");
    claim.foresee(ahead(&next));
    claim.commit(writes).await.expect("good now");
    claim.begin(next).await.expect("its turn");
    claim.commit(of_next).await.expect("good");
    let all: [&[Option<&str>]; 3] =
        [&[Some("1"), Some("a")], &[Some("2"), Some("b")], &[Some("3"), Some("c")]];
    assert_eq!(world.rows(0).await, texts(&all));
}
