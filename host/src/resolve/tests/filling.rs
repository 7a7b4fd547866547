//! What a row is filled from where a change does not send it whole, and what of it the sink is given.

use reconverge_streams::{
    columns::{Column, State},
    disposition::Disposition,
};

use super::{
    history::{Event, Kind, Policy},
    model::ModelSink,
};
use crate::{
    batch::{Batch, Redrive},
    stages::Prepared,
};

/// A change of us-east: the position is the time.
fn change(key: i64, kind: Kind, commit: u64, big: Option<i64>) -> Event {
    let deletes = kind == Kind::Delete;
    Event {
        source: 0,
        commit,
        key,
        kind,
        at: i64::try_from(commit).unwrap(),
        rank: (!deletes).then_some(1),
        big: big.filter(|_| !deletes),
        before: None,
        let_go: false,
        clock: None,
        hlc: None,
    }
}

fn delete(key: i64, commit: u64, big: i64) -> Event {
    Event { before: Some((Some(1), big)), ..change(key, Kind::Delete, commit, None) }
}

/// Makes two changes of a batch the halves of a key change.
fn moves((batch, _): &mut (Batch, Prepared), from: usize, to: usize) {
    let table = &mut batch.tables[0];
    let [old, new] = [from, to].map(|row| table.key(row).to_vec());
    table.changes[from].moved = Some(new);
    table.changes[to].moved = Some(old);
}

/// Takes the value out of a cell.
fn unsay(column: &mut Column, row: usize, state: State) {
    let all = std::mem::replace(column, Column::new(column.logical()));
    (0..all.len()).for_each(|i| if i == row { column.push_state(state) } else { column.push_from(&all, i) });
}

const EACH: [Policy; 2] = [Policy::CommitTimeOrdered, Policy::ColumnsByTimeOrdered];

fn big(sink: &ModelSink, key: i64) -> Option<i64> {
    sink.rows().get(&key).map(|row| row.1)
}

#[test]
fn what_was_not_sent_comes_from_before_or_from_what_stands() {
    for policy in EACH {
        let mut sink = ModelSink::new(policy);
        sink.apply(&[change(1, Kind::Create, 1, Some(5)), change(1, Kind::Update, 2, None)]);
        assert_eq!(big(&sink, 1), Some(5));
        // The second finds a row that the batch itself has put together.
        let twice = [change(1, Kind::Update, 3, None), change(1, Kind::Update, 4, None)];
        let resolved = sink.apply_batch(sink.batch(&twice));
        assert_eq!((big(&sink, 1), resolved.writes.dead), (Some(5), vec![]), "{policy:?}");
        sink.apply(&[Event { before: Some((Some(1), 6)), ..change(2, Kind::Update, 1, None) }]);
        assert_eq!(big(&sink, 2), Some(6));
    }
    let mut sink = ModelSink::new(Policy::CommitTimeOrdered);
    sink.apply(&[change(1, Kind::Create, 1, Some(5))]);
    sink.apply(&[Event { before: Some((Some(1), 6)), ..change(1, Kind::Update, 2, None) }]);
    assert_eq!(big(&sink, 1), Some(6), "the writer knew better than the sink");
}

#[test]
fn a_row_that_lacks_a_value_is_a_dead_letter() {
    for policy in EACH {
        let mut sink = ModelSink::new(policy);
        let batch = sink.batch(&[change(1, Kind::Update, 1, None), change(2, Kind::Create, 2, Some(5))]);
        let resolved = sink.apply_batch(batch);
        assert_eq!((sink.rows().len(), big(&sink, 2)), (1, Some(5)));
        let letter = &resolved.writes.dead[0];
        assert_eq!((letter.stage, letter.code), ("resolve", "value-unavailable"));
        assert!(letter.reason.contains("`big`"), "{}", letter.reason);
        // A row that does not come needs no values.
        sink.apply(&[Event { let_go: true, ..change(3, Kind::Update, 3, None) }]);
        assert_eq!(sink.dispositions(), [Disposition::Filtered]);
        sink.apply(&[change(4, Kind::Delete, 4, None)]);
        assert_eq!(sink.dispositions()[1], Disposition::NoOp);
    }
}

