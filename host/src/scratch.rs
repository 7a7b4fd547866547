//! The engine run into a database in memory: what `plugin laws` and `rehearse` try histories in. Decode, stages, gate,
//! resolve and writes are those of a lane; only the ends are not there. It never sees a real sink.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::FutureExt;
use reconverge_streams::{
    canonical,
    checkpoint::{LaneId, PlanDigest},
    columns::{Columns, State},
    memory::{
        database::MemoryDatabase,
        sink::{MemoryClaim, MemorySink},
    },
    records::{DeadLetterRecord, DecisionRecord, ParkedRecord, Query, Records},
    sink::{Claim, ClaimRequest, CommitError, Sink, SinkError},
    source::{Delivery, Pulled},
    table::{TableId, TableShape},
    text,
};

use crate::{
    decode::Decoder,
    lane,
    plan::Plan,
    resolve::{self, LeftOut, Resolved, keys},
    stages::Stages,
};

/// The number of the generation that decides here.
const GENERATION: i64 = 1;
/// More records than a run can make.
const ALL: u32 = u32::MAX;

/// Why a batch could not be applied. Not a single change's fault: those become dead letters.
#[derive(Debug, thiserror::Error)]
#[error("the scratch sink: {0}")]
pub struct ScratchError(String);

impl From<SinkError> for ScratchError {
    fn from(cause: SinkError) -> Self {
        ScratchError(cause.to_string())
    }
}

/// A row that stands: in canonical bytes to compare, in JSON to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stood {
    /// The canonical bytes of all columns that the database does not compute.
    pub bytes: Vec<u8>,
    /// The row as a JSON object of text forms.
    pub json: String,
}

/// See the module.
pub struct Scratch {
    plan: Arc<Plan>,
    decoder: Arc<Decoder>,
    database: MemoryDatabase,
    sink: MemorySink,
    claim: MemoryClaim,
}

impl Scratch {
    /// An empty database with the plan's tables. Columns with a default of the database's are nullable here: what the
    /// database would fill in is not known.
    ///
    /// # Errors
    /// The plan's tables cannot be claimed.
    pub fn new(plan: &Arc<Plan>, decoder: &Arc<Decoder>) -> Result<Scratch, ScratchError> {
        let database = MemoryDatabase::default();
        for table in &plan.tables {
            let mut shape = TableShape::clone(&table.shape);
            for column in &mut shape.columns {
                column.not_null &= !column.has_default && !column.generated;
            }
            let mut defaults = Columns::new(shape.logicals());
            defaults.push_row_of(State::Null);
            at_once(database.create(shape, Vec::new(), defaults));
        }
        let sink = MemorySink::new(database.clone());
        let claim = at_once(sink.claim(ClaimRequest {
            lane: LaneId {
                pipeline: "scratch".into(),
                source: "main".into(),
                lane: "main".into(),
                partition: 0,
            },
            owner: "scratch".into(),
            lease: Duration::from_secs(86_400),
            stream: "scratch".into(),
            stream_created: 0,
            plan: PlanDigest([0; 32]),
            tables: plan.tables.iter().map(|table| Arc::clone(&table.shape)).collect(),
            region: plan.names.get(plan.region).to_string(),
            names: Arc::clone(&plan.names),
        }))?;
        Ok(Scratch { plan: Arc::clone(plan), decoder: Arc::clone(decoder), database, sink, claim })
    }

    /// Applies deliveries, in ascending sequence, as one batch.
    ///
    /// # Errors
    /// The batch as a whole cannot be written.
    pub fn apply(
        &mut self,
        deliveries: Vec<Delivery>,
        stages: &mut dyn Stages,
    ) -> Result<Resolved, ScratchError> {
        let scanned = deliveries.last().map_or(0, |delivery| delivery.sequence);
        let mut batch = self.decoder.decode(Pulled { deliveries, scanned });
        batch.include_relatives(&self.plan);
        let prepared = stages.prepare(&mut batch, &self.plan);
        let mut left_out = LeftOut::default();
        loop {
            let from = self.claim.checkpoint().sequence;
            let (keyed, wanted) = keys::keyed(&batch, &self.plan, from, &[]);
            let standing = at_once(self.claim.begin(wanted))?;
            let mut decided = resolve::decide(
                &batch, &prepared, &keyed, &standing, &left_out, stages, &self.plan, GENERATION,
            );
            while let Some(asked) = decided.asks() {
                decided.learn(at_once(self.claim.family(asked))?);
            }
            if let Some(table) = decided.leaves_too_many() {
                let name = &self.plan.table(table).shape.name;
                return Err(ScratchError(format!("too many rows leave with rows of table {name}")));
            }
            let mut resolved = decided.close();
            match at_once(self.claim.commit(std::mem::take(&mut resolved.writes))) {
                Ok(_) => return Ok(resolved),
                Err(CommitError::Guilty(blamed, cause)) => {
                    if !lane::leave_out(&blamed, &cause, &batch, &resolved, &mut left_out) {
                        return Err(ScratchError(cause.to_string()));
                    }
                }
                Err(other) => return Err(ScratchError(other.to_string())),
            }
        }
    }

    /// The rows of a table by canonical key.
    #[must_use]
    pub fn rows(&self, table: TableId) -> std::collections::BTreeMap<Vec<u8>, Stood> {
        let shape = &self.plan.table(table).shape;
        let Some(rows) = at_once(self.database.rows(&shape.name)) else { return Default::default() };
        let keys: Vec<_> = shape.key.iter().map(|&k| &rows.columns[k]).collect();
        let shown = shape.columns.iter().zip(&rows.columns).filter(|(shape, _)| !shape.generated);
        let (names, cells): (Vec<&str>, Vec<_>) = shown.map(|(c, cells)| (c.name.as_str(), cells)).unzip();
        let row = |i: usize| {
            let (mut key, mut bytes) = (Vec::new(), Vec::new());
            canonical::key(&keys, i, &mut key);
            canonical::row(&cells, i, &mut bytes);
            let json = text::to_json(names.iter().copied().zip(cells.iter().copied()), i);
            (key, Stood { bytes, json })
        };
        (0..rows.rows()).map(row).collect()
    }

    /// The history of conflicts, oldest first.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn decisions(&self) -> Result<Vec<DecisionRecord>, ScratchError> {
        let mut decisions = at_once(self.sink.decisions(&everything()))?;
        decisions.reverse();
        Ok(decisions)
    }

    /// Rows that wait for others.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn parked(&self) -> Result<Vec<ParkedRecord>, ScratchError> {
        Ok(at_once(self.sink.parked(&everything()))?)
    }

    /// Changes that could not be applied, oldest first.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetterRecord>, ScratchError> {
        let mut dead = at_once(self.sink.dead_letters(&everything()))?;
        dead.reverse();
        Ok(dead)
    }
}

fn everything() -> Query {
    Query { limit: ALL, ..Query::default() }
}

/// The result of work that waits for nobody: the memory sink's only lock is never held across a wait, and nobody else
/// has the database.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    // Without this a long run inside a runtime's task would be told to yield.
    tokio::task::coop::unconstrained(work).now_or_never().expect("a sink in memory waits for nobody")
}
