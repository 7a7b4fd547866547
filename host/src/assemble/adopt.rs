//! `adopt`: gives a filled table its baseline, page by page, with all lanes of the pipeline held.

use std::{sync::Arc, time::Duration};

use reconverge_streams::{
    canonical,
    checkpoint::PlanDigest,
    columns::{Columns, State},
    keys::KeyList,
    names::Names,
    position::{Micros, Position, Seen},
    roster::Roster,
    sink::{Claim, ClaimRequest, CommitError, Sink, SinkError},
    source::StreamFacts,
    standing::{Wanted, WantedTable},
    table::{TableId, TableShape},
    writes::{TableWrites, Writes},
};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    baseline::{Baseline, Tally},
    config::Pipeline,
};

use super::{RunError, Sidecar, ends, key, lanes, plan_change, sidecar::sidecar, switch};

/// Rows that one transaction takes over.
const PAGE: u32 = 1000;
/// How often a page is tried whose keys are written by somebody else meanwhile.
const TRIES: u32 = 5;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Adoption {
    /// Names at the source or in the sink; empty: all tables.
    pub tables: Vec<String>,
    /// The region that wrote the rows; `None`: the only source of `through`, else the sink's own.
    pub origin: Option<String>,
    /// When they were written.
    pub at: Option<Micros>,
    /// By source: changes up to this position are in them.
    pub through: Vec<(String, Position)>,
    /// Take over also rows that the pipeline knows and that look written by the application.
    pub local: bool,
    /// Only look.
    pub dry_run: bool,
}

/// What became of a table.
#[derive(Clone, Debug, Serialize)]
pub struct Adopted {
    /// Its name in the sink.
    pub table: String,
    /// Rows that got the baseline.
    pub adopted: u64,
    /// Rows that are as the pipeline wrote them.
    pub ours: u64,
    /// Rows that the application wrote after the pipeline, left so.
    pub local: u64,
    /// Lanes whose newest positions were raised, for a table without versions.
    pub lanes_raised: u64,
}

/// Gives rows that stand in the sink a baseline. `looked_at` hears of each page.
///
/// # Errors
/// [`RunError::NotFound`] for a table that the pipeline lacks, or while a process works on it.
pub async fn adopt(
    pipeline: &Pipeline,
    asked: &Adoption,
    looked_at: impl Fn(&str, u64),
) -> Result<Vec<Adopted>, RunError> {
    let tables = tables(pipeline, &asked.tables)?;
    match sidecar(pipeline).await? {
        Sidecar::Sqlite(sink) => adopt_in(pipeline, asked, &tables, &sink, &looked_at).await,
        Sidecar::Postgres(sink) => adopt_in(pipeline, asked, &tables, &sink, &looked_at).await,
    }
}

/// Places in [`Pipeline::tables`].
fn tables(pipeline: &Pipeline, named: &[String]) -> Result<Vec<usize>, RunError> {
    if named.is_empty() {
        return Ok((0..pipeline.tables.len()).collect());
    }
    named.iter().map(|name| key::place(pipeline, name)).collect()
}

async fn adopt_in<K: Sink + Roster>(
    pipeline: &Pipeline,
    asked: &Adoption,
    tables: &[usize],
    sink: &K,
    looked_at: &impl Fn(&str, u64),
) -> Result<Vec<Adopted>, RunError> {
    plan_change::refuse(pipeline, sink).await?;
    let look = sink.look(&pipeline.name).await?;
    switch::idle(&look.lanes, look.now)?;
    let shapes = ends::shapes(pipeline, sink).await?.into_iter().map(Arc::new).collect();
    let names = Arc::new(Names::default());
    let baseline = baseline(pipeline, asked, &names);
    let mut held = hold(pipeline, sink, shapes, &names).await?;
    let done = each(pipeline, asked.dry_run, tables, &baseline, &mut held, looked_at).await;
    held.release().await;
    done
}

async fn each<C: Claim>(
    pipeline: &Pipeline,
    dry_run: bool,
    tables: &[usize],
    baseline: &Baseline,
    held: &mut Held<C>,
    looked_at: &impl Fn(&str, u64),
) -> Result<Vec<Adopted>, RunError> {
    let mut done = Vec::new();
    for &place in tables {
        done.push(one(pipeline, place, dry_run, baseline, held, looked_at).await?);
    }
    Ok(done)
}

