//! A lane: pulls, decodes, decides, commits, releases. In order, one transaction at a time; while one is in flight,
//! the next batch is pulled and decoded.
//!
//! The loop is thin: what to do is decided by pure parts ([`crate::decode`], [`crate::resolve`]), and how far we
//! are stands in the sink. Any doubt ends the current claim, and the lane begins again from the checkpoint.

mod batches;
mod commit;
mod follow;
mod progress;
mod report;
mod suspicion;
mod went_back;
mod whole;
mod window;

use std::{future::Future, sync::Arc, time::Duration};

use reconverge_streams::{
    checkpoint::Checkpoint,
    sink::{Claim, ClaimRequest, Sink, SinkError},
    source::{Limits, Reader, Source, SourceError, StreamFacts},
};
use tokio::time::Instant;

use crate::{
    batch::Batch,
    decode::{Decoder, Epochs},
    generation::{Live, Recent},
    plan::Plan,
    stages::Stages,
};

use self::{batches::Batches, commit::Committed};
pub use self::{
    commit::Retry,
    follow::Followed,
    progress::{LaneState, Lanes, Progress},
    report::RunReport,
};

/// How long a quiet lane waits between two signs of life to the sink.
const IDLE: Duration = Duration::from_secs(1);

/// How often a lane, quiet or not, looks for kept rows whose parent stands.
const SWEEP: Duration = Duration::from_secs(1);

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
    /// When to stop.
    pub until: Until,
}

/// Why a lane stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The sink failed.
    #[error("sink: {0}")]
    Sink(#[from] SinkError),
    /// The source failed.
    #[error("source: {0}")]
    Source(#[from] SourceError),
    /// The stream is not what the checkpoint was made on.
    #[error("{what}")]
    Hole {
        /// What happened to the stream, with sequences.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A batch cannot be written, and not for the sake of single changes.
    #[error("{what}")]
    Halted {
        /// What the sink said.
        what: String,
        /// What to do.
        hint: String,
    },
}

impl LaneError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            LaneError::Sink(SinkError::Setup { hint, .. })
            | LaneError::Source(SourceError::Setup { hint, .. })
            | LaneError::Hole { hint, .. }
            | LaneError::Halted { hint, .. } => Some(hint),
            LaneError::Sink(SinkError::OtherPlan { .. }) => Some(
                "tables, keys or partitions changed since the last run; run the old pipeline.toml, or give the \
                 pipeline another name to start anew",
            ),
            LaneError::Sink(SinkError::Held { .. }) => {
                Some("stop the other process, or wait until its lease ends")
            }
            LaneError::Sink(_) | LaneError::Source(_) => None,
        }
    }

    fn is_held(&self) -> bool {
        matches!(self, LaneError::Sink(SinkError::Held { .. }))
    }

    /// Whether beginning again from the checkpoint may help.
    fn is_passing(&self) -> bool {
        matches!(
            self,
            LaneError::Sink(SinkError::Unreachable(_) | SinkError::Fenced(_) | SinkError::Held { .. })
                | LaneError::Source(SourceError::Unreachable(_) | SourceError::Doubt(_))
        )
    }
}

