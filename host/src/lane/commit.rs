//! One batch to its commit: stages, standing, resolve, write; again where the sink says so, and again without the
//! changes that the sink cannot write.

use std::{collections::HashMap, time::Duration};

use reconverge_streams::{
    checkpoint::Checkpoint,
    family::Family,
    sink::{Claim, CommitError, Sink, SinkError},
    source::Source,
    standing::Standing,
    table::TableId,
    writes::ChangeIndex,
};

use crate::{
    batch::{Batch, Refusal},
    generation::{self, Sample},
    resolve::{self, RELATIVE, Resolved, keys},
    stages::Prepared,
};

use super::{Lane, LaneError, Until, follow};

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
}

impl Retry {
    pub(super) fn goes_on(&self, failures: u32, until: Until) -> bool {
        until == Until::Forever || failures + 1 < self.tries
    }

    pub(super) fn pause(&self, failures: u32) -> Duration {
        let grown = self.factor.powi(i32::try_from(failures.min(64)).unwrap_or(64));
        self.first.mul_f64(grown.min(1e6)).min(self.max)
    }
}

pub(super) struct Committed {
    pub(super) resolved: Resolved,
    pub(super) checkpoint: Checkpoint,
}

/// What is to be written, and what it was decided from.
struct Decided {
    resolved: Resolved,
    from: u64,
    asked: Vec<(TableId, u64)>,
    standing: Standing,
    families: Vec<Family>,
}

/// What a batch came to.
enum Ended {
    Committed(Box<Committed>),
    /// A generation on trial failed so often that nothing was written; the batch, and how often.
    Faulted(Batch, u64),
}

