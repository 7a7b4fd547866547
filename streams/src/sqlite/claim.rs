//! A claimed lane: the batches' transactions, one after another, on the thread that owns the connection. A file
//! has one writer, so the lanes of a process take turns, in the order in which they asked.

use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::OwnedMutexGuard;

use super::{
    Clock, Writer, by_hand, checkpoint, epochs, errors, events, family, history, holes, kept,
    lane::{self, Lane},
    ledger, pages, retention, row, rows, standing, versions, waiting,
};
use crate::{
    by_hand::Order,
    checkpoint::Checkpoint,
    columns::Columns,
    epoch::SourceEpochs,
    family::{Family, FamilyWanted, Swept},
    hole::{Hole, HoleRecord, Passed, Resume},
    position::Micros,
    retention::{Retention, Tidied},
    sink::{Cause, Claim, CommitError, SinkError},
    standing::{NewGeneration, Standing, Wanted},
    table::TableId,
    waiting::{Aside, Depth, Paused, Waiting, WaitingWanted},
    writes::{Touch, Writes},
};

/// A lane of a SQLite sink.
#[derive(Debug)]
pub struct SqliteClaim {
    pub(super) writer: Arc<Writer>,
    pub(super) lane: Arc<Lane>,
    pub(super) checkpoint: Checkpoint,
    pub(super) clock: Clock,
    /// Held from `begin` to `commit` or `abandon`.
    pub(super) turn: Option<OwnedMutexGuard<()>>,
}

impl Claim for SqliteClaim {
    fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    async fn begin(&mut self, asked: Wanted) -> Result<Standing, SinkError> {
        if self.turn.is_none() {
            self.turn = Some(Arc::clone(&self.writer.turns).lock_owned().await);
        }
        let (lane, mut ours) = (Arc::clone(&self.lane), self.checkpoint.clone());
        ours.sequence = asked.from;
        let now = self.clock.now();
        let begun = self.writer.thread.run(move |conn| begin(conn, &lane, &ours, &asked, now)).await?;
        if begun.is_err() {
            self.turn = None;
        }
        begun
    }

    async fn family(&mut self, asked: FamilyWanted) -> Result<Family, SinkError> {
        if self.turn.is_none() {
            return Err(SinkError::Fenced(self.lane.name.clone()));
        }
        let lane = Arc::clone(&self.lane);
        let read = self.writer.thread.run(move |conn| family_of(conn, &lane, &asked)).await?;
        if read.is_err() {
            self.turn = None;
        }
        read
    }

    async fn sweep(&mut self, limit: u32) -> Result<Swept, SinkError> {
        let lane = Arc::clone(&self.lane);
        self.fenced(move |conn| family::sweep(conn, &lane, limit)).await
    }

    async fn commit(&mut self, writes: Writes) -> Result<Checkpoint, CommitError> {
        if self.turn.is_none() {
            let text = "there is no open transaction".into();
            return Err(CommitError::Again(Cause { code: "closed".into(), text }));
        }
        let (lane, ours, now) = (Arc::clone(&self.lane), self.checkpoint.clone(), self.clock.now());
        let done = self.writer.thread.run(move |conn| commit(conn, &lane, &ours, &writes, now)).await;
        self.turn = None;
        let ended = |e: super::thread::ThreadEnded| {
            CommitError::Halt(Cause { code: "thread".into(), text: e.to_string() })
        };
        self.checkpoint = done.map_err(ended)??;
        Ok(self.checkpoint.clone())
    }

    async fn abandon(&mut self) {
        if self.turn.is_some() {
            let lane = Arc::clone(&self.lane);
            // A thread that has ended has closed its connection, and the transaction with it.
            let _ = self.writer.thread.run(move |conn| roll_back(conn, &lane)).await;
            self.turn = None;
        }
    }

    async fn idle(&mut self, scanned: u64) -> Result<(), SinkError> {
        let now = self.clock.now();
        let (lane, ours) = (Arc::clone(&self.lane), self.checkpoint.clone());
        let work = move |conn: &Connection| checkpoint::idle(conn, &lane, &ours, scanned, now);
        self.checkpoint = self.fenced(work).await?;
        Ok(())
    }

    async fn balance(&mut self) -> Result<(), SinkError> {
        let (ours, now) = (self.checkpoint.clone(), self.clock.now());
        self.checkpoint = self.fenced(move |conn| checkpoint::balance(conn, &ours, now)).await?;
        Ok(())
    }

    async fn tidy(&mut self, asked: &Retention) -> Result<Tidied, SinkError> {
        let (lane, asked, now) = (Arc::clone(&self.lane), asked.clone(), self.clock.now());
        self.fenced(move |conn| retention::tidy(conn, &lane, &asked, now)).await
    }

    async fn epochs(&mut self) -> Result<SourceEpochs, SinkError> {
        let lane = Arc::clone(&self.lane);
        self.fenced(move |conn| epochs::of_lane(conn, &lane)).await
    }

