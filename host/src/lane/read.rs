//! The loop between a claim and the doubt that ends it: pull and decode the next batch while one is in its transaction,
//! and look between two of them after what waits, what is over its limit, and what has been kept for long enough.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use reconverge_streams::{
    epoch::EpochStart,
    sink::{Claim, Sink, SinkError},
    source::{Reader, Source, SourceError},
};
use tokio::time::Instant;

use crate::{
    batch::Batch,
    decode::{Decoder, Epochs},
};

use super::{
    End, IDLE, Lane, LaneError, RunReport, Until,
    ahead::{Ahead, Known},
    batches::Batches,
    commit::{Beside, Committed},
    follow::Coming,
    tidying::Tidying,
};

/// How long a lane that passes by what is not its own waits until it tells the sink again how far it has looked.
const LOOKED: Duration = Duration::from_millis(20);

/// How often a lane, quiet or not, looks after what waits on it.
const SWEEP: Duration = Duration::from_secs(1);

/// How long a lane that keeps too much waits before it looks again.
const OVER: Duration = Duration::from_millis(250);

/// How long a reader must have gone without a doubt to count as sound where nothing comes: longer than the silence after
/// which it is in doubt.
const SOUND: Duration = Duration::from_secs(5);

/// A reader at work, on the source or on a mirror, to the end that was asked for.
struct Reading<R> {
    batches: Batches<R>,
    until: Until,
    tidying: Tidying,
    opened: Instant,
    /// When the sink was last told how far the lane is.
    told_at: Instant,
    ahead: Ahead,
    coming: Coming,
}

impl<R: Reader> Reading<R> {
    /// Takes over what the sink knows of epochs by now; whether any is new. Then what was decoded ahead is decoded again.
    fn learn_epochs(&mut self, starts: &[EpochStart]) -> bool {
        if !self.batches.learn_epochs(starts) {
            return false;
        }
        self.ahead.learn_epochs(starts);
        true
    }

    /// The batch that was decoded ahead, or else the next one.
    async fn next(&mut self, decoder: &Arc<Decoder>) -> Result<(Batch, Known), SourceError> {
        match self.ahead.next(decoder) {
            Some(next) => next,
            None => Ok((self.batches.decoded(decoder).await?, Known::default())),
        }
    }
}

