//! A lane: pulls, decodes, decides, commits, releases. In order, one transaction at a time; while one is in flight,
//! the next batches are pulled and decoded.
//!
//! The loop is thin: what to do is decided by pure parts ([`crate::decode`], [`crate::resolve`]), and how far we
//! are stands in the sink. Any doubt ends the current claim, and the lane begins again from the checkpoint.

mod alarms;
mod ahead;
mod batches;
mod before;
mod by_hand;
mod breaker;
mod commit;
mod retry;
mod ends;
mod error;
mod follow;
mod leaving;
mod left_out;
mod pace;
mod holes;
mod wait;
mod released;
mod depth;
mod progress;
mod read;
mod report;
mod retention;
mod tidying;
mod suspicion;
mod went_back;
mod whole;
mod window;

use std::{future::Future, sync::Arc, time::Duration};

use reconverge_streams::{
    sink::{Claim, ClaimRequest, Sink},
    source::{Limits, Source, SourceError, StreamFacts},
};
use tokio::time::Instant;

use crate::{
    decode::Decoder,
    generation::{Live, Recent},
    plan::Plan,
    stages::Stages,
    waiting::Queue,
};

use self::breaker::Next;
pub(crate) use self::left_out::leave_out;
pub use self::{
    alarms::Alarms,
    before::{Before, Ways},
    breaker::BreakerState,
    depth::{Depths, ParkedLimits},
    ends::{End, EndHealth, Ends},
    error::LaneError,
    follow::Followed,
    progress::{LaneState, Lanes, Progress},
    report::RunReport,
    retention::{Near, near},
    retry::Retry,
    tidying::Kept,
};

/// How long a quiet lane waits between two signs of life to the sink.
const IDLE: Duration = Duration::from_secs(1);

/// Kept rows that one transaction of a sweep puts in.
const SWEPT_MAX: u32 = 1000;

/// How long to wait before asking again for a lane that another process holds.
const HELD: Duration = Duration::from_millis(500);

/// When a lane stops by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Never: until it is told to.
    Forever,
    /// When everything up to this sequence has a disposition. Nothing behind it is applied.
    Sequence(u64),
}

impl Until {
    /// Whether a lane that has looked at everything up to `sequence` is done.
    fn is_reached(self, sequence: u64) -> bool {
        match self {
            Until::Forever => false,
            Until::Sequence(last) => sequence >= last,
        }
    }
}

/// What a lane works by.
#[derive(Clone, Debug)]
pub struct LaneSettings {
    /// Who claims what.
    pub claim: ClaimRequest,
    /// Bounds of a batch.
    pub limits: Limits,
    /// How often and how long to try again.
    pub retry: Retry,
    /// Whether to go on where the stream has lost messages that were not applied.
    pub continue_over_holes: bool,
    /// The share of the stream's limits at which what is not applied yet counts as near its loss.
    pub retention_alarm: f64,
    /// When to stop.
    pub until: Until,
    /// The lanes that go before.
    pub before: Before,
    /// How long history and tombstones are kept.
    pub kept: Kept,
}

/// A lane and all that it needs.
pub struct Lane<'a, S: Source, K: Sink> {
    /// Where changes come from.
    pub source: &'a S,
    /// Streams with the same messages under the same sequences, for what the source has lost.
    pub mirrors: &'a [S],
    /// Where rows go.
    pub sink: &'a K,
    /// What to decide by.
    pub plan: Arc<Plan>,
    /// Bytes to changes.
    pub decoder: Arc<Decoder>,
    /// Plugins.
    pub stages: Box<dyn Stages>,
    /// The generation that these three are of.
    pub followed: Followed,
    /// Where another generation is published.
    pub live: Arc<Live>,
    /// Where committed batches are kept for trying another generation.
    pub recent: Arc<Recent>,
    /// What waits on the lane; read from the sink with each claim.
    pub waiting: Queue,
    /// How much it keeps beside.
    pub depths: Depths,
    /// The rest.
    pub settings: LaneSettings,
    /// Where the lane tells how it is.
    pub progress: Arc<Progress>,
}

