//! The checkpoint of a lane that never ran.

use crate::{
    checkpoint::{Checkpoint, PlanDigest},
    disposition::Counts,
    roster::LaneStart,
    sink::ClaimRequest,
};

/// As its first claim makes it.
pub(super) fn fresh(lane: &str, request: &ClaimRequest) -> Checkpoint {
    let (stream, stream_created) = (request.stream.clone(), request.stream_created);
    fresh_at(&LaneStart { lane: lane.into(), stream, stream_created, sequence: 0 }, request.plan)
}

/// A lane that never ran.
pub(super) fn fresh_at(start: &LaneStart, plan: PlanDigest) -> Checkpoint {
    Checkpoint {
        lane: start.lane.clone(),
        stream: start.stream.clone(),
        stream_created: start.stream_created,
        sequence: start.sequence,
        scanned: start.sequence,
        epoch: 0,
        owner: None,
        lease_until: None,
        generation: 0,
        plan,
        delivered: 0,
        counts: Counts::default(),
        committed_at: None,
    }
}
