//! A sink that is older than it was: it failed over to a replica that lagged, or was restored while the lane ran.
//!
//! Rows and checkpoint went back together, so what is applied again has no second effect; what a claim remembered
//! besides (the window of events) ended with it. It is said all the same.

use reconverge_streams::{
    checkpoint::Checkpoint,
    sink::Sink,
    source::{Source, StreamFacts},
};

use super::{Lane, LaneError};

impl<S: Source, K: Sink> Lane<'_, S, K> {
    /// Looks whether the checkpoint is before what this process has committed or read.
    ///
    /// # Errors
    /// [`LaneError::Hole`] where the stream does not hold what is to be applied again.
    pub(super) fn tell_went_back(
        &self,
        checkpoint: &Checkpoint,
        facts: &StreamFacts,
    ) -> Result<(), LaneError> {
        let (lane, known) = (&self.settings.claim.lane, self.progress.sequence());
        if checkpoint.sequence >= known || checkpoint.stream_created != facts.created {
            return Ok(());
        }
        tracing::error!(%lane, sequence = checkpoint.sequence, known, "sink.went_back");
        metrics::counter!("reconverge_sink_went_back_total", "lane" => lane.to_string()).increment(1);
        if facts.keeps_acknowledged
            || facts.first <= checkpoint.sequence + 1
            || self.settings.continue_over_holes
        {
            return Ok(());
        }
        Err(LaneError::Hole {
            what: format!(
                "the sink went back from sequence {known} to {}, and stream {} lets go what was acknowledged: it begins at {}",
                checkpoint.sequence, facts.name, facts.first
            ),
            hint: "restore the sink's newer state, or let the source send that range again and set `on_hole = \"continue\"` in \
                   [source]"
                .to_owned(),
        })
    }
}
