//! Writing a batch: every statement and the COMMIT in one go, and what to do when one of them fails.

use std::time::Duration;

use tokio_postgres::{Error, Row};

use crate::{
    checkpoint::Checkpoint,
    position::Micros,
    sink::{Cause, CommitError, SinkError},
    standing::Wanted,
    table::TableId,
    writes::Writes,
};

use super::{
    ahead::{self, Begun},
    begin, cells,
    claim::{self, PostgresClaim},
    fate::{self, Fate},
    lane,
    params::Param,
    session::{Call, Sent, Session},
    sidecar::{self, Outgoing},
    standing::{self, Open},
    steps,
};

/// How often in a row a key may come meanwhile before the rows are written in order to find it.
const CLASHES_MAX: u32 = 3;
/// How often the checkpoint is asked for after a commit of unknown outcome.
const ASKED_MAX: u32 = 6;
/// The first pause between two such questions; doubled each time.
const ASKED_PAUSE: Duration = Duration::from_millis(100);

/// What a failed statement was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Rows of the user's table.
    Rows(TableId),
    /// Our own tables.
    Sidecar,
    /// The COMMIT, where deferred constraints are checked.
    Commit,
}

/// A statement that failed.
pub(super) struct Failure {
    pub error: Error,
    pub about: About,
}

impl PostgresClaim {
    /// Writes and commits; see [`crate::sink::Claim::commit`].
    pub(super) async fn write(&mut self, writes: &Writes) -> Result<Checkpoint, CommitError> {
        let foreseen = self.foreseen.take();
        let Some(mut open) = self.open.take() else {
            let text = "commit without a batch that was begun".into();
            return Err(CommitError::Halt(Cause { code: "no-batch".into(), text }));
        };
        if let Err(error) = self.made_ready(writes).await {
            self.close().await;
            return Err(CommitError::Again(Cause { code: "connection".into(), text: error.to_string() }));
        }
        let balanced = match self.balanced(writes).await {
            Ok((balanced, taken_over)) => {
                open.taken_over = taken_over;
                balanced
            }
            Err(error) => {
                self.close().await;
                return Err(self.told(&Failure { error, about: About::Sidecar }));
            }
        };
        let next = balanced.after(writes);
        let failure = match self.at_once(&open, writes, &next, foreseen).await {
            Ok(lease) => return Ok(self.advance(next, lease)),
            Err(failure) => failure,
        };
        self.close().await;
        match (fate::of(&failure.error), failure.about) {
            (Fate::Lost, _) => self.settle(next, &failure).await,
            (Fate::Unique, _) if self.is_clash(&failure) && self.clashes < CLASHES_MAX => {
                self.clashes += 1;
                Err(CommitError::Again(fate::cause(&failure.error, None)))
            }
            (Fate::Unique | Fate::Data, About::Rows(_) | About::Commit) => {
                self.in_order(open, writes, next).await
            }
            _ => Err(self.told(&failure)),
        }
    }

    /// Whatever is needed from outside of the transaction: numbers for new names, tomorrow's partition.
    async fn made_ready(&mut self, writes: &Writes) -> Result<(), SinkError> {
        let reads = self.facts.shared.reads().await?;
        let learnt = self.facts.ids.learn(&reads, sidecar::names(writes)).await;
        learnt.map_err(|e| fate::sink_error(&e, "numbering a source"))?;
        if !writes.decisions.is_empty() {
            self.upkeep().await?;
        }
        Ok(())
    }

    /// All statements and the COMMIT without waiting between them, and behind it what begins the batch that is foreseen.
    /// An error makes the server roll back at COMMIT.
    async fn at_once(
        &mut self,
        open: &Open,
        writes: &Writes,
        next: &Checkpoint,
        foreseen: Option<Wanted>,
    ) -> Result<Option<Micros>, Failure> {
        let steps = steps::all(&self.facts.targets, &writes.tables, open);
        let (mut out, mut about) = (Vec::new(), Vec::new());
        for step in &steps {
            let table = &writes.tables[step.table];
            let target = self.facts.target(table.table);
            out.push(Outgoing { sql: step.sql(target, table), params: step.params(target, table) });
            about.push(About::Rows(table.table));
        }
        let batch = self.facts.batch(open, writes);
        out.extend(sidecar::statements(&batch, next, &|_, _, _| open.xid));
        let foreseen = foreseen.map(|wanted| Wanted { from: next.sequence, ..wanted });
        let all = vec![None; foreseen.as_ref().map_or(0, |wanted| wanted.tables.len())];
        let asked = (all.as_slice(), &[standing::gate_key(&self.facts.lane)][..]);
        let calls = |wanted| ahead::calls(&self.session, &self.facts, next.epoch, wanted, asked);
        let behind = foreseen.as_ref().and_then(calls).unwrap_or_default();
        let begins = !behind.is_empty();
        let (sent, answers) = send(&mut self.session, out, &about, behind, &mut self.in_transaction).await;
        let lease = sent?;
        if let (Some(wanted), true) = (foreseen, begins) {
            match begin::answered(&wanted, answers) {
                Ok(asked) => self.begun = Some(Begun { wanted, asked }),
                // Whatever it is, the batch's own beginning meets it again.
                Err(_) => self.close().await,
            }
        }
        Ok(lease)
    }

