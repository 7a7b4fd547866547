//! Why a lane stopped or begins again: which end failed, whether waiting may help, and what to do where it does not.

use reconverge_streams::{sink::SinkError, source::SourceError};

use super::{End, RunReport};

/// Why a lane stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The sink failed.
    #[error("sink: {0}")]
    Sink(#[from] SinkError),
    /// The source failed.
    #[error("source: {0}")]
    Source(#[from] SourceError),
    /// The stream is not what the checkpoint was made on.
    #[error("{what}")]
    Hole {
        /// What happened to the stream, with sequences.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A table that was paused runs again: shapes and plan have to be read anew. What was done until then.
    #[error("table {tables} runs again")]
    Resumed {
        /// Which.
        tables: String,
        /// The run so far.
        report: Box<RunReport>,
    },
    /// A batch cannot be written, and not for the sake of single changes.
    #[error("{what}")]
    Halted {
        /// What the sink said.
        what: String,
        /// What to do.
        hint: String,
    },
}

impl LaneError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            LaneError::Sink(SinkError::Setup { hint, .. })
            | LaneError::Source(SourceError::Setup { hint, .. })
            | LaneError::Hole { hint, .. }
            | LaneError::Halted { hint, .. } => Some(hint),
            LaneError::Sink(SinkError::OtherPlan { .. }) => Some(
                "tables, keys or partitions changed since the last run; run the old pipeline.toml, or give the \
                 pipeline another name to start anew",
            ),
            LaneError::Sink(SinkError::Held { .. }) => {
                Some("stop the other process, or wait until its lease ends")
            }
            LaneError::Sink(_) | LaneError::Source(_) | LaneError::Resumed { .. } => None,
        }
    }

    /// The end that failed, where one did.
    pub(super) fn end(&self) -> Option<End> {
        match self {
            LaneError::Sink(SinkError::Held { .. } | SinkError::Fenced(_) | SinkError::OtherPlan { .. })
            | LaneError::Hole { .. }
            | LaneError::Resumed { .. }
            | LaneError::Halted { .. } => None,
            LaneError::Sink(_) => Some(End::Sink),
            LaneError::Source(_) => Some(End::Source),
        }
    }

    /// Whether another process has the lane.
    pub(super) fn is_held(&self) -> bool {
        matches!(self, LaneError::Sink(SinkError::Held { .. }))
    }

    /// Whether beginning again from the checkpoint may help. A stream that was trimmed is looked at anew: what is
    /// missing is recorded, and a mirror may have it.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self,
            LaneError::Sink(SinkError::Unreachable(_) | SinkError::Fenced(_) | SinkError::Held { .. })
                | LaneError::Source(
                    SourceError::Unreachable(_) | SourceError::Doubt(_) | SourceError::Trimmed { .. }
                )
        )
    }
}
