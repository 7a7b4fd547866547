//! Rules by logical clocks, and what is kept of clocks with a key (`version.clock`).
//!
//! Kept is the merged vector clock of all that took part, so that a change which any of it had seen is known as such;
//! beside it how much the writer of what stands had seen, its hybrid clock, and, for rules by column, the change
//! that each column is of ([`super::stamp`]).

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    batch::Op,
    clock::{Causality, Hlc, VectorClock},
    plan::Rule,
};

use super::{
    stamp::Stamp,
    state::KeyState,
    table::{Incoming, TableResolver},
};

/// The clocks of a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct KeyClock {
    /// What all changes that took part had seen.
    pub(super) vector: VectorClock,
    /// How much the writer of what stands had seen.
    pub(super) weight: u64,
    /// The hybrid clock of what stands.
    pub(super) hlc: Option<Hlc>,
    /// By column name: the change that its value is of.
    pub(super) stamps: BTreeMap<String, Arc<Stamp>>,
}

/// The form in the sidecar: the vector clock by region, and under names that are no regions the rest.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    #[serde(rename = "$weight", default, skip_serializing_if = "Option::is_none")]
    weight: Option<u64>,
    #[serde(rename = "$hlc", default, skip_serializing_if = "Option::is_none")]
    hlc: Option<String>,
    #[serde(rename = "$columns", default, skip_serializing_if = "Vec::is_empty")]
    columns: Vec<(Stamp, Vec<String>)>,
    #[serde(flatten)]
    vector: BTreeMap<String, u64>,
}

impl KeyClock {
    /// Reads what a version keeps. What does not read is of a policy that the table no longer has.
    pub(super) fn read(json: &str) -> Option<Box<Self>> {
        let kept: Kept = serde_json::from_str(json).ok()?;
        let stamped = kept.columns.into_iter().flat_map(|(stamp, names)| {
            let stamp = Arc::new(stamp);
            names.into_iter().map(move |name| (name, Arc::clone(&stamp)))
        });
        Some(Box::new(KeyClock {
            vector: VectorClock::new(kept.vector),
            weight: kept.weight.unwrap_or_default(),
            hlc: kept.hlc.and_then(|text| text.parse().ok()),
            stamps: stamped.collect(),
        }))
    }

    /// As a version keeps it; `None` where there is nothing to keep.
    pub(super) fn write(&self) -> Option<String> {
        let mut columns: Vec<(Stamp, Vec<String>)> = Vec::new();
        for (name, stamp) in &self.stamps {
            match columns.iter_mut().find(|(known, _)| known == &**stamp) {
                Some((_, names)) => names.push(name.clone()),
                None => columns.push(((**stamp).clone(), vec![name.clone()])),
            }
        }
        let kept = Kept {
            weight: (self.weight > 0).then_some(self.weight),
            hlc: self.hlc.map(|hlc| hlc.to_string()),
            columns,
            vector: self.vector.by_region().map(|(region, writes)| (region.to_owned(), writes)).collect(),
        };
        (*self != KeyClock::default())
            .then(|| serde_json::to_string(&kept).expect("maps of text and numbers"))
    }
}

impl TableResolver<'_> {
    /// The clock that the table's rule needs and the change does not carry. A snapshot row carries none: it is as old
    /// as what it repeats.
    pub(super) fn unsent_clock(&self, incoming: &Incoming) -> Option<&'static str> {
        let change = &self.batch.changes[incoming.row as usize];
        let lacks = |rule: &Rule| match rule {
            Rule::Hlc if change.clocks.hlc.is_none() => Some("hlc"),
            _ => None,
        };
        let lacking = match self.table.rule.order() {
            Rule::Vector(_) if change.clocks.vector.is_none() => Some("clock"),
            Rule::Vector(Some(by)) => lacks(by),
            rule => lacks(rule),
        };
        lacking.filter(|_| change.op != Op::Snapshot)
    }

    /// By vector clocks: what has seen the other comes after it. Of two that have not seen each other the rule
    /// behind decides, or else who has seen more.
    pub(super) fn by_vector(
        &self,
        incoming: &Incoming,
        concurrent: impl FnOnce() -> Option<Ordering>,
    ) -> Ordering {
        let (standing, weight) = self.standing_vector(&self.keys[incoming.key]);
        let ours = self.vector(incoming);
        match ours.against(&standing) {
            Causality::Dominates => Ordering::Greater,
            Causality::Dominated => Ordering::Less,
            Causality::Equal => Ordering::Equal,
            Causality::Concurrent => concurrent().unwrap_or_else(|| ours.weight().cmp(&weight)),
        }
    }

    /// By hybrid logical clocks.
    pub(super) fn by_hlc(&self, incoming: &Incoming) -> Ordering {
        Some(self.hlc(incoming)).cmp(&self.standing_hlc(&self.keys[incoming.key]))
    }

    /// The change's hybrid clock; of one that carries none its time.
    pub(super) fn hlc(&self, incoming: &Incoming) -> Hlc {
        let carried = self.batch.changes[incoming.row as usize].clocks.hlc;
        carried.unwrap_or(Hlc::at(incoming.at))
    }

    /// The hybrid clock of what stands; of a local write its time, where that is known.
    pub(super) fn standing_hlc(&self, state: &KeyState) -> Option<Hlc> {
        let kept = state.clock.as_ref().and_then(|clock| clock.hlc).filter(|_| !state.local);
        kept.or(state.at.map(Hlc::at))
    }

    /// After a decision: what took part is known from now on; where the change stands, it is its clock that counts.
    /// `local` tells that it met what the application wrote.
    pub(super) fn advance_clock(&mut self, incoming: &Incoming, ordering: Ordering, local: bool) {
        let rule = self.table.rule.order();
        let by_vector = matches!(rule, Rule::Vector(_));
        let by_hlc = match rule {
            Rule::Vector(Some(by)) => **by == Rule::Hlc,
            rule => *rule == Rule::Hlc,
        };
        if !by_vector && !by_hlc {
            return;
        }
        let (vector, hlc) = (self.vector(incoming), by_hlc.then(|| self.hlc(incoming)));
        let region = self.plan.names.get(self.plan.region);
        let state = &mut self.keys[incoming.key];
        let clock = state.clock.get_or_insert_default();
        if ordering == Ordering::Greater {
            if local && by_vector {
                // The local write took part as one more write of our region; from now on it is known to all.
                clock.vector.count(&region);
            }
            (clock.weight, clock.hlc) = (if by_vector { vector.weight() } else { 0 }, hlc);
        }
        if by_vector {
            clock.vector.merge(&vector);
        }
    }

    fn vector(&self, incoming: &Incoming) -> Arc<VectorClock> {
        self.batch.changes[incoming.row as usize].clocks.vector.clone().unwrap_or_default()
    }

    /// What was seen by what stands and took part before it, and how much by what stands. A local write has seen what it
    /// replaced, and is one more write of our region.
    fn standing_vector(&self, state: &KeyState) -> (VectorClock, u64) {
        let Some(clock) = &state.clock else { return self.unseen(state) };
        if !state.local {
            return (clock.vector.clone(), clock.weight);
        }
        let mut vector = clock.vector.clone();
        vector.count(&self.plan.names.get(self.plan.region));
        let weight = vector.weight();
        (vector, weight)
    }

    fn unseen(&self, state: &KeyState) -> (VectorClock, u64) {
        let mut vector = VectorClock::default();
        if state.local {
            vector.count(&self.plan.names.get(self.plan.region));
        }
        let weight = vector.weight();
        (vector, weight)
    }
}
