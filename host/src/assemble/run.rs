//! A pipeline's life: connect, look at the tables, open the plugins, make the plan, run the lanes.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use reconverge_streams::{roster::Roster, sink::Sink, table::TableShape};

use crate::{
    config::{Pipeline, SinkTarget},
    lane::{Lanes, RunReport},
};

use super::{
    RunError, ends,
    fleet::{Fleet, Over},
    lanes::Parts,
    plan_change,
    reload::{self, Aside, Beginning, Reloader},
    sidecar,
    workshop::Workshop,
};

/// When a run ends by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RunUntil {
    /// When it is told to.
    #[default]
    Forever,
    /// When everything that the stream holds at the start has a disposition.
    CaughtUp,
    /// When everything up to this sequence has one.
    Sequence(u64),
    /// The same, by source: each stream has its own sequences.
    Each(BTreeMap<String, u64>),
}

/// How to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Create the stream where it is missing.
    pub ensure: bool,
    /// When to stop.
    pub until: RunUntil,
    /// The owner's name in the sink, the same after a restart; `None` makes one that is new each time.
    pub owner: Option<String>,
}

/// Runs a pipeline until `shutdown` ends or it is done; batches in hand are committed first.
///
/// # Errors
/// See [`RunError`].
pub async fn run(
    pipeline: &Pipeline,
    options: &Options,
    lanes: Arc<Lanes>,
    shutdown: impl Future<Output = ()>,
) -> Result<RunReport, RunError> {
    let unsupported = pipeline.unsupported();
    if !unsupported.is_empty() {
        return Err(RunError::Configuration(unsupported));
    }
    if let RunUntil::Sequence(_) = options.until
        && pipeline.sources.len() > 1
    {
        return Err(RunError::NotFound {
            what: "a sequence to stop at is one stream's, and the pipeline reads several".to_owned(),
            hint: "use --until-caught-up".to_owned(),
        });
    }
    match &pipeline.sink.target {
        SinkTarget::Sqlite { path } => {
            run_into(pipeline, options, sidecar::sqlite(path)?, lanes, shutdown).await
        }
        SinkTarget::Postgres { url, schema } => {
            run_into(pipeline, options, sidecar::postgres(url, schema).await?, lanes, shutdown).await
        }
        SinkTarget::Relay { .. } => Err(RunError::Configuration(pipeline.unsupported())),
    }
}

async fn run_into<K: Sink + Roster + 'static>(
    pipeline: &Pipeline,
    options: &Options,
    sink: K,
    lanes: Arc<Lanes>,
    shutdown: impl Future<Output = ()>,
) -> Result<RunReport, RunError> {
    sink.prepare().await?;
    let sink = Arc::new(sink);
    plan_change::refuse(pipeline, &*sink).await?;
    tokio::pin!(shutdown);
    let (mut done, mut shapes) = (RunReport::default(), Vec::new());
    loop {
        shapes = ends::shapes_or(pipeline, &*sink, &shapes).await?;
        match run_with(pipeline, options, &sink, &lanes, shapes.clone(), shutdown.as_mut()).await? {
            // A table that was paused runs again, maybe in another shape.
            Over::Resumed(report) => done.merge(&report),
            Over::Done(report) => {
                done.merge(&report);
                return Ok(done);
            }
        }
    }
}

/// Runs on tables of these shapes, until a table that was paused runs again.
async fn run_with<K: Sink + Roster + 'static>(
    pipeline: &Pipeline,
    options: &Options,
    sink: &Arc<K>,
    lanes: &Arc<Lanes>,
    shapes: Vec<Arc<TableShape>>,
    shutdown: impl Future<Output = ()>,
) -> Result<Over, RunError> {
    let Beginning { shelf, artifacts, store } = reload::beginning(pipeline).await?;
    let workshop = Arc::new(Workshop::new(pipeline, shapes)?);
    let parts = Parts::gather(&workshop, &artifacts, options, Arc::clone(sink)).await?;
    let aside = Aside::new().map_err(|cause| RunError::Environment {
        what: format!("no threads for making plugins ready: {cause}"),
        hint: "see how many threads this user may have (`ulimit -u`)".to_owned(),
    })?;
    let reloader = Reloader {
        workshop,
        live: Arc::clone(&parts.live),
        recent: Arc::clone(&parts.recent),
        lanes: Arc::clone(lanes),
        shelf,
        running: artifacts,
        store,
        process: parts.owner.clone(),
        aside,
    };
    tokio::select! {
        biased;
        ended = Fleet::new(pipeline, parts, Arc::clone(lanes)).run(Arc::clone(sink), shutdown) => ended,
        () = reloader.run() => std::future::pending().await,
    }
}
