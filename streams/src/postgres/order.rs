//! Writing a batch row by row where the set-based way failed: in stream order, each run under a savepoint, cut in
//! halves until the rows that cannot be written stand alone.
//!
//! The net effect of a batch per key may be impossible in one order and possible in another, where a unique value
//! moves between rows. So what fails is tried again behind the others, and rows that only exchange values among
//! themselves are taken out and put in together. What fails then is guilty.

use std::collections::HashMap;

use tokio_postgres::Error;

use crate::{
    checkpoint::Checkpoint,
    sink::{Cause, CommitError, SinkError},
    standing::Wanted,
    writes::Writes,
};

use super::{
    cells,
    claim::{Facts, PostgresClaim},
    fate::{self, Fate},
    session::{Call, Session},
    sidecar,
    standing::{Asked, Open},
    steps::{self, Kind, Step},
    write::{About, Failure, send},
};

/// How many rows may be tried as an exchange of unique values; beyond that they are guilty.
const EXCHANGE_MAX: usize = 64;

/// The rows so far: what is written, and what failed.
#[derive(Default)]
struct Progress {
    /// The xmin of each written row, by (table in the writes, set, row).
    xmins: HashMap<(usize, u32, u32), u32>,
    /// Single rows that failed, with the error.
    failed: Vec<(Step, Error)>,
}

impl PostgresClaim {
    /// Begins the same batch again and writes it in order. The error of the first attempt has closed it.
    pub(super) async fn in_order(
        &mut self,
        before: Open,
        writes: &Writes,
        next: Checkpoint,
    ) -> Result<Checkpoint, CommitError> {
        let again = match self.again(before.wanted, &before.families).await {
            Ok(open) => Open { taken_over: before.taken_over, ..open },
            Err(SinkError::Fenced(_)) => return Err(CommitError::Fenced),
            Err(SinkError::Table(table, cause)) => {
                self.close().await;
                return Err(CommitError::PauseTable(table, cause));
            }
            Err(error) => {
                self.close().await;
                return Err(CommitError::Again(Cause { code: "connection".into(), text: error.to_string() }));
            }
        };
        if again.known != before.known || again.families != before.families {
            self.close().await;
            let text = "rows of the batch were changed while it was decided".into();
            return Err(CommitError::Again(Cause { code: "changed".into(), text }));
        }
        let mut progress = Progress::default();
        if let Err(failure) = write_all(&self.facts, &mut self.session, &again, writes, &mut progress).await {
            self.close().await;
            return Err(self.told(&failure));
        }
        if !progress.failed.is_empty() {
            self.close().await;
            return Err(guilty(&self.facts, writes, &progress.failed));
        }
        let xmin = |table, set, row| progress.xmins.get(&(table, set, row)).copied().unwrap_or(again.xid);
        let batch = self.facts.batch(&again, writes);
        let out = sidecar::statements(&batch, &next, &xmin);
        match send(&mut self.session, out, &[], Vec::new(), &mut self.in_transaction).await.0 {
            Ok(lease) => Ok(self.advance(next, lease)),
            Err(failure) => {
                self.close().await;
                match fate::of(&failure.error) {
                    Fate::Lost => self.settle(next, &failure).await,
                    // Somebody's version came meanwhile.
                    Fate::Unique => Err(CommitError::Again(fate::cause(&failure.error, None))),
                    _ => Err(self.told(&failure)),
                }
            }
        }
    }
}

impl PostgresClaim {
    /// The same locks and the same questions again.
    async fn again(&mut self, wanted: Wanted, families: &[Asked]) -> Result<Open, SinkError> {
        let (_, mut open) = self.open(wanted).await?;
        for asked in families {
            self.ask_family(&mut open, asked.wanted.clone()).await?;
        }
        Ok(open)
    }
}

fn guilty(facts: &Facts, writes: &Writes, failed: &[(Step, Error)]) -> CommitError {
    let mut changes: Vec<u32> = failed
        .iter()
        .flat_map(|(step, _)| step.rows.iter().map(|&row| step.change(&writes.tables[step.table], row)))
        .collect();
    changes.sort_unstable();
    changes.dedup();
    let (step, error) = &failed[0];
    let name = &facts.target(writes.tables[step.table].table).shape.name;
    CommitError::Guilty(changes, fate::cause(error, Some(name)))
}

async fn write_all(
    facts: &Facts,
    session: &mut Session,
    open: &Open,
    writes: &Writes,
    progress: &mut Progress,
) -> Result<(), Failure> {
    // So that a deferred constraint names its row here, and not the whole batch at COMMIT.
    let immediate = session.say("SET CONSTRAINTS ALL IMMEDIATE").await;
    immediate.map_err(|error| Failure { error, about: About::Sidecar })?;
    for (t, table) in writes.tables.iter().enumerate() {
        for run in steps::in_stream_order(t, facts.target(table.table), table, open) {
            halves(facts, session, writes, run, progress).await?;
        }
    }
    // Rows of parents could not go before their children's: now backwards.
    let (mut deletes, upserts): (Vec<_>, Vec<_>) =
        std::mem::take(&mut progress.failed).into_iter().partition(|(step, _)| step.kind == Kind::Delete);
    deletes.sort_by_key(|(step, _)| std::cmp::Reverse(step.table));
    again(facts, session, writes, deletes, progress).await?;
    let undeletable = std::mem::take(&mut progress.failed);
    again(facts, session, writes, upserts, progress).await?;
    let stuck = std::mem::take(&mut progress.failed);
    exchange(facts, session, writes, stuck, progress).await?;
    progress.failed.extend(undeletable);
    Ok(())
}

