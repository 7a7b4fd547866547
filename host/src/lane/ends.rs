//! The two ends of a lane, each behind a circuit breaker: what failed last, whether it is left alone, and since when a
//! call has not come back. Told by the lane, read by health and metrics; the lane asks it when it may work again.

use std::{
    fmt,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Retry,
    breaker::{Breaker, BreakerState, Next},
};

/// A call that takes longer than this is told: the end does not answer, or makes us wait.
const SLOW: Duration = Duration::from_secs(5);

/// An end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where changes come from.
    Source,
    /// Where rows go.
    Sink,
}

impl End {
    /// Both.
    pub const ALL: [End; 2] = [End::Source, End::Sink];

    /// The word in health, log and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            End::Source => "source",
            End::Sink => "sink",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How an end is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndHealth {
    /// Its breaker's state.
    pub state: BreakerState,
    /// Failures since the last success.
    pub failures: u32,
    /// What failed last; `None` since it works.
    pub error: Option<String>,
    /// For how long a call has not come back, where that is long.
    pub silent: Option<Duration>,
}

/// Both ends of a lane.
#[derive(Debug)]
pub struct Ends {
    lane: String,
    began: Instant,
    source: Mutex<One>,
    sink: Mutex<One>,
}

#[derive(Debug)]
struct One {
    breaker: Breaker,
    error: Option<String>,
    /// When the call that is under way began.
    called: Option<Instant>,
}

impl Ends {
    pub(super) fn new(lane: String) -> Ends {
        let one = || Mutex::new(One { breaker: Breaker::new(), error: None, called: None });
        Ends { lane, began: Instant::now(), source: one(), sink: one() }
    }

    /// How an end is now.
    #[must_use]
    pub fn health(&self, end: End) -> EndHealth {
        let one = self.one(end);
        EndHealth {
            state: one.breaker.state(),
            failures: one.breaker.failures(),
            error: one.error.clone(),
            silent: one.called.map(|called| called.elapsed()).filter(|silent| *silent >= SLOW),
        }
    }

    /// When the lane may work with an end, or check it.
    pub(super) fn next(&self, end: End) -> Next {
        let now = self.began.elapsed();
        let mut one = self.one(end);
        let before = one.breaker.state();
        let next = one.breaker.next(now);
        self.tell(end, before, &one);
        next
    }

    /// A time since the lane's start, as the runtime's.
    pub(super) fn instant(&self, since: Duration) -> Instant {
        self.began + since
    }

    /// A call or a check failed.
    pub(super) fn failed(&self, end: End, error: String, retry: &Retry) {
        let now = self.began.elapsed();
        let mut one = self.one(end);
        let before = one.breaker.state();
        one.breaker.failed(now, retry);
        one.error = Some(error);
        metrics::counter!("reconverge_end_failures_total", "lane" => self.lane.clone(), "end" => end.word())
            .increment(1);
        self.tell(end, before, &one);
    }

    /// A call or a check went well.
    pub(super) fn went_well(&self, end: End, retry: &Retry) {
        let now = self.began.elapsed();
        let mut one = self.one(end);
        let before = one.breaker.state();
        if before == BreakerState::Closed && one.breaker.failures() == 0 {
            return;
        }
        one.breaker.went_well(now, retry);
        if one.breaker.state() == BreakerState::Closed {
            one.error = None;
        }
        self.tell(end, before, &one);
    }

    /// A call to an end begins; it ends when the value is dropped.
    pub(super) fn call(&self, end: End) -> Call<'_> {
        self.one(end).called = Some(Instant::now());
        Call { ends: self, end }
    }

    fn one(&self, end: End) -> MutexGuard<'_, One> {
        match end {
            End::Source => self.source.lock().expect("no holder panics"),
            End::Sink => self.sink.lock().expect("no holder panics"),
        }
    }

    fn tell(&self, end: End, before: BreakerState, one: &One) {
        let (state, failures) = (one.breaker.state(), one.breaker.failures());
        let number = match state {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        };
        metrics::gauge!("reconverge_end_state", "lane" => self.lane.clone(), "end" => end.word()).set(number);
        if state == before {
            return;
        }
        let (lane, end) = (&self.lane, end.word());
        match state {
            BreakerState::Open => {
                tracing::error!(lane, end, failures, error = one.error.as_deref(), "end.opened");
            }
            BreakerState::HalfOpen => tracing::warn!(lane, end, failures, "end.half_open"),
            BreakerState::Closed => tracing::info!(lane, end, "end.closed"),
        }
    }
}

/// A call that is under way.
#[derive(Debug)]
pub(super) struct Call<'a> {
    ends: &'a Ends,
    end: End,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.ends.one(self.end).called = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_end_has_a_state_of_its_own() {
        let ends = Ends::new("l".into());
        for _ in 0..3 {
            ends.failed(End::Sink, "refused".into(), &Retry::EXACT);
        }
        let sink = ends.health(End::Sink);
        assert_eq!(
            (sink.state, sink.failures, sink.error.as_deref()),
            (BreakerState::Open, 3, Some("refused"))
        );
        assert_eq!(ends.health(End::Source).state, BreakerState::Closed);
        assert_eq!(ends.next(End::Source), Next::Work);
        tokio::time::advance(Duration::from_secs(2)).await;
        for _ in 0..3 {
            assert_eq!(ends.next(End::Sink), Next::Check);
            ends.went_well(End::Sink, &Retry::EXACT);
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        let sink = ends.health(End::Sink);
        assert_eq!((sink.state, sink.failures, sink.error), (BreakerState::Closed, 0, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_does_not_come_back_is_told() {
        let ends = Ends::new("l".into());
        let call = ends.call(End::Sink);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(ends.health(End::Sink).silent, None);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(ends.health(End::Sink).silent, Some(Duration::from_secs(8)));
        drop(call);
        assert_eq!(ends.health(End::Sink).silent, None);
    }
}
