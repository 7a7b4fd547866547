//! One batch to its commit: stages, standing, resolve, write; again where the sink says so, and again without the
//! changes that the sink cannot write.

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
    resolve::{self, LeftOut, Resolved, keys::Keyed},
    stages::Prepared,
    waiting::{hold, holds_nothing, storm},
};

use super::{
    Lane, LaneError,
    ahead::{Decoded, Judged, Known},
    by_hand::Ordered,
    follow, leaving,
    left_out::{leave_out, still_unwritable},
    released::Released,
};

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

/// What is known of a batch already, and the one behind it, to be judged meanwhile.
#[derive(Default)]
pub(super) struct Beside<'a> {
    pub known: Known,
    pub next: Option<&'a mut Decoded>,
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
        mut beside: Beside<'_>,
        claim: &mut K::Claim,
    ) -> Result<Committed, LaneError> {
        let mut may_fall_back = true;
        loop {
            batch.include_relatives(&self.plan);
            let beside = std::mem::take(&mut beside);
            match self.commit_batch(batch, beside, &Work::Pulled, claim, may_fall_back).await? {
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
        match self.commit_batch(batch, Beside::default(), &Work::Swept(swept), claim, false).await? {
            Ended::Committed(committed) => Ok(Some(*committed)),
            Ended::Pause(_, table, reason) => self.pause(claim, table, reason).await.map(|()| None),
            Ended::Faulted(..) | Ended::Later(_) | Ended::Refused(_) => Ok(None),
        }
    }

    pub(super) async fn commit_batch(
        &mut self,
        mut batch: Batch,
        Beside { known: Known { keyed, judged }, mut next }: Beside<'_>,
        work: &Work<'_>,
        claim: &mut K::Claim,
        may_fall_back: bool,
    ) -> Result<Ended, LaneError> {
        let mut faults_before = self.stages.faults() - judged.as_ref().map_or(0, |judged| judged.faults);
        batch.newest_at = claim.checkpoint().committed_at;
        let (prepared, waiting) = self.ready(&mut batch, judged, work);
        let mut keyed =
            keyed.filter(|keyed| keyed.is_of(&batch)).unwrap_or_else(|| Keyed::of(&batch, work.swept()));
        let by_hand = if let Work::Ordered(ordered) = work { ordered.by_hand() } else { None };
        let left_out = LeftOut { rows: self.waiting.unwritable.clone(), by_hand, ..LeftOut::default() };
        let mut tries = Tries { left_out, failures: 0, judged: false };
        loop {
            let decided = self.decided(&batch, &mut keyed, work, &prepared, &tries.left_out, claim).await;
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
            // Polled behind the commit, and so while the sink works.
            let judging = async { next.take().map_or(0, |next| self.judge(next)) };
            let (committed, faults_of_next) = tokio::join!(claim.commit(writes), judging);
            faults_before += faults_of_next;
            match committed {
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

    /// What the plugins before the transaction say of a batch, where they have not said it already, and what of it waits.
    fn ready(
        &mut self,
        batch: &mut Batch,
        judged: Option<Judged>,
        work: &Work<'_>,
    ) -> (Prepared, Vec<WaitingWrite>) {
        if let Some(judged) = judged {
            if holds_nothing(batch, &self.waiting, &self.plan) {
                return (judged.prepared, Vec::new());
            }
            // What is held back is kept as it came, and the plugins have written into it.
            let newest_at = batch.newest_at;
            *batch = Batch { newest_at, ..follow::decoded_again(std::mem::take(batch), &self.decoder) };
            batch.include_relatives(&self.plan);
        }
        self.prepare(batch, work)
    }

    /// Has the plugins before the transaction judge the next batch; returns how many of their calls failed.
    fn judge(&mut self, next: &mut Decoded) -> u64 {
        let Lane { stages, plan, decoder, waiting, .. } = self;
        next.judge(stages.as_mut(), plan, decoder, |batch| holds_nothing(batch, waiting, plan))
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
        keyed: &mut Keyed,
        work: &Work<'_>,
        prepared: &Prepared,
        left_out: &LeftOut,
        claim: &mut K::Claim,
    ) -> Result<Decided, LaneError> {
        let from = claim.checkpoint().sequence;
        let mut wanted = keyed.ask(batch, &self.plan, from);
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
            keyed,
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
        if let Some(table) = decided.leaves_too_many() {
            claim.abandon().await;
            return Err(leaving::too_many(&self.plan, table));
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
