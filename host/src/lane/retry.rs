//! How often and how long to try again. Pure: what is drawn is drawn from names and counts.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use super::Until;

/// How often and how long to try again what passes by itself.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries before a job gives up; a pipeline that runs for ever goes on at the longest pause.
    pub tries: u32,
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub max: Duration,
    /// How much longer each pause is than the one before.
    pub factor: f64,
    /// What the jitter of pauses is drawn from: another number for each lane and process. 0: pauses are exact.
    pub jitter: u64,
}

impl Retry {
    /// The defaults, without jitter, so that pauses can be told to the millisecond.
    #[cfg(test)]
    pub(super) const EXACT: Retry = Retry {
        tries: 5,
        first: Duration::from_millis(500),
        max: Duration::from_secs(8),
        factor: 2.0,
        jitter: 0,
    };

    /// For what has a name: the jitter of its pauses is its own.
    #[must_use]
    pub fn of(self, name: impl Hash) -> Retry {
        Retry { jitter: drawn(name) | 1, ..self }
    }

    pub(super) fn goes_on(&self, failures: u32, until: Until) -> bool {
        until == Until::Forever || failures + 1 < self.tries
    }

    /// The pause after so many failures before this one: from three quarters of what the rule says to the whole, so that
    /// those who failed together do not come back together.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let grown = self.factor.powi(i32::try_from(failures.min(64)).unwrap_or(64));
        let longest = self.first.mul_f64(grown.min(1e6)).min(self.max);
        if self.jitter == 0 {
            return longest;
        }
        let eighths = 6.0 + (drawn((self.jitter, failures)) % 1024) as f64 / 512.0;
        longest.mul_f64(eighths / 8.0)
    }
}

/// A number that looks like any other and is the same for the same `name`.
fn drawn(name: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn pauses_grow_to_the_longest() {
        let retry = Retry::EXACT;
        let pauses: Vec<u128> = (0..7).map(|f| retry.pause(f).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(retry.pause(u32::MAX).as_secs(), 8);
    }

    #[test]
    fn lanes_that_failed_together_do_not_come_back_together() {
        let exact = Retry { first: Retry::EXACT.max, ..Retry::EXACT };
        let pauses: BTreeSet<Duration> = (0..100).map(|lane| exact.of(lane).pause(0)).collect();
        assert!(pauses.len() > 80, "{pauses:?}");
        assert!(
            pauses.iter().all(|p| (Duration::from_secs(6)..=Duration::from_secs(8)).contains(p)),
            "{pauses:?}"
        );
        let of_one: BTreeSet<Duration> = (0..20).map(|failures| exact.of("lane").pause(failures)).collect();
        assert!(of_one.len() > 15, "a lane's own pauses differ too: {of_one:?}");
        assert_eq!(exact.of("lane").pause(3), exact.of("lane").pause(3));
    }
}
