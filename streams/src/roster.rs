//! What the processes that share a pipeline's lanes tell each other through the sink: who is there, who holds which
//! lane and how far it is, which silent owners were overridden, what a plan's digest stands for, and the switch from
//! one plan to the next.
//!
//! None of it guards a write: the claim's epoch does ([`crate::sink`]). A process that reads a stale roster claims a
//! lane that it then does not get, or gives one up too early; it never writes what is not its own. Times are by the
//! sink's clock.

use std::{future::Future, time::Duration};

use crate::{
    checkpoint::{Checkpoint, PlanDigest},
    position::Micros,
    sink::SinkError,
};

/// A process says that it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The pipeline whose lanes it would take.
    pub pipeline: String,
    /// Its name: the owner's name of its claims.
    pub member: String,
    /// How long it counts as there without a further word.
    pub lease: Duration,
    /// The names of the lanes that it works on: their lease is kept, also while a batch takes long.
    pub lanes: Vec<String>,
    /// Whether it is a member, whom others leave a share. Else only its lanes are kept.
    pub shares: bool,
}

/// A process that counts as there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Since when.
    pub since: Micros,
    /// Until when, if it says no more.
    pub until: Micros,
}

/// One look at a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The sink's time.
    pub now: Micros,
    /// Who is there, by name.
    pub members: Vec<Member>,
    /// The checkpoints of its lanes, by name.
    pub lanes: Vec<Checkpoint>,
}

/// How far a lane is, for those that come after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Everything of the lane up to here is resolved and committed; 0 where it never ran.
    pub scanned: u64,
    /// Whether an owner's lease runs.
    pub is_held: bool,
}

/// An override of an owner that had fallen silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takeover {
    /// The lane.
    pub lane: String,
    /// When.
    pub at: Micros,
    /// The new owner.
    pub owner: String,
    /// The new owner's epoch.
    pub epoch: i64,
    /// Where the lane stood then.
    pub sequence: u64,
    /// The owner that was overridden.
    pub previous: String,
    /// Its last sign of life.
    pub heartbeat_at: Option<Micros>,
    /// When its lease ended.
    pub lease_until: Option<Micros>,
}

/// A switch from one plan to the next, as it is asked for.
#[derive(Clone, Debug)]
pub struct Switch {
    /// The pipeline.
    pub pipeline: String,
    /// Who asks.
    pub by: String,
    /// The new plan.
    pub plan: PlanDigest,
    /// What it says, as a JSON object.
    pub form: String,
    /// All checkpoints of the pipeline as they were looked at: (lane, epoch, sequence). Where one has moved since, or
    /// an owner's lease runs, nothing is switched.
    pub expected: Vec<(String, i64, u64)>,
    /// The lanes of the new plan and where each goes on.
    pub lanes: Vec<LaneStart>,
    /// Tables that change lanes: what the sidecar holds for them goes along.
    pub moved: Vec<TableMove>,
    /// Lanes whose gates over tables without versions mean nothing any more.
    pub gates_dropped: Vec<String>,
    /// (table in the sink, lane, sequence): changes up to there were never the lane's.
    pub since: Vec<(String, String, u64)>,
}

/// Where a lane goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStart {
    /// Its name.
    pub lane: String,
    /// Its stream.
    pub stream: String,
    /// When that was created.
    pub stream_created: Micros,
    /// Everything up to here is done.
    pub sequence: u64,
}

/// A table that goes from one lane to another, of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMove {
    /// The table in the sink, as the pipeline names it.
    pub table: String,
    /// The lane's name before.
    pub from: String,
    /// The lane's name from now on.
    pub to: String,
}

/// A switch that was made, for one lane: what its ledger held before is not of this plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneMove {
    /// The lane.
    pub lane: String,
    /// When.
    pub at: Micros,
    /// Who asked for it.
    pub by: String,
    /// Where it went on.
    pub sequence: u64,
    /// What it had delivered by then.
    pub delivered: u64,
}

/// See the module.
pub trait Roster: Send + Sync {
    /// Keeps a member, and the lanes that it holds, for another lease. A lane whose row is locked (a batch of it is
    /// open) is passed over: its commit keeps it. Members that have been silent for long are forgotten.
    fn attend(&self, presence: &Presence) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// A member goes; its lanes it has given up before.
    fn leave(&self, pipeline: &str, member: &str) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Who is there, and how the lanes stand.
    fn look(&self, pipeline: &str) -> impl Future<Output = Result<Look, SinkError>> + Send;

    /// How far these lanes are, in the same order. Only what is committed counts.
    fn ways(&self, lanes: &[String]) -> impl Future<Output = Result<Vec<Way>, SinkError>> + Send;

    /// Overrides of silent owners, newest first.
    fn takeovers(
        &self,
        pipeline: &str,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Takeover>, SinkError>> + Send;

    /// Keeps what a plan says, as a JSON object, under its digest. Known digests stay as they are.
    fn remember_plan(
        &self,
        plan: PlanDigest,
        form: &str,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// What the plan of this digest says, where it was ever remembered.
    fn plan_form(&self, plan: PlanDigest) -> impl Future<Output = Result<Option<String>, SinkError>> + Send;

    /// Puts a new plan in force, in one transaction: all lanes go on at their starts, tables take along what is held
    /// for them, and every lane's epoch is raised, so that a process of the old plan writes nothing more. Lanes that
    /// the new plan does not have keep their checkpoints as a record, with the plan [`PlanDigest::RETIRED`].
    ///
    /// # Errors
    /// [`SinkError::Held`] where a lane has an owner whose lease runs; [`SinkError::Fenced`] where a lane is not as
    /// expected.
    fn switch(&self, switch: &Switch) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// For each lane its newest switch, by name.
    fn moves(&self, pipeline: &str) -> impl Future<Output = Result<Vec<LaneMove>, SinkError>> + Send;
}

/// How long a member that says nothing is still listed for people after it ceased to count, in microseconds.
pub(crate) const FORGET_AFTER_MICROS: Micros = 3_600 * 1_000_000;
