//! How far a lane is: kept in the sink, in the transaction that wrote the rows. The only truth about progress.

use std::fmt;

use crate::{
    disposition::{Counts, Disposition},
    hole::Resume,
    position::Micros,
    writes::Writes,
};

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

impl Checkpoint {
    /// The checkpoint that a batch leads to: the ledger's one step, the same in every sink. The lease is the sink's.
    #[must_use]
    pub(crate) fn after(&self, writes: &Writes) -> Checkpoint {
        let mut counts = self.counts;
        counts.reclassify(&writes.reclassified);
        counts.add_all(&writes.counts);
        Checkpoint {
            sequence: writes.through,
            scanned: self.scanned.max(writes.scanned).max(writes.through),
            delivered: self.delivered + writes.counts.sum(),
            counts,
            generation: writes.generation,
            committed_at: self.committed_at.max(writes.committed_at),
            ..self.clone()
        }
    }

    /// The checkpoint with what other lanes' batches have moved in its ledger, in their order.
    #[must_use]
    pub(crate) fn settled(&self, moves: &[(Disposition, Disposition, u64)]) -> Checkpoint {
        let mut counts = self.counts;
        counts.reclassify(moves);
        Checkpoint { counts, ..self.clone() }
    }

    /// The checkpoint from which a lane goes on behind a hole.
    #[must_use]
    pub(crate) fn behind_hole(&self, resume: Resume) -> Checkpoint {
        match resume {
            Resume::Behind(sequence) => {
                let sequence = self.sequence.max(sequence);
                Checkpoint { sequence, scanned: self.scanned.max(sequence), ..self.clone() }
            }
            Resume::Anew { stream_created, sequence } => {
                Checkpoint { stream_created, sequence, scanned: sequence, ..self.clone() }
            }
        }
    }
}
