//! Resolve beside a plain serial oracle, on generated histories: whatever the batches, the end is the same.

mod clocks;
mod conflicts;
mod family;
mod family_oracle;
mod filling;
mod history;
mod kept;
mod leaving;
mod local;
mod messages;
mod model;
mod oracle;
mod parents;
mod plugin;
mod rings;
mod sets;
mod single_writer;
mod waiting;
mod without_positions;
mod together;
mod too_old;

use proptest::prelude::*;

use crate::plan::Deletes;

use self::{
    history::{Event, Kind, Policy, histories, interleave, redeliver, without_returns},
    model::ModelSink,
    oracle::Oracle,
};

/// Runs a history in batches that end at `cuts`.
fn run(policy: Policy, history: &[Event], cuts: &[usize]) -> ModelSink {
    run_into(ModelSink::new(policy), history, cuts)
}

fn run_into(mut sink: ModelSink, history: &[Event], cuts: &[usize]) -> ModelSink {
    let mut from = 0;
    for to in cuts.iter().map(|c| c % (history.len() + 1)).chain([history.len()]) {
        if to > from {
            sink.apply(&history[from..to]);
            from = to;
        }
    }
    sink
}

fn policies() -> impl Strategy<Value = Policy> {
    prop::sample::select(Policy::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    /// Promises 2 and 3: batches of any size end like one change after another, redeliveries included.
    #[test]
    fn batches_end_like_the_serial_oracle(
        policy in policies(),
        history in histories(),
        again in prop::collection::vec((any::<usize>(), any::<usize>()), 0..4),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts;
        let history = redeliver(&history, &again);
        cuts.iter_mut().for_each(|c| *c %= history.len() + 1);
        cuts.sort_unstable();
        let sink = run(policy, &history, &cuts);
        let mut oracle = Oracle::new(policy);
        let dispositions: Vec<_> = history.iter().map(|e| oracle.take(e)).collect();
        prop_assert_eq!(sink.rows(), oracle.rows());
        prop_assert_eq!(sink.dispositions(), &dispositions);
    }

    /// Promise 6: two regions that apply the same changes, in any order that keeps each source's order, end with
    /// the same rows, deletes included.
    #[test]
    fn convergence(
        policy in prop::sample::select(Policy::CONVERGING.to_vec()),
        history in histories(),
        order_a in any::<u64>(),
        order_b in any::<u64>(),
    ) {
        let a = run(policy, &interleave(&history, order_a), &[]);
        let b = run(policy, &interleave(&history, order_b), &[history.len() / 2]);
        prop_assert_eq!(a.rows(), b.rows());
    }

    /// The same where deletes win, as far as it is promised: no source writes a key again that it has deleted.
    #[test]
    fn convergence_where_deletes_win(
        policy in prop::sample::select(Policy::CONVERGING_BUT_FOR_RETURNS.to_vec()),
        history in histories(),
        order_a in any::<u64>(),
        order_b in any::<u64>(),
    ) {
        let history = without_returns(&history);
        let a = run(policy, &interleave(&history, order_a), &[]);
        let b = run(policy, &interleave(&history, order_b), &[history.len() / 2]);
        prop_assert_eq!(a.rows(), b.rows());
    }

    /// Rows that are put together are what the set of changes says, whatever the order, the batches and the
    /// redeliveries. Where deletes win, as far as it is promised: no source writes a key again that it has deleted.
    #[test]
    fn rows_put_together_are_those_of_the_set(
        policy in prop::sample::select(Policy::PUT_TOGETHER.to_vec()),
        history in histories(),
        order in any::<u64>(),
        again in prop::collection::vec((any::<usize>(), any::<usize>()), 0..4),
        cuts in prop::collection::vec(any::<usize>(), 0..4),
    ) {
        let win = policy.deletes() == Deletes::Win;
        let history = if win { without_returns(&history) } else { history };
        let history = redeliver(&interleave(&history, order), &again);
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (history.len() + 1)).collect();
        cuts.sort_unstable();
        let sink = run(policy, &history, &cuts);
        prop_assert_eq!(sink.rows(), sets::rows(policy, &history));
    }
}

/// The checks above can fail: a rule that lets the newest delivery win diverges.
#[test]
fn a_rule_that_goes_by_arrival_diverges() {
    let event = |source, commit, rank| Event {
        source,
        commit,
        key: 1,
        kind: Kind::Update,
        at: 100,
        rank: Some(rank),
        big: Some(0),
        before: Some((None, 0)),
        let_go: false,
        clock: None,
        hlc: None,
    };
    let history = [event(0, 1, 5), event(1, 1, 3)];
    let reversed = [history[1].clone(), history[0].clone()];
    let a = run(Policy::TakeIncoming, &history, &[]);
    let b = run(Policy::TakeIncoming, &reversed, &[]);
    assert_ne!(a.rows(), b.rows());
    assert_eq!(
        run(Policy::GreatestOrdered, &history, &[]).rows(),
        run(Policy::GreatestOrdered, &reversed, &[]).rows()
    );
}
