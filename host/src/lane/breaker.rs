//! The circuit breaker of one end of a lane, the source or the sink: after some failures in a row the end is left
//! alone, then tried with checks that cost little, and worked with again only after several good ones in a row.
//!
//! Pure: time is a parameter (since the lane's start), and what to do is an answer.

use std::time::Duration;

use super::Retry;

/// Failures in a row after which it opens.
const OPENS_AFTER: u32 = 3;
/// Good checks in a row after which it closes.
const CLOSES_AFTER: u32 = 3;

/// What it is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// The end works, or has not failed often enough.
    Closed,
    /// The end is left alone.
    Open,
    /// The end is tried with checks.
    HalfOpen,
}

impl BreakerState {
    /// The word in health and log.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half-open",
        }
    }
}

/// What to do next with the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Work.
    Work,
    /// Nothing, until then.
    WaitUntil(Duration),
    /// One check, whose outcome is to be told.
    Check,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Breaker {
    state: BreakerState,
    /// Failures since the last success, whatever the state.
    failures: u32,
    /// Good checks since it is half open.
    good: u32,
    /// Before then nothing is done.
    until: Duration,
}

impl Breaker {
    pub fn new() -> Breaker {
        Breaker { state: BreakerState::Closed, failures: 0, good: 0, until: Duration::ZERO }
    }

    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// What to do at `now`.
    pub fn next(&mut self, now: Duration) -> Next {
        if now < self.until {
            return Next::WaitUntil(self.until);
        }
        if self.state == BreakerState::Open {
            (self.state, self.good) = (BreakerState::HalfOpen, 0);
        }
        if self.state == BreakerState::HalfOpen { Next::Check } else { Next::Work }
    }

    /// A call or a check failed: nothing before a pause that grows as `retry` says.
    pub fn failed(&mut self, now: Duration, retry: &Retry) {
        self.until = now.saturating_add(retry.pause(self.failures));
        self.failures = self.failures.saturating_add(1);
        if self.state == BreakerState::HalfOpen || self.failures >= OPENS_AFTER {
            self.state = BreakerState::Open;
        }
    }

    /// A call or a check went well. Checks are `retry`'s first pause apart.
    pub fn went_well(&mut self, now: Duration, retry: &Retry) {
        self.good = self.good.saturating_add(1);
        match self.state {
            // A late success of what was called before: the pause stands.
            BreakerState::Open => {}
            BreakerState::HalfOpen if self.good < CLOSES_AFTER => {
                self.until = now.saturating_add(retry.pause(0));
            }
            BreakerState::Closed | BreakerState::HalfOpen => {
                (self.state, self.failures, self.until) = (BreakerState::Closed, 0, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One step of a story, at its time in milliseconds.
    #[derive(Debug)]
    enum Step {
        Failed(u64),
        Good(u64),
        Works(u64),
        Waits(u64, u64),
        Checks(u64),
    }

    fn told(story: &[Step], end: BreakerState, failures: u32) {
        let mut breaker = Breaker::new();
        let ms = Duration::from_millis;
        for step in story {
            match *step {
                Step::Failed(at) => breaker.failed(ms(at), &Retry::EXACT),
                Step::Good(at) => breaker.went_well(ms(at), &Retry::EXACT),
                Step::Works(at) => assert_eq!(breaker.next(ms(at)), Next::Work, "{step:?} of {story:?}"),
                Step::Waits(at, until) => {
                    assert_eq!(breaker.next(ms(at)), Next::WaitUntil(ms(until)), "{step:?} of {story:?}");
                }
                Step::Checks(at) => assert_eq!(breaker.next(ms(at)), Next::Check, "{step:?} of {story:?}"),
            }
        }
        assert_eq!((breaker.state(), breaker.failures()), (end, failures), "{story:?}");
    }

    #[test]
    fn stories() {
        use BreakerState::{Closed, HalfOpen, Open};
        use Step::{Checks, Failed, Good, Waits, Works};
        told(&[Works(0), Good(1), Works(1)], Closed, 0);
        // Two failures pause, and a success forgets them.
        told(&[Failed(0), Waits(1, 500), Works(500), Failed(500), Waits(501, 1500), Works(1500)], Closed, 2);
        told(&[Failed(0), Failed(500), Good(1500), Failed(2000), Waits(2001, 2500), Works(2500)], Closed, 1);
        // The third opens it: nothing, then a check.
        told(&[Failed(0), Failed(500), Failed(1500), Waits(1501, 3500)], Open, 3);
        told(&[Failed(0), Failed(0), Failed(0), Waits(1999, 2000), Checks(2000)], HalfOpen, 3);
        // Three good checks, apart from each other, close it.
        let opened = || vec![Failed(0), Failed(0), Failed(0), Checks(2000)];
        let mut story = opened();
        story.extend([Good(2000), Waits(2001, 2500), Checks(2500), Good(2500), Checks(3000)]);
        told(&story, HalfOpen, 3);
        story.extend([Good(3000), Works(3000)]);
        told(&story, Closed, 0);
        // One bad check opens it again, for longer, and the good ones before it do not count.
        let mut story = opened();
        story.extend([Good(2000), Checks(2500), Failed(2500), Waits(2501, 6500), Checks(6500)]);
        story.extend([Good(6500), Checks(7000), Good(7000), Checks(7500)]);
        told(&story, HalfOpen, 4);
        // It is never left alone for longer than the longest pause.
        let mut story = opened();
        story.extend((1..=20).flat_map(|n| [Failed(n * 10_000), Checks(n * 10_000 + 8000)]));
        told(&story, HalfOpen, 23);
    }
}
