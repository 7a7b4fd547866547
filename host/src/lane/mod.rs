//! A lane: pulls, decodes, decides, commits, releases. In order, one transaction at a time; while one is in flight,
//! the next batch is pulled and decoded.
//!
//! The loop is thin: what to do is decided by pure parts ([`crate::decode`], [`crate::resolve`]), and how far we
//! are stands in the sink. Any doubt ends the current claim, and the lane begins again from the checkpoint.

mod alarms;
mod batches;
mod breaker;
mod commit;
mod ends;
mod error;
mod follow;
mod holes;
mod progress;
mod report;
mod retention;
mod window;

use std::{future::Future, sync::Arc, time::Duration};

use reconverge_streams::{
    checkpoint::Checkpoint,
    sink::{Claim, ClaimRequest, Sink},
    source::{Limits, Reader, Source, SourceError, StreamFacts},
};
use tokio::time::Instant;

use crate::{
    batch::Batch,
    decode::Decoder,
    generation::{Live, Recent},
    plan::Plan,
    stages::Stages,
};

pub use self::{
    alarms::Alarms,
    breaker::BreakerState,
    commit::Retry,
    ends::{End, EndHealth, Ends},
    error::LaneError,
    follow::Followed,
    progress::{LaneState, Lanes, Progress},
    report::RunReport,
    retention::{Near, near},
};
use self::{batches::Batches, breaker::Next, commit::Committed};

/// How long a quiet lane waits between two signs of life to the sink.
const IDLE: Duration = Duration::from_secs(1);

/// How often a lane, quiet or not, looks for kept rows whose parent stands.
const SWEEP: Duration = Duration::from_secs(1);

/// Kept rows that one transaction of a sweep puts in.
const SWEPT_MAX: u32 = 1000;

/// How long a reader must have gone without a doubt to count as sound where nothing comes: longer than the silence after
/// which it is in doubt.
const SOUND: Duration = Duration::from_secs(5);

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

/// What a lane works by.
#[derive(Clone, Debug)]
pub struct LaneSettings {
    /// Who claims what.
    pub claim: ClaimRequest,
    /// Bounds of a batch.
    pub limits: Limits,
    /// How often and how long to try again.
    pub retry: Retry,
    /// What the plugins are, for the generation's record.
    pub generation: String,
    /// Whether to go on where the stream has lost messages that were not applied.
    pub continue_over_holes: bool,
    /// The share of the stream's limits at which what is not applied yet counts as near its loss.
    pub retention_alarm: f64,
    /// When to stop.
    pub until: Until,
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
        let mut generation =
            claim.generation(begin, self.settings.generation.clone(), &self.settings.claim.owner).await?;
        let mended = self.mend(facts.clone(), claim, &mut generation, report, shutdown.as_mut()).await?;
        let Some(facts) = mended else { return Ok(()) };
        // What the stream let go was looked at, and was nothing for us.
        let from = claim.checkpoint().sequence.max(facts.first.saturating_sub(1)).min(facts.last);
        let reader = self.source.open(self.settings.claim.lane.partition, from).await?;
        tracing::info!(lane = %self.settings.claim.lane, sequence = from, generation, "lane.claimed");
        self.progress.claimed(claim.checkpoint(), &facts);
        self.read(reader, self.settings.until, claim, &mut generation, report, shutdown).await
    }

    /// Applies what a reader brings, up to `until`.
    async fn read(
        &mut self,
        reader: S::Reader,
        until: Until,
        claim: &mut K::Claim,
        generation: &mut i64,
        report: &mut RunReport,
        mut shutdown: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), LaneError> {
        let batches = &mut Batches::new(reader, self.settings.limits.clone(), until);
        let (progress, retry) = (Arc::clone(&self.progress), self.settings.retry);
        let ends = progress.ends();
        let opened = Instant::now();
        let mut idle_since = Instant::now();
        let mut swept_at = Instant::now();
        let mut ahead = None;
        loop {
            if is_done(claim.checkpoint(), until) {
                return Ok(());
            }
            self.follow(claim, generation).await?;
            let decoder = Arc::clone(&self.decoder);
            if swept_at.elapsed() >= SWEEP {
                self.sweep(claim, *generation, report).await?;
                swept_at = Instant::now();
            }
            let batch = tokio::select! {
                biased;
                () = shutdown.as_mut() => return Ok(()),
                batch = next(&mut ahead, batches, &decoder) => batch?,
            };
            if !batch.deliveries.is_empty() || opened.elapsed() >= SOUND {
                ends.went_well(End::Source, &retry);
            }
            if batch.deliveries.is_empty() {
                if idle_since.elapsed() >= IDLE || batch.scanned > claim.checkpoint().scanned {
                    let _calling = ends.call(End::Sink);
                    claim.idle(batch.scanned).await?;
                    ends.went_well(End::Sink, &retry);
                    self.progress.committed(claim.checkpoint());
                    idle_since = Instant::now();
                }
                continue;
            }
            let bytes = batch.payload_bytes();
            self.progress.in_flight(bytes);
            let calling = ends.call(End::Sink);
            let committing = self.commit(batch, claim, generation);
            let (committed, decoded) = tokio::join!(committing, batches.decoded_ahead(&decoder));
            drop(calling);
            let ahead_bytes = decoded.as_ref().map_or(0, Batch::payload_bytes);
            self.progress.in_flight(ahead_bytes);
            let Committed { resolved, checkpoint } = committed?;
            ends.went_well(End::Sink, &retry);
            ahead = Some(Ahead { batch: decoded, under: decoder });
            batches.committed(&resolved.events);
            batches.release(checkpoint.sequence).await;
            self.progress.committed(&checkpoint);
            report.add(&resolved, &self.plan);
            idle_since = Instant::now();
        }
    }

    /// The guarantee behind the wake-up that a parent's transaction gives: kept rows whose parent stands go in.
    async fn sweep(
        &mut self,
        claim: &mut K::Claim,
        generation: i64,
        report: &mut RunReport,
    ) -> Result<(), LaneError> {
        if self.plan.tables.iter().all(|t| t.depends_on.is_empty()) {
            return Ok(());
        }
        let mut last = Vec::new();
        loop {
            let swept = claim.sweep(SWEPT_MAX).await?;
            // Rows that could not be put in (they do not read any more) come again; they are not worth another try.
            if swept.is_empty() || swept == last {
                return Ok(());
            }
            let Committed { resolved, .. } = self.commit_swept(&swept, claim, generation).await?;
            report.add(&resolved, &self.plan);
            last = swept;
        }
    }
}

fn is_done(checkpoint: &Checkpoint, until: Until) -> bool {
    match until {
        Until::Forever => false,
        Until::Sequence(last) => checkpoint.scanned.max(checkpoint.sequence) >= last,
    }
}

/// A batch that was decoded while another was in its transaction.
struct Ahead {
    batch: Result<Batch, SourceError>,
    /// What it was decoded by; the generation may be another by now.
    under: Arc<Decoder>,
}

/// The batch that was decoded ahead, or else the next one.
async fn next<R: Reader>(
    ahead: &mut Option<Ahead>,
    batches: &mut Batches<R>,
    decoder: &Arc<Decoder>,
) -> Result<Batch, SourceError> {
    match ahead.take() {
        Some(ahead) if Arc::ptr_eq(&ahead.under, decoder) => ahead.batch,
        Some(ahead) => ahead.batch.map(|batch| follow::decoded_again(batch, decoder)),
        None => batches.decoded(decoder).await,
    }
}
