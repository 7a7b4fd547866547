//! Sources without positions whose events have ids: repetitions change nothing, and regions converge all the same.

use proptest::prelude::*;
use reconverge_streams::{disposition::Disposition, event::Grade, position::Position};

use crate::{
    batch::{Batch, Redrive},
    resolve::repeats,
};

use super::{
    history::{Event, Kind, Policy, histories, interleave, redeliver},
    model::ModelSink,
    oracle::Oracle,
    policies, run_into,
};

fn run(policy: Policy, history: &[Event], cuts: &[usize]) -> ModelSink {
    run_into(ModelSink::by_event(policy), history, cuts)
}

/// Rows that are put together of several changes need positions (docs/guarantees.md).
fn converging() -> impl Strategy<Value = Policy> {
    let by_themselves =
        Policy::CONVERGING.into_iter().filter(|policy| !Policy::PUT_TOGETHER.contains(policy));
    prop::sample::select(by_themselves.collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn batches_end_like_the_serial_oracle(
        policy in policies(),
        history in histories(),
        again in prop::collection::vec((any::<usize>(), any::<usize>()), 0..4),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let history = redeliver(&history, &again);
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (history.len() + 1)).collect();
        cuts.sort_unstable();
        let sink = run(policy, &history, &cuts);
        let mut oracle = Oracle::by_event(policy);
        let dispositions: Vec<_> = history.iter().map(|e| oracle.take(e)).collect();
        prop_assert_eq!(sink.rows(), oracle.rows());
        prop_assert_eq!(sink.dispositions(), &dispositions);
    }

    #[test]
    fn convergence(
        policy in converging(),
        history in histories(),
        orders in any::<[u64; 2]>(),
        again in prop::collection::vec((any::<usize>(), any::<usize>()), 0..4),
    ) {
        let a = run(policy, &redeliver(&interleave(&history, orders[0]), &again), &[]);
        let b = run(policy, &interleave(&history, orders[1]), &[history.len() / 2]);
        prop_assert_eq!(a.rows(), b.rows());
    }
}

fn event(source: usize, commit: u64, kind: Kind, rank: i64) -> Event {
    let row = (Some(rank), 0);
    let deleted = kind == Kind::Delete;
    Event {
        source,
        commit,
        key: 1,
        kind,
        at: 100 + i64::try_from(commit).unwrap(),
        rank: row.0.filter(|_| !deleted),
        big: Some(0).filter(|_| !deleted),
        before: deleted.then_some(row),
        let_go: false,
        hlc: None,
        clock: None,
    }
}

/// A storm: one event five hundred times, in one batch and over many, is applied once and counted each time.
#[test]
fn a_storm_of_repeats_is_absorbed() {
    let storm = vec![event(0, 1, Kind::Create, 1); 501];
    for cuts in [vec![], vec![1], (0..501).step_by(50).collect()] {
        let sink = run(Policy::GreatestOrdered, &storm, &cuts);
        assert_eq!(sink.dispositions()[0], Disposition::Applied);
        assert!(sink.dispositions()[1..].iter().all(|d| *d == Disposition::Duplicate));
    }
}

/// Where deletes win, another source's delete is remembered without a position too.
#[test]
fn a_delete_wins_in_any_order() {
    let (delete, write) = (event(0, 2, Kind::Delete, 1), event(1, 1, Kind::Update, 9));
    let create = event(0, 1, Kind::Create, 1);
    for order in [[&create, &delete, &write], [&create, &write, &delete], [&write, &create, &delete]] {
        let history: Vec<Event> = order.into_iter().cloned().collect();
        assert!(run(Policy::GreatestWin, &history, &[1, 2]).rows().is_empty());
    }
}

/// The halves of a key change are one message, and so one event; a second message of it is a repetition.
#[test]
fn the_halves_of_a_key_change_share_their_event() {
    for (delivery, fates) in [(0, [2, 0]), (1, [1, 1])] {
        let mut sink = ModelSink::by_event(Policy::TakeIncoming);
        let mut batch = sink.batch(&[event(0, 1, Kind::Create, 1), event(0, 1, Kind::Update, 2)]);
        batch.0.items[1].delivery = delivery;
        let resolved = sink.apply_batch(batch);
        let counts = resolved.writes.counts;
        assert_eq!([Disposition::Applied, Disposition::Duplicate].map(|fate| counts.get(fate)), fates);
        assert_eq!(resolved.events.len(), 1);
    }
}

/// A dead letter that is sent again was seen, and takes effect all the same.
#[test]
fn what_is_sent_again_by_hand_is_no_repetition() {
    let mut sink = ModelSink::by_event(Policy::TakeIncoming);
    sink.apply(&[event(0, 1, Kind::Create, 1)]);
    let mut batch = sink.batch(&[event(0, 1, Kind::Create, 2)]);
    batch.0.tables[0].changes[0].redriven = Some(Redrive { stream: "S".into(), sequence: 1 }.into());
    sink.apply_batch(batch);
    assert_eq!(sink.rows()[&1].0, Some(2));
}

/// A source is as good as its worst change.
#[test]
fn the_grade_of_a_source() {
    let sink = ModelSink::by_event(Policy::TakeIncoming);
    let events = [event(0, 1, Kind::Create, 1), event(0, 2, Kind::Update, 1), event(1, 1, Kind::Update, 1)];
    let (mut batch, _) = sink.batch(&events);
    let grade_of = |batch: &Batch, source: usize| {
        let id = sink.plan().names.intern(super::history::SOURCES[source]).unwrap();
        repeats::grades(batch)[&id]
    };
    assert_eq!([0, 1].map(|source| grade_of(&batch, source)), [Grade::B, Grade::B]);
    let changes = &mut batch.tables[0].changes;
    (changes[0].event_id, changes[2].position) = (None, Some(Position::default()));
    assert_eq!([0, 1].map(|source| grade_of(&batch, source)), [Grade::C, Grade::A]);
}
