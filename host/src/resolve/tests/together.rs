//! Rows that are put together: what becomes of each change, and what is refused.

use reconverge_streams::{
    columns::{Column, State},
    disposition::Disposition,
};

use super::{
    history::{Event, Kind, Policy},
    model::ModelSink,
};
use crate::{batch::Redrive, resolve::Resolved};

const EAST: usize = 0;
const WEST: usize = 1;

fn update(source: usize, commit: u64, at: i64, row: (i64, i64), before: (i64, i64)) -> Event {
    Event {
        source,
        commit,
        key: 1,
        kind: Kind::Update,
        at,
        rank: Some(row.0),
        big: Some(row.1),
        before: Some((Some(before.0), before.1)),
        let_go: false,
        clock: None,
        hlc: None,
    }
}

fn start(kind: Kind) -> Event {
    Event { kind, before: None, ..update(EAST, 1, 100, (1, 5), (0, 0)) }
}

fn delete(source: usize, commit: u64, at: i64, before: (i64, i64)) -> Event {
    Event { kind: Kind::Delete, rank: None, big: None, ..update(source, commit, at, (0, 0), before) }
}

/// Applies a change that an operator sent again.
fn redrive(sink: &mut ModelSink, change: &Event) -> Resolved {
    let mut batch = sink.batch(std::slice::from_ref(change));
    batch.0.tables[0].changes[0].redriven = Some(Redrive { stream: "S".into(), sequence: 1 }.into());
    sink.apply_batch(batch)
}

fn fate(resolved: &Resolved) -> Disposition {
    resolved.writes.counts.present().next().unwrap().0
}

#[test]
fn what_becomes_of_a_change_to_some_columns() {
    use Disposition::{Applied, Deleted, KeptCurrent, Merged, NoOp};
    let ours = update(EAST, 2, 120, (2, 5), (1, 5));
    for (told, change, row, expected) in [
        ("newest, of another column", update(WEST, 1, 130, (1, 6), (1, 5)), Some((2, 6)), Applied),
        ("newest, of all", update(WEST, 1, 130, (3, 6), (2, 5)), Some((3, 6)), Applied),
        ("older, of another column", update(WEST, 1, 110, (1, 6), (1, 5)), Some((2, 6)), Merged),
        ("older, of the same column", update(WEST, 1, 110, (3, 5), (1, 5)), Some((2, 5)), KeptCurrent),
        ("older, of nothing", update(WEST, 1, 110, (1, 5), (1, 5)), Some((2, 5)), KeptCurrent),
        ("newest, a delete", delete(WEST, 1, 130, (1, 5)), None, Deleted),
        ("older, a delete", delete(WEST, 1, 110, (1, 5)), Some((2, 5)), KeptCurrent),
    ] {
        let mut sink = ModelSink::new(Policy::ColumnsByTimeOrdered);
        sink.apply(&[start(Kind::Create), ours.clone(), change]);
        let found = sink.rows().get(&1).map(|(rank, big)| (rank.unwrap(), *big));
        assert_eq!((found, sink.dispositions()[2]), (row, expected), "{told}");
    }
    let mut sink = ModelSink::new(Policy::ColumnsByTimeOrdered);
    sink.apply(&[start(Kind::Create), ours.clone()]);
    assert_eq!(fate(&redrive(&mut sink, &ours)), NoOp, "what stands already");
    let mut sink = ModelSink::new(Policy::ColumnsByTimeOrdered);
    sink.apply(&[delete(EAST, 1, 100, (1, 5)), delete(WEST, 1, 110, (1, 5))]);
    assert_eq!(sink.dispositions(), [NoOp, NoOp], "there was no row");
}

