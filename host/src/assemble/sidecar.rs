//! The sink as the operator's commands read it, whatever its kind.

use std::path::Path;

use reconverge_streams::{
    checkpoint::Checkpoint,
    columns::Columns,
    postgres::PostgresSink,
    records::{
        DeadLetterRecord, DecisionRecord, EpochRecord, EpochWord, GenerationRecord, KeyRecord, ParkedRecord,
        Query, Records, SourceRecord, SuspicionRecord, TableRecord,
    },
    sink::{Sink, SinkError},
    sqlite::SqliteSink,
    table::TableShape,
};

use crate::config::{ConnectionUrl, Pipeline, SinkTarget};

use super::{RunError, ends};

/// A sink of either kind.
pub enum Sidecar {
    /// An SQLite file.
    Sqlite(SqliteSink),
    /// A PostgreSQL database.
    Postgres(PostgresSink),
}

/// Opens the sink that the configuration names and sees that its sidecar tables are there.
///
/// # Errors
/// [`RunError::Environment`] where it cannot be reached or never ran.
pub async fn sidecar(pipeline: &Pipeline) -> Result<Sidecar, RunError> {
    match &pipeline.sink.target {
        SinkTarget::Sqlite { path } if !path.exists() => Err(RunError::Environment {
            what: format!("there is no file {}", path.display()),
            hint: "create your tables in it, then `reconverge run`".to_owned(),
        }),
        SinkTarget::Sqlite { path } => {
            let sink = sqlite(path)?;
            sink.prepare().await?;
            Ok(Sidecar::Sqlite(sink))
        }
        SinkTarget::Postgres { url, schema } => {
            let sink = postgres(url, schema).await?;
            sink.prepare().await?;
            Ok(Sidecar::Postgres(sink))
        }
        SinkTarget::Relay { .. } => Err(RunError::Configuration(pipeline.unsupported())),
    }
}

pub(super) fn sqlite(path: &Path) -> Result<SqliteSink, RunError> {
    Ok(SqliteSink::open(path)?)
}

pub(super) async fn postgres(url: &ConnectionUrl, schema: &str) -> Result<PostgresSink, RunError> {
    Ok(PostgresSink::connect_in(url.expose(), schema).await?)
}

impl Sidecar {
    /// The shapes of the pipeline's tables, in its order.
    pub(super) async fn shapes(&self, pipeline: &Pipeline) -> Result<Vec<TableShape>, RunError> {
        match self {
            Sidecar::Sqlite(sink) => ends::shapes(pipeline, sink).await,
            Sidecar::Postgres(sink) => ends::shapes(pipeline, sink).await,
        }
    }
}

macro_rules! of_either {
    ($self:ident, $sink:ident => $call:expr) => {
        match $self {
            Sidecar::Sqlite($sink) => $call.await,
            Sidecar::Postgres($sink) => $call.await,
        }
    };
}

impl Records for Sidecar {
    async fn checkpoints(&self, pipeline: Option<&str>) -> Result<Vec<Checkpoint>, SinkError> {
        of_either!(self, sink => sink.checkpoints(pipeline))
    }

    async fn decisions(&self, query: &Query) -> Result<Vec<DecisionRecord>, SinkError> {
        of_either!(self, sink => sink.decisions(query))
    }

    async fn conflict_counts(
        &self,
        pipeline: Option<&str>,
    ) -> Result<Vec<(String, String, String, u64)>, SinkError> {
        of_either!(self, sink => sink.conflict_counts(pipeline))
    }

    async fn dead_letters(&self, query: &Query) -> Result<Vec<DeadLetterRecord>, SinkError> {
        of_either!(self, sink => sink.dead_letters(query))
    }

    async fn parked(&self, query: &Query) -> Result<Vec<ParkedRecord>, SinkError> {
        of_either!(self, sink => sink.parked(query))
    }

    async fn parked_counts(&self, pipeline: Option<&str>) -> Result<Vec<(String, String, u64)>, SinkError> {
        of_either!(self, sink => sink.parked_counts(pipeline))
    }

    async fn tables(&self) -> Result<Vec<TableRecord>, SinkError> {
        of_either!(self, sink => sink.tables())
    }

    async fn set_paused(&self, table: &str, reason: Option<&str>) -> Result<bool, SinkError> {
        of_either!(self, sink => sink.set_paused(table, reason))
    }

    async fn suspicions(&self, pipeline: Option<&str>) -> Result<Vec<SuspicionRecord>, SinkError> {
        of_either!(self, sink => sink.suspicions(pipeline))
    }

    async fn say_epoch(&self, word: &EpochWord) -> Result<Option<EpochRecord>, SinkError> {
        of_either!(self, sink => sink.say_epoch(word))
    }

    async fn sources(&self) -> Result<Vec<SourceRecord>, SinkError> {
        of_either!(self, sink => sink.sources())
    }

    async fn discard(&self, id: i64, by: &str, note: Option<&str>) -> Result<bool, SinkError> {
        of_either!(self, sink => sink.discard(id, by, note))
    }

    async fn key(&self, shape: &TableShape, key: &[u8], cells: &Columns) -> Result<KeyRecord, SinkError> {
        of_either!(self, sink => sink.key(shape, key, cells))
    }

    async fn generations(&self, pipeline: Option<&str>) -> Result<Vec<GenerationRecord>, SinkError> {
        of_either!(self, sink => sink.generations(pipeline))
    }
}
