//! Question 1: what the sandbox costs. The merge stage as the engine calls it (the block is built, the plugin called,
//! its answer checked and made into rulings) beside the same rule as a native loop over the same contests.

use std::{hint::black_box, path::Path, sync::Arc, time::Instant};

use anyhow::{Result, ensure};
use reconverge::{
    batch::{Batch, TableBatch},
    config::Stage,
    decode::{Decoder, Options},
    plan::{Plan, Rule},
    plugin::{PluginChain, PluginSpec},
    stages::{Arena, Arenas, Contest, Contests, RowRef, Ruling, Stages, Verdict},
};
use reconverge_streams::{columns::State, table::TableId};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    answer::{Answer, Bar, Line, Unit},
    desk,
    random::Random,
    scale::Scale,
    trial::{Contestant, interleaved},
    workload::Workload,
};

/// Rows of a call, each with what issue 6 wants, in nanoseconds per row.
const SIZES: [(usize, Option<f64>); 5] =
    [(1, Some(1000.0)), (16, Some(80.0)), (256, None), (1000, Some(25.0)), (4096, None)];

/// The reason of the plugin for a loser.
const OLDER: &str = "older modification_epoch";

/// Answers the question.
///
/// # Errors
/// The plugin does not open, or decides otherwise than the native rule.
pub(crate) fn ask(runtime: &Runtime, scale: &Scale) -> Result<Answer> {
    let (plan, mut chain) = opened(runtime, &desk::wasm("schedule-merge"))?;
    let mut lines = Vec::new();
    for (rows, bar) in SIZES {
        let ring = Ring::new(&plan, rows);
        let calls = scale.merge_rows / rows;
        let told = chain.merge(&ring.contests(&plan));
        let rulings = told.rulings.iter().map(|ruling| (ruling.clone(), told.reason(ruling)));
        let (by_hand, reasons) = native(&ring, &plan);
        let wanted =
            by_hand.iter().map(|ruling| (ruling.clone(), ruling.reason.map(|at| &reasons[at as usize])));
        ensure!(rulings.eq(wanted), "the plugin decides otherwise than the native rule");
        let measures = interleaved(
            scale.micro_rounds,
            &mut [
                Contestant::new(format!("plugin, {rows} rows"), || {
                    let contests = ring.contests(&plan);
                    let start = Instant::now();
                    for _ in 0..calls {
                        black_box(chain.merge(black_box(&contests)));
                    }
                    Ok(desk::nanos_each(start.elapsed(), calls * rows))
                }),
                Contestant::new(format!("native, {rows} rows"), || {
                    let start = Instant::now();
                    for _ in 0..calls {
                        black_box(native(black_box(&ring), &plan));
                    }
                    Ok(desk::nanos_each(start.elapsed(), calls * rows))
                }),
            ],
        )?;
        let [plugin, loop_] = measures.try_into().unwrap_or_default();
        let line = Line::new(format!("plugin, {rows} rows a call"), Unit::NanosPerEvent, plugin);
        let line = line.against("native loop", &loop_);
        lines.push(match bar {
            Some(bar) => line.bar(Bar::Below(bar)),
            None => line,
        });
        lines.push(Line::new(format!("native loop, {rows} rows"), Unit::NanosPerEvent, loop_));
    }
    let asks = "merge: a decision on one integer and one text on both sides, in WASM and in native code";
    Ok(Answer { question: "merge", asks: asks.to_owned(), lines })
}

/// A plugin with the rule of `schedule-merge`, opened against the workload's table.
///
/// # Errors
/// It does not open.
pub(crate) fn opened(runtime: &Runtime, file: &Path) -> Result<(Arc<Plan>, PluginChain)> {
    let spec = PluginSpec {
        name: "schedule-merge".to_owned(),
        path: file.to_owned(),
        stage: Stage::Merge,
        tables: vec![TableId(0)],
        config: json!({}),
    };
    let shapes = desk::shapes(runtime, &desk::workload_ddl(1), &desk::workload_tables(1))?;
    let set = desk::plugins(&shapes, &[spec])?;
    let plan = Arc::new(desk::plan(&shapes, &set, |columns| {
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        Rule::Plugin(["modification_epoch", "region_source"].into_iter().filter_map(place).collect())
    }));
    let chain = set.chain(&plan).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok((plan, chain))
}

/// Incoming rows and what stands, half of it older, in another order: as resolve meets them.
pub(crate) struct Ring {
    incoming: TableBatch,
    standing: TableBatch,
    rows: Vec<Contest>,
}

impl Ring {
    pub(crate) fn new(plan: &Arc<Plan>, rows: usize) -> Ring {
        let workload = Workload { rows: rows as u64, keys: rows as u64, ..Workload::default() };
        let mut places: Vec<u32> = (0..).take(rows).collect();
        Random::new(1).shuffle(&mut places);
        let eu = plan.names.intern(desk::REGION).expect("few names");
        let contest = |(change, place): (u32, u32)| Contest {
            change,
            incoming: RowRef { arena: Arena::After, row: change },
            current: RowRef { arena: Arena::Standing, row: place },
            current_live: true,
            current_origin: eu,
            current_at: Some(7),
        };
        let decoded = |seed: u64| {
            let events = Workload { seed, ..workload.clone() }.events();
            let pulled = desk::batches(&events, false);
            let deliveries = pulled.into_iter().flat_map(|pulled| pulled.deliveries).collect();
            let decoder = Decoder::new(Arc::clone(plan), Options::default());
            let Batch { mut tables, .. } =
                decoder.decode(reconverge_streams::source::Pulled { deliveries, scanned: 0 });
            tables.swap_remove(0)
        };
        Ring { incoming: decoded(1), standing: decoded(2), rows: (0..).zip(places).map(contest).collect() }
    }

    pub(crate) fn contests<'a>(&'a self, plan: &'a Plan) -> Contests<'a> {
        Contests {
            table: plan.table(TableId(0)),
            changes: &self.incoming.changes,
            arenas: Arenas {
                after: &self.incoming.after,
                before: &self.incoming.before,
                standing: &self.standing.after,
                composed: &self.standing.after,
            },
            rows: &self.rows,
            names: &plan.names,
        }
    }
}

/// The plugin's rule without a plugin, to the same rulings.
fn native(ring: &Ring, plan: &Plan) -> (Vec<Ruling>, Vec<Arc<str>>) {
    let contests = ring.contests(plan);
    let [epoch, region] = contests.table.rule.order_columns() else { return Default::default() };
    let value = |at: RowRef| {
        let columns = &contests.arenas.of(at.arena).columns;
        let (epoch, region, row) = (&columns[*epoch], &columns[*region], at.row as usize);
        let is_whole = epoch.state(row) == State::Value && region.state(row) == State::Value;
        is_whole.then(|| (epoch.int(row), region.bytes(row)))
    };
    let rule = |contest: &Contest| {
        if value(contest.incoming) > value(contest.current) {
            Ruling { verdict: Verdict::Take, archive: true, reason: None }
        } else {
            Ruling { verdict: Verdict::Keep, archive: true, reason: Some(0) }
        }
    };
    (contests.rows.iter().map(rule).collect(), vec![OLDER.into()])
}

#[cfg(test)]
mod gate;
