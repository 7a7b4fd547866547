//! The lanes of a pipeline and what each is made of: one for every source, lane of the file, and partition.

use std::{sync::Arc, time::Duration};

use reconverge_streams::{
    checkpoint::{LaneId, PlanDigest},
    jetstream::JetStreamSource,
    roster::Roster,
    sink::{ClaimRequest, Sink},
    source::{Limits, Source as _, StreamFacts},
};
use tokio::sync::oneshot;

use crate::{
    config::{OnHole, Pipeline},
    decode::{Decoder, Share},
    generation::{Live, Recent, Rules},
    lane::{
        Before, Depths, Followed, Kept, Lane, LaneError, LaneSettings, Lanes, ParkedLimits, Progress, Retry,
        RunReport, Until, Ways,
    },
    plan::Plan,
    waiting::Queue,
};

use super::{
    RunError, ends,
    reload::Artifacts,
    run::{Options, RunUntil},
    workshop::Workshop,
};

/// How long a lane waits for a message before it looks after its lease: what makes an idle one cheap.
const PATIENCE: Duration = Duration::from_millis(250);

/// Batches that a lane may hold at a time: two pulls that overlap, two decoded ahead, one being written.
const HELD_BATCHES: u64 = 5;

/// One lane, by its places in the file.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Its name.
    pub id: LaneId,
    /// Index into [`Pipeline::sources`].
    pub source: usize,
    /// Index into [`Pipeline::lanes`].
    pub lane: usize,
}

/// All lanes of a pipeline: source by source, those that go before first.
#[must_use]
pub fn slots(pipeline: &Pipeline) -> Vec<Slot> {
    let mut slots = Vec::new();
    for (source, config) in pipeline.sources.iter().enumerate() {
        for (lane, named) in pipeline.lanes.iter().enumerate() {
            for partition in 0..config.partitions {
                let id = LaneId {
                    pipeline: pipeline.name.clone(),
                    source: config.name.clone(),
                    lane: named.name.clone(),
                    partition,
                };
                slots.push(Slot { id, source, lane });
            }
        }
    }
    slots
}

/// What a lane of the file has of each partition: its tables, and `main` the rest.
fn share(pipeline: &Pipeline, lane: usize) -> Share {
    if pipeline.lanes.len() == 1 {
        return Share::all();
    }
    let tables = pipeline.tables.iter().map(|table| table.lane == lane).collect();
    Share::of(tables, pipeline.lanes[lane].name == "main")
}

/// The decoder of a lane, by the lane's name, under whatever plan: what makes a generation's rules a lane's own.
///
/// # Errors
/// Where the pipeline has no such lane.
pub(super) fn decoder(pipeline: &Pipeline, lane: &str, plan: &Arc<Plan>) -> Result<Arc<Decoder>, String> {
    let mut parts = lane.split('/').skip(1);
    let (source, named) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let source = pipeline.sources.iter().find(|config| config.name == source);
    let place = pipeline.lanes.iter().position(|config| config.name == named);
    let (source, place) = source.zip(place).ok_or_else(|| format!("this pipeline has no lane {lane}"))?;
    Ok(Arc::new(Decoder::new(Arc::clone(plan), source).for_share(share(pipeline, place))))
}

/// A source, bound to its stream and to those that stand in for it.
struct Bound {
    stream: JetStreamSource,
    mirrors: Vec<JetStreamSource>,
    facts: StreamFacts,
}

/// What all lanes of a process are made of.
pub(super) struct Parts<K> {
    pub(super) slots: Vec<Slot>,
    /// The name of this process in the sink.
    pub(super) owner: String,
    pub(super) live: Arc<Live>,
    pub(super) recent: Arc<Recent>,
    workshop: Arc<Workshop>,
    sink: Arc<K>,
    sources: Vec<Bound>,
    digest: PlanDigest,
    until: RunUntil,
}

/// A lane that runs in a task of its own.
pub(super) struct Ready<K: Sink> {
    source: JetStreamSource,
    mirrors: Vec<JetStreamSource>,
    sink: Arc<K>,
    rules: Rules,
    followed: Followed,
    live: Arc<Live>,
    recent: Arc<Recent>,
    depths: Depths,
    settings: LaneSettings,
    progress: Arc<Progress>,
}