    async fn generation(&mut self, from_sequence: u64, plugins: String, by: &str) -> Result<i64, SinkError> {
        let (lane, now) = (self.lane.name.clone(), self.clock.now());
        let new = NewGeneration { plugins, by: by.to_owned() };
        self.fenced(move |conn| history::number_generation(conn, &lane, from_sequence, &new, now)).await
    }

    async fn waiting(&mut self, asked: WaitingWanted) -> Result<Vec<Waiting>, SinkError> {
        let lane = Arc::clone(&self.lane);
        self.fenced(move |conn| waiting::read(conn, &lane, &asked)).await
    }

    async fn depths(&mut self) -> Result<Vec<Depth>, SinkError> {
        let lane = Arc::clone(&self.lane);
        self.fenced(move |conn| waiting::depths(conn, &lane)).await
    }

    async fn page(
        &mut self,
        table: TableId,
        behind: Option<Columns>,
        limit: u32,
    ) -> Result<Columns, SinkError> {
        let lane = Arc::clone(&self.lane);
        let read = move |conn: &mut Connection| pages::read(conn, lane.table(table), behind.as_ref(), limit);
        let read = self.writer.thread.run(read).await?;
        read.map_err(|e| errors::sink_error("the keys of a table could not be read", &e))
    }

    async fn paused(&mut self) -> Result<Vec<Paused>, SinkError> {
        let lane = Arc::clone(&self.lane);
        self.fenced(move |conn| waiting::paused(conn, &lane)).await
    }

    async fn pause(&mut self, table: TableId, reason: &str) -> Result<(), SinkError> {
        let (target, reason) = (self.lane.table(table).target, reason.to_owned());
        self.fenced(move |conn| waiting::pause(conn, target, &reason)).await
    }

    async fn orders(&mut self) -> Result<Vec<Order>, SinkError> {
        let lane = Arc::clone(&self.lane);
        self.fenced(move |conn| by_hand::read(conn, &lane)).await
    }

    async fn refuse(&mut self, order: &Order, why: &str) -> Result<(), SinkError> {
        let (lane, order, why) = (Arc::clone(&self.lane), order.clone(), why.to_owned());
        self.fenced(move |conn| by_hand::refuse(conn, &lane, &order, &why)).await
    }

    fn set_aside(&mut self, tables: Aside) {
        self.lane.set_aside(tables);
    }

    async fn record_hole(&mut self, hole: &Hole) -> Result<HoleRecord, SinkError> {
        self.abandon().await;
        let (lane, ours, hole, now) =
            (Arc::clone(&self.lane), self.checkpoint.clone(), hole.clone(), self.clock.now());
        self.fenced(move |conn| holes::record(conn, &lane, &ours, &hole, now)).await
    }

    async fn pass_hole(&mut self, id: i64, how: Passed, resume: Resume) -> Result<(), SinkError> {
        self.abandon().await;
        let (ours, now) = (self.checkpoint.clone(), self.clock.now());
        self.checkpoint = self.fenced(move |conn| holes::pass(conn, &ours, id, &how, resume, now)).await?;
        Ok(())
    }

    async fn release(&mut self) {
        self.abandon().await;
        let ours = self.checkpoint.clone();
        // A lane that cannot be given up is free when its lease ends.
        let _ = self.fenced(move |conn| checkpoint::release(conn, &ours)).await;
    }
}

impl SqliteClaim {
    /// Does something in a transaction of its own, if the lane still is ours.
    async fn fenced<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SinkError> {
        let ours = self.checkpoint.clone();
        let _turn = self.writer.turns.lock().await;
        let job = move |conn: &mut Connection| -> rusqlite::Result<Option<T>> {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if !checkpoint::is_ours(&tx, &ours)? {
                return Ok(None);
            }
            let done = work(&tx)?;
            tx.commit()?;
            Ok(Some(done))
        };
        let done = self.writer.thread.run(job).await?;
        let done = done.map_err(|e| errors::sink_error("the lane's checkpoint could not be written", &e))?;
        done.ok_or_else(|| SinkError::Fenced(self.lane.name.clone()))
    }
}

impl Drop for SqliteClaim {
    fn drop(&mut self) {
        if self.turn.is_some() {
            // Sent before the turn is given up, so it is done before the next lane's work.
            let lane = Arc::clone(&self.lane);
            self.writer.thread.post(move |conn| roll_back(conn, &lane));
        }
    }
}

fn roll_back(conn: &Connection, lane: &Lane) {
    if !conn.is_autocommit() {
        // SQLite has then already rolled back by itself.
        let _ = conn.execute_batch("ROLLBACK");
    }
    lane.forget_sources();
}

fn begin(
    conn: &Connection,
    lane: &Lane,
    ours: &Checkpoint,
    asked: &Wanted,
    now: Micros,
) -> Result<Standing, SinkError> {
    let failed = |e: rusqlite::Error| errors::sink_error("the batch's transaction could not be opened", &e);
    roll_back_forgotten(conn, lane);
    conn.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let stands = match checkpoint::is_ours(conn, ours) {
        Err(e) => Err(failed(e)),
        Ok(false) => Err(SinkError::Fenced(lane.name.clone())),
        Ok(true) => standing::read(conn, lane, asked).map_err(|unread| unreadable(lane, &unread)),
    };
    let stands = stands.and_then(|stands| {
        let number = |new| history::number_generation(conn, &lane.name, asked.from, new, now);
        let generation = asked.generation.as_ref().map(number).transpose().map_err(failed)?;
        Ok(Standing { generation, ..stands })
    });
    if stands.is_err() {
        roll_back(conn, lane);
    }
    stands
}

