//! From the options of a command to a pipeline, its log, and what the engine offers the operator.
//!
//! The only file of the command line that knows how the engine is put together.

use std::time::Duration;

use reconverge_streams::{
    records::{DeadLetterRecord, Query, Records},
    source::StreamFacts,
};

use crate::{
    assemble::{self, RunError, Sidecar},
    config::{self, LogFormat, Pipeline, Table},
};

use super::{
    arguments::Global,
    exit::Exit,
    failure::{Drawing, Failure},
    logging::{self, Bar, Loudness},
};

/// How long `status` waits for a stream's server.
const PATIENCE: Duration = Duration::from_secs(3);

/// Reads the pipeline file and starts the log as both of them say.
pub(super) fn pipeline(global: &Global, base: Loudness, bar: &Bar) -> Result<Pipeline, Failure> {
    let loaded = config::load(&global.pipeline);
    let format = match (&global.log, &loaded) {
        (Some(word), _) => (*word).into(),
        (None, Ok(pipeline)) => pipeline.log,
        (None, Err(_)) => LogFormat::Line,
    };
    logging::start(base.changed_by(global.verbose, global.quiet), format, bar)?;
    Ok(loaded?)
}

/// Tells what is doubtful about the pipeline file and runs: for the commands that people try a new file with.
pub(super) fn tell_warnings(pipeline: &Pipeline, global: &Global, bar: &Bar) {
    if !pipeline.warnings.is_empty() && global.quiet == 0 {
        bar.talk(&Drawing::of_stderr().problems(&pipeline.warnings));
    }
}

/// The sink of a pipeline as the operator's commands read it.
pub(super) async fn sidecar(pipeline: &Pipeline) -> Result<Sidecar, Failure> {
    Ok(assemble::sidecar(pipeline).await?)
}

/// What each of the pipeline's streams says of itself; why not, where one cannot be asked.
pub(super) async fn streams(pipeline: &Pipeline) -> Vec<(String, Result<StreamFacts, String>)> {
    let mut ends = Vec::new();
    for source in &pipeline.sources {
        let last = match tokio::time::timeout(PATIENCE, assemble::stream_facts(pipeline, source)).await {
            Ok(asked) => asked.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer in {} s", PATIENCE.as_secs())),
        };
        ends.push((source.name.clone(), last));
    }
    ends
}

/// A table by its name in the source or in the sink.
pub(super) fn table<'a>(pipeline: &'a Pipeline, name: &str) -> Option<&'a Table> {
    pipeline.tables.iter().find(|table| table.target == name || table.name == name)
}

/// What a listing asks of this pipeline's records.
pub(super) fn query(pipeline: &Pipeline, limit: u32) -> Query {
    Query { pipeline: Some(pipeline.name.clone()), limit, ..Query::default() }
}

/// One dead letter of this pipeline.
pub(super) async fn dead_letter(
    pipeline: &Pipeline,
    records: &impl Records,
    id: i64,
) -> Result<DeadLetterRecord, Failure> {
    let query = Query { id: Some(id.to_string()), ..query(pipeline, 1) };
    records.dead_letters(&query).await?.into_iter().next().ok_or_else(|| {
        Failure::new(Exit::Runtime, format!("there is no dead letter {id}"))
            .hint("`reconverge dlq list --state all` shows those that there are")
    })
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        let failure = Failure::of(Exit::of(error.exit_code()), &error);
        let failure = match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        };
        match error {
            RunError::Configuration(problems) => failure.at(problems),
            RunError::PlanChanged { differences } => failure.causes(differences),
            _ => failure,
        }
    }
}
