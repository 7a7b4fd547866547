//! Generated histories: two sources write, delete and snapshot a few keys, each at rising positions.

use proptest::prelude::*;

use crate::plan::{Deletes, Rule};

/// The rules under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    GreatestOrdered,
    GreatestWin,
    CommitTimeOrdered,
    CommitTimeWin,
    TakeIncoming,
    KeepCurrent,
    PluginOrdered,
}

impl Policy {
    pub(super) const ALL: [Policy; 7] = [
        Policy::GreatestOrdered,
        Policy::GreatestWin,
        Policy::CommitTimeOrdered,
        Policy::CommitTimeWin,
        Policy::TakeIncoming,
        Policy::KeepCurrent,
        Policy::PluginOrdered,
    ];
    pub(super) const CONVERGING: [Policy; 3] =
        [Policy::GreatestOrdered, Policy::CommitTimeOrdered, Policy::PluginOrdered];

    pub(super) fn rule(self) -> Rule {
        match self {
            Policy::GreatestOrdered | Policy::GreatestWin => Rule::Greatest(vec![1]),
            Policy::CommitTimeOrdered | Policy::CommitTimeWin => Rule::CommitTime,
            Policy::TakeIncoming => Rule::TakeIncoming,
            Policy::KeepCurrent => Rule::KeepCurrent,
            Policy::PluginOrdered => Rule::Plugin(vec![1]),
        }
    }

    pub(super) fn deletes(self) -> Deletes {
        match self {
            Policy::GreatestWin | Policy::CommitTimeWin | Policy::TakeIncoming | Policy::KeepCurrent => {
                Deletes::Win
            }
            Policy::GreatestOrdered | Policy::CommitTimeOrdered | Policy::PluginOrdered => Deletes::Ordered,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Create,
    Update,
    Delete,
    Snapshot,
}

/// One change of the table (id, rank, big). `big: None` is a big column that was not sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) source: usize,
    pub(super) commit: u64,
    pub(super) key: i64,
    pub(super) kind: Kind,
    pub(super) at: i64,
    pub(super) rank: Option<i64>,
    pub(super) big: Option<i64>,
    /// The whole row before, where there was one.
    pub(super) before: Option<(Option<i64>, i64)>,
    pub(super) let_go: bool,
}

pub(super) const SOURCES: [&str; 2] = ["us-east", "us-west"];

/// What a source does next: (source, key, action, rank, big, time step).
type Act = (usize, i64, u8, Option<i64>, i64, i64);

pub(super) fn histories() -> impl Strategy<Value = Vec<Event>> {
    let act = (0..2_usize, 0..3_i64, 0..10_u8, prop::option::weighted(0.9, 0..4_i64), 0..3_i64, 0..3_i64);
    prop::collection::vec(act, 1..24).prop_map(|acts| play(&acts))
}

/// Plays the acts against each source's own table, so that before images and unavailable values are as a real
/// source would send them.
fn play(acts: &[Act]) -> Vec<Event> {
    let mut tables = [[None::<(Option<i64>, i64)>; 3], [None; 3]];
    let mut commits = [0, 0];
    let mut at = 100;
    let mut events = Vec::new();
    for &(source, key, action, rank, big, step) in acts {
        let Ok(place) = usize::try_from(key) else { continue };
        let row = &mut tables[source][place];
        let before = *row;
        at += step;
        commits[source] += 1;
        let (kind, unsent) = match (action, before) {
            (0..=1, Some(_)) => (Kind::Delete, false),
            (2, Some(_)) => (Kind::Snapshot, false),
            (3..=4, Some(_)) => (Kind::Update, true),
            (_, Some(_)) => (Kind::Update, false),
            (_, None) => (Kind::Create, false),
        };
        *row = match kind {
            Kind::Delete => None,
            Kind::Snapshot => before,
            _ => Some((rank, if unsent { before.map_or(big, |b| b.1) } else { big })),
        };
        let (rank, big) = row.map_or((None, None), |(rank, big)| (rank, (!unsent).then_some(big)));
        let before = if kind == Kind::Snapshot { None } else { before };
        let let_go = kind != Kind::Delete && action == 9;
        events.push(Event { source, commit: commits[source], key, kind, at, rank, big, before, let_go });
    }
    events
}

/// Sends some runs of the history again, as a restarted publisher does.
pub(super) fn redeliver(history: &[Event], runs: &[(usize, usize)]) -> Vec<Event> {
    let mut out = history.to_vec();
    for (from, at) in runs {
        let from = from % history.len();
        let to = (from + 3).min(history.len());
        let at = to + at % (history.len() - to + 1);
        let source = history[from].source;
        let run: Vec<Event> = history[from..to].iter().filter(|e| e.source == source).cloned().collect();
        out.splice(at..at, run);
    }
    out
}

/// Another interleaving that keeps each source's order; `seed`'s bits choose.
pub(super) fn interleave(history: &[Event], seed: u64) -> Vec<Event> {
    let mut queues: [std::collections::VecDeque<Event>; 2] = Default::default();
    history.iter().for_each(|e| queues[e.source].push_back(e.clone()));
    let mut out = Vec::new();
    for step in 0.. {
        let first = usize::from(seed >> (step % 64) & 1 == 1);
        match queues[first].pop_front().or_else(|| queues[1 - first].pop_front()) {
            Some(event) => out.push(event),
            None => return out,
        }
    }
    out
}
