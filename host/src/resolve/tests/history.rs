//! Generated histories: two sources write, delete and snapshot a few keys, each at rising positions.

use proptest::prelude::*;
use reconverge_streams::names::Names;

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
    HlcOrdered,
    OriginOrdered,
    VectorOrdered,
    VectorByHlcOrdered,
    ColumnsByTimeOrdered,
    ColumnsByTimeWin,
    ColumnsByRankOrdered,
    ColumnsByHlcOrdered,
    ColumnsByOriginOrdered,
    CounterByTimeOrdered,
    CounterByTimeWin,
    CounterByRankOrdered,
}

impl Policy {
    /// Those that one change after another can tell of ([`super::oracle`]).
    pub(super) const ALL: [Policy; 11] = [
        Policy::GreatestOrdered,
        Policy::GreatestWin,
        Policy::CommitTimeOrdered,
        Policy::CommitTimeWin,
        Policy::TakeIncoming,
        Policy::KeepCurrent,
        Policy::PluginOrdered,
        Policy::HlcOrdered,
        Policy::OriginOrdered,
        Policy::VectorOrdered,
        Policy::VectorByHlcOrdered,
    ];
    pub(super) const CONVERGING: [Policy; 12] = [
        Policy::GreatestOrdered,
        Policy::CommitTimeOrdered,
        Policy::PluginOrdered,
        Policy::HlcOrdered,
        Policy::OriginOrdered,
        Policy::VectorOrdered,
        Policy::VectorByHlcOrdered,
        Policy::ColumnsByTimeOrdered,
        Policy::ColumnsByRankOrdered,
        Policy::ColumnsByHlcOrdered,
        Policy::ColumnsByOriginOrdered,
        Policy::CounterByTimeOrdered,
    ];
    /// Those that converge while no source brings back a key.
    pub(super) const CONVERGING_BUT_FOR_RETURNS: [Policy; 4] =
        [Policy::GreatestWin, Policy::CommitTimeWin, Policy::ColumnsByTimeWin, Policy::CounterByTimeWin];
    /// Those whose rows are put together ([`super::sets`]).
    pub(super) const PUT_TOGETHER: [Policy; 8] = [
        Policy::ColumnsByTimeWin,
        Policy::CounterByTimeWin,
        Policy::ColumnsByTimeOrdered,
        Policy::ColumnsByRankOrdered,
        Policy::ColumnsByHlcOrdered,
        Policy::ColumnsByOriginOrdered,
        Policy::CounterByTimeOrdered,
        Policy::CounterByRankOrdered,
    ];

    pub(super) fn rule(self, names: &Names) -> Rule {
        let by_origin = || {
            let named = ["nowhere", SOURCES[1]].map(|name| names.intern(name).unwrap());
            Rule::OriginPriority(named.into())
        };
        match self {
            Policy::GreatestOrdered | Policy::GreatestWin => Rule::Greatest(vec![1]),
            Policy::CommitTimeOrdered | Policy::CommitTimeWin => Rule::CommitTime,
            Policy::TakeIncoming => Rule::TakeIncoming,
            Policy::KeepCurrent => Rule::KeepCurrent,
            Policy::PluginOrdered => Rule::Plugin(vec![1]),
            Policy::HlcOrdered => Rule::Hlc,
            Policy::OriginOrdered => by_origin(),
            Policy::VectorOrdered => Rule::Vector(None),
            Policy::VectorByHlcOrdered => Rule::Vector(Some(Box::new(Rule::Hlc))),
            Policy::ColumnsByTimeOrdered | Policy::ColumnsByTimeWin => {
                Rule::column_merge(Rule::CommitTime, 3, &[0])
            }
            Policy::ColumnsByRankOrdered => Rule::column_merge(Rule::Greatest(vec![1]), 3, &[0]),
            Policy::ColumnsByHlcOrdered => Rule::column_merge(Rule::Hlc, 3, &[0]),
            Policy::ColumnsByOriginOrdered => Rule::column_merge(by_origin(), 3, &[0]),
            Policy::CounterByTimeOrdered | Policy::CounterByTimeWin => {
                Rule::counter(vec![2], Rule::CommitTime)
            }
            Policy::CounterByRankOrdered => Rule::counter(vec![2], Rule::Greatest(vec![1])),
        }
    }

