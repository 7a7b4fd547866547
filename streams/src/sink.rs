//! Where rows go. The contract that every sink keeps, and that `streams/tests/conformance` runs them through.
//!
//! - A lane is claimed by one process at a time; the claim's epoch is the fence. An old owner that wakes up
//!   late writes nothing.
//! - A batch is one transaction: rows, versions, history, dead letters and the checkpoint commit together or
//!   not at all.
//! - What `begin` returns is locked until `commit` or `abandon`.

use std::{future::Future, sync::Arc, time::Duration};

use crate::{
    by_hand::Order,
    checkpoint::{Checkpoint, LaneId, PlanDigest},
    columns::Columns,
    epoch::SourceEpochs,
    family::{Family, FamilyWanted, Swept},
    hole::{Hole, HoleRecord, Passed, Resume},
    names::Names,
    position::Micros,
    retention::{Retention, Tidied},
    standing::{Standing, Wanted},
    table::{TableId, TableShape},
    waiting::{Aside, Depth, Paused, Waiting, WaitingWanted},
    writes::{ChangeIndex, Writes},
};

/// A table as the pipeline names it, to be looked up in the sink.
#[derive(Clone, Debug)]
pub struct TableName {
    /// Name in the sink.
    pub name: String,
    /// Key columns, in the declared order.
    pub key: Vec<String>,
}

/// What a sink found wrong with a table, or with itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The table, where it is about one.
    pub table: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

/// Who claims a lane, and under what.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The lane.
    pub lane: LaneId,
    /// A name of this process that no other has.
    pub owner: String,
    /// How long a silent owner keeps the lane.
    pub lease: Duration,
    /// The stream's name.
    pub stream: String,
    /// When it was created.
    pub stream_created: Micros,
    /// The plan in force; another one than the checkpoint's is refused.
    pub plan: PlanDigest,
    /// All tables of the plan, by [`TableId`].
    pub tables: Vec<Arc<TableShape>>,
    /// The region that the sink stands in: the origin of local writes.
    pub region: String,
    /// Where names of sources and origins are interned.
    pub names: Arc<Names>,
}

/// Why a sink could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// It will not work without a change of the set-up.
    #[error("{what}")]
    Setup {
        /// What failed.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// The connection or the server failed; trying again may help.
    #[error("{0}")]
    Unreachable(String),
    /// Another process holds the lane.
    #[error("lane {lane} is held by {owner}, whose lease ends in {ends_in_ms} ms")]
    Held {
        /// The lane.
        lane: String,
        /// Who holds it.
        owner: String,
        /// Milliseconds until it may be taken.
        ends_in_ms: i64,
    },
    /// The checkpoint was made under another plan.
    #[error("lane {lane} was run under plan {stored}, this pipeline has plan {asked}")]
    OtherPlan {
        /// The lane.
        lane: String,
        /// The checkpoint's plan.
        stored: PlanDigest,
        /// The plan asked for.
        asked: PlanDigest,
    },
    /// The lane is not ours any more, or its checkpoint stands elsewhere: stop and claim again.
    #[error("lane {0} is not ours any more")]
    Fenced(String),
    /// A table is not as the plan has it (gone, a column dropped or retyped, no permission). Nothing was written.
    #[error("table is not as planned: {1}")]
    Table(TableId, Cause),
}

/// A cause as the sink may tell it: code and names, never a row's values (a server's detail prints them).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Cause {
    /// SQLSTATE, or SQLite's extended result code by name.
    pub code: String,
    /// What happened, with table, column and constraint where the server names them.
    pub text: String,
}

/// Why a batch did not commit. Whatever it is, nothing of the batch is there.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing is wrong with the batch (serialization, deadlock, connection): the same again, after a pause.
    #[error("try again: {0}")]
    Again(Cause),
    /// These changes cannot be written; the batch without them can be tried.
    #[error("{} changes cannot be written: {}", .0.len(), .1)]
    Guilty(Vec<ChangeIndex>, Cause),
    /// The table itself is not as it was (gone, a column dropped, no permission).
    #[error("table is not as planned: {1}")]
    PauseTable(TableId, Cause),
    /// The lane is not ours any more.
    #[error("the lane is not ours any more")]
    Fenced,
    /// Going on would be wrong or useless (disk full, corrupt, read-only).
    #[error("halt: {0}")]
    Halt(Cause),
}