/// The row that was written is shown where it is neither of the two.
#[test]
fn the_history_shows_a_row_that_was_put_together() {
    for (policy, at, applied) in [
        (Policy::ColumnsByTimeOrdered, 130, None),
        (Policy::ColumnsByTimeOrdered, 110, Some(r#"{"id":1,"rank":2,"big":6}"#)),
        (Policy::CounterByTimeOrdered, 130, Some(r#"{"id":1,"rank":1,"big":7}"#)),
        (Policy::CounterByTimeOrdered, 110, Some(r#"{"id":1,"rank":2,"big":7}"#)),
    ] {
        let mut sink = ModelSink::new(policy);
        // A counter's sum is 5 + 1, and 1 of us-west.
        let ours = update(
            EAST,
            2,
            120,
            (2, if applied.is_some_and(|row| row.contains('7')) { 6 } else { 5 }),
            (1, 5),
        );
        sink.apply(&[start(Kind::Create), ours]);
        let resolved = sink.apply_batch(sink.batch(&[update(WEST, 1, at, (1, 6), (1, 5))]));
        assert_eq!(resolved.writes.decisions[0].applied.as_deref(), applied, "{policy:?} at {at}");
    }
    let mut sink = ModelSink::new(Policy::CounterByTimeOrdered);
    sink.apply(&[start(Kind::Create)]);
    let resolved = sink.apply_batch(sink.batch(&[update(WEST, 1, 130, (2, 5), (1, 5))]));
    assert_eq!((fate(&resolved), &resolved.writes.decisions[0].applied), (Disposition::Applied, &None));
}

#[test]
fn a_snapshot_gives_a_sum_its_beginning_once() {
    let snapshot = |source, commit, big| Event { source, commit, big: Some(big), ..start(Kind::Snapshot) };
    let mut sink = ModelSink::new(Policy::CounterByTimeOrdered);
    let mut sum = |change: Event| {
        sink.apply(&[change]);
        sink.rows()[&1].1
    };
    assert_eq!(sum(snapshot(EAST, 2, 5)), 5);
    assert_eq!(sum(snapshot(EAST, 3, 5)), 5, "it is being kept");
    assert_eq!(sum(update(EAST, 4, 110, (1, 7), (1, 5))), 7);
    let again = Event { at: 120, ..snapshot(EAST, 1, 5) };
    redrive(&mut sink, &again);
    assert_eq!(sink.rows()[&1].1, 7, "what is sent again by hand is no beginning");
}

/// What a change adds has to be told; a sum has 64 bits.
#[test]
fn a_change_that_cannot_be_added_is_a_dead_letter() {
    let silent = Event { before: None, ..update(WEST, 1, 130, (1, 6), (1, 5)) };
    let gone = Event { before: None, ..delete(WEST, 1, 130, (1, 5)) };
    let beyond = update(WEST, 1, 130, (1, i64::MAX), (1, 0));
    for (change, code) in [
        (silent, "before-image-unavailable"),
        (gone, "before-image-unavailable"),
        (beyond, "sum-out-of-range"),
    ] {
        let mut sink = ModelSink::new(Policy::CounterByTimeOrdered);
        sink.apply(&[start(Kind::Create)]);
        let resolved = sink.apply_batch(sink.batch(&[change]));
        assert_eq!(resolved.writes.dead[0].code, code);
        assert!(resolved.writes.dead[0].reason.contains("`big`"));
        assert_eq!(sink.rows()[&1].1, 5);
    }
}

/// A column that was not sent again is unchanged, and adds nothing.
#[test]
fn a_counter_that_was_not_sent_adds_nothing() {
    let mut sink = ModelSink::new(Policy::CounterByTimeOrdered);
    sink.apply(&[start(Kind::Create)]);
    let mut batch = sink.batch(&[update(EAST, 2, 130, (2, 5), (1, 5))]);
    let mut unsent = Column::new(batch.0.tables[0].after.columns[2].logical());
    unsent.push_state(State::Unavailable);
    batch.0.tables[0].after.columns[2] = unsent;
    sink.apply_batch(batch);
    assert_eq!(sink.rows()[&1], (Some(2), 5));
}

/// What is added to a row that does not belong here does not make it a deleted one.
#[test]
fn a_sum_goes_on_where_no_row_stands() {
    let away = Event { let_go: true, ..start(Kind::Create) };
    for (before, kind) in [(away, "update_missing"), (delete(EAST, 1, 100, (1, 5)), "update_deleted")] {
        let mut sink = ModelSink::new(Policy::CounterByTimeOrdered);
        sink.apply(&[before.clone(), update(WEST, 1, 90, (1, 6), (1, 4))]);
        assert_eq!(sink.dispositions()[1], Disposition::KeptCurrent);
        let resolved = sink.apply_batch(sink.batch(&[update(WEST, 2, 130, (1, 7), (1, 6))]));
        assert_eq!(resolved.writes.decisions[0].kind, kind);
        let begun = if before.let_go { 5 } else { -5 };
        assert_eq!(sink.rows()[&1].1, begun + 2 + 1);
    }
}