fn baseline(pipeline: &Pipeline, asked: &Adoption, names: &Names) -> Baseline {
    let intern = |name: &str| names.intern(name).expect("a command line has fewer than 65,535 names");
    let origin = match (&asked.origin, asked.through.as_slice()) {
        (Some(origin), _) => origin,
        (None, [(source, _)]) => source,
        _ => &pipeline.region,
    };
    let seen = |(source, position): &(String, Position)| Seen {
        source: intern(source),
        position: *position,
        deleted: false,
        live_at: asked.at.unwrap_or(reconverge_streams::position::BEFORE_ALL),
    };
    Baseline {
        origin: intern(origin),
        at: asked.at,
        seen: asked.through.iter().map(seen).collect(),
        local: asked.local,
    }
}

/// All lanes of the pipeline: nobody else works on it meanwhile.
struct Held<C> {
    /// With the place of each in [`Pipeline::lanes`].
    lanes: Vec<(usize, C)>,
    shapes: Vec<Arc<TableShape>>,
    /// After which their leases have to be kept.
    keep_after: Duration,
    kept: Instant,
}

async fn hold<K: Sink>(
    pipeline: &Pipeline,
    sink: &K,
    shapes: Vec<Arc<TableShape>>,
    names: &Arc<Names>,
) -> Result<Held<K::Claim>, RunError> {
    let mut facts: Vec<StreamFacts> = Vec::new();
    for config in &pipeline.sources {
        facts.push(ends::stream_facts(pipeline, config).await?);
    }
    let lease = pipeline.limits.lease.stale;
    let mut held = Held { lanes: Vec::new(), shapes, keep_after: lease / 3, kept: Instant::now() };
    for slot in lanes::slots(pipeline) {
        let facts = &facts[slot.source];
        let request = ClaimRequest {
            lane: slot.id,
            owner: format!("adopt/{}", std::process::id()),
            lease,
            stream: facts.name.clone(),
            stream_created: facts.created,
            plan: PlanDigest(pipeline.digest()),
            tables: held.shapes.clone(),
            region: pipeline.region.clone(),
            names: Arc::clone(names),
        };
        match sink.claim(request).await {
            Ok(claim) => held.lanes.push((slot.lane, claim)),
            Err(error) => {
                held.release().await;
                return Err(switch::refused(error));
            }
        }
    }
    Ok(held)
}

impl<C: Claim> Held<C> {
    /// Keeps the leases, where it is time to.
    async fn keep(&mut self) -> Result<(), SinkError> {
        if self.kept.elapsed() < self.keep_after {
            return Ok(());
        }
        for (_, claim) in &mut self.lanes {
            let scanned = claim.checkpoint().sequence;
            claim.idle(scanned).await?;
        }
        self.kept = Instant::now();
        Ok(())
    }

    async fn release(self) {
        for (_, mut claim) in self.lanes {
            claim.release().await;
        }
    }
}

async fn one<C: Claim>(
    pipeline: &Pipeline,
    place: usize,
    dry_run: bool,
    baseline: &Baseline,
    held: &mut Held<C>,
    looked_at: &impl Fn(&str, u64),
) -> Result<Adopted, RunError> {
    let table = &pipeline.tables[place];
    let id = TableId(u16::try_from(place).expect("a configuration has fewer than 65,535 tables"));
    let mut adopted = Adopted { table: table.target.clone(), adopted: 0, ours: 0, local: 0, lanes_raised: 0 };
    if !table.policy.keeps_versions() {
        for (_, claim) in held.lanes.iter_mut().filter(|(lane, _)| *lane == table.lane) {
            adopted.lanes_raised += u64::from(raise(claim, id, dry_run, baseline).await?);
        }
        return Ok(adopted);
    }
    let own = held.lanes.iter().position(|(lane, _)| *lane == table.lane).unwrap_or_default();
    let (mut tally, mut rows, mut behind) = (Tally::default(), 0, None);
    loop {
        held.keep().await?;
        let claim = &mut held.lanes[own].1;
        let page = claim.page(id, behind.take(), PAGE).await?;
        if page.rows() == 0 {
            break;
        }
        let mut last = Columns::new(held.shapes[place].key_logicals());
        last.push_row_from(&page, page.rows() - 1);
        tally.add(take_over(claim, wanted(id, &held.shapes[place], &page)?, dry_run, baseline).await?);
        rows += page.rows() as u64;
        looked_at(&table.target, rows);
        behind = Some(last);
    }
    (adopted.adopted, adopted.ours, adopted.local) = (tally.adopted, tally.ours, tally.local);
    Ok(adopted)
}