/// A database that takes rows.
pub trait Sink: Send + Sync {
    /// A claimed lane.
    type Claim: Claim;

    /// Makes the sidecar tables where they are missing, and checks their layout where they are not.
    ///
    /// # Errors
    /// [`SinkError::Setup`] for a layout that this version does not know, a foreign owner, missing rights.
    fn prepare(&self) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Everything that would keep the sink from working: connection, rights, sidecar layout. Empty is good.
    fn check(&self) -> impl Future<Output = Result<Vec<Problem>, SinkError>> + Send;

    /// The shapes of the named tables, in the same order; for each that cannot be used, all that is wrong with
    /// it (missing, no such key column, the key is not unique, a type that cannot be had).
    fn shapes(
        &self,
        tables: &[TableName],
    ) -> impl Future<Output = Result<Vec<Result<TableShape, Vec<Problem>>>, SinkError>> + Send;

    /// Takes a lane: raises its epoch, waits for an open batch of the old owner, then reads the truth. Looks at the
    /// plan's tables, and pauses those that are not as the request has them.
    ///
    /// # Errors
    /// [`SinkError::Held`] while another owner's lease runs; [`SinkError::OtherPlan`].
    fn claim(&self, request: ClaimRequest) -> impl Future<Output = Result<Self::Claim, SinkError>> + Send;
}

/// A claimed lane: one connection, one transaction at a time. `begin`, then `commit` or `abandon`.
pub trait Claim: Send {
    /// The checkpoint as last read or committed.
    fn checkpoint(&self) -> &Checkpoint;

    /// Opens the transaction, checks epoch and sequence under the checkpoint's lock, and reads and locks what
    /// stands, in key order, all keys of a table in one round trip. A new generation of plugins that is asked for is
    /// recorded in this transaction, from `asked.from` on, and numbered as [`Self::generation`] does; it costs no
    /// round trip of its own.
    ///
    /// # Errors
    /// [`SinkError::Fenced`] where epoch or sequence are not ours, [`SinkError::Table`] where a table cannot be read as
    /// planned; the transaction is then closed.
    fn begin(&mut self, asked: Wanted) -> impl Future<Output = Result<Standing, SinkError>> + Send;

    /// Before a `commit`: what the `begin` behind it will most likely ask for, from whatever checkpoint the commit leads to
    /// (`wanted.from` is not looked at). A sink may begin the next batch in the round trip of the commit then; where the
    /// next call is a `begin` that asks for just that, it gives what was found and keeps locked, and at any other call
    /// the begun transaction is closed. A commit that fails begins nothing, and forgets what was foreseen, as `abandon`
    /// does. Changes what a batch costs and nothing else, so a sink may leave it out.
    fn foresee(&mut self, wanted: Wanted) {
        drop(wanted);
    }

    /// Between `begin` and `commit`: parents, and rows that wait for them or name them, locked.
    ///
    /// # Errors
    /// As in `begin`; the transaction is then closed.
    fn family(&mut self, asked: FamilyWanted) -> impl Future<Output = Result<Family, SinkError>> + Send;

    /// Between batches: keys of kept rows whose missing parent stands in the sink by now (the application may have
    /// written it), at most `limit`, by table.
    ///
    /// # Errors
    /// As in `begin`.
    fn sweep(&mut self, limit: u32) -> impl Future<Output = Result<Swept, SinkError>> + Send;

    /// Writes and commits. A commit whose outcome is unknown is settled inside, by reading the checkpoint on a
    /// new connection.
    ///
    /// # Errors
    /// See [`CommitError`]; the transaction is closed and nothing of it is there.
    fn commit(&mut self, writes: Writes) -> impl Future<Output = Result<Checkpoint, CommitError>> + Send;

    /// Closes the transaction without a trace. Without an open one: nothing.
    fn abandon(&mut self) -> impl Future<Output = ()> + Send;

