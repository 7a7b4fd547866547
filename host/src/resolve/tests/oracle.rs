//! The rules of SURFACE (g) as plain serial code, one change after another, written apart from the engine.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, HashSet},
};

use reconverge_streams::disposition::Disposition;

use super::history::{Event, Kind, Policy, SOURCES};

/// Order value, is delete, commit time, origin; the greater wins.
type Rank = (Option<i128>, bool, i64, &'static str);

#[derive(Default)]
struct Key {
    row: Option<(Option<i64>, i64)>,
    rank: Option<Rank>,
    seen: HashMap<usize, u64>,
    gone: HashMap<usize, bool>,
    live_at: HashMap<usize, i64>,
    /// What all that took part had seen.
    merged: [u64; 2],
}

pub(super) struct Oracle {
    policy: Policy,
    keys: BTreeMap<i64, Key>,
    /// Where the source gives no positions: the events that came.
    events: Option<HashSet<(usize, u64)>>,
}

impl Oracle {
    pub(super) fn new(policy: Policy) -> Self {
        Oracle { policy, keys: BTreeMap::new(), events: None }
    }

    pub(super) fn by_event(policy: Policy) -> Self {
        Oracle { events: Some(HashSet::new()), ..Oracle::new(policy) }
    }

    pub(super) fn rows(&self) -> BTreeMap<i64, (Option<i64>, i64)> {
        self.keys.iter().filter_map(|(k, s)| Some((*k, s.row?))).collect()
    }

    pub(super) fn take(&mut self, e: &Event) -> Disposition {
        let policy = self.policy;
        let k = self.keys.entry(e.key).or_default();
        let by_event = self.events.is_some();
        if by_event {
            if !self.events.get_or_insert_default().insert((e.source, e.commit)) {
                return Disposition::Duplicate;
            }
        } else {
            match k.seen.get(&e.source) {
                Some(seen) if e.commit == *seen => return Disposition::Duplicate,
                Some(seen) if e.commit < *seen => return Disposition::Regressed,
                _ => {}
            }
        }
        k.seen.insert(e.source, e.commit);
        let at = if e.kind == Kind::Snapshot {
            k.live_at.get(&e.source).copied().unwrap_or(i64::MIN)
        } else {
            k.live_at.insert(e.source, e.at);
            e.at
        };
        let back = k.gone.insert(e.source, e.kind == Kind::Delete).unwrap_or(false);
        let outcome = if e.kind == Kind::Delete {
            delete(policy, k, e, at)
        } else {
            write(policy, k, e, at, back, by_event)
        };
        if outcome != Disposition::DeadLettered {
            let seen = e.clock.unwrap_or_default();
            k.merged = [k.merged[0].max(seen[0]), k.merged[1].max(seen[1])];
        }
        if e.let_go { Disposition::Filtered } else { outcome }
    }
}

fn order_value(policy: Policy, at: i64, rank: Option<i64>, e: &Event) -> Option<i128> {
    match policy {
        Policy::GreatestOrdered | Policy::GreatestWin | Policy::PluginOrdered => rank.map(i128::from),
        Policy::CommitTimeOrdered | Policy::CommitTimeWin => Some(i128::from(at)),
        Policy::HlcOrdered | Policy::VectorByHlcOrdered => {
            let (time, counter) = e.hlc.unwrap_or((at, 0));
            Some((i128::from(time) << 32) + i128::from(counter))
        }
        // The second source is named, the first one is not.
        Policy::OriginOrdered => i128::try_from(e.source).ok(),
        Policy::VectorOrdered => Some(e.clock.map_or(0, |c| i128::from(c[0] + c[1]))),
        _ => None,
    }
}

fn ordered(policy: Policy) -> bool {
    !matches!(
        policy,
        Policy::GreatestWin | Policy::CommitTimeWin | Policy::TakeIncoming | Policy::KeepCurrent
    )
}

/// What has seen the other comes after it; `None` where neither has.
fn cause(policy: Policy, k: &Key, e: &Event) -> Option<Ordering> {
    if !matches!(policy, Policy::VectorOrdered | Policy::VectorByHlcOrdered) {
        return None;
    }
    let ours = e.clock.unwrap_or_default();
    let ahead = (0..2).any(|r| ours[r] > k.merged[r]);
    let behind = (0..2).any(|r| ours[r] < k.merged[r]);
    match (ahead, behind) {
        (true, true) => None,
        (true, false) => Some(Ordering::Greater),
        (false, true) => Some(Ordering::Less),
        (false, false) => Some(Ordering::Equal),
    }
}

/// Whether what stands beats the change.
fn beaten(policy: Policy, k: &Key, rank: Rank, e: &Event) -> bool {
    let Some(standing) = k.rank else { return false };
    match cause(policy, k, e) {
        None => beats(standing, rank),
        Some(Ordering::Equal) => {
            beats((None, standing.1, standing.2, standing.3), (None, rank.1, rank.2, rank.3))
        }
        Some(ordering) => ordering == Ordering::Less,
    }
}

fn delete(policy: Policy, k: &mut Key, e: &Event, at: i64) -> Disposition {
    let stood = k.row.is_some();
    if ordered(policy) {
        let rank = (order_value(policy, at, e.before.and_then(|b| b.0), e), true, at, SOURCES[e.source]);
        if beaten(policy, k, rank, e) {
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

/// A row's canonical bytes: null before a value before a cell that was not sent, columns by name.
fn bytes(rank: Option<i64>, big: Option<i64>) -> [(u8, i64); 2] {
    [big.map_or((2, 0), |b| (1, b)), rank.map_or((0, 0), |r| (1, r))]
}

/// Equal in all, and no position tells which is later: the bytes do. What does not belong here has none.
fn by_bytes(k: &Key, e: &Event) -> Ordering {
    let incoming = (!e.let_go).then(|| bytes(e.rank, e.big));
    incoming.cmp(&k.row.map(|(rank, big)| bytes(rank, Some(big))))
}

fn write(policy: Policy, k: &mut Key, e: &Event, at: i64, back: bool, by_event: bool) -> Disposition {
    let rank = (order_value(policy, at, e.rank, e), false, at, SOURCES[e.source]);
    let others_gone = k.gone.iter().any(|(source, gone)| *source != e.source && *gone);
    let loses = match policy {
        Policy::TakeIncoming => false,
        _ if !ordered(policy) && others_gone => true,
        _ if !ordered(policy) && back => false,
        Policy::KeepCurrent => k.row.is_some(),
        _ => beaten(policy, k, rank, e),
    };
    if loses {
        return Disposition::KeptCurrent;
    }
    let came = matches!(policy, Policy::TakeIncoming | Policy::KeepCurrent) || !ordered(policy) && back;
    if by_event && !came && k.rank == Some(rank) {
        match by_bytes(k, e) {
            Ordering::Less => return Disposition::KeptCurrent,
            Ordering::Equal => return Disposition::NoOp,
            Ordering::Greater => {}
        }
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