#[test]
fn a_row_whose_key_changed_is_filled_from_its_old_key() {
    for policy in EACH {
        let halves = [delete(1, 8, 5), change(2, Kind::Create, 9, None)];
        for (name, before, expected) in [
            ("in the sink", &[change(1, Kind::Create, 1, Some(5))][..], Some(5)),
            (
                "written again",
                &[change(1, Kind::Create, 1, Some(4)), change(1, Kind::Update, 2, Some(5))],
                Some(5),
            ),
            ("gone before", &[change(1, Kind::Create, 1, Some(5)), delete(1, 2, 5)], None),
            ("never there", &[], None),
        ] {
            for together in [false, true] {
                let mut sink = ModelSink::new(policy);
                let mut changes = halves.to_vec();
                if together {
                    changes.splice(0..0, before.iter().cloned());
                } else {
                    before.iter().for_each(|change| sink.apply(std::slice::from_ref(change)));
                }
                let mut batch = sink.batch(&changes);
                moves(&mut batch, changes.len() - 2, changes.len() - 1);
                let resolved = sink.apply_batch(batch);
                assert_eq!(big(&sink, 2), expected, "{policy:?}, {name}, in one batch: {together}");
                assert_eq!(resolved.writes.dead.len(), usize::from(expected.is_none()));
                assert_eq!(big(&sink, 1), None);
            }
        }
    }
}

/// The old key's row goes before the row that another writer left under the new key.
#[test]
fn an_old_key_goes_before_what_stands() {
    let mut sink = ModelSink::new(Policy::CommitTimeOrdered);
    sink.apply(&[change(1, Kind::Create, 1, Some(5)), change(2, Kind::Create, 2, Some(9))]);
    let mut batch = sink.batch(&[delete(1, 8, 5), change(2, Kind::Create, 9, None)]);
    moves(&mut batch, 0, 1);
    sink.apply_batch(batch);
    assert_eq!(big(&sink, 2), Some(5));
}

/// A change of `rank` none was heard of: the source's table has no such column.
fn without_rank(sink: &ModelSink, changes: &[Event]) -> (Batch, Prepared) {
    let mut batch = sink.batch(changes);
    for (row, change) in changes.iter().enumerate().filter(|(_, change)| change.kind != Kind::Delete) {
        assert!(change.big.is_some());
        unsay(&mut batch.0.tables[0].after.columns[1], row, State::Missing);
    }
    batch
}

#[test]
fn a_column_that_the_source_does_not_have_keeps_what_stands() {
    for policy in EACH {
        let mut sink = ModelSink::new(policy);
        sink.apply(&[change(1, Kind::Create, 1, Some(5))]);
        let resolved = sink.apply_batch(without_rank(&sink, &[change(1, Kind::Update, 2, Some(6))]));
        assert_eq!(sink.rows()[&1], (Some(1), 6));
        assert_eq!(resolved.writes.tables[0].upserts[0].columns, [0, 2], "{policy:?}");
        let new = sink.apply_batch(without_rank(&sink, &[change(2, Kind::Create, 3, Some(7))]));
        assert_eq!(new.writes.tables[0].upserts[0].columns, [0, 2], "the database fills it");
    }
}

