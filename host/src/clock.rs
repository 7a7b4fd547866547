//! Logical clocks that a change may carry: vector clocks, which tell what its writer had seen, and hybrid logical
//! clocks, which order changes by time without contradicting cause and effect.
//!
//! Values only, read at decode and compared in resolve. Sources of the rules: Mattern 1988 for vector clocks, Kulkarni
//! and others 2014 for hybrid ones.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use reconverge_streams::position::Micros;
use serde::{Deserialize, Serialize};

/// Regions in one vector clock, at most. A clock is kept with every row.
pub const REGIONS_MAX: usize = 256;

/// What a change carries. Both may be missing: most sources send none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// How many writes of each region the writer had seen, its own included.
    pub vector: Option<Arc<VectorClock>>,
    /// When it was written, by a clock that never runs behind what its writer had seen.
    pub hlc: Option<Hlc>,
}

/// Writes of a row by region. A region that is not named has written none; zero is never stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VectorClock(BTreeMap<String, u64>);

/// How one clock stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Causality {
    /// It has seen all that the other has seen, and more: it comes after.
    Dominates,
    /// The other has seen all of it, and more: it comes before.
    Dominated,
    /// Both have seen the same.
    Equal,
    /// Each has seen what the other has not: a conflict.
    Concurrent,
}

impl VectorClock {
    /// A clock of (region, writes).
    #[must_use]
    pub fn new<S: Into<String>>(regions: impl IntoIterator<Item = (S, u64)>) -> Self {
        let named = regions.into_iter().filter(|(_, writes)| *writes > 0);
        VectorClock(named.map(|(region, writes)| (region.into(), writes)).collect())
    }

    /// How this clock stands to `other`.
    #[must_use]
    pub fn against(&self, other: &VectorClock) -> Causality {
        let ahead = self.0.iter().any(|(region, writes)| *writes > other.writes(region));
        let behind = other.0.iter().any(|(region, writes)| *writes > self.writes(region));
        match (ahead, behind) {
            (true, false) => Causality::Dominates,
            (false, true) => Causality::Dominated,
            (false, false) => Causality::Equal,
            (true, true) => Causality::Concurrent,
        }
    }

    /// Takes in what another clock has seen: the greater number of each region.
    pub fn merge(&mut self, other: &VectorClock) {
        for (region, writes) in &other.0 {
            let own = self.0.entry(region.clone()).or_default();
            *own = (*own).max(*writes);
        }
    }

    /// One more write of a region.
    pub fn count(&mut self, region: &str) {
        let own = self.0.entry(region.to_owned()).or_default();
        *own = own.saturating_add(1);
    }

    /// How many writes it has seen in all. A clock that dominates another is heavier, so weight is an order that
    /// never contradicts cause and effect.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.0.values().fold(0, |sum, writes| sum.saturating_add(*writes))
    }

    /// Writes by region, in the order of names.
    pub fn by_region(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(region, writes)| (region.as_str(), *writes))
    }

    /// How many regions it names.
    #[must_use]
    pub fn regions(&self) -> usize {
        self.0.len()
    }

    fn writes(&self, region: &str) -> u64 {
        self.0.get(region).copied().unwrap_or_default()
    }
}

/// A hybrid logical clock: microseconds UTC, then a counter. Written `1760000000100000-3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hlc {
    /// Microseconds since 1970 UTC.
    pub physical: Micros,
    /// Order within the same microsecond.
    pub counter: u32,
}

impl Hlc {
    /// The clock of a write of which only the time is known.
    #[must_use]
    pub fn at(physical: Micros) -> Self {
        Hlc { physical, counter: 0 }
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.physical, self.counter)
    }
}

/// The text is no hybrid logical clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hybrid logical clock is written as microseconds, `-`, counter: \"1760000000100000-3\"")]
pub struct NoHlc;

impl FromStr for Hlc {
    type Err = NoHlc;

    fn from_str(text: &str) -> Result<Self, NoHlc> {
        // From the right: the time of a clock before 1970 begins with a minus itself.
        let (physical, counter) = text.rsplit_once('-').ok_or(NoHlc)?;
        let number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if !number(physical.strip_prefix('-').unwrap_or(physical)) || !number(counter) {
            return Err(NoHlc);
        }
        Ok(Hlc {
            physical: physical.parse().map_err(|_| NoHlc)?,
            counter: counter.parse().map_err(|_| NoHlc)?,
        })
    }
}

impl TryFrom<String> for Hlc {
    type Error = NoHlc;

    fn try_from(text: String) -> Result<Self, NoHlc> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(regions: &[(&str, u64)]) -> VectorClock {
        VectorClock::new(regions.iter().copied())
    }

    /// A sketch in circulation has the first two the wrong way round.
    #[test]
    fn all_four_outcomes_of_a_comparison() {
        let cases: [(&[_], &[_], Causality); 11] = [
            (&[("us", 2)], &[("us", 1)], Causality::Dominates),
            (&[("us", 1)], &[("us", 2)], Causality::Dominated),
            (&[("us", 1), ("eu", 1)], &[("us", 1)], Causality::Dominates),
            (&[("us", 1)], &[("us", 1), ("eu", 1)], Causality::Dominated),
            (&[("us", 5), ("eu", 2)], &[("us", 5), ("eu", 2)], Causality::Equal),
            (&[], &[], Causality::Equal),
            (&[("us", 0)], &[], Causality::Equal),
            (&[], &[("us", 1)], Causality::Dominated),
            (&[("us", 1)], &[], Causality::Dominates),
            (&[("us", 2), ("eu", 1)], &[("us", 1), ("eu", 2)], Causality::Concurrent),
            (&[("us", 1)], &[("eu", 1)], Causality::Concurrent),
        ];
        for (ours, theirs, outcome) in cases {
            assert_eq!(clock(ours).against(&clock(theirs)), outcome, "{ours:?} against {theirs:?}");
        }
    }

    #[test]
    fn a_merged_clock_dominates_what_it_was_merged_from_and_is_no_lighter() {
        let (us, eu) = (clock(&[("us", 3), ("eu", 1)]), clock(&[("us", 1), ("eu", 4), ("ap", 1)]));
        let mut merged = us.clone();
        merged.merge(&eu);
        assert_eq!(merged, clock(&[("us", 3), ("eu", 4), ("ap", 1)]));
        assert_eq!(
            [merged.against(&us), merged.against(&eu), us.against(&merged)],
            [Causality::Dominates, Causality::Dominates, Causality::Dominated]
        );
        assert_eq!((us.weight(), eu.weight(), merged.weight()), (4, 6, 8));
    }

    #[test]
    fn hybrid_clocks_read_back_and_go_by_time_first() {
        for text in ["1760000000100000-3", "-5-0", "0-4294967295"] {
            assert_eq!(text.parse::<Hlc>().unwrap().to_string(), text);
        }
        for wrong in
            ["", "5", "-5", "5-", "-", "5-x", "+5-1", "5-+1", "5-4294967296", "99999999999999999999-0"]
        {
            assert_eq!(wrong.parse::<Hlc>(), Err(NoHlc), "{wrong}");
        }
        let clock = |text: &str| text.parse::<Hlc>().unwrap();
        assert!(clock("10-0") > clock("9-7") && clock("10-2") > clock("10-1"));
    }
}
