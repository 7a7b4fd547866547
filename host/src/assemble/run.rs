//! A pipeline's life: connect, look at the tables, open the plugins, make the plan, run the lanes.

use std::{future::Future, sync::Arc, time::Duration};

use reconverge_streams::{
    checkpoint::{LaneId, PlanDigest},
    jetstream::JetStreamSource,
    sink::{ClaimRequest, Sink},
    source::{Limits, Source as _},
};

use crate::{
    config::{OnHole, Pipeline, SinkTarget, Source},
    generation::{Live, Recent, Rules},
    lane::{Followed, Lane, LaneSettings, Lanes, Progress, Retry, RunReport, Until},
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

/// Batches that a lane may hold at a time: two pulls that overlap, one decoded ahead, one being written.
const HELD_BATCHES: u64 = 4;

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
    let mirrors = ends::mirrors(pipeline, config).await?;
    let shapes = ends::shapes(pipeline, sink).await?.into_iter().map(Arc::new).collect::<Vec<_>>();
    let Beginning { shelf, artifacts, store } = reload::beginning(pipeline).await?;
    let workshop = Arc::new(Workshop::new(pipeline, shapes)?);
    let live = Arc::new(Live::new(Arc::new(workshop.generation(&artifacts, None)?)));
    let recent = Arc::new(Recent::new(pipeline.reload.shadow_batches as usize));
    let owner = options.owner.clone().unwrap_or_else(owner);
    let reloader = Reloader {
        workshop: Arc::clone(&workshop),
        live: Arc::clone(&live),
        recent: Arc::clone(&recent),
        lanes: Arc::clone(&lanes),
        shelf,
        running: artifacts,
        store,
        process: owner.clone(),
    };
    let around = Around { workshop: &workshop, live: &live, recent: &recent, owner };
    let lane = assemble(pipeline, options, config, (&source, &mirrors), sink, &lanes, around).await?;
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
    (source, mirrors): (&'a JetStreamSource, &'a [JetStreamSource]),
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
        retention_alarm: config.retention_alarm,
        until: match options.until {
            RunUntil::Forever => Until::Forever,
            RunUntil::CaughtUp => Until::Sequence(facts.last),
            RunUntil::Sequence(sequence) => Until::Sequence(sequence),
        },
    };
    let (live, recent) = (Arc::clone(around.live), Arc::clone(around.recent));
    let followed = Followed::new(&generation);
    Ok(Lane { source, mirrors, sink, plan, decoder, stages, followed, live, recent, settings, progress })
}

/// A batch is at most as large as a lane's share of what the process may hold.
fn limits(pipeline: &Pipeline) -> Limits {
    let lanes: u64 = pipeline.sources.iter().map(|source| u64::from(source.partitions)).sum();
    let lanes = lanes.max(1) * pipeline.lanes.len().max(1) as u64;
    let bytes = pipeline.limits.batch_bytes.min(pipeline.limits.in_flight_bytes / lanes / HELD_BATCHES);
    Limits {
        rows: pipeline.limits.batch_rows,
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX).max(1),
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
