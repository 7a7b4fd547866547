//! Why a pipeline cannot begin, or had to stop, with the exit code that tells which.

use reconverge_streams::{sink::SinkError, source::SourceError};

use crate::{
    config::Problem,
    lane::{LaneError, RunReport},
};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration does not fit the tables or the plugins; every problem names its place in the file.
    #[error("the pipeline does not fit its tables, plugins or this version")]
    Configuration(Vec<Problem>),
    /// A server cannot be reached or is not set up.
    #[error("{what}")]
    Environment {
        /// What failed.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A lane stopped.
    #[error("lane {lane} stopped")]
    Lane {
        /// Its name.
        lane: String,
        /// Why.
        #[source]
        cause: LaneError,
    },
    /// Some of several lanes stopped; the others ended as they were told.
    #[error("{} of {of} lanes stopped: {}", .failed.len(), stopped(.failed))]
    Lanes {
        /// Their names, and why.
        failed: Vec<(String, LaneError)>,
        /// How many lanes the pipeline has.
        of: usize,
        /// What the others did.
        done: Box<RunReport>,
    },
    /// The pipeline's plan is not the one that its lanes ran by.
    #[error("the plan has changed since the lanes last ran")]
    PlanChanged {
        /// What would be skipped or repeated, a sentence each.
        differences: Vec<String>,
    },
    /// What was asked for is not there.
    #[error("{what}")]
    NotFound {
        /// What is not there.
        what: String,
        /// What to do.
        hint: String,
    },
}

impl RunError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            RunError::Configuration(_) => {
                Some("mend the places named above; `reconverge check` finds them all at once")
            }
            RunError::Environment { hint, .. } | RunError::NotFound { hint, .. } => Some(hint),
            RunError::Lane { cause, .. } => cause.hint(),
            RunError::Lanes { failed, .. } => failed.iter().find_map(|(_, cause)| cause.hint()),
            RunError::PlanChanged { .. } => Some(
                "run the old pipeline file, or put the new plan in force: `reconverge lanes move --from OLD.toml`",
            ),
        }
    }

    /// 1 runtime, 2 configuration, 3 environment.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Configuration(_) | RunError::PlanChanged { .. } => 2,
            RunError::Environment { .. } => 3,
            RunError::Lane { cause, .. } => exit_code_of(cause),
            // The gravest word that fits all: 3 only where every lane says so.
            RunError::Lanes { failed, .. } => {
                failed.iter().map(|(_, cause)| exit_code_of(cause)).min().unwrap_or(1)
            }
            RunError::NotFound { .. } => 1,
        }
    }
}

fn exit_code_of(cause: &LaneError) -> u8 {
    match cause {
        LaneError::Sink(SinkError::Setup { .. } | SinkError::Unreachable(_))
        | LaneError::Source(SourceError::Setup { .. } | SourceError::Unreachable(_)) => 3,
        _ => 1,
    }
}

fn stopped(failed: &[(String, LaneError)]) -> String {
    failed.iter().map(|(lane, cause)| format!("{lane} ({cause})")).collect::<Vec<_>>().join("; ")
}

impl From<SourceError> for RunError {
    fn from(error: SourceError) -> Self {
        let hint = match &error {
            SourceError::Setup { hint, .. } => hint.clone(),
            _ => "see that nats-server runs and that [source] url names it".to_owned(),
        };
        RunError::Environment { what: format!("source: {error}"), hint }
    }
}

impl From<SinkError> for RunError {
    fn from(error: SinkError) -> Self {
        let hint = match &error {
            SinkError::Setup { hint, .. } => hint.clone(),
            _ => "see that the database runs and that [sink] url names it".to_owned(),
        };
        RunError::Environment { what: format!("sink: {error}"), hint }
    }
}