/// Tries failed rows again, as long as one of them gets through.
async fn again(
    facts: &Facts,
    session: &mut Session,
    writes: &Writes,
    mut open: Vec<(Step, Error)>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    while !open.is_empty() {
        let before = open.len();
        for (step, _) in open {
            halves(facts, session, writes, step, progress).await?;
        }
        if progress.failed.len() == before {
            break;
        }
        open = std::mem::take(&mut progress.failed);
    }
    Ok(())
}

/// Writes a run under a savepoint; one that fails is cut in halves, in order, down to single rows.
async fn halves(
    facts: &Facts,
    session: &mut Session,
    writes: &Writes,
    run: Step,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let mut open = vec![run];
    while let Some(step) = open.pop() {
        let target = facts.target(writes.tables[step.table].table);
        let sql = step.sql(target, &writes.tables[step.table]);
        match attempt(facts, session, writes, &step, &sql, progress).await? {
            None => {}
            Some(_) if step.rows.len() > 1 => {
                let (left, right) = step.rows.split_at(step.rows.len() / 2);
                open.push(Step { rows: right.to_vec(), ..step });
                open.push(Step { rows: left.to_vec(), ..step });
            }
            Some(error) => progress.failed.push((step, error)),
        }
    }
    Ok(())
}

/// Updates that exchange unique values among them, a set at a time. Where the whole set still fails, the latest
/// row is left out, and so on: what was left out is guilty.
async fn exchange(
    facts: &Facts,
    session: &mut Session,
    writes: &Writes,
    mut stuck: Vec<(Step, Error)>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    while let Some((first, error)) = stuck.pop() {
        let target = facts.target(writes.tables[first.table].table);
        let same = |s: &Step| (s.table, s.set, s.kind) == (first.table, first.set, Kind::Update);
        let (mut rows, others): (Vec<_>, Vec<_>) = stuck.into_iter().partition(|(step, _)| same(step));
        stuck = others;
        rows.push((first, error));
        rows.sort_by_key(|(step, _)| step.change(&writes.tables[step.table], step.rows[0]));
        let fits = target.may_replace && rows[0].0.kind == Kind::Update && rows.len() <= EXCHANGE_MAX;
        while fits && rows.len() > 1 {
            let all = rows.iter().flat_map(|(step, _)| step.rows.iter().copied()).collect();
            let step = Step { rows: all, ..rows[0].0.clone() };
            let sql = target.replace(&writes.tables[step.table].upserts[step.set].columns);
            if attempt(facts, session, writes, &step, &sql, progress).await?.is_none() {
                rows.clear();
            } else {
                progress.failed.extend(rows.pop());
            }
        }
        progress.failed.extend(rows);
    }
    Ok(())
}

/// One statement under a savepoint; `Some` is an error that its rows are to blame for.
async fn attempt(
    facts: &Facts,
    session: &mut Session,
    writes: &Writes,
    step: &Step,
    sql: &str,
    progress: &mut Progress,
) -> Result<Option<Error>, Failure> {
    let table = &writes.tables[step.table];
    let target = facts.target(table.table);
    let failure = |error| Failure { error, about: About::Rows(table.table) };
    let statement = session.prepare(sql).await.map_err(failure)?;
    let mut calls = vec![Call { statement, params: step.params(target, table) }];
    if step.kind != Kind::Delete {
        let statement = session.prepare(&target.xmins()).await.map_err(failure)?;
        calls.push(Call { statement, params: step.keys(target, table) });
    }
    let results = session.pipeline(Some("SAVEPOINT run"), calls, Some("RELEASE SAVEPOINT run")).await;
    let mut written = Vec::new();
    for result in results {
        match result {
            Ok(rows) => written = if rows.is_empty() { written } else { rows },
            Err(error) if matches!(fate::of(&error), Fate::Unique | Fate::Data) => {
                session.say("ROLLBACK TO SAVEPOINT run; RELEASE SAVEPOINT run").await.map_err(failure)?;
                return Ok(Some(error));
            }
            Err(error) => return Err(failure(error)),
        }
    }
    for row in &written {
        let place = cells::raw(row, 0).ok().flatten().and_then(|r| cells::int(r).ok());
        let xmin = cells::raw(row, 1).ok().flatten().and_then(|r| cells::xid(r).ok());
        let at = place.and_then(|p| usize::try_from(p - 1).ok()).and_then(|p| step.rows.get(p));
        if let (Some(&row), Some(xmin), Ok(set)) = (at, xmin, u32::try_from(step.set)) {
            progress.xmins.insert((step.table, set, row), xmin);
        }
    }
    Ok(None)
}
