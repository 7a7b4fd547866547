//! A process that runs every lane of a pipeline: it dies where a fault says so, and is started again, as an operator's
//! supervisor would. A new process has a new name, so it waits for its predecessor's lease like any other.

use std::{sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use reconverge::{
    assemble,
    config::{self, Environment},
    decode::{Decoder, Options},
    generation::{Generation, Live, Recent, Rules},
    lane::{
        Before, Depths, Followed, Kept, Lane, LaneError, LaneSettings, ParkedLimits, Progress, Retry, Until,
    },
    plan::{Plan, Rule},
    waiting::Queue,
};
use reconverge_streams::{
    checkpoint::{LaneId, PlanDigest},
    memory::source::MemorySource,
    names::Names,
    position::Micros,
    sink::ClaimRequest,
    source::Limits,
    table::TableShape,
};

use crate::{
    faults::{Faults, Life},
    place::{Place, shape},
    scenario::{RANK, REGION, Scenario},
    sink::{FaultySink, Witness},
    source::FaultySource,
    stages::ModelStages,
    wire,
};

/// When the stream was made.
pub const CREATED: Micros = 1;

/// How long things take in a run.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long a silent owner keeps a lane.
    pub lease: Duration,
    /// Between a process's death and its next life.
    pub restart: Duration,
    /// The first pause before a lane tries again.
    pub retry: Duration,
    /// The time within which a run must be done.
    pub patience: Duration,
    /// Whether a process that was started again is known as the old one, so that it need not wait for its lease.
    pub same_owner: bool,
}

impl Pace {
    /// As in production, for runs whose time costs nothing.
    pub const STOPPED_CLOCK: Pace = Pace {
        lease: Duration::from_secs(15),
        restart: Duration::from_millis(300),
        retry: Duration::from_millis(50),
        patience: Duration::from_secs(3600),
        same_owner: false,
    };
    /// For runs against real databases, which take the time that they take.
    pub const REAL: Pace = Pace {
        lease: Duration::from_secs(2),
        restart: Duration::from_millis(1),
        retry: Duration::from_millis(1),
        patience: Duration::from_secs(120),
        same_owner: true,
    };
}

/// What a process needs to live.
pub struct Process<P> {
    /// Which one it is.
    pub number: usize,
    /// What happens.
    pub scenario: Arc<Scenario>,
    /// The stream.
    pub stream: MemorySource,
    /// The database.
    pub place: Arc<P>,
    /// What goes wrong, for all processes together.
    pub faults: Arc<Faults>,
    /// Who watches.
    pub witness: Arc<dyn Witness>,
    /// How long things take.
    pub pace: Pace,
}

impl<P: Place> Process<P> {
    /// Lives and dies until the lanes end by themselves.
    ///
    /// # Errors
    /// Why a lane ended that was not to.
    pub async fn run(&self) -> Result<(), LaneError> {
        let mut lives = 0;
        loop {
            let life = Life::new(format!("p{}.{lives}", self.number), Arc::clone(&self.faults));
            let died = life.died();
            tokio::select! {
                biased;
                () = died => {}
                ended = self.live(&life, lives) => return ended,
            }
            lives += 1;
            tokio::time::sleep(self.pace.restart).await;
        }
    }

    async fn live(&self, life: &Life, lives: u64) -> Result<(), LaneError> {
        let cuts = self.scenario.seed ^ (lives << 32) ^ ((self.number as u64) << 48);
        let source =
            FaultySource::new(self.stream.clone(), life.clone(), self.scenario.keeps_acknowledged, cuts);
        let sink = FaultySink::new(self.place.sink().await, life.clone(), Arc::clone(&self.witness));
        let rules = rules(&self.scenario);
        let lanes = (0..self.scenario.partitions).map(|partition| {
            let lives = if self.pace.same_owner { 0 } else { lives };
            let owner = format!("p{}.{lives}", self.number);
            let lane = self.lane(&rules, &source, &sink, partition, owner);
            lane.run(std::future::pending())
        });
        try_join_all(lanes).await.map(drop)
    }