    /// The batch is there: the checkpoint as committed.
    pub(super) fn advance(&mut self, next: Checkpoint, lease: Option<Micros>) -> Checkpoint {
        self.clashes = 0;
        self.checkpoint = Checkpoint { lease_until: lease.or(next.lease_until), ..next };
        self.checkpoint.clone()
    }

    /// Whether a key that was not there when the batch began is there now.
    fn is_clash(&self, failure: &Failure) -> bool {
        let Some(constraint) = failure.error.as_db_error().and_then(|db| db.constraint()) else {
            return false;
        };
        match failure.about {
            About::Rows(table) => self.facts.target(table).is_key_index(constraint),
            About::Sidecar => matches!(constraint, "version_pkey" | "seen_event_pkey"),
            About::Commit => false,
        }
    }

    /// The error for the host; the transaction is closed already.
    pub(super) fn told(&mut self, failure: &Failure) -> CommitError {
        let table = match failure.about {
            About::Rows(table) => Some(table),
            About::Sidecar | About::Commit => None,
        };
        let cause = fate::cause(&failure.error, table.map(|t| self.facts.target(t).shape.name.as_str()));
        match (fate::of(&failure.error), table) {
            (Fate::Lost | Fate::Again, _) => CommitError::Again(cause),
            (Fate::Stale, _) => {
                self.doubtful = true;
                CommitError::Again(cause)
            }
            (Fate::Table, Some(table)) => {
                self.session.forget();
                CommitError::PauseTable(table, cause)
            }
            (Fate::Table | Fate::Unique | Fate::Data | Fate::Halt, _) => CommitError::Halt(cause),
        }
    }

    /// A commit whose outcome is unknown: asks the checkpoint on a new connection. Its row is locked until the
    /// old session's transaction has ended one way or the other, so what is read then is final.
    pub(super) async fn settle(
        &mut self,
        next: Checkpoint,
        failure: &Failure,
    ) -> Result<Checkpoint, CommitError> {
        let ask =
            format!("SELECT {} FROM reconverge.checkpoint WHERE lane = $1::text FOR UPDATE", lane::COLUMNS);
        for asked in 0..ASKED_MAX {
            if asked > 0 {
                tokio::time::sleep(ASKED_PAUSE * 2_u32.pow(asked)).await;
            }
            let Ok(mut session) = claim::connect(&self.facts.shared, &self.facts.lane).await else {
                continue;
            };
            let rows = session.query(&ask, vec![Param::Text(&self.facts.lane)]).await;
            let Ok(rows) = rows else { continue };
            self.session = session;
            self.in_transaction = false;
            let Some(stored) = rows.first().and_then(|row| lane::read(row).ok()) else { break };
            if stored.epoch != next.epoch {
                break;
            }
            // A sweep moves neither; what it did shows in the counts.
            let same = |c: &Checkpoint| (c.sequence, c.delivered, c.counts);
            if same(&stored) == same(&next) {
                return Ok(self.advance(next, stored.lease_until));
            }
            return Err(CommitError::Again(fate::cause(&failure.error, None)));
        }
        // Not known, or another owner has it: a new claim reads the truth.
        Err(CommitError::Fenced)
    }
}

/// Sends the last statements of a batch and the COMMIT; the last statement gives the new end of the lease.
/// `about` tells what the first statements are about, the others are the sidecar's. Where there is something to be sent
/// `behind`, a BEGIN goes before it; its answers, and BEGIN's, are given as they are.
pub(super) async fn send(
    session: &mut Session,
    out: Vec<Outgoing<'_>>,
    about: &[About],
    behind: Vec<Call<'_>>,
    in_transaction: &mut bool,
) -> (Result<Option<Micros>, Failure>, Vec<Result<Vec<Row>, Error>>) {
    let about = |at: usize| about.get(at).copied().unwrap_or(About::Sidecar);
    let mut calls = Vec::with_capacity(out.len() + behind.len() + 2);
    for (at, outgoing) in out.into_iter().enumerate() {
        match session.prepare(&outgoing.sql).await {
            Ok(statement) => calls.push(Sent::Call(Call { statement, params: outgoing.params })),
            Err(error) => return (Err(Failure { error, about: about(at) }), Vec::new()),
        }
    }
    let count = calls.len();
    calls.push(Sent::Word("COMMIT"));
    let begins = !behind.is_empty();
    if begins {
        calls.push(Sent::Word("BEGIN"));
        calls.extend(behind.into_iter().map(Sent::Call));
    }
    let mut results = session.send(calls.into_iter()).await;
    *in_transaction = begins;
    let answers = results.split_off(count + 1);
    let mut lease = None;
    for (at, result) in results.into_iter().enumerate() {
        let about = if at == count { About::Commit } else { about(at) };
        let rows = match result {
            Ok(rows) => rows,
            Err(error) => return (Err(Failure { error, about }), answers),
        };
        if at + 1 == count {
            let cell = rows.first().and_then(|row| cells::raw(row, 0).ok().flatten());
            lease = cell.and_then(|raw| cells::micros(raw).ok());
        }
    }
    (Ok(lease), answers)
}