/// A lane and all that it needs.
pub struct Lane<'a, S: Source, K: Sink> {
    /// Where changes come from.
    pub source: &'a S,
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
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<RunReport, LaneError> {
        let mut report = RunReport::default();
        let mut failures = 0;
        let mut held_since = None;
        tokio::pin!(shutdown);
        loop {
            let committed = report.batches;
            let ended = tokio::select! {
                biased;
                ended = self.claimed(&mut report, shutdown.as_mut()) => ended,
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
                    let pause = if error.is_held() { HELD } else { self.settings.retry.pause(failures) };
                    tracing::warn!(lane = %self.settings.claim.lane, %error, pause_ms = pause.as_millis(), "lane.retry");
                    self.progress.set(LaneState::Waiting(error.to_string()));
                    failures += u32::from(!error.is_held());
                    tokio::select! {
                        () = &mut shutdown => return Ok(report),
                        () = tokio::time::sleep(pause) => {}
                    }
                }
                Err(error) => {
                    self.progress.set(LaneState::Failed(error.to_string()));
                    return Err(error);
                }
            }
        }
    }

    /// Whether to begin again. A lane that another process holds is waited for, by a job only as long as a silent
    /// owner would keep it.
    fn goes_on(&self, error: &LaneError, failures: u32, held_since: Option<Instant>) -> bool {
        if error.is_held() && self.settings.until != Until::Forever {
            return held_since.is_none_or(|since| since.elapsed() < self.settings.claim.lease * 2);
        }
        error.is_passing() && self.settings.retry.goes_on(failures, self.settings.until)
    }

    /// From one claim to the doubt that ends it.
    async fn claimed(
        &mut self,
        report: &mut RunReport,
        shutdown: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), LaneError> {
        let facts = self.source.inspect().await?;
        self.settings.claim.stream.clone_from(&facts.name);
        self.settings.claim.stream_created = facts.created;
        let mut claim = self.sink.claim(self.settings.claim.clone()).await?;
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
        shutdown: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), LaneError> {
        self.tell_went_back(claim.checkpoint(), facts)?;
        self.refuse_hole(claim.checkpoint(), facts)?;
        let mut from = starting_point(claim.checkpoint(), facts);
        if facts.first > from + 1 {
            // The operator said to go on without what is gone.
            let lane = &self.settings.claim.lane;
            tracing::warn!(%lane, sequence = from, first = facts.first, "lane.hole");
            from = facts.first - 1;
        }
        let generation =
            claim.generation(from, self.settings.generation.clone(), &self.settings.claim.owner).await?;
        let epochs = Epochs::new(claim.epochs().await?.starts);
        let reader = self.source.open(self.settings.claim.lane.partition, from).await?;
        tracing::info!(lane = %self.settings.claim.lane, sequence = from, generation, "lane.claimed");
        self.progress.claimed(claim.checkpoint(), facts);
        let mut batches = Batches::new(reader, self.settings.limits.clone(), self.settings.until, epochs);
        self.batches(&mut batches, claim, generation, report, shutdown).await
    }

    async fn batches(
        &mut self,
        batches: &mut Batches<S::Reader>,
        claim: &mut K::Claim,
        mut generation: i64,
        report: &mut RunReport,
        mut shutdown: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), LaneError> {
        let mut idle_since = Instant::now();
        let mut swept_at = Instant::now();
        let mut ahead = None;
        loop {
            if self.is_done(claim.checkpoint()) {
                return Ok(());
            }
            self.follow(claim, &mut generation).await?;
            let decoder = Arc::clone(&self.decoder);
            if swept_at.elapsed() >= SWEEP {
                self.sweep(claim, generation, report).await?;
                swept_at = Instant::now();
            }
            let batch = tokio::select! {
                biased;
                () = shutdown.as_mut() => return Ok(()),
                batch = next(&mut ahead, batches, &decoder) => batch?,
            };
            if batch.deliveries.is_empty() {
                if idle_since.elapsed() >= IDLE || batch.scanned > claim.checkpoint().scanned {
                    claim.idle(batch.scanned).await?;
                    self.progress.committed(claim.checkpoint());
                    idle_since = Instant::now();
                }
                continue;
            }
            let committing = self.commit(batch, claim, &mut generation);
            let (committed, decoded) = tokio::join!(committing, batches.decoded_ahead(&decoder));
            let Committed { resolved, checkpoint } = committed?;
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

    fn is_done(&self, checkpoint: &Checkpoint) -> bool {
        match self.settings.until {
            Until::Forever => false,
            Until::Sequence(last) => checkpoint.scanned.max(checkpoint.sequence) >= last,
        }
    }

    /// Promise 11: a stream that lost what was not applied is never read on in silence.
    fn refuse_hole(&self, checkpoint: &Checkpoint, facts: &StreamFacts) -> Result<(), LaneError> {
        let hole = |what: String, hint: &str| Err(LaneError::Hole { what, hint: hint.into() });
        let lane = &self.settings.claim.lane;
        if checkpoint.stream_created != facts.created {
            return hole(
                format!("stream {} was created anew since lane {lane} last ran", facts.name),
                "its sequences count from 1 again; give the pipeline another name to read it from its beginning",
            );
        }
        if checkpoint.sequence > facts.last {
            return hole(
                format!(
                    "stream {} ends at sequence {}, lane {lane} has applied up to {}: the stream was rolled back",
                    facts.name, facts.last, checkpoint.sequence
                ),
                "restore the stream's newer state, or let the source publish again under another pipeline name",
            );
        }
        let begins_late = facts.first > starting_point(checkpoint, facts) + 1;
        if begins_late && facts.keeps_acknowledged && !self.settings.continue_over_holes {
            return hole(
                format!(
                    "stream {} begins at sequence {}, lane {lane} has applied up to {}: {} sequences between them are gone",
                    facts.name,
                    facts.first,
                    checkpoint.sequence,
                    facts.first - checkpoint.sequence - 1
                ),
                "let the source send that range again, then set `on_hole = \"continue\"` in [source]",
            );
        }
        Ok(())
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

/// Where to read on: behind the checkpoint; a lane that never ran begins with what the stream still holds.
fn starting_point(checkpoint: &Checkpoint, facts: &StreamFacts) -> u64 {
    let fresh = checkpoint.sequence == 0 && checkpoint.delivered == 0;
    if fresh { facts.first.saturating_sub(1) } else { checkpoint.sequence }
}