impl<K: Sink + Roster + 'static> Parts<K> {
    /// Connects the sources and makes the first generation, once for all lanes.
    pub(super) async fn gather(
        workshop: &Arc<Workshop>,
        artifacts: &Artifacts,
        options: &Options,
        sink: Arc<K>,
    ) -> Result<Parts<K>, RunError> {
        let pipeline = &workshop.pipeline;
        let mut sources = Vec::new();
        for config in &pipeline.sources {
            let stream = ends::source(pipeline, config, options.ensure).await?;
            let mirrors = ends::mirrors(pipeline, config).await?;
            let unread = stream.unread(config.partitions).await?;
            if unread > 0 {
                let (stream, partitions) = (&config.stream, config.partitions);
                tracing::warn!(
                    stream,
                    partitions,
                    messages = unread,
                    "source.unread: no lane has their partition"
                );
            }
            sources.push(Bound { facts: stream.inspect().await?, stream, mirrors });
        }
        Ok(Parts {
            slots: slots(pipeline),
            owner: options.owner.clone().unwrap_or_else(owner),
            live: Arc::new(Live::new(Arc::new(workshop.first(artifacts).await?))),
            recent: Arc::new(Recent::new(pipeline.reload.shadow_batches as usize)),
            workshop: Arc::clone(workshop),
            sink,
            sources,
            digest: PlanDigest(pipeline.digest()),
            until: options.until.clone(),
        })
    }

    /// The last sequence that a lane has to reach; `None` where it runs until it is told to stop.
    pub(super) fn end(&self, slot: &Slot) -> Option<u64> {
        match &self.until {
            RunUntil::Forever => None,
            RunUntil::CaughtUp => Some(self.sources[slot.source].facts.last),
            RunUntil::Sequence(sequence) => Some(*sequence),
            RunUntil::Each(by_source) => Some(by_source.get(&slot.id.source).copied().unwrap_or(0)),
        }
    }

    /// A lane, with plugin instances of its own.
    pub(super) fn lane(&self, pipeline: &Pipeline, slot: &Slot, lanes: &Lanes) -> Result<Ready<K>, RunError> {
        let name = slot.id.to_string();
        let Bound { stream, mirrors, facts } = &self.sources[slot.source];
        let generation = self.live.of(&name);
        let rules = generation.rules(&name).map_err(|what| RunError::Environment {
            what: format!("the plugins of lane {name} do not start: {what}"),
            hint: "`reconverge check` tells more".to_owned(),
        })?;
        let progress = Arc::new(Progress::new(name.clone()));
        lanes.insert(name, Arc::clone(&progress));
        let claim = ClaimRequest {
            lane: slot.id.clone(),
            owner: self.owner.clone(),
            lease: pipeline.limits.lease.stale,
            stream: facts.name.clone(),
            stream_created: facts.created,
            plan: self.digest,
            tables: self.workshop.shapes.clone(),
            region: pipeline.region.clone(),
            names: Arc::clone(&self.workshop.names),
        };
        let settings = LaneSettings {
            claim,
            limits: limits(pipeline, self.slots.len()),
            retry: retry(pipeline).of((slot.id.to_string(), &self.owner)),
            continue_over_holes: pipeline.sources[slot.source].on_hole == OnHole::Continue,
            retention_alarm: pipeline.sources[slot.source].retention_alarm,
            until: self.end(slot).map_or(Until::Forever, Until::Sequence),
            before: self.before(pipeline, slot),
            kept: Kept { history_days: pipeline.limits.history_days, tombstones: pipeline.limits.tombstones },
        };
        let prefix = format!("{}-{}-{}", pipeline.name, slot.id.source, slot.id.lane);
        Ok(Ready {
            source: stream.named(&prefix),
            mirrors: mirrors.iter().map(|mirror| mirror.named(&format!("{prefix}-mirror"))).collect(),
            sink: Arc::clone(&self.sink),
            rules,
            followed: Followed::new(&generation),
            live: Arc::clone(&self.live),
            recent: Arc::clone(&self.recent),
            depths: Depths::new(ParkedLimits {
                rows: pipeline.limits.parked_rows,
                age: pipeline.limits.parked_age,
            }),
            settings,
            progress,
        })
    }

    /// The lanes of the same source and partition that go before.
    fn before(&self, pipeline: &Pipeline, slot: &Slot) -> Before {
        let lane = &pipeline.lanes[slot.lane];
        if lane.after.is_empty() {
            return Before::default();
        }
        let id = |other: &usize| LaneId { lane: pipeline.lanes[*other].name.clone(), ..slot.id.clone() };
        let names = lane.after.iter().map(|other| id(other).to_string()).collect();
        let ways: Arc<dyn Ways> = Arc::<K>::clone(&self.sink);
        Before::new(names, ways, lane.yield_lag)
    }
}

impl<K: Sink> Ready<K> {
    /// Runs until `stop` speaks or is gone, or the lane ends by itself.
    pub(super) async fn run(self, stop: oneshot::Receiver<()>) -> Result<RunReport, LaneError> {
        let Ready { source, mirrors, sink, rules, followed, live, recent, depths, settings, progress } = self;
        let Rules { plan, decoder, stages } = rules;
        let (source, mirrors, sink) = (&source, mirrors.as_slice(), &*sink);
        let waiting = Queue::default();
        let lane = Lane {
            source,
            mirrors,
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
        };
        lane.run(async {
            // Whoever would say it is gone: that says it too.
            let _ = stop.await;
        })
        .await
    }
}

/// A batch is at most as large as a lane's share of what the process may hold.
fn limits(pipeline: &Pipeline, lanes: usize) -> Limits {
    let share = pipeline.limits.in_flight_bytes / lanes.max(1) as u64 / HELD_BATCHES;
    let bytes = pipeline.limits.batch_bytes.min(share);
    Limits {
        rows: pipeline.limits.batch_rows,
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX).max(1),
        patience: PATIENCE,
        linger: pipeline.limits.linger,
    }
}

fn retry(pipeline: &Pipeline) -> Retry {
    let retry = &pipeline.limits.retry;
    Retry {
        tries: retry.tries,
        first: retry.first,
        max: retry.max,
        factor: f64::from(retry.factor),
        jitter: 0,
    }
}

/// A name that no other process has, and that tells where this one runs.
fn owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "host" } else { host.trim() };
    format!("{host}/{}/{}", std::process::id(), uuid::Uuid::new_v4().simple())
}
