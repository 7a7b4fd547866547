//! The sink as the operator's commands read it, whatever its kind.

use std::path::Path;

use reconverge_streams::{
    by_hand::HandWord,
    checkpoint::{Checkpoint, PlanDigest},
    columns::Columns,
    hole::HoleRecord,
    postgres::PostgresSink,
    records::{
        DeadLetterRecord, DecisionRecord, EpochRecord, EpochWord, GenerationRecord, KeyRecord, ParkedRecord,
        Query, Records, SourceRecord, SuspicionRecord, TableRecord,
    },
    roster::{LaneMove, Look, Presence, Roster, Switch, Takeover, Way},
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

/// Opens the sink that the configuration names to look at it: through this nothing can be written, not even the sidecar
/// tables that a first run makes.
///
/// # Errors
/// [`RunError::Environment`] where it cannot be reached.
pub(super) async fn read_only(pipeline: &Pipeline) -> Result<Sidecar, RunError> {
    match &pipeline.sink.target {
        SinkTarget::Sqlite { path } if !path.exists() => Err(RunError::Environment {
            what: format!("there is no file {}", path.display()),
            hint: "the tables are read from the sink: create them in it first".to_owned(),
        }),
        SinkTarget::Sqlite { path } => Ok(Sidecar::Sqlite(SqliteSink::open_read_only(path)?)),
        SinkTarget::Postgres { url, schema } => {
            Ok(Sidecar::Postgres(PostgresSink::connect_read_only(url.expose(), schema).await?))
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
    /// Whether a pipeline has ever run into it.
    pub(super) async fn is_prepared(&self) -> Result<bool, RunError> {
        Ok(match self {
            Sidecar::Sqlite(sink) => sink.is_prepared().await?,
            Sidecar::Postgres(sink) => sink.is_prepared().await?,
        })
    }

    /// The shapes of the pipeline's tables, in its order.
    pub(super) async fn shapes(&self, pipeline: &Pipeline) -> Result<Vec<TableShape>, RunError> {
        match self {
            Sidecar::Sqlite(sink) => ends::shapes(pipeline, sink).await,
            Sidecar::Postgres(sink) => ends::shapes(pipeline, sink).await,
        }
    }
}

/// That a table of the pipeline can be used as it is now.
///
/// # Errors
/// [`RunError::Configuration`] with everything that is wrong with it.
pub async fn usable(pipeline: &Pipeline, sidecar: &Sidecar, target: &str) -> Result<(), RunError> {
    let problems = match sidecar {
        Sidecar::Sqlite(sink) => ends::problems_of(pipeline, sink, target).await?,
        Sidecar::Postgres(sink) => ends::problems_of(pipeline, sink, target).await?,
    };
    if problems.is_empty() { Ok(()) } else { Err(RunError::Configuration(problems)) }
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

    async fn ask(&self, word: &HandWord) -> Result<u64, SinkError> {
        of_either!(self, sink => sink.ask(word))
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

    async fn holes(&self, query: &Query) -> Result<Vec<HoleRecord>, SinkError> {
        of_either!(self, sink => sink.holes(query))
    }

    async fn accept_hole(&self, id: i64, by: &str, note: Option<&str>) -> Result<bool, SinkError> {
        of_either!(self, sink => sink.accept_hole(id, by, note))
    }

    async fn key(&self, shape: &TableShape, key: &[u8], cells: &Columns) -> Result<KeyRecord, SinkError> {
        of_either!(self, sink => sink.key(shape, key, cells))
    }

    async fn generations(&self, pipeline: Option<&str>) -> Result<Vec<GenerationRecord>, SinkError> {
        of_either!(self, sink => sink.generations(pipeline))
    }
}

impl Roster for Sidecar {
    async fn attend(&self, presence: &Presence) -> Result<(), SinkError> {
        of_either!(self, sink => sink.attend(presence))
    }

    async fn leave(&self, pipeline: &str, member: &str) -> Result<(), SinkError> {
        of_either!(self, sink => sink.leave(pipeline, member))
    }

    async fn look(&self, pipeline: &str) -> Result<Look, SinkError> {
        of_either!(self, sink => sink.look(pipeline))
    }

    async fn ways(&self, lanes: &[String]) -> Result<Vec<Way>, SinkError> {
        of_either!(self, sink => Roster::ways(sink, lanes))
    }

    async fn takeovers(&self, pipeline: &str, limit: u32) -> Result<Vec<Takeover>, SinkError> {
        of_either!(self, sink => sink.takeovers(pipeline, limit))
    }

    async fn remember_plan(&self, plan: PlanDigest, form: &str) -> Result<(), SinkError> {
        of_either!(self, sink => sink.remember_plan(plan, form))
    }

    async fn plan_form(&self, plan: PlanDigest) -> Result<Option<String>, SinkError> {
        of_either!(self, sink => sink.plan_form(plan))
    }

    async fn switch(&self, switch: &Switch) -> Result<(), SinkError> {
        of_either!(self, sink => sink.switch(switch))
    }

    async fn moves(&self, pipeline: &str) -> Result<Vec<LaneMove>, SinkError> {
        of_either!(self, sink => sink.moves(pipeline))
    }
}