impl<S: Source, K: Sink> Lane<'_, S, K> {
    /// Runs until `shutdown` ends, the lane is done ([`Until`]), or it cannot go on. The batch in hand is committed
    /// first; nothing is left half done.
    ///
    /// # Errors
    /// See [`LaneError`]. What passes by itself is tried again as [`Retry`] says, for ever where the lane runs
    /// for ever.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<RunReport, LaneError> {
        let (source, progress) = (self.source, Arc::clone(&self.progress));
        let threshold = self.settings.retention_alarm;
        tokio::select! {
            biased;
            ended = self.live(shutdown) => ended,
            never = retention::watch(source, &progress, threshold) => match never {},
        }
    }

    async fn live(mut self, shutdown: impl Future<Output = ()>) -> Result<RunReport, LaneError> {
        let mut report = RunReport::default();
        let mut failures = 0;
        let mut held_since = None;
        tokio::pin!(shutdown);
        loop {
            let checked = tokio::select! {
                biased;
                () = &mut shutdown => return Ok(report),
                checked = self.ends_work() => checked,
            };
            let committed = report.batches;
            let ended = match checked {
                Ok(()) => self.claimed(&mut report, shutdown.as_mut()).await,
                Err(failed) => Err(failed),
            };
            failures = if report.batches > committed { 0 } else { failures };
            match ended {
                Ok(()) => {
                    self.progress.set(LaneState::Stopped);
                    return Ok(report);
                }
                Err(LaneError::Resumed { tables, .. }) => {
                    return Err(LaneError::Resumed { tables, report: Box::new(report) });
                }
                Err(error) if self.goes_on(&error, failures, held_since) => {
                    held_since =
                        held_since.filter(|_| error.is_held()).or(error.is_held().then(Instant::now));
                    tracing::warn!(lane = %self.settings.claim.lane, %error, failures, "lane.retry");
                    self.progress.set(LaneState::Waiting(error.to_string()));
                    match error.end() {
                        // Its breaker says how long to wait.
                        Some(end) => {
                            self.progress.ends().failed(end, error.to_string(), &self.settings.retry);
                        }
                        None => {
                            let pause =
                                if error.is_held() { HELD } else { self.settings.retry.pause(failures) };
                            tokio::select! {
                                biased;
                                () = &mut shutdown => return Ok(report),
                                () = tokio::time::sleep(pause) => {}
                            }
                        }
                    }
                    failures += u32::from(!error.is_held());
                }
                Err(error) => {
                    self.progress.set(LaneState::Failed(error.to_string()));
                    return Err(error);
                }
            }
        }
    }

    /// Waits until the breakers of both ends let the lane work; where one is half open, checks it.
    ///
    /// # Errors
    /// What a check failed of.
    async fn ends_work(&mut self) -> Result<(), LaneError> {
        let (progress, retry) = (Arc::clone(&self.progress), self.settings.retry);
        let ends = progress.ends();
        for end in End::ALL {
            loop {
                match ends.next(end) {
                    Next::Work => break,
                    Next::WaitUntil(until) => tokio::time::sleep_until(ends.instant(until)).await,
                    Next::Check => {
                        let _calling = ends.call(end);
                        match end {
                            End::Source => drop(self.source.inspect().await?),
                            End::Sink => drop(self.sink.check().await?),
                        }
                        ends.went_well(end, &retry);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether to begin again. A lane that another process holds is waited for, by a job only as long as a silent
    /// owner would keep it.
    fn goes_on(&self, error: &LaneError, failures: u32, held_since: Option<Instant>) -> bool {
        if error.is_held() && self.settings.until != Until::Forever {
            return held_since.is_none_or(|since| since.elapsed() < self.settings.claim.lease * 2);
        }
        // A source that has worked and then refuses (a right or the stream was taken away) may be mended while we wait.
        let refused = matches!(error, LaneError::Source(SourceError::Setup { .. }));
        let passing = error.is_passing() || (refused && self.progress.known_sequence().is_some());
        passing && self.settings.retry.goes_on(failures, self.settings.until)
    }

    /// From one claim to the doubt that ends it.
    async fn claimed(
        &mut self,
        report: &mut RunReport,
        shutdown: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), LaneError> {
        let progress = Arc::clone(&self.progress);
        let calling = progress.ends().call(End::Source);
        let facts = self.source.inspect().await?;
        drop(calling);
        self.settings.claim.stream.clone_from(&facts.name);
        self.settings.claim.stream_created = facts.created;
        let calling = progress.ends().call(End::Sink);
        let mut claim = self.sink.claim(self.settings.claim.clone()).await?;
        drop(calling);
        let ended = self.held(&facts, &mut claim, report, shutdown).await;
        self.progress.given_up();
        claim.abandon().await;
        claim.release().await;
        ended
    }

    /// While the lane is ours.
    async fn held(
        &mut self,
        facts: &StreamFacts,
        claim: &mut K::Claim,
        report: &mut RunReport,
        mut shutdown: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), LaneError> {
        let begin = holes::starting_point(claim.checkpoint(), facts);
        let generation = self.followed.record(begin, &self.settings.claim.owner, claim).await?;
        self.load_waiting(claim).await?;
        let mended = self.mend(facts.clone(), claim, report, shutdown.as_mut()).await?;
        let Some(facts) = mended else { return Ok(()) };
        // What the stream let go was looked at, and was nothing for us.
        let from = claim.checkpoint().sequence.max(facts.first.saturating_sub(1)).min(facts.last);
        let reader = self.source.open(self.settings.claim.lane.partition, from).await?;
        tracing::info!(lane = %self.settings.claim.lane, sequence = from, generation, "lane.claimed");
        self.progress.claimed(claim.checkpoint(), &facts);
        self.read(reader, self.settings.until, claim, report, shutdown).await
    }
}