    /// Between batches: keeps the lease, raises `sequence` and `scanned` to `scanned` where that is higher
    /// (the stream holds nothing for us up to there).
    ///
    /// # Errors
    /// [`SinkError::Fenced`] as in `begin`.
    fn idle(&mut self, scanned: u64) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Between batches: takes over into the lane's ledger what batches of other lanes have moved in it (rows of this lane
    /// that came into the sink, or left it, with a parent of theirs). A claim has done so already, and a commit that
    /// moves what was counted before does it first.
    ///
    /// # Errors
    /// As in `begin`; after another error the lane has to be claimed again.
    fn balance(&mut self) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Between batches: the epochs of the stream's sources that hold for the lane, and its open suspicions.
    ///
    /// # Errors
    /// As in `begin`.
    fn epochs(&mut self) -> impl Future<Output = Result<SourceEpochs, SinkError>> + Send;

    /// Between batches: records a generation of plugins that decides from `from_sequence` on; returns its number. The
    /// same plugins as the lane's newest generation keep their number. Where a batch follows at once, `begin` records
    /// it without a transaction of its own.
    ///
    /// # Errors
    /// As in `begin`.
    fn generation(
        &mut self,
        from_sequence: u64,
        plugins: String,
        by: &str,
    ) -> impl Future<Output = Result<i64, SinkError>> + Send;

    /// Between batches: the lane's changes that wait on time, in the order of their sequences.
    ///
    /// # Errors
    /// As in `begin`.
    fn waiting(
        &mut self,
        asked: WaitingWanted,
    ) -> impl Future<Output = Result<Vec<Waiting>, SinkError>> + Send;

    /// Between batches: how much the lane keeps beside, by table and reason, in no order.
    ///
    /// # Errors
    /// As in `begin`.
    fn depths(&mut self) -> impl Future<Output = Result<Vec<Depth>, SinkError>> + Send;

    /// Between batches: the keys of a table's rows in the database's own order, at most `limit`, behind a key (one row of
    /// key cells, as it was returned before) or from the first: one column per key column, in key order. What is written
    /// meanwhile may be among them or not.
    ///
    /// # Errors
    /// [`SinkError::Table`] where the table cannot be read as planned.
    fn page(
        &mut self,
        table: TableId,
        behind: Option<Columns>,
        limit: u32,
    ) -> impl Future<Output = Result<Columns, SinkError>> + Send;

    /// Between batches: the tables of the plan that are paused.
    ///
    /// # Errors
    /// As in `begin`.
    fn paused(&mut self) -> impl Future<Output = Result<Vec<Paused>, SinkError>> + Send;

    /// Between batches: pauses a table. One that is paused keeps its first reason.
    ///
    /// # Errors
    /// As in `begin`.
    fn pause(&mut self, table: TableId, reason: &str) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Between batches: tells how far the lane's sources are, and lets history and tombstones go whose time is over. A
    /// tombstone goes only when every source of every lane in the sink has passed it; its table then has a horizon.
    ///
    /// # Errors
    /// [`SinkError::Unreachable`] and its like; nothing of a step that failed is there.
    fn tidy(&mut self, asked: &Retention) -> impl Future<Output = Result<Tidied, SinkError>> + Send;

    /// Between batches: what an operator asked for of what the lane keeps, by sequence, at most
    /// [`crate::by_hand::ORDERS_MAX`]. What was carried out is gone with what was kept.
    ///
    /// # Errors
    /// As in `begin`.
    fn orders(&mut self) -> impl Future<Output = Result<Vec<Order>, SinkError>> + Send;

    /// Between batches: an order cannot be carried out; it is taken back, and `why` is told with what stays kept.
    ///
    /// # Errors
    /// As in `begin`.
    fn refuse(&mut self, order: &Order, why: &str) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// From now on the claim neither reads nor writes these tables, and finds no kept rows of theirs to put in. No batch
    /// may name one of them.
    fn set_aside(&mut self, tables: Aside);

    /// Between batches: records a hole before the lane, and returns it as it is recorded. A lane has one hole of a
    /// kind before it at a time: found again, an open one takes on the new bounds, an accepted one keeps those that
    /// were accepted.
    ///
    /// # Errors
    /// As in `begin`.
    fn record_hole(&mut self, hole: &Hole) -> impl Future<Output = Result<HoleRecord, SinkError>> + Send;

    /// Between batches: goes on behind a recorded hole; the checkpoint moves in the transaction that says so.
    ///
    /// # Errors
    /// As in `begin`.
    fn pass_hole(
        &mut self,
        id: i64,
        how: Passed,
        resume: Resume,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Gives the lane up, so that another process need not wait for the lease.
    fn release(&mut self) -> impl Future<Output = ()> + Send;
}