impl<S: Source, K: Sink> Lane<'_, S, K> {
    /// Applies what a reader brings, up to `until`.
    pub(super) async fn read(
        &mut self,
        reader: S::Reader,
        until: Until,
        claim: &mut K::Claim,
        report: &mut RunReport,
        shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), LaneError> {
        let epochs = Epochs::new(claim.epochs().await?.starts);
        let now = Instant::now();
        let mut reading = Reading {
            batches: Batches::new(reader, self.settings.limits.clone(), until, epochs),
            until,
            tidying: Tidying::new(self.settings.kept, self.plan.clock_skew_us),
            opened: now,
            told_at: now,
            ahead: Ahead::default(),
            coming: Coming::default(),
        };
        self.batches(&mut reading, claim, report, shutdown).await?;
        Ok(reading.tidying.tidy(claim).await?)
    }

    async fn batches(
        &mut self,
        reading: &mut Reading<S::Reader>,
        claim: &mut K::Claim,
        report: &mut RunReport,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), LaneError> {
        let (progress, retry) = (Arc::clone(&self.progress), self.settings.retry);
        let ends = progress.ends();
        let mut looked_at: Option<Instant> = None;
        loop {
            if looked_at.is_none_or(|at| at.elapsed() >= SWEEP) {
                let _calling = ends.call(End::Sink);
                self.look_after(claim, report).await?;
                // An operator may have begun one since.
                if reading.learn_epochs(&claim.epochs().await?.starts) {
                    tracing::info!(lane = %self.settings.claim.lane, "epoch.learnt");
                }
                looked_at = Some(Instant::now());
            }
            let (sequence, scanned) = (claim.checkpoint().sequence, claim.checkpoint().scanned);
            if reading.until.is_reached(scanned.max(sequence)) {
                if sequence < scanned {
                    // Others' messages behind the last batch, which was told of them.
                    claim.idle(scanned).await?;
                }
                return Ok(());
            }
            let is_full = self.is_over_limit(claim).await?;
            self.swap(&mut reading.coming, reading.ahead.decoder(), is_full);
            if is_full {
                claim.abandon().await;
                tokio::select! {
                    biased;
                    () = shutdown.as_mut() => return Ok(()),
                    () = tokio::time::sleep(OVER) => continue,
                }
            }
            if reading.tidying.is_due() {
                reading.tidying.tidy(claim).await?;
            }
            let decoder = Arc::clone(&self.decoder);
            let (batch, known) = tokio::select! {
                biased;
                () = shutdown.as_mut() => return Ok(()),
                next = reading.next(&decoder) => next?,
            };
            if !batch.deliveries.is_empty() || reading.opened.elapsed() >= SOUND {
                ends.went_well(End::Source, &retry);
            }
            if batch.deliveries.is_empty() {
                // Nothing begun stays open while the lane waits.
                claim.abandon().await;
                self.looked(batch.scanned, reading, claim).await?;
                continue;
            }
            if !self.let_others_go_before(batch.through, claim, shutdown.as_mut()).await? {
                return Ok(());
            }
            self.apply((batch, known), reading, claim, report).await?;
        }
    }

    /// Commits a batch; those behind it are decoded and judged meanwhile.
    async fn apply(
        &mut self,
        (batch, known): (Batch, Known),
        reading: &mut Reading<S::Reader>,
        claim: &mut K::Claim,
        report: &mut RunReport,
    ) -> Result<(), LaneError> {
        let progress = Arc::clone(&self.progress);
        progress.in_flight(batch.payload_bytes() + reading.ahead.bytes() + reading.batches.held_bytes());
        let (newest, changes) = (Tidying::newest(&batch), batch.deliveries.len());
        // What waits takes changes out of a batch, and what goes before a lane is waited for without a transaction.
        let foresees = self.waiting.is_clear() && self.settings.before.is_nobody();
        if let Some(wanted) = foresees.then(|| reading.ahead.foreseen(&self.decoder)).flatten() {
            claim.foresee(wanted);
        }
        let decoder = Arc::clone(reading.coming.decoder().unwrap_or(&self.decoder));
        // Asked for by the plan in hand, which only what this decoder decodes will be decided by.
        let plan = Arc::ptr_eq(&decoder, &self.decoder).then(|| Arc::clone(&self.plan));
        let calling = progress.ends().call(End::Sink);
        let mut lent = reading.ahead.lend();
        let is_large = lent.as_ref().map(|next| next.is_large(&reading.batches));
        let begun_at = Instant::now();
        let committing = async {
            let committed = self.commit(batch, Beside { known, next: lent.as_mut() }, claim).await;
            (committed, begun_at.elapsed())
        };
        let filling = reading.ahead.fill(&mut reading.batches, &decoder, plan.as_deref(), is_large);
        let ((committed, within), ()) = tokio::join!(committing, filling);
        reading.ahead.give_back(lent);
        drop(calling);
        progress.in_flight(reading.ahead.bytes() + reading.batches.held_bytes());
        let Committed { resolved, checkpoint } = committed?;
        progress.ends().went_well(End::Sink, &self.settings.retry);
        reading.batches.committed(&resolved.events, changes, within);
        reading.tidying.note(newest);
        reading.batches.release(checkpoint.sequence).await;
        progress.committed(&checkpoint);
        report.add(&resolved, &self.plan);
        reading.told_at = Instant::now();
        Ok(())
    }

    /// Tells the sink how far the lane has looked where nothing was its own, and that it lives.
    async fn looked(
        &mut self,
        scanned: u64,
        reading: &mut Reading<S::Reader>,
        claim: &mut K::Claim,
    ) -> Result<(), SinkError> {
        let raised = scanned > claim.checkpoint().scanned;
        let is_told = raised && (reading.told_at.elapsed() >= LOOKED || reading.until.is_reached(scanned));
        if reading.told_at.elapsed() < IDLE && !is_told {
            return Ok(());
        }
        let ends = self.progress.ends();
        let _calling = ends.call(End::Sink);
        claim.idle(scanned).await?;
        if !self.followed.is_recorded() {
            // No batch has come to do it.
            let sequence = claim.checkpoint().sequence;
            let generation = self.followed.record(sequence, &self.settings.claim.owner, claim).await?;
            tracing::info!(lane = %self.settings.claim.lane, generation, sequence, "generation.recorded");
        }
        ends.went_well(End::Sink, &self.settings.retry);
        self.progress.committed(claim.checkpoint());
        reading.told_at = Instant::now();
        Ok(())
    }
}
