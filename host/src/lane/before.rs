//! The lanes that go before: what a lane waits for between decoding a batch and committing it.
//!
//! A lane that is declared `after` others commits a batch only when each of them has resolved and committed everything
//! up to the batch's last sequence. What is asked is how far the other lane has looked, in the sink, where it stands
//! whichever process owns that lane, and also when it is quiet. With `yield_lag` it waits, besides, while one of them
//! lags behind the stream by more than that.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use reconverge_streams::{
    roster::{Roster, Way},
    sink::{Claim, Sink, SinkError},
    source::Source,
};
use tokio::time::Instant;

use super::{IDLE, Lane, LaneError, LaneState, Until};

/// The first pause between two questions how far the others are; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(2);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// How often a lane that yields asks the stream how far the others lag.
const LAG_LOOK: Duration = Duration::from_secs(1);
/// Sequences behind a lane's way that are looked at for a message that is still there.
const LAG_DEPTH: usize = 8;

/// How far lanes are, asked of whatever keeps their checkpoints.
pub trait Ways: Send + Sync {
    /// See [`Roster::ways`].
    fn ways<'a>(
        &'a self,
        lanes: &'a [String],
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Way>, SinkError>> + Send + 'a>>;
}

impl<R: Roster> Ways for R {
    fn ways<'a>(
        &'a self,
        lanes: &'a [String],
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Way>, SinkError>> + Send + 'a>> {
        Box::pin(Roster::ways(self, lanes))
    }
}

/// See the module. The default waits for nobody.
#[derive(Clone, Default)]
pub struct Before {
    lanes: Vec<String>,
    ways: Option<Arc<dyn Ways>>,
    yield_lag: Option<Duration>,
    /// All of them have resolved everything up to here.
    resolved: u64,
    looked_at: Option<Instant>,
}

impl Before {
    /// These lanes go before, by their names in the sink.
    pub fn new(lanes: Vec<String>, ways: Arc<dyn Ways>, yield_lag: Option<Duration>) -> Self {
        Before { lanes, ways: Some(ways), yield_lag, ..Before::default() }
    }

    /// Whether no lane goes before.
    pub(super) fn is_nobody(&self) -> bool {
        self.lanes.is_empty()
    }

    async fn ask(&self) -> Result<Vec<Way>, SinkError> {
        match &self.ways {
            Some(ways) => ways.ways(&self.lanes).await,
            None => Ok(Vec::new()),
        }
    }
}

impl fmt::Debug for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Before").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

impl<S: Source, K: Sink> Lane<'_, S, K> {
    /// Waits until everything up to `last` may be committed; false where `shutdown` ended first. Holds no transaction
    /// meanwhile and keeps the lane.
    pub(super) async fn let_others_go_before(
        &mut self,
        last: u64,
        claim: &mut K::Claim,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<bool, LaneError> {
        if self.settings.before.lanes.is_empty() {
            return Ok(true);
        }
        let began = Instant::now();
        let mut wait = Wait { kept_at: began, moved_at: began, at: 0, tells: false };
        let mut pause = PAUSE;
        while let Some(why) = self.why_not(last, &mut wait).await? {
            if wait.kept_at.elapsed() >= IDLE {
                let scanned = claim.checkpoint().scanned;
                claim.idle(scanned).await?;
                wait.kept_at = Instant::now();
            }
            if wait.moved_at.elapsed() >= self.settings.claim.lease {
                // Long enough that somebody should know; until then it is the ordinary course of things.
                self.progress.set(LaneState::Waiting(why));
                wait.tells = true;
            }
            tokio::select! {
                biased;
                () = shutdown.as_mut() => return Ok(false),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        if wait.tells {
            self.progress.set(LaneState::Running);
        }
        let lane = self.settings.claim.lane.to_string();
        metrics::counter!("reconverge_lane_barrier_wait_ms_total", "lane" => lane)
            .increment(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        Ok(true)
    }

    /// Why the batch has to wait; `None` where it need not.
    async fn why_not(&mut self, last: u64, wait: &mut Wait) -> Result<Option<String>, LaneError> {
        let before = &self.settings.before;
        let yields = before.yield_lag.is_some();
        let lag_is_due = yields && before.looked_at.is_none_or(|at| at.elapsed() >= LAG_LOOK);
        if before.resolved >= last && !lag_is_due {
            return Ok(None);
        }
        let ways = before.ask().await?;
        let least = ways.iter().zip(&before.lanes).min_by_key(|(way, _)| way.scanned);
        let Some((least, lane)) = least.map(|(way, lane)| (way.clone(), lane.clone())) else {
            return Ok(None);
        };
        if least.scanned > wait.at {
            (wait.at, wait.moved_at) = (least.scanned, Instant::now());
        }
        self.settings.before.resolved = least.scanned;
        if least.scanned < last {
            self.refuse_to_wait_in_vain(&lane, &least, wait)?;
            return Ok(Some(format!("lane {lane} goes before and has resolved up to {}", least.scanned)));
        }
        if lag_is_due && let Some(why) = self.who_lags(&ways).await? {
            return Ok(Some(why));
        }
        self.settings.before.looked_at = Some(Instant::now());
        Ok(None)
    }

    /// A job ends some day: it waits for a lane that nobody works on only as long as a silent owner would keep it.
    fn refuse_to_wait_in_vain(&self, lane: &str, way: &Way, wait: &Wait) -> Result<(), LaneError> {
        let in_vain = !way.is_held && wait.moved_at.elapsed() >= self.settings.claim.lease * 2;
        if self.settings.until == Until::Forever || !in_vain {
            return Ok(());
        }
        Err(LaneError::Halted {
            what: format!(
                "lane {lane}, which goes before lane {}, stands at sequence {} and nobody works on it",
                self.settings.claim.lane, way.scanned
            ),
            hint: "see why that lane stopped; `reconverge lanes list` shows who holds what".into(),
        })
    }

    /// The lane before this one that lags behind the stream by more than it may.
    async fn who_lags(&mut self, ways: &[Way]) -> Result<Option<String>, LaneError> {
        let Some(allowed) = self.settings.before.yield_lag else { return Ok(None) };
        let end = match self.settings.until {
            Until::Forever => self.source.inspect().await?.last,
            Until::Sequence(last) => self.source.inspect().await?.last.min(last),
        };
        let now = jiff::Timestamp::now().as_microsecond();
        for (at, way) in ways.iter().enumerate() {
            let Some(waits_since) = self.first_behind(way.scanned, end).await? else { continue };
            let lag = Duration::from_micros(u64::try_from(now.saturating_sub(waits_since)).unwrap_or(0));
            if lag > allowed {
                let lane = &self.settings.before.lanes[at];
                return Ok(Some(format!("yields to lane {lane}, which lags {} s", lag.as_secs())));
            }
        }
        Ok(None)
    }

    /// The stream's time of the first message behind a sequence, up to `end`. A hole of more than a few sequences
    /// counts as nothing: then the next look tells.
    async fn first_behind(&mut self, sequence: u64, end: u64) -> Result<Option<i64>, LaneError> {
        for sequence in (sequence + 1..=end).take(LAG_DEPTH) {
            if let Some(found) = self.source.fetch(sequence).await? {
                return Ok(Some(found.published_at));
            }
        }
        Ok(None)
    }
}

/// One wait.
struct Wait {
    /// When the lane was last kept.
    kept_at: Instant,
    /// When the last of the others last moved, and to where.
    moved_at: Instant,
    at: u64,
    /// Whether it was told that the lane waits.
    tells: bool,
}