    pub(super) fn deletes(self) -> Deletes {
        match self {
            Policy::GreatestWin
            | Policy::CommitTimeWin
            | Policy::TakeIncoming
            | Policy::KeepCurrent
            | Policy::ColumnsByTimeWin
            | Policy::CounterByTimeWin => Deletes::Win,
            _ => Deletes::Ordered,
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
    /// Writes of the key by source that the writer had seen, this one included; none of a snapshot row.
    pub(super) clock: Option<[u64; 2]>,
    /// (time, counter) that is later than all that the writer had seen.
    pub(super) hlc: Option<(i64, u32)>,
}

pub(super) const SOURCES: [&str; 2] = ["us-east", "us-west"];

/// What a source does next: (source, key, action, rank, big, time step, has seen what the other wrote).
type Act = (usize, i64, u8, Option<i64>, i64, i64, bool);

pub(super) fn histories() -> impl Strategy<Value = Vec<Event>> {
    let rank = prop::option::weighted(0.9, 0..4_i64);
    let act = (0..2_usize, 0..3_i64, 0..10_u8, rank, 0..3_i64, 0..3_i64, any::<bool>());
    prop::collection::vec(act, 1..24).prop_map(|acts| play(&acts))
}

/// Plays the acts against each source's own table, so that before images and unavailable values are as a real
/// source would send them.
fn play(acts: &[Act]) -> Vec<Event> {
    let mut tables = [[None::<(Option<i64>, i64)>; 3], [None; 3]];
    let mut commits = [0, 0];
    let mut at = 100;
    let mut events = Vec::new();
    let mut clocks = Clocks::default();
    for &(source, key, action, rank, big, step, seen) in acts {
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
        let (clock, hlc) = if kind == Kind::Snapshot {
            (None, None)
        } else {
            let (clock, hlc) = clocks.tick(source, place, at, seen);
            (Some(clock), Some(hlc))
        };
        let commit = commits[source];
        events.push(Event { source, commit, key, kind, at, rank, big, before, let_go, clock, hlc });
    }
    events
}

/// The clocks of both sources, per key, as writers keep them.
#[derive(Default)]
struct Clocks {
    vectors: [[[u64; 2]; 3]; 2],
    hybrids: [[(i64, u32); 3]; 2],
}

impl Clocks {
    /// One more write of a source; `seen` tells that it has seen all that the other wrote before.
    fn tick(&mut self, source: usize, key: usize, at: i64, seen: bool) -> ([u64; 2], (i64, u32)) {
        let (theirs, late) = (self.vectors[1 - source][key], self.hybrids[1 - source][key]);
        let (own, hybrid) = (&mut self.vectors[source][key], &mut self.hybrids[source][key]);
        if seen {
            own.iter_mut().zip(theirs).for_each(|(a, b)| *a = (*a).max(b));
            *hybrid = (*hybrid).max(late);
        }
        own[source] += 1;
        *hybrid = if at > hybrid.0 { (at, 0) } else { (hybrid.0, hybrid.1 + 1) };
        (*own, *hybrid)
    }
}

/// The history without what comes back: of a key that a source deletes, its later changes are left out.
pub(super) fn without_returns(history: &[Event]) -> Vec<Event> {
    let mut gone = std::collections::HashSet::new();
    let stays = |e: &&Event| {
        let known = gone.contains(&(e.source, e.key));
        if e.kind == Kind::Delete {
            gone.insert((e.source, e.key));
        }
        !known
    };
    history.iter().filter(stays).cloned().collect()
}

/// Sends some runs of the history again, as a restarted publisher does: each after its first delivery.
pub(super) fn redeliver(history: &[Event], runs: &[(usize, usize)]) -> Vec<Event> {
    let again = runs.iter().map(|(from, at)| {
        let from = from % history.len();
        let to = (from + 3).min(history.len());
        let source = history[from].source;
        let run: Vec<Event> = history[from..to].iter().filter(|e| e.source == source).cloned().collect();
        (to + at % (history.len() - to + 1), run)
    });
    let mut again: Vec<_> = again.collect();
    // From the back, so that no run shifts the places of those that go in before it.
    again.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut out = history.to_vec();
    for (at, run) in again {
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
