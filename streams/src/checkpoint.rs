//! How far a lane is: kept in the sink, in the transaction that wrote the rows. The only truth about progress.

use std::fmt;

use crate::{disposition::Counts, position::Micros};

/// A lane within a pipeline: the unit of order and of ownership.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId {
    /// The pipeline's name.
    pub pipeline: String,
    /// The source's name.
    pub source: String,
    /// The lane's name.
    pub lane: String,
    /// The partition of the stream.
    pub partition: u32,
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.pipeline, self.source, self.lane, self.partition)
    }
}

/// SHA-256 over tables, lanes, keys and partitions: a start with another plan is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlanDigest(pub [u8; 32]);

impl PlanDigest {
    /// In place of a digest: the lane was of an earlier plan, and its checkpoint is a record.
    pub const RETIRED: PlanDigest = PlanDigest([0; 32]);
}

impl fmt::Display for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A row of `reconverge.checkpoint`. Only a sink makes one, from what it has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The lane, as `pipeline/source/lane/partition`.
    pub lane: String,
    /// The stream that the sequences are of.
    pub stream: String,
    /// When that stream was created, microseconds since 1970.
    pub stream_created: Micros,
    /// Everything up to here has a disposition.
    pub sequence: u64,
    /// Everything up to here has been looked at; at least `sequence`.
    pub scanned: u64,
    /// Raised by each claim: the fence.
    pub epoch: i64,
    /// Who holds it.
    pub owner: Option<String>,
    /// Until when, microseconds since 1970 by the sink's clock.
    pub lease_until: Option<Micros>,
    /// The plugin generation that made the newest decisions.
    pub generation: i64,
    /// The plan in force.
    pub plan: PlanDigest,
    /// Changes delivered: equal to `counts.sum()`.
    pub delivered: u64,
    /// Changes by disposition.
    pub counts: Counts,
    /// Newest source commit time applied.
    pub committed_at: Option<Micros>,
}
