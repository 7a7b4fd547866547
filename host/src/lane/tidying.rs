//! What is kept for a time only, looked after between batches: how far the lane has come with each source is told to the
//! sink, and history and tombstones whose time is over go, a bounded number at a time.

use std::{collections::HashMap, time::Duration};

use reconverge_streams::{
    names::NameId,
    position::Micros,
    retention::Retention,
    sink::{Claim, SinkError},
};
use tokio::time::Instant;

use crate::batch::Batch;

/// How often it is looked after.
const EVERY: Duration = Duration::from_secs(60);

/// Tombstones that one transaction removes.
const STEP: u32 = 1000;

/// Transactions at a time: a backlog is worked off over minutes, not before the next batch.
const STEPS_MAX: u32 = 10;

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Days of history.
    pub history_days: u32,
    /// Tombstones of rows that are gone, and absences, at least.
    pub tombstones: Duration,
}

impl Default for Kept {
    fn default() -> Self {
        Kept { history_days: 30, tombstones: Duration::from_hours(7 * 24) }
    }
}

/// Newest commit time by source.
pub(super) type Passed = HashMap<NameId, Micros>;

/// What a lane that is ours remembers between two looks.
pub(super) struct Tidying {
    kept: Kept,
    /// How far a source's clock may be off: so much less than the newest commit time is passed for sure.
    skew_us: Micros,
    passed: Passed,
    looked_at: Instant,
}

impl Tidying {
    pub(super) fn new(kept: Kept, skew_us: Micros) -> Self {
        Tidying { kept, skew_us, passed: Passed::new(), looked_at: Instant::now() }
    }

    /// The newest commit times in a batch. One that is ahead of the stream's own time is not believed.
    pub(super) fn newest(batch: &Batch) -> Passed {
        let mut newest = Passed::new();
        for change in batch.tables.iter().flat_map(|table| &table.changes) {
            let at = change.at.min(change.published_at);
            let known = newest.entry(change.source).or_insert(at);
            *known = (*known).max(at);
        }
        newest
    }

    /// Takes note of what a committed batch has passed.
    pub(super) fn note(&mut self, newest: Passed) {
        for (source, at) in newest {
            let known = self.passed.entry(source).or_insert(at);
            *known = (*known).max(at);
        }
    }

    pub(super) fn is_due(&self) -> bool {
        self.looked_at.elapsed() >= EVERY
    }

    /// Tells how far the lane is, and lets go what is due.
    pub(super) async fn tidy<C: Claim>(&mut self, claim: &mut C) -> Result<(), SinkError> {
        let passed = self.passed.iter().map(|(source, at)| (*source, at.saturating_sub(self.skew_us)));
        let asked = Retention {
            history_days: self.kept.history_days,
            tombstones: i64::try_from(self.kept.tombstones.as_micros()).unwrap_or(i64::MAX),
            passed: passed.collect(),
            limit: STEP,
        };
        for _ in 0..STEPS_MAX {
            let tidied = claim.tidy(&asked).await?;
            let lane = &claim.checkpoint().lane;
            if let Some(passed) = tidied.passed_by_all {
                #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^53")]
                let seconds = (passed / 1_000_000) as f64;
                metrics::gauge!("reconverge_sources_passed_seconds").set(seconds);
            }
            if tidied.tombstones > 0 {
                tracing::info!(lane, tombstones = tidied.tombstones, "retention.removed");
                metrics::counter!("reconverge_tombstones_removed_total").increment(tidied.tombstones);
            }
            if tidied.tombstones < u64::from(STEP) {
                break;
            }
        }
        self.looked_at = Instant::now();
        Ok(())
    }
}
