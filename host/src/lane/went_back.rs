//! A sink that is older than it was: it failed over to a replica that lagged, or was restored while the lane ran.
//!
//! Rows and checkpoint went back together, so what is applied again has no second effect; what a claim remembered
//! besides (the window of events) ended with it. It is said all the same, and what the stream does not hold any more is
//! a hole like any other.

use reconverge_streams::{
    checkpoint::Checkpoint,
    sink::Sink,
    source::{Source, StreamFacts},
};

use super::Lane;

impl<S: Source, K: Sink> Lane<'_, S, K> {
    /// The sequence from which the sink went back, where its checkpoint is before what this process knows to be
    /// committed.
    pub(super) fn went_back(&self, checkpoint: &Checkpoint, facts: &StreamFacts) -> Option<u64> {
        let (lane, known) = (&self.settings.claim.lane, self.progress.sequence());
        if checkpoint.sequence >= known || checkpoint.stream_created != facts.created {
            return None;
        }
        tracing::error!(%lane, sequence = checkpoint.sequence, known, "sink.went_back");
        metrics::counter!("reconverge_sink_went_back_total", "lane" => lane.to_string()).increment(1);
        Some(known)
    }
}
