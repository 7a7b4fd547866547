//! Sources without positions whose events have ids: repetitions change nothing, and regions converge all the same.

use proptest::prelude::*;
use reconverge_streams::disposition::Disposition;

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