/// A task that was dropped while its work ran may have left a transaction open.
fn roll_back_forgotten(conn: &Connection, lane: &Lane) {
    if !conn.is_autocommit() {
        roll_back(conn, lane);
    }
}

fn family_of(conn: &Connection, lane: &Lane, asked: &FamilyWanted) -> Result<Family, SinkError> {
    if conn.is_autocommit() {
        return Err(SinkError::Fenced(lane.name.clone()));
    }
    let read = family::read(conn, lane, asked).map_err(|unread| unreadable(lane, &unread));
    if read.is_err() {
        roll_back(conn, lane);
    }
    read
}

fn unreadable(lane: &Lane, unread: &standing::Unread) -> SinkError {
    if let (Some(table), errors::Fate::Table) = (unread.table, errors::fate(&unread.error)) {
        return SinkError::Table(table, errors::cause(&unread.error));
    }
    let of = unread.table.map_or("the sidecar".into(), |t| format!("table `{}`", lane.table(t).shape.name));
    errors::sink_error(&format!("what stands in {of} could not be read"), &unread.error)
}

fn commit(
    conn: &Connection,
    lane: &Lane,
    ours: &Checkpoint,
    writes: &Writes,
    now: Micros,
) -> Result<Checkpoint, CommitError> {
    if conn.is_autocommit() {
        let text = "the transaction was closed before its commit".into();
        return Err(CommitError::Again(Cause { code: "closed".into(), text }));
    }
    let written = write(conn, lane, ours, writes, now);
    let Ok(after) = written else {
        roll_back(conn, lane);
        return written;
    };
    let Err(error) = conn.execute_batch("COMMIT") else { return Ok(after) };
    roll_back(conn, lane);
    // An error of the disk may come after the commit was already durable: the checkpoint tells.
    match checkpoint::read(conn, &lane.name) {
        Ok(Some(stored)) if stored == after => Ok(after),
        Ok(_) | Err(_) => Err(row::batch_error(&error, None)),
    }
}

fn write(
    conn: &Connection,
    lane: &Lane,
    ours: &Checkpoint,
    writes: &Writes,
    now: Micros,
) -> Result<Checkpoint, CommitError> {
    let digests = rows::write(conn, lane, writes)?;
    let sidecar = |e: rusqlite::Error| row::batch_error(&e, None);
    write_versions(conn, lane, writes, &digests).map_err(sidecar)?;
    // First what goes: a change that waited may leave a row that is kept, under the same position and sequence.
    waiting::write(conn, lane, writes, now).map_err(sidecar)?;
    kept::write(conn, lane, writes, now).map_err(sidecar)?;
    ledger::write(conn, writes).map_err(sidecar)?;
    history::write(conn, lane, writes, now).map_err(sidecar)?;
    events::write(conn, lane, writes, now).map_err(sidecar)?;
    epochs::write(conn, lane, writes, now).map_err(sidecar)?;
    checkpoint::advance(conn, lane, ours, writes, now).map_err(sidecar)
}

fn write_versions(
    conn: &Connection,
    lane: &Lane,
    writes: &Writes,
    digests: &rows::Digests,
) -> rusqlite::Result<()> {
    let mut writer = versions::Writer::new(conn)?;
    for (part, digests) in writes.tables.iter().zip(digests) {
        let target = lane.table(part.table).target;
        for version in &part.versions {
            let digest = match version.row {
                Touch::No => None,
                Touch::Written(set, row) => {
                    digests.get(set as usize).and_then(|set| *set.get(row as usize)?)
                }
                Touch::TakenOver => standing::digest_by_key(conn, lane.table(part.table), &version.key)?,
            };
            writer.write(lane, target, version, digest.as_ref())?;
        }
        writer.write_gate(lane, target, &part.gate)?;
    }
    Ok(())
}

/// The tables of a plan, registered in the sidecar, with what SQLite needs to write them.
pub(super) fn tables(
    conn: &Connection,
    shapes: &[Arc<crate::table::TableShape>],
) -> rusqlite::Result<Vec<lane::Table>> {
    let mut tables = Vec::new();
    for shape in shapes {
        let keys: Vec<&str> = shape.key.iter().map(|&k| shape.columns[k].name.as_str()).collect();
        let keys = serde_json::json!(keys).to_string();
        let register = "INSERT INTO reconverge_target (name, key_columns) VALUES (?1, ?2)
                        ON CONFLICT (name) DO UPDATE SET key_columns = excluded.key_columns RETURNING id";
        let target: i64 = conn.query_row(register, (&shape.name, keys), |r| r.get(0))?;
        let (affinities, triggers) = super::shapes::storage(conn, shape)?;
        tables.push(lane::Table::new(Arc::clone(shape), target, &affinities, triggers));
    }
    Ok(tables)
}