    fn lane<'a>(
        &self,
        rules: &Arc<ModelRules>,
        source: &'a FaultySource,
        sink: &'a FaultySink<P::Sink>,
        partition: u32,
        owner: String,
    ) -> Lane<'a, FaultySource, FaultySink<P::Sink>> {
        let lane =
            LaneId { pipeline: "simulated".into(), source: "s".into(), lane: "main".into(), partition };
        let progress = Arc::new(Progress::new(lane.to_string()));
        let plan = &rules.plan;
        let settings = LaneSettings {
            claim: ClaimRequest {
                lane,
                owner,
                lease: self.pace.lease,
                stream: "CDC".into(),
                stream_created: CREATED,
                plan: PlanDigest([7; 32]),
                tables: plan.tables.iter().map(|t| Arc::clone(&t.shape)).collect(),
                region: REGION.into(),
                names: Arc::clone(&plan.names),
            },
            limits: Limits {
                rows: self.scenario.rows,
                bytes: 1 << 20,
                patience: Duration::from_millis(250),
                linger: Duration::from_millis(5),
            },
            retry: Retry {
                tries: 5,
                first: self.pace.retry,
                max: Duration::from_secs(1),
                factor: 2.0,
                jitter: 0,
            }
            .of((self.number, partition)),
            continue_over_holes: false,
            retention_alarm: 0.5,
            until: Until::Forever,
            before: Before::default(),
            kept: Kept::default(),
        };
        let made = Arc::clone(rules);
        let generation = Arc::new(Generation::new(1, "[]".into(), None, move |_: &str| Ok(made.rules())));
        let Rules { plan, decoder, stages } = rules.rules();
        let (followed, live) = (Followed::new(&generation), Arc::new(Live::new(generation)));
        let recent = Arc::new(Recent::new(0));
        let parked = ParkedLimits { rows: u64::MAX, age: Duration::MAX };
        let (waiting, depths) = (Queue::default(), Depths::new(parked));
        Lane {
            source,
            mirrors: &[],
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
        }
    }
}

/// A scenario's plan and decoder.
struct ModelRules {
    plan: Arc<Plan>,
    decoder: Arc<Decoder>,
}

impl ModelRules {
    fn rules(&self) -> Rules {
        Rules {
            plan: Arc::clone(&self.plan),
            decoder: Arc::clone(&self.decoder),
            stages: Box::new(ModelStages),
        }
    }
}

/// Nothing of the machine that the simulation runs on.
struct NoEnvironment;

impl Environment for NoEnvironment {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &std::path::Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn readable(&self, _: &std::path::Path) -> std::io::Result<()> {
        Ok(())
    }
}

fn rules(scenario: &Scenario) -> Arc<ModelRules> {
    let plan = Arc::new(plan(scenario, Arc::new(Names::default())));
    let decoder = Arc::new(Decoder::new(Arc::clone(&plan), Options::default()));
    Arc::new(ModelRules { plan, decoder })
}

/// The plan of a scenario, by the product's own way from a pipeline file; its names are interned in these.
#[must_use]
pub fn plan(scenario: &Scenario, names: Arc<Names>) -> Plan {
    let text = wire::pipeline(scenario);
    let pipeline = config::parse(&text, "simulated.toml".as_ref(), &NoEnvironment)
        .unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    let shapes: Vec<Arc<TableShape>> = (0..scenario.tables.len()).map(|t| Arc::new(shape(t))).collect();
    let mut plan = assemble::plan_without_plugins(&pipeline, &shapes, names).unwrap();
    for table in &mut plan.tables {
        if scenario.plugin && matches!(table.rule, Rule::Greatest(_)) {
            table.rule = Rule::Plugin(vec![RANK]);
        }
    }
    plan
}
