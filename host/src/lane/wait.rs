//! A lane and what waits on it: paused tables, changes that are released when their time has come, rows that are swept
//! in, and how much of all that there may be. Looked after once a second, between two batches.

use reconverge_streams::{
    family::Swept,
    position::Micros,
    sink::{Claim, Sink, SinkError},
    source::Source,
    table::TableId,
    waiting::{WaitingId, WaitingWanted},
};
use tokio::time::Instant;

use crate::waiting::Queue;

use super::{
    Lane, LaneError, LaneState, RunReport, SWEPT_MAX, Until,
    commit::{Beside, Ended, Work},
    released::Released,
};

/// Waiting changes that one transaction releases.
const RELEASED_MAX: usize = 1000;

fn now() -> Micros {
    jiff::Timestamp::now().as_microsecond()
}

impl<S: Source, K: Sink> Lane<'_, S, K> {
    /// Reads what waits on a lane that was just claimed.
    pub(super) async fn load_waiting(&mut self, claim: &mut K::Claim) -> Result<(), LaneError> {
        self.waiting = Queue::of(claim.waiting(WaitingWanted::All).await?, &self.plan);
        self.waiting.paused_are(claim.paused().await?, &self.plan);
        claim.set_aside(self.waiting.aside().clone());
        Ok(())
    }

    /// The round of each second.
    ///
    /// # Errors
    /// [`LaneError::Resumed`] where a table runs again: its shape has to be read anew.
    pub(super) async fn look_after(
        &mut self,
        claim: &mut K::Claim,
        report: &mut RunReport,
    ) -> Result<(), LaneError> {
        let again = self.waiting.paused_are(claim.paused().await?, &self.plan);
        if !again.is_empty() {
            let names: Vec<&str> = again.iter().map(|t| self.plan.table(*t).shape.name.as_str()).collect();
            tracing::info!(lane = %self.settings.claim.lane, tables = names.join(", "), "table.resumed");
            return Err(LaneError::Resumed { tables: names.join(", "), report: Box::default() });
        }
        claim.set_aside(self.waiting.aside().clone());
        self.carry_out(claim, report).await?;
        self.release_due(claim, report).await?;
        self.sweep(claim, report).await?;
        if self.plan.tables.iter().any(|t| !t.depends_on.is_empty()) {
            claim.balance().await?;
        }
        self.count_depths(claim).await
    }

    /// Counts what is kept beside, where it is time to.
    pub(super) async fn count_depths(&mut self, claim: &mut K::Claim) -> Result<(), LaneError> {
        let keeps_none = self.waiting.is_empty() && self.plan.tables.iter().all(|t| t.depends_on.is_empty());
        if keeps_none && self.depths.is_clear() || !self.depths.is_due() {
            return Ok(());
        }
        let begun = Instant::now();
        let found = claim.depths().await?;
        let lane = self.settings.claim.lane.to_string();
        self.depths.counted(&found, now(), begun.elapsed(), &self.plan, (&lane, &self.progress));
        Ok(())
    }

    /// Whether so much waits that nothing more may be pulled; the lane is kept meanwhile. A job does not wait for that.
    pub(super) async fn is_over_limit(&mut self, claim: &mut K::Claim) -> Result<bool, LaneError> {
        self.count_depths(claim).await?;
        let Some(why) = self.depths.over().map(str::to_owned) else {
            self.progress.goes_on();
            return Ok(false);
        };
        if self.settings.until != Until::Forever {
            let hint =
                "`reconverge parked list` shows what waits, and for what; mend that, or raise limits.parked";
            return Err(LaneError::Halted { what: why, hint: hint.into() });
        }
        self.progress.set(LaneState::Waiting(why));
        let scanned = claim.checkpoint().scanned;
        claim.idle(scanned).await?;
        Ok(true)
    }

    /// Pauses a table: from now on its changes wait, and those of its family.
    pub(super) async fn pause(
        &mut self,
        claim: &mut K::Claim,
        table: TableId,
        reason: String,
    ) -> Result<(), LaneError> {
        claim.abandon().await;
        claim.pause(table, &reason).await?;
        let name = &self.plan.table(table).shape.name;
        tracing::error!(lane = %self.settings.claim.lane, table = name, reason, "table.paused");
        metrics::counter!("reconverge_tables_paused_total", "table" => name.clone()).increment(1);
        self.waiting.pause(table, reason, &self.plan);
        claim.set_aside(self.waiting.aside().clone());
        Ok(())
    }

    /// Decides the changes whose time has come, in stream order.
    async fn release_due(&mut self, claim: &mut K::Claim, report: &mut RunReport) -> Result<(), LaneError> {
        loop {
            let due = self.waiting.due(now(), RELEASED_MAX, &self.plan);
            if due.is_empty() {
                return Ok(());
            }
            self.release_these(due, claim, report).await?;
        }
    }

    async fn release_these(
        &mut self,
        mut ids: Vec<WaitingId>,
        claim: &mut K::Claim,
        report: &mut RunReport,
    ) -> Result<(), LaneError> {
        let mut sequences: Vec<u64> = ids.iter().map(|id| id.sequence).collect();
        sequences.dedup();
        let kept = claim.waiting(WaitingWanted::Sequences(sequences)).await?;
        let is_kept = |id: &WaitingId| kept.iter().any(|w| w.id == *id);
        for gone in ids.extract_if(.., |id| !is_kept(id)).collect::<Vec<_>>() {
            self.waiting.remove(&gone, &self.plan);
        }
        let mut tried: Vec<WaitingId> = Vec::new();
        loop {
            let released = Released::of(&kept, &ids, &tried);
            let mut batch = released.batch(&self.decoder, claim.checkpoint().sequence);
            batch.include_relatives(&self.plan);
            match self
                .commit_batch(batch, Beside::default(), &Work::Released(&released), claim, false)
                .await?
            {
                Ended::Committed(committed) => {
                    ids.iter().for_each(|id| self.waiting.remove(id, &self.plan));
                    for id in &tried {
                        self.waiting.tried(id, now().saturating_add(self.back_off(id)));
                    }
                    tracing::info!(lane = %self.settings.claim.lane, changes = ids.len(), again = tried.len(), "parked.released");
                    report.add(&committed.resolved, &self.plan);
                    return Ok(());
                }
                Ended::Later(guilty) => {
                    self.waiting.without(&mut ids, &guilty, &self.plan);
                    tried.extend(guilty);
                }
                Ended::Pause(_, table, reason) => return self.pause(claim, table, reason).await,
                Ended::Faulted(..) | Ended::Refused(_) => return Ok(()),
            }
        }
    }

    /// How long a change waits that could not be written when it was released.
    fn back_off(&self, id: &WaitingId) -> Micros {
        let pause = self.settings.retry.of(id.sequence).pause(self.waiting.attempts(id));
        i64::try_from(pause.as_micros()).unwrap_or(i64::MAX)
    }

    /// Without the rows that the sink would not take in when it was last asked.
    fn writable(&self, mut swept: Swept) -> Swept {
        let unwritable = &self.waiting.unwritable;
        if !unwritable.is_empty() {
            for (table, keys) in &mut swept {
                keys.retain(|key| !unwritable.contains(&(*table, key.clone())));
            }
            swept.retain(|(_, keys)| !keys.is_empty());
        }
        swept
    }

    /// The guarantee behind the wake-up that a parent's transaction gives: kept rows whose parent stands go in.
    async fn sweep(&mut self, claim: &mut K::Claim, report: &mut RunReport) -> Result<(), LaneError> {
        if self.plan.tables.iter().all(|t| t.depends_on.is_empty()) {
            return Ok(());
        }
        let mut last = Vec::new();
        loop {
            let swept = match claim.sweep(SWEPT_MAX).await {
                Err(SinkError::Table(table, cause)) => {
                    return self.pause(claim, table, cause.to_string()).await;
                }
                swept => swept?,
            };
            let swept = self.writable(swept);
            // Rows that could not be put in (they do not read any more) come again; they are not worth another try.
            if swept.is_empty() || swept == last {
                return Ok(());
            }
            match self.commit_swept(&swept, claim).await? {
                Some(committed) => report.add(&committed.resolved, &self.plan),
                None => return Ok(()),
            }
            last = swept;
        }
    }
}
