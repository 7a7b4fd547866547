//! One batch to its commit: stages, standing, resolve, write; again where the sink says so, and again without the
//! changes that the sink cannot write.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use reconverge_streams::{
    checkpoint::Checkpoint,
    family::Family,
    sink::{Claim, CommitError, Sink, SinkError},
    source::Source,
    standing::Standing,
    table::TableId,
    waiting::{WaitingId, WaitingWrite},
};

use crate::{
    batch::Batch,
    generation::{self, Sample},
    resolve::{self, LeftOut, Resolved, keys},
    stages::Prepared,
    waiting::{hold, storm},
};

use super::{
    Lane, LaneError, Until,
    by_hand::Ordered,
    follow,
    left_out::{leave_out, still_unwritable},
    released::Released,
};

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
    /// What the jitter of pauses is drawn from: another number for each lane and process. 0: pauses are exact.
    pub jitter: u64,
}

impl Retry {
    /// The defaults, without jitter, so that pauses can be told to the millisecond.
    #[cfg(test)]
    pub(super) const EXACT: Retry = Retry {
        tries: 5,
        first: Duration::from_millis(500),
        max: Duration::from_secs(8),
        factor: 2.0,
        jitter: 0,
    };

    /// For what has a name: the jitter of its pauses is its own.
    #[must_use]
    pub fn of(self, name: impl Hash) -> Retry {
        Retry { jitter: drawn(name) | 1, ..self }
    }

    pub(super) fn goes_on(&self, failures: u32, until: Until) -> bool {
        until == Until::Forever || failures + 1 < self.tries
    }

    /// The pause after so many failures before this one: from three quarters of what the rule says to the whole, so that
    /// those who failed together do not come back together.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let grown = self.factor.powi(i32::try_from(failures.min(64)).unwrap_or(64));
        let longest = self.first.mul_f64(grown.min(1e6)).min(self.max);
        if self.jitter == 0 {
            return longest;
        }
        let eighths = 6.0 + (drawn((self.jitter, failures)) % 1024) as f64 / 512.0;
        longest.mul_f64(eighths / 8.0)
    }
}

