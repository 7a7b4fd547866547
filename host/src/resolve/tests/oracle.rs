//! The rules of SURFACE (g) as plain serial code, one change after another, written apart from the engine.

use std::collections::{BTreeMap, HashMap};

use reconverge_streams::disposition::Disposition;

use super::history::{Event, Kind, Policy, SOURCES};

/// Order value, is delete, commit time, origin; the greater wins.
type Rank = (Option<i64>, bool, i64, &'static str);

#[derive(Default)]
struct Key {
    row: Option<(Option<i64>, i64)>,
    rank: Option<Rank>,
    seen: HashMap<usize, u64>,
    gone: HashMap<usize, bool>,
    live_at: HashMap<usize, i64>,
}

pub(super) struct Oracle {
    policy: Policy,
    keys: BTreeMap<i64, Key>,
}

impl Oracle {
    pub(super) fn new(policy: Policy) -> Self {
        Oracle { policy, keys: BTreeMap::new() }
    }

    pub(super) fn rows(&self) -> BTreeMap<i64, (Option<i64>, i64)> {
        self.keys.iter().filter_map(|(k, s)| Some((*k, s.row?))).collect()
    }

    pub(super) fn take(&mut self, e: &Event) -> Disposition {
        let policy = self.policy;
        let k = self.keys.entry(e.key).or_default();
        match k.seen.get(&e.source) {
            Some(seen) if e.commit == *seen => return Disposition::Duplicate,
            Some(seen) if e.commit < *seen => return Disposition::Regressed,
            _ => {}
        }
        k.seen.insert(e.source, e.commit);
        let at = if e.kind == Kind::Snapshot {
            k.live_at.get(&e.source).copied().unwrap_or(i64::MIN)
        } else {
            k.live_at.insert(e.source, e.at);
            e.at
        };
        let back = k.gone.insert(e.source, e.kind == Kind::Delete).unwrap_or(false);
        let outcome =
            if e.kind == Kind::Delete { delete(policy, k, e, at) } else { write(policy, k, e, at, back) };
        if e.let_go { Disposition::Filtered } else { outcome }
    }
}

fn order_value(policy: Policy, at: i64, rank: Option<i64>) -> Option<i64> {
    match policy {
        Policy::GreatestOrdered | Policy::GreatestWin | Policy::PluginOrdered => rank,
        Policy::CommitTimeOrdered | Policy::CommitTimeWin => Some(at),
        Policy::TakeIncoming | Policy::KeepCurrent => None,
    }
}

fn ordered(policy: Policy) -> bool {
    matches!(policy, Policy::GreatestOrdered | Policy::CommitTimeOrdered | Policy::PluginOrdered)
}

fn delete(policy: Policy, k: &mut Key, e: &Event, at: i64) -> Disposition {
    let stood = k.row.is_some();
    if ordered(policy) {
        let rank = (order_value(policy, at, e.before.and_then(|b| b.0)), true, at, SOURCES[e.source]);
        if k.rank.is_some_and(|standing| beats(standing, rank)) {
            return Disposition::KeptCurrent;
        }
        k.rank = Some(rank);
    }
    k.row = None;
    if stood { Disposition::Deleted } else { Disposition::NoOp }
}

/// Whether what stands beats what comes. Equal in all: the later position of one source wins, so it does not.
fn beats(standing: Rank, incoming: Rank) -> bool {
    standing > incoming
}

fn write(policy: Policy, k: &mut Key, e: &Event, at: i64, back: bool) -> Disposition {
    let rank = (order_value(policy, at, e.rank), false, at, SOURCES[e.source]);
    let others_gone = k.gone.iter().any(|(source, gone)| *source != e.source && *gone);
    let loses = match policy {
        Policy::TakeIncoming => false,
        _ if !ordered(policy) && others_gone => true,
        _ if !ordered(policy) && back => false,
        Policy::KeepCurrent => k.row.is_some(),
        _ => k.rank.is_some_and(|standing| beats(standing, rank)),
    };
    if loses {
        return Disposition::KeptCurrent;
    }
    if e.let_go {
        (k.row, k.rank) = (None, Some(rank));
        return Disposition::Filtered;
    }
    let big = e.big.or(e.before.map(|b| b.1)).or(k.row.map(|r| r.1));
    let Some(big) = big else { return Disposition::DeadLettered };
    (k.row, k.rank) = (Some((e.rank, big)), Some(rank));
    Disposition::Applied
}