impl<S: Source, K: Sink> Lane<'_, S, K> {
    /// Decides and commits what was pulled and decoded. Where a new generation fails on it too often, the batch is
    /// decided by the one before.
    pub(super) async fn commit(
        &mut self,
        mut batch: Batch,
        claim: &mut K::Claim,
        generation: &mut i64,
    ) -> Result<Committed, LaneError> {
        let mut may_fall_back = true;
        loop {
            batch.include_relatives(&self.plan);
            match self.commit_batch(batch, &[], claim, *generation, may_fall_back).await? {
                Ended::Committed(committed) => return Ok(*committed),
                Ended::Faulted(faulted, faults) => {
                    claim.abandon().await;
                    may_fall_back = self.fall_back(faults, claim, generation).await?;
                    batch = follow::decoded_again(faulted, &self.decoder);
                }
            }
        }
    }

    /// Puts in kept rows whose parent stands by now, although no batch of this lane brought it.
    pub(super) async fn commit_swept(
        &mut self,
        swept: &[(TableId, Vec<Vec<u8>>)],
        claim: &mut K::Claim,
        generation: i64,
    ) -> Result<Committed, LaneError> {
        let sequence = claim.checkpoint().sequence;
        let mut batch = Batch { through: sequence, scanned: sequence, ..Batch::default() };
        swept.iter().for_each(|(table, _)| batch.include(*table, &self.plan));
        batch.include_relatives(&self.plan);
        match self.commit_batch(batch, swept, claim, generation, false).await? {
            Ended::Committed(committed) => Ok(*committed),
            Ended::Faulted(..) => Err(halted("a sweep that may not fall back did".to_owned())),
        }
    }

    async fn commit_batch(
        &mut self,
        mut batch: Batch,
        swept: &[(TableId, Vec<Vec<u8>>)],
        claim: &mut K::Claim,
        generation: i64,
        may_fall_back: bool,
    ) -> Result<Ended, LaneError> {
        let faults_before = self.stages.faults();
        batch.newest_at = claim.checkpoint().committed_at;
        let prepared = self.stages.prepare(&mut batch, &self.plan);
        let mut refused = HashMap::new();
        let (mut failures, mut judged) = (0, false);
        loop {
            let Decided { mut resolved, from, asked, standing, families } =
                self.decided(&batch, swept, &prepared, &refused, claim, generation).await?;
            if !resolved.suspicions.is_empty() && !std::mem::replace(&mut judged, true) {
                self.suspect(&resolved.suspicions, &mut refused, claim, generation).await?;
                continue;
            }
            let faults = self.stages.faults() - faults_before;
            if may_fall_back && self.followed.is_too_many(faults) {
                return Ok(Ended::Faulted(batch, faults));
            }
            match claim.commit(std::mem::take(&mut resolved.writes)).await {
                Ok(checkpoint) => {
                    if self.recent.is_kept() && swept.is_empty() {
                        let (lane, deliveries) = (self.settings.claim.lane.to_string(), batch.deliveries);
                        self.recent.push(Sample { lane, deliveries, from, asked, standing, families });
                    }
                    return Ok(Ended::Committed(Box::new(Committed { resolved, checkpoint })));
                }
                Err(CommitError::Guilty(changes, cause)) if changes.contains(&RELATIVE) => {
                    return Err(halted(format!("a row whose parent came cannot be written: {cause}")));
                }
                Err(CommitError::Guilty(changes, cause)) => {
                    let known = refused.len();
                    refused
                        .extend(changes.into_iter().map(|change| (change, refusal(&batch, change, &cause))));
                    if refused.len() == known {
                        return Err(halted(format!("{cause}, for no change that could be left out")));
                    }
                }
                Err(CommitError::Again(cause)) if self.settings.retry.goes_on(failures, Until::Forever) => {
                    failures += 1;
                    if failures >= self.settings.retry.tries {
                        return Err(SinkError::Unreachable(cause.to_string()).into());
                    }
                    let pause = self.settings.retry.pause(failures - 1);
                    tracing::warn!(lane = %self.settings.claim.lane, error = %cause, failures, "batch.again");
                    tokio::time::sleep(pause).await;
                }
                Err(CommitError::Again(cause)) => {
                    return Err(SinkError::Unreachable(cause.to_string()).into());
                }
                Err(CommitError::Fenced) => {
                    return Err(SinkError::Fenced(self.settings.claim.lane.to_string()).into());
                }
                Err(CommitError::PauseTable(table, cause)) => {
                    let table = &self.plan.table(table).shape.name;
                    return Err(halted(format!("table `{table}` is not as planned: {cause}")));
                }
                Err(CommitError::Halt(cause)) => return Err(halted(cause.to_string())),
            }
        }
    }

    /// Opens the transaction and decides what it is to write.
    async fn decided(
        &mut self,
        batch: &Batch,
        swept: &[(TableId, Vec<Vec<u8>>)],
        prepared: &Prepared,
        refused: &HashMap<ChangeIndex, Refusal>,
        claim: &mut K::Claim,
        generation: i64,
    ) -> Result<Decided, LaneError> {
        let from = claim.checkpoint().sequence;
        let (keyed, wanted) = keys::keyed(batch, &self.plan, from, swept);
        let asked = if self.recent.is_kept() { generation::asked(&wanted) } else { Vec::new() };
        let standing = claim.begin(wanted).await?;
        let mut families = Vec::new();
        let mut decided = resolve::decide(
            batch,
            prepared,
            &keyed,
            &standing,
            refused,
            self.stages.as_mut(),
            &self.plan,
            generation,
        );
        while let Some(asked) = decided.asks() {
            let family = claim.family(asked).await?;
            if self.recent.is_kept() {
                families.push(family.clone());
            }
            decided.learn(family);
        }
        Ok(Decided { resolved: decided.close(), from, asked, standing, families })
    }
}

fn halted(what: String) -> LaneError {
    let hint =
        "nothing of the batch was written; mend the sink and start again: the lane goes on where it stopped";
    LaneError::Halted { what, hint: hint.into() }
}

/// The dead letter's word for what a sink cannot write.
fn refusal(batch: &Batch, change: ChangeIndex, cause: &reconverge_streams::sink::Cause) -> Refusal {
    let mut refusal = Refusal {
        stage: "write",
        code: "cannot-be-written",
        reason: format!("{}: {}", cause.code, cause.text),
        table: None,
        key: None,
    };
    if let Some(item) = batch.items.get(change as usize)
        && let crate::batch::ItemKind::Change(table, row) = item.kind
    {
        let table = &batch.tables[table as usize];
        refusal.table = Some(table.table);
        refusal.key = Some(table.key(row as usize).to_vec());
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest() {
        let retry =
            Retry { tries: 5, first: Duration::from_millis(500), max: Duration::from_secs(8), factor: 2.0 };
        let pauses: Vec<u128> = (0..7).map(|f| retry.pause(f).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(retry.pause(u32::MAX).as_secs(), 8);
    }
}