/// A number that looks like any other and is the same for the same `name`.
fn drawn(name: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

pub(super) struct Committed {
    pub(super) resolved: Resolved,
    pub(super) checkpoint: Checkpoint,
}

/// What is to be written, and what it was decided from.
struct Decided {
    resolved: Resolved,
    /// The number that its decisions name.
    generation: i64,
    from: u64,
    asked: Vec<(TableId, u64)>,
    standing: Standing,
    families: Vec<Family>,
}

/// What a batch came to.
pub(super) enum Ended {
    Committed(Box<Committed>),
    /// A generation on trial failed so often that nothing was written; the batch, and how often.
    Faulted(Batch, u64),
    /// A table has to be paused, and why. Nothing was written.
    Pause(Batch, TableId, String),
    /// Of a release: these could not be written, and may be tried again later. Nothing was written.
    Later(Vec<WaitingId>),
    /// Of what was asked for by hand: the sink will not have it, and why. Nothing was written.
    Refused(String),
}

/// What a transaction is about.
pub(super) enum Work<'a> {
    /// What was pulled.
    Pulled,
    /// Kept rows whose parent stands.
    Swept(&'a [(TableId, Vec<Vec<u8>>)]),
    /// Changes that waited.
    Released(&'a Released),
    /// What an operator asked for.
    Ordered(&'a Ordered),
}

impl<'a> Work<'a> {
    fn swept(&self) -> &'a [(TableId, Vec<Vec<u8>>)] {
        match self {
            Work::Swept(swept) => swept,
            Work::Ordered(ordered) => &ordered.rows,
            Work::Pulled | Work::Released(_) => &[],
        }
    }
}

/// What was tried of a batch so far.
struct Tries {
    left_out: LeftOut,
    failures: u32,
    /// Whether its suspicions were judged.
    judged: bool,
}

/// What comes after a commit that failed.
enum Next {
    Again,
    Pause(TableId, String),
    Later(Vec<WaitingId>),
    Refused(String),
}

impl<S: Source, K: Sink> Lane<'_, S, K> {
    /// Decides and commits what was pulled and decoded. Where a new generation fails on it too often, the batch is
    /// decided by the one before.
    pub(super) async fn commit(
        &mut self,
        mut batch: Batch,
        claim: &mut K::Claim,
    ) -> Result<Committed, LaneError> {
        let mut may_fall_back = true;
        loop {
            batch.include_relatives(&self.plan);
            match self.commit_batch(batch, &Work::Pulled, claim, may_fall_back).await? {
                Ended::Committed(committed) => return Ok(*committed),
                Ended::Pause(again, table, reason) => {
                    self.pause(claim, table, reason).await?;
                    batch = follow::decoded_again(again, &self.decoder);
                }
                Ended::Later(_) | Ended::Refused(_) => {
                    return Err(halted("a batch that was pulled is to wait".to_owned()));
                }
                Ended::Faulted(faulted, faults) => {
                    claim.abandon().await;
                    may_fall_back = self.fall_back(faults);
                    batch = follow::decoded_again(faulted, &self.decoder);
                }
            }
        }
    }

    /// Puts in kept rows whose parent stands by now, although no batch of this lane brought it; `None` where a table
    /// had to be paused instead.
    pub(super) async fn commit_swept(
        &mut self,
        swept: &[(TableId, Vec<Vec<u8>>)],
        claim: &mut K::Claim,
    ) -> Result<Option<Committed>, LaneError> {
        let sequence = claim.checkpoint().sequence;
        let mut batch = Batch { through: sequence, scanned: sequence, ..Batch::default() };
        swept.iter().for_each(|(table, _)| batch.include(*table, &self.plan));
        batch.include_relatives(&self.plan);
        match self.commit_batch(batch, &Work::Swept(swept), claim, false).await? {
            Ended::Committed(committed) => Ok(Some(*committed)),
            Ended::Pause(_, table, reason) => self.pause(claim, table, reason).await.map(|()| None),
            Ended::Faulted(..) | Ended::Later(_) | Ended::Refused(_) => Ok(None),
        }
    }

    pub(super) async fn commit_batch(
        &mut self,
        mut batch: Batch,
        work: &Work<'_>,
        claim: &mut K::Claim,
        may_fall_back: bool,
    ) -> Result<Ended, LaneError> {
        let faults_before = self.stages.faults();
        batch.newest_at = claim.checkpoint().committed_at;
        let (prepared, waiting) = self.prepare(&mut batch, work);
        let by_hand = if let Work::Ordered(ordered) = work { ordered.by_hand() } else { None };
        let left_out = LeftOut { rows: self.waiting.unwritable.clone(), by_hand, ..LeftOut::default() };
        let mut tries = Tries { left_out, failures: 0, judged: false };
        loop {
            let decided = self.decided(&batch, work, &prepared, &tries.left_out, claim).await;
            let mut decided = match decided {
                Err(LaneError::Sink(SinkError::Table(table, cause))) => {
                    return Ok(Ended::Pause(batch, table, cause.to_string()));
                }
                decided => decided?,
            };
            if !decided.resolved.suspicions.is_empty() && !std::mem::replace(&mut tries.judged, true) {
                self.suspect(&decided.resolved.suspicions, &mut tries.left_out.changes, claim).await?;
                continue;
            }
            let faults = self.stages.faults() - faults_before;
            if may_fall_back && self.followed.is_too_many(faults) {
                return Ok(Ended::Faulted(batch, faults));
            }
            if let (Work::Pulled, Some(storm)) = (work, storm(&decided.resolved, &self.waiting)) {
                let reason = format!(
                    "storm: {} of {} changes of one batch cannot be applied, the first because: {}",
                    storm.dead,
                    storm.changes,
                    first_reason(&decided.resolved, storm.table)
                );
                return Ok(Ended::Pause(batch, storm.table, reason));
            }
            match work {
                Work::Released(released) => released.settle(&mut decided.resolved),
                Work::Ordered(ordered) => ordered.settle(&mut decided.resolved),
                Work::Pulled | Work::Swept(_) => {}
            }
            let mut writes = std::mem::take(&mut decided.resolved.writes);
            writes.waiting.clone_from(&waiting);
            let grew = writes.waiting.len() + writes.kept.len();
            let unwritable = still_unwritable(&tries.left_out.rows, &writes);
            match claim.commit(writes).await {
                Ok(checkpoint) => {
                    self.followed.committed(decided.generation, decided.from, self.progress.lane());
                    self.depths.grew_by(grew);
                    self.waiting.unwritable = unwritable;
                    waiting.iter().for_each(|write| self.waiting.add(write, &self.plan));
                    let is_whole = matches!(work, Work::Pulled) && waiting.is_empty();
                    let resolved = self.remember(batch, decided, is_whole);
                    return Ok(Ended::Committed(Box::new(Committed { resolved, checkpoint })));
                }
                Err(error) => match self.after(error, &batch, work, &decided.resolved, &mut tries).await? {
                    Next::Again => {}
                    Next::Pause(table, reason) => return Ok(Ended::Pause(batch, table, reason)),
                    Next::Later(guilty) => return Ok(Ended::Later(guilty)),
                    Next::Refused(why) => return Ok(Ended::Refused(why)),
                },
            }
        }
    }

    /// Residency, then what has to wait is taken out, then filter and mapping.
    fn prepare(&mut self, batch: &mut Batch, work: &Work<'_>) -> (Prepared, Vec<WaitingWrite>) {
        let known = match work {
            Work::Released(released) => released.known(batch),
            Work::Pulled | Work::Swept(_) | Work::Ordered(_) => Prepared::all(batch),
        };
        let mut admitted = self.stages.admit(batch, &self.plan, known);
        let mut waiting = Vec::new();
        match work {
            Work::Released(released) => released.restored(batch, &mut admitted),
            Work::Pulled | Work::Swept(_) | Work::Ordered(_) => {
                waiting = hold(batch, &mut admitted, &self.waiting, &self.plan);
            }
        }
        (self.stages.refine(batch, &self.plan, admitted), waiting)
    }

    /// A committed batch of which nothing was held back is kept for trying a new generation on.
    fn remember(&self, batch: Batch, decided: Decided, is_whole: bool) -> Resolved {
        let Decided { resolved, from, asked, standing, families, .. } = decided;
        if self.recent.is_kept() && is_whole {
            let (lane, deliveries) = (self.settings.claim.lane.to_string(), batch.deliveries);
            self.recent.push(Sample { lane, deliveries, from, asked, standing, families });
        }
        resolved
    }

    /// What to do about a commit that failed.
    async fn after(
        &mut self,
        error: CommitError,
        batch: &Batch,
        work: &Work<'_>,
        resolved: &Resolved,
        tries: &mut Tries,
    ) -> Result<Next, LaneError> {
        match error {
            CommitError::Guilty(blamed, cause) => {
                if let Work::Released(released) = work {
                    let mut later = released.ids_of(batch, &blamed);
                    later.retain(|id| self.waiting.attempts(id) + 1 < self.settings.retry.tries);
                    if !later.is_empty() {
                        return Ok(Next::Later(later));
                    }
                }
                if let Work::Ordered(ordered) = work
                    && ordered.is_blamed(&blamed, resolved)
                {
                    return Ok(Next::Refused(cause.to_string()));
                }
                if !leave_out(&blamed, &cause, batch, resolved, &mut tries.left_out) {
                    return Err(halted(format!("{cause}, for no change that could be left out")));
                }
            }
            CommitError::Again(cause) => {
                tries.failures += 1;
                if tries.failures >= self.settings.retry.tries {
                    return Err(SinkError::Unreachable(cause.to_string()).into());
                }
                let (pause, failures) = (self.settings.retry.pause(tries.failures - 1), tries.failures);
                tracing::warn!(lane = %self.settings.claim.lane, error = %cause, failures, "batch.again");
                tokio::time::sleep(pause).await;
            }
            CommitError::Fenced => {
                return Err(SinkError::Fenced(self.settings.claim.lane.to_string()).into());
            }
            CommitError::PauseTable(table, cause) => return Ok(Next::Pause(table, cause.to_string())),
            CommitError::Halt(cause) => return Err(halted(cause.to_string())),
        }
        Ok(Next::Again)
    }

    /// Opens the transaction and decides what it is to write.
    async fn decided(
        &mut self,
        batch: &Batch,
        work: &Work<'_>,
        prepared: &Prepared,
        left_out: &LeftOut,
        claim: &mut K::Claim,
    ) -> Result<Decided, LaneError> {
        let from = claim.checkpoint().sequence;
        let (keyed, mut wanted) = keys::keyed(batch, &self.plan, from, work.swept());
        if matches!(work, Work::Released(_)) {
            // Their events were remembered when they came; they are no repetitions of themselves.
            wanted.events.clear();
        }
        let asked = if self.recent.is_kept() { generation::asked(&wanted) } else { Vec::new() };
        wanted.generation = self.followed.unrecorded(&self.settings.claim.owner);
        let standing = claim.begin(wanted).await?;
        let generation = self.followed.number_in(&standing);
        let mut families = Vec::new();
        let mut decided = resolve::decide(
            batch,
            prepared,
            &keyed,
            &standing,
            left_out,
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
        Ok(Decided { resolved: decided.close(), generation, from, asked, standing, families })
    }
}

/// Why the first of a table's dead letters is one.
fn first_reason(resolved: &Resolved, table: TableId) -> String {
    let first = resolved.writes.dead.iter().find(|letter| letter.table == Some(table));
    first.map(|letter| format!("{}: {}", letter.code, letter.reason)).unwrap_or_default()
}

fn halted(what: String) -> LaneError {
    let hint =
        "nothing of the batch was written; mend the sink and start again: the lane goes on where it stopped";
    LaneError::Halted { what, hint: hint.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn pauses_grow_to_the_longest() {
        let retry = Retry::EXACT;
        let pauses: Vec<u128> = (0..7).map(|f| retry.pause(f).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(retry.pause(u32::MAX).as_secs(), 8);
    }

    #[test]
    fn lanes_that_failed_together_do_not_come_back_together() {
        let exact = Retry { first: Retry::EXACT.max, ..Retry::EXACT };
        let pauses: BTreeSet<Duration> = (0..100).map(|lane| exact.of(lane).pause(0)).collect();
        assert!(pauses.len() > 80, "{pauses:?}");
        assert!(
            pauses.iter().all(|p| (Duration::from_secs(6)..=Duration::from_secs(8)).contains(p)),
            "{pauses:?}"
        );
        let of_one: BTreeSet<Duration> = (0..20).map(|failures| exact.of("lane").pause(failures)).collect();
        assert!(of_one.len() > 15, "a lane's own pauses differ too: {of_one:?}");
        assert_eq!(exact.of("lane").pause(3), exact.of("lane").pause(3));
    }
}
