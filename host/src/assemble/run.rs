//! A pipeline's life: connect, look at the tables, open the plugins, make the plan, run the lanes.

use std::{future::Future, sync::Arc, time::Duration};

use reconverge_streams::{
    checkpoint::{LaneId, PlanDigest},
    jetstream::JetStreamSource,
    sink::{ClaimRequest, Sink},
    source::{Limits, Source as _},
    table::TableShape,
};

use crate::{
    config::{OnHole, Pipeline, SinkTarget, Source},
    generation::{Live, Recent, Rules},
    lane::{
        Depths, Followed, Lane, LaneError, LaneSettings, Lanes, ParkedLimits, Progress, Retry, RunReport,
        Until,
    },
    waiting::Queue,
};

use super::{
    RunError, ends,
    reload::{self, Beginning, Reloader},
    sidecar,
    workshop::Workshop,
};

/// How long a silent owner keeps a lane.
const LEASE: Duration = Duration::from_secs(15);

/// How long a lane waits for a message before it looks after its lease: what makes an idle one cheap.
const PATIENCE: Duration = Duration::from_millis(250);

/// When a run ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunUntil {
    /// When it is told to.
    #[default]
    Forever,
    /// When everything that the stream holds at the start has a disposition.
    CaughtUp,
    /// When everything up to this sequence has one.
    Sequence(u64),
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
    match &pipeline.sink.target {
        SinkTarget::Sqlite { path } => {
            run_into(pipeline, options, &sidecar::sqlite(path)?, lanes, shutdown).await
        }
        SinkTarget::Postgres { url, schema } => {
            run_into(pipeline, options, &sidecar::postgres(url, schema).await?, lanes, shutdown).await
        }
        SinkTarget::Relay { .. } => Err(RunError::Configuration(pipeline.unsupported())),
    }
}

async fn run_into<K: Sink>(
    pipeline: &Pipeline,
    options: &Options,
    sink: &K,
    lanes: Arc<Lanes>,
    shutdown: impl Future<Output = ()>,
) -> Result<RunReport, RunError> {
    sink.prepare().await?;
    let config = &pipeline.sources[0];
    let source = ends::source(pipeline, config, options.ensure).await?;
    tokio::pin!(shutdown);
    let (mut done, mut shapes) = (RunReport::default(), Vec::new());
    loop {
        shapes = ends::shapes_or(pipeline, sink, &shapes).await?;
        let run = run_with(pipeline, options, &source, sink, &lanes, shapes.clone(), shutdown.as_mut());
        match run.await {
            // A table that was paused runs again, maybe in another shape.
            Err(RunError::Lane { cause: LaneError::Resumed { report, .. }, .. }) => done.merge(&report),
            ended => {
                done.merge(&ended?);
                return Ok(done);
            }
        }
    }
}

/// Runs on tables of these shapes, until a table that was paused runs again.
async fn run_with<K: Sink>(
    pipeline: &Pipeline,
    options: &Options,
    source: &JetStreamSource,
    sink: &K,
    lanes: &Arc<Lanes>,
    shapes: Vec<Arc<TableShape>>,
    shutdown: impl Future<Output = ()>,
) -> Result<RunReport, RunError> {
    let config = &pipeline.sources[0];
    let Beginning { shelf, artifacts, store } = reload::beginning(pipeline).await?;
    let workshop = Arc::new(Workshop::new(pipeline, shapes)?);
    let live = Arc::new(Live::new(Arc::new(workshop.generation(&artifacts, None)?)));
    let recent = Arc::new(Recent::new(pipeline.reload.shadow_batches as usize));
    let owner = options.owner.clone().unwrap_or_else(owner);
    let reloader = Reloader {
        workshop: Arc::clone(&workshop),
        live: Arc::clone(&live),
        recent: Arc::clone(&recent),
        lanes: Arc::clone(lanes),
        shelf,
        running: artifacts,
        store,
        process: owner.clone(),
    };
    let around = Around { workshop: &workshop, live: &live, recent: &recent, owner };
    let lane = assemble(pipeline, options, config, source, sink, lanes, around).await?;
    let name = lane.settings.claim.lane.to_string();
    tokio::select! {
        biased;
        ended = lane.run(shutdown) => ended.map_err(|cause| RunError::Lane { lane: name, cause }),
        () = reloader.run() => std::future::pending().await,
    }
}

/// What the lanes of a process share.
struct Around<'a> {
    workshop: &'a Workshop,
    live: &'a Arc<Live>,
    recent: &'a Arc<Recent>,
    owner: String,
}

async fn assemble<'a, K: Sink>(
    pipeline: &Pipeline,
    options: &Options,
    config: &Source,
    source: &'a JetStreamSource,
    sink: &'a K,
    lanes: &Lanes,
    around: Around<'_>,
) -> Result<Lane<'a, JetStreamSource, K>, RunError> {
    let facts = source.inspect().await?;
    let lane = LaneId {
        pipeline: pipeline.name.clone(),
        source: config.name.clone(),
        lane: "main".to_owned(),
        partition: 0,
    };
    let generation = around.live.of(&lane.to_string());
    let Rules { plan, decoder, stages } = generation.rules(&lane.to_string()).map_err(|what| {
        RunError::Environment { what, hint: "`reconverge check` looks at each plugin".to_owned() }
    })?;
    let progress = Arc::new(Progress::new(lane.to_string()));
    lanes.insert(lane.to_string(), Arc::clone(&progress));
    let claim = ClaimRequest {
        lane,
        owner: around.owner,
        lease: LEASE,
        stream: facts.name.clone(),
        stream_created: facts.created,
        plan: PlanDigest(pipeline.digest()),
        tables: around.workshop.shapes.clone(),
        region: pipeline.region.clone(),
        names: Arc::clone(&plan.names),
    };
    let settings = LaneSettings {
        claim,
        limits: limits(pipeline),
        retry: retry(pipeline),
        generation: generation.description().to_owned(),
        continue_over_holes: config.on_hole == OnHole::Continue,
        until: match options.until {
            RunUntil::Forever => Until::Forever,
            RunUntil::CaughtUp => Until::Sequence(facts.last),
            RunUntil::Sequence(sequence) => Until::Sequence(sequence),
        },
    };
    let (live, recent) = (Arc::clone(around.live), Arc::clone(around.recent));
    let followed = Followed::new(&generation);
    let parked = ParkedLimits { rows: pipeline.limits.parked_rows, age: pipeline.limits.parked_age };
    let (waiting, depths) = (Queue::default(), Depths::new(parked));
    Ok(Lane {
        source,
        sink,
        plan,
        decoder,
        stages,
        followed,
        live,
        recent,
        waiting,
        depths,
        settings,
        progress,
    })
}

fn limits(pipeline: &Pipeline) -> Limits {
    Limits {
        rows: pipeline.limits.batch_rows,
        bytes: usize::try_from(pipeline.limits.batch_bytes).unwrap_or(usize::MAX),
        patience: PATIENCE,
        linger: pipeline.limits.linger,
    }
}

fn retry(pipeline: &Pipeline) -> Retry {
    let retry = &pipeline.limits.retry;
    Retry { tries: retry.tries, first: retry.first, max: retry.max, factor: f64::from(retry.factor) }
}

/// A name that no other process has, and that tells where this one runs.
fn owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "host" } else { host.trim() };
    format!("{host}/{}/{}", std::process::id(), uuid::Uuid::new_v4().simple())
}
