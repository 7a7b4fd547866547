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
    decode::Decoder,
    generation::{Generation, Live, Recent, Rules},
    lane::{Followed, Lane, LaneSettings, Lanes, Progress, Retry, RunReport, Until},
};

use super::{RunError, ends, plan, plugins, sidecar};

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
    let lane = assemble(pipeline, options, config, &source, sink, &lanes).await?;
    let name = lane.settings.claim.lane.to_string();
    lane.run(shutdown).await.map_err(|cause| RunError::Lane { lane: name, cause })
}

async fn assemble<'a, K: Sink>(
    pipeline: &Pipeline,
    options: &Options,
    config: &Source,
    source: &'a JetStreamSource,
    sink: &'a K,
    lanes: &Lanes,
) -> Result<Lane<'a, JetStreamSource, K>, RunError> {
    let shapes = ends::shapes(pipeline, sink).await?.into_iter().map(Arc::new).collect::<Vec<_>>();
    let opened = plugins::open(pipeline, &shapes)?;
    let plan = Arc::new(plan::plan(pipeline, &shapes, &opened.asked, Arc::default())?);
    let facts = source.inspect().await?;
    let lane = LaneId {
        pipeline: pipeline.name.clone(),
        source: config.name.clone(),
        lane: "main".to_owned(),
        partition: 0,
    };
    let progress = Arc::new(Progress::new(lane.to_string()));
    lanes.insert(lane.to_string(), Arc::clone(&progress));
    let claim = ClaimRequest {
        lane,
        owner: options.owner.clone().unwrap_or_else(owner),
        lease: LEASE,
        stream: facts.name.clone(),
        stream_created: facts.created,
        plan: PlanDigest(pipeline.digest()),
        tables: shapes,
        region: pipeline.region.clone(),
        names: Arc::clone(&plan.names),
    };
    let settings = LaneSettings {
        claim,
        limits: limits(pipeline),
        retry: retry(pipeline),
        generation: opened.generation_description(),
        continue_over_holes: config.on_hole == OnHole::Continue,
        until: match options.until {
            RunUntil::Forever => Until::Forever,
            RunUntil::CaughtUp => Until::Sequence(facts.last),
            RunUntil::Sequence(sequence) => Until::Sequence(sequence),
        },
    };
    let decoder = Arc::new(Decoder::new(Arc::clone(&plan), config));
    let stages = plugins::chain(&opened, &plan)?;
    let description = opened.generation_description();
    let rules = {
        let (plan, decoder) = (Arc::clone(&plan), Arc::clone(&decoder));
        move |_: &str| {
            let stages = plugins::chain(&opened, &plan).map_err(|error| error.to_string())?;
            Ok(Rules { plan: Arc::clone(&plan), decoder: Arc::clone(&decoder), stages })
        }
    };
    let generation = Arc::new(Generation::new(1, description, None, rules));
    let followed = Followed::new(&generation);
    let live = Arc::new(Live::new(generation));
    let recent = Arc::new(Recent::new(pipeline.reload.shadow_batches as usize));
    Ok(Lane { source, sink, plan, decoder, stages, followed, live, recent, settings, progress })
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