/// A row that went and came within a batch has nothing of what the sink still holds. Where each column stands by itself
/// the tombstone has kept what stood.
#[test]
fn a_row_that_came_back_within_a_batch_keeps_nothing() {
    for policy in EACH {
        let back = [delete(1, 2, 5), change(1, Kind::Create, 3, Some(6))];
        let mut sink = ModelSink::new(policy);
        sink.apply(&[change(1, Kind::Create, 1, Some(5))]);
        let resolved = sink.apply_batch(without_rank(&sink, &back));
        let expected = if policy == Policy::CommitTimeOrdered { None } else { Some(1) };
        assert_eq!(sink.rows()[&1], (expected, 6), "{policy:?}");
        assert_eq!(resolved.writes.tables[0].upserts[0].columns, [0, 1, 2]);
        // Where nothing stood there is nothing to take away.
        let back =
            [change(2, Kind::Create, 1, Some(5)), delete(2, 2, 5), change(2, Kind::Create, 3, Some(6))];
        let resolved = sink.apply_batch(without_rank(&sink, &back));
        let expected: &[usize] = if policy == Policy::CommitTimeOrdered { &[0, 2] } else { &[0, 1, 2] };
        assert_eq!(resolved.writes.tables[0].upserts[0].columns, expected, "{policy:?}");
    }
    let mut sink = ModelSink::new(Policy::CommitTimeOrdered);
    let mut shape = (*sink.plan().tables[0].shape).clone();
    shape.columns[1].has_default = true;
    sink.plan_mut().tables[0].shape = shape.into();
    sink.apply(&[change(1, Kind::Create, 1, Some(5))]);
    let back = [delete(1, 2, 5), change(1, Kind::Create, 3, Some(6))];
    let resolved = sink.apply_batch(without_rank(&sink, &back));
    assert_eq!(resolved.writes.tables[0].upserts[0].columns, [0, 2], "null may not be in its place");
}

#[test]
fn a_column_that_the_database_computes_is_never_written() {
    let mut sink = ModelSink::new(Policy::GreatestOrdered);
    let mut shape = (*sink.plan().tables[0].shape).clone();
    shape.columns[2].generated = true;
    sink.plan_mut().tables[0].shape = shape.into();
    let resolved = sink.apply_batch(sink.batch(&[change(1, Kind::Create, 1, Some(5))]));
    assert_eq!(resolved.writes.tables[0].upserts[0].columns, [0, 1]);
}

/// SURFACE (g) 3: what orders a table is not guessed.
#[test]
fn a_change_without_the_column_that_orders_its_table_is_a_dead_letter() {
    for (policy, state) in [
        (Policy::GreatestOrdered, State::Unavailable),
        (Policy::GreatestOrdered, State::Missing),
        (Policy::ColumnsByRankOrdered, State::Unavailable),
        (Policy::CounterByRankOrdered, State::Missing),
    ] {
        for stands in [false, true] {
            let mut sink = ModelSink::new(policy);
            sink.apply(&[change(if stands { 1 } else { 2 }, Kind::Create, 1, Some(5))]);
            let mut batch =
                sink.batch(&[Event { before: Some((Some(1), 5)), ..change(1, Kind::Update, 2, Some(6)) }]);
            unsay(&mut batch.0.tables[0].after.columns[1], 0, state);
            let resolved = sink.apply_batch(batch);
            assert_eq!(resolved.writes.dead[0].code, "order-column-unavailable");
            assert!(resolved.writes.dead[0].reason.contains("`rank`"));
            assert_eq!(big(&sink, 1), stands.then_some(5));
        }
    }
}

/// A dead letter that is sent again takes effect, whatever was seen since, and closes the letter.
#[test]
fn a_change_that_is_sent_again_by_hand_takes_effect() {
    let mut sink = ModelSink::new(Policy::TakeIncoming);
    sink.apply(&[change(1, Kind::Create, 5, Some(5))]);
    let mut batch = sink.batch(&[change(1, Kind::Update, 3, Some(6))]);
    batch.0.tables[0].changes[0].redriven = Some(Redrive { stream: "S".into(), sequence: 9 }.into());
    let resolved = sink.apply_batch(batch);
    assert_eq!(resolved.writes.redriven, [("S".into(), 9)]);
    assert_eq!(big(&sink, 1), Some(6));
}

/// It is the row of the moment when the key changed, whatever was written under the old key since.
#[test]
fn an_old_key_that_was_written_again_is_another_row() {
    let mut sink = ModelSink::new(Policy::CommitTimeOrdered);
    let changes = [
        change(1, Kind::Create, 1, Some(5)),
        delete(1, 2, 5),
        change(1, Kind::Create, 3, Some(6)),
        delete(1, 4, 6),
        change(2, Kind::Create, 5, None),
    ];
    let mut batch = sink.batch(&changes);
    moves(&mut batch, 1, 4);
    sink.apply_batch(batch);
    assert_eq!(big(&sink, 2), Some(5));
}
