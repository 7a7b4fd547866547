//! Rows that are put together, by definition: a function of the set of changes, which knows no order of arrival.

use std::collections::BTreeMap;

use crate::plan::Deletes;

use super::history::{Event, Kind, Policy, SOURCES};

/// Order value, is delete, commit time, origin, position at the origin; the greater wins.
type Rank = (Option<i128>, bool, i64, &'static str, u64);

/// A change that passed the gate, with the commit time that counts.
struct Term<'a> {
    event: &'a Event,
    at: i64,
}

pub(super) fn rows(policy: Policy, history: &[Event]) -> BTreeMap<i64, (Option<i64>, i64)> {
    let mut keys: BTreeMap<i64, Vec<Term<'_>>> = BTreeMap::new();
    for event in history {
        let terms = keys.entry(event.key).or_default();
        let of_source = terms.iter().filter(|t| t.event.source == event.source);
        if of_source.clone().any(|t| t.event.commit >= event.commit) {
            continue;
        }
        let live = of_source.filter(|t| t.event.kind != Kind::Snapshot).map(|t| t.at).next_back();
        let at = if event.kind == Kind::Snapshot { live.unwrap_or(i64::MIN) } else { event.at };
        terms.push(Term { event, at });
    }
    keys.into_iter().filter_map(|(key, terms)| Some((key, row(policy, &terms)?))).collect()
}

fn by_rank(policy: Policy) -> bool {
    matches!(policy, Policy::ColumnsByRankOrdered | Policy::CounterByRankOrdered)
}

fn row(policy: Policy, terms: &[Term<'_>]) -> Option<(Option<i64>, i64)> {
    let order = |t: &Term<'_>| match policy {
        Policy::ColumnsByHlcOrdered => {
            let (time, counter) = t.event.hlc.unwrap_or((t.at, 0));
            Some((i128::from(time) << 32) + i128::from(counter))
        }
        // The second source is named, the first one is not.
        Policy::ColumnsByOriginOrdered => i128::try_from(t.event.source).ok(),
        _ if !by_rank(policy) => Some(i128::from(t.at)),
        _ if t.event.kind == Kind::Delete => t.event.before.and_then(|b| b.0).map(i128::from),
        _ => t.event.rank.map(i128::from),
    };
    let rank = |t: &Term<'_>| -> Rank {
        (order(t), t.event.kind == Kind::Delete, t.at, SOURCES[t.event.source], t.event.commit)
    };
    if policy.deletes() == Deletes::Win && terms.iter().any(|t| t.event.kind == Kind::Delete) {
        return None;
    }
    let newest = terms.iter().max_by_key(|t| rank(t))?.event;
    if newest.kind == Kind::Delete || newest.let_go {
        return None;
    }
    if matches!(
        policy,
        Policy::CounterByTimeOrdered | Policy::CounterByTimeWin | Policy::CounterByRankOrdered
    ) {
        return Some((newest.rank, terms.iter().enumerate().map(|(i, t)| added(t.event, &terms[..i])).sum()));
    }
    // Per column: (changed, order value, time, origin, position) and the value.
    type Stamp = (bool, Option<i128>, i64, &'static str, u64);
    let stamp = |t: &Term<'_>, changed: bool| -> Stamp {
        let (source, commit) = (SOURCES[t.event.source], t.event.commit);
        if changed { (true, order(t), t.at, source, commit) } else { (false, None, 0, source, commit) }
    };
    let mut ranks: Vec<(Stamp, Option<i64>)> = Vec::new();
    let mut bigs: Vec<(Stamp, i64)> = Vec::new();
    for t in terms {
        let (e, before) = (t.event, t.event.before);
        let writes = e.kind != Kind::Delete;
        let rank = if writes { e.rank } else { before.and_then(|b| b.0) };
        let differs = writes && e.kind != Kind::Snapshot && before.is_none_or(|b| b.0 != rank);
        ranks.push((stamp(t, differs || by_rank(policy)), rank));
        let Some(big) = e.big.filter(|_| writes).or(before.map(|b| b.1)) else { continue };
        let differs = writes && e.kind != Kind::Snapshot && before.is_none_or(|b| b.1 != big);
        bigs.push((stamp(t, differs), big));
    }
    Some((ranks.into_iter().max()?.1, bigs.into_iter().max()?.1))
}

/// What a change adds to the sum; `earlier` are all before it.
fn added(e: &Event, earlier: &[Term<'_>]) -> i64 {
    let before = e.before.map_or(0, |b| b.1);
    match e.kind {
        Kind::Snapshot if earlier.iter().any(|t| t.event.source == e.source) => 0,
        Kind::Snapshot | Kind::Create => e.big.unwrap_or(0),
        Kind::Update => e.big.map_or(0, |big| big - before),
        Kind::Delete => -before,
    }
}