/// A page's keys as a batch asks for them.
fn wanted(table: TableId, shape: &TableShape, page: &Columns) -> Result<WantedTable, RunError> {
    let columns: Vec<_> = page.columns.iter().collect();
    let mut keys = Vec::with_capacity(page.rows());
    for row in 0..page.rows() {
        if columns.iter().any(|column| column.state(row) != State::Value) {
            return Err(RunError::NotFound {
                what: format!(
                    "table {} has a row whose key is null or no value of its column's type",
                    shape.name
                ),
                hint: "mend or delete that row; a change can never name it".to_owned(),
            });
        }
        let mut key = Vec::new();
        canonical::key(&columns, row, &mut key);
        keys.push((key, row));
    }
    keys.sort_unstable();
    let mut cells = Columns::new(shape.key_logicals());
    keys.iter().for_each(|(_, row)| cells.push_row_from(page, *row));
    let keys = keys.into_iter().map(|(key, _)| key).collect();
    Ok(WantedTable { table, keys, cells, versions: true, order_columns: Vec::new() })
}

async fn take_over<C: Claim>(
    claim: &mut C,
    wanted: WantedTable,
    dry_run: bool,
    baseline: &Baseline,
) -> Result<Tally, RunError> {
    let mut tried = 0;
    loop {
        let from = claim.checkpoint().sequence;
        let standing =
            claim.begin(Wanted { from, tables: vec![wanted.clone()], ..Wanted::default() }).await?;
        let (writes, tally) = baseline.writes(&wanted, &standing.tables[0]);
        tried += 1;
        match commit(claim, writes, dry_run).await {
            Ok(()) => return Ok(tally),
            // Somebody wrote one of the rows meanwhile.
            Err(CommitError::Again(_)) if tried < TRIES => {}
            Err(error) => return Err(not_written(&error)),
        }
    }
}

/// Raises a lane's newest positions over a table without versions; whether there was something to raise.
async fn raise<C: Claim>(
    claim: &mut C,
    table: TableId,
    dry_run: bool,
    baseline: &Baseline,
) -> Result<bool, RunError> {
    let from = claim.checkpoint().sequence;
    let none = WantedTable {
        table,
        keys: KeyList::default(),
        cells: Columns::default(),
        versions: false,
        order_columns: Vec::new(),
    };
    let standing = claim.begin(Wanted { from, tables: vec![none], ..Wanted::default() }).await?;
    let Some(writes) = baseline.gate(table, &standing.tables[0].gate) else {
        claim.abandon().await;
        return Ok(false);
    };
    commit(claim, writes, dry_run).await.map_err(|error| not_written(&error))?;
    Ok(true)
}

/// Commits a table's versions and nothing else: the lane stands where it stood.
async fn commit<C: Claim>(claim: &mut C, writes: TableWrites, dry_run: bool) -> Result<(), CommitError> {
    if dry_run || writes.versions.is_empty() && writes.gate.is_empty() {
        claim.abandon().await;
        return Ok(());
    }
    let checkpoint = claim.checkpoint();
    let (through, scanned, generation) = (checkpoint.sequence, checkpoint.scanned, checkpoint.generation);
    let writes = Writes { through, scanned, generation, tables: vec![writes], ..Writes::default() };
    claim.commit(writes).await.map(drop)
}

fn not_written(error: &CommitError) -> RunError {
    RunError::Environment {
        what: format!("the versions of a page were not written: {error}"),
        hint: "what was adopted before it stays; run it again, it goes on with the rest".to_owned(),
    }
}
