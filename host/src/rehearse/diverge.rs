//! A key that does not end the same in every order: the fewest of its changes that show it, in two orders.

use std::collections::BTreeSet;

use super::{
    Rehearsal, key_json,
    play::{Change, Key},
    report::{Diverging, Order},
};
use crate::scratch::{ScratchError, Stood};

/// Orders that are tried of a few changes.
const ORDERS_MAX: usize = 120;
/// Changes of a key that are looked at; of more, the first.
const CHANGES_MAX: usize = 24;

/// Two orders of messages that end differently.
type Pair = [(Vec<usize>, Option<Stood>); 2];

/// Explains a key; without `is_small` only that it diverges.
pub(super) fn explain(
    rehearsal: &mut Rehearsal,
    changes: &[Change],
    streams: &[Vec<usize>],
    key: &Key,
    is_small: bool,
) -> Result<Diverging, ScratchError> {
    let mut kept: Vec<usize> =
        changes.iter().filter(|change| change.key == *key).map(|c| c.message).collect();
    kept.dedup();
    kept.truncate(CHANGES_MAX);
    let mut found: Option<Pair> = if is_small { pair(rehearsal, streams, key, &kept)? } else { None };
    let mut at = 0;
    while found.is_some() && at < kept.len() {
        let mut fewer = kept.clone();
        fewer.remove(at);
        match pair(rehearsal, streams, key, &fewer)? {
            Some(smaller) => (found, kept) = (Some(smaller), fewer),
            None => at += 1,
        }
    }
    let plan = &rehearsal.ours.plan;
    let table = plan.table(key.0);
    let told = |message: &usize| {
        let change = changes.iter().find(|change| change.message == *message && change.key == *key);
        let sequence = rehearsal.messages[*message].sequence;
        change
            .map_or_else(|| sequence.to_string(), |c| format!("{sequence} ({} {})", c.source, c.op.letter()))
    };
    let order = |(order, stood): (Vec<usize>, Option<Stood>)| Order {
        changes: order.iter().map(told).collect(),
        row: stood.and_then(|stood| serde_json::from_str(&stood.json).ok()),
    };
    Ok(Diverging {
        table: table.shape.name.clone(),
        policy: table.rule_name.to_string(),
        key: key_json(plan, key),
        orders: found.into_iter().flatten().map(order).collect(),
    })
}

/// Two orders of these messages, that keep each stream's, and end in different rows of the key.
fn pair(
    rehearsal: &mut Rehearsal,
    streams: &[Vec<usize>],
    key: &Key,
    kept: &[usize],
) -> Result<Option<Pair>, ScratchError> {
    let of = |stream: &Vec<usize>| stream.iter().copied().filter(|m| kept.contains(m)).collect::<Vec<_>>();
    let lists: Vec<Vec<usize>> = streams.iter().map(of).filter(|list| !list.is_empty()).collect();
    let mut orders = BTreeSet::new();
    interleave(&mut lists.iter().map(|list| &list[..]).collect::<Vec<_>>(), &mut Vec::new(), &mut orders);
    let mut first: Option<(Vec<usize>, Option<Stood>)> = None;
    for order in orders {
        let stood = rehearsal.ours.play(&rehearsal.messages, &order, 1)?.rows.remove(key);
        match &first {
            None => first = Some((order, stood)),
            Some((_, one)) if one.as_ref().map(|s| &s.bytes) == stood.as_ref().map(|s| &s.bytes) => {}
            Some(one) => return Ok(Some([one.clone(), (order, stood)])),
        }
    }
    Ok(None)
}

fn interleave(left: &mut [&[usize]], order: &mut Vec<usize>, found: &mut BTreeSet<Vec<usize>>) {
    if found.len() >= ORDERS_MAX {
        return;
    }
    if left.iter().all(|list| list.is_empty()) {
        found.insert(order.clone());
        return;
    }
    // Backwards too, so that the first of many orders are not all alike.
    for list in (0..left.len()).rev() {
        let Some((&message, rest)) = left[list].split_first() else { continue };
        let before = std::mem::replace(&mut left[list], rest);
        order.push(message);
        interleave(left, order, found);
        order.pop();
        left[list] = before;
    }
}
