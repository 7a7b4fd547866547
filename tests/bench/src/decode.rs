//! Question 2: what an event costs before and between the transactions: decoding by format, the plugins before the
//! transaction, and deciding. Allocations are counted beside, since they show on a noisy machine what a clock does not.

use std::{collections::HashMap, hint::black_box, sync::Arc, time::Instant};

use anyhow::{Context, Result, ensure};
use reconverge::{
    batch::{Batch, ItemKind},
    config::{Format, Stage},
    decode::{Decoder, Options},
    plan::{Plan, Rule},
    plugin::{PluginChain, PluginSet, PluginSpec},
    resolve::{self, LeftOut, keys},
    stages::{Prepared, Stages},
};
use reconverge_capture::split_brain;
use reconverge_streams::{
    columns::{Columns, State},
    position::{Position, Seen},
    source::{Delivery, Pulled},
    standing::{Standing, StandingKey, StandingKind, StandingTable, Version, Wanted},
    table::{ColumnShape, TableId, TableShape},
};
use tokio::runtime::Runtime;

use crate::{
    allocations::counted,
    answer::{Answer, Line, Unit},
    desk,
    pipeline::{self, Variant},
    scale::Scale,
    trial::{Contestant, interleaved},
    workload::{Event, SOURCES, Workload},
};

/// Answers the question.
///
/// # Errors
/// A message does not decode, or a plugin does not open.
pub(crate) fn ask(runtime: &Runtime, scale: &Scale) -> Result<Answer> {
    let (shapes, events) = material(runtime, scale.decode_rows)?;
    let mut lines = formats(scale, &sets(runtime, &shapes, &events)?)?;
    lines.extend(deciding(scale, &shapes, &desk::batches(&events, false))?);
    let asks = "decode and resolve: in memory, in batches of 1,000, without stream and sink";
    Ok(Answer { question: "decode", asks: asks.to_owned(), lines })
}

/// Four tables, and changes of them.
fn material(runtime: &Runtime, rows: u64) -> Result<(Vec<Arc<TableShape>>, Vec<Event>)> {
    let workload = Workload { rows, keys: rows / 4, tables: 4, deletes: 0.05, ..Workload::default() };
    let shapes = desk::shapes(runtime, &desk::workload_ddl(4), &desk::workload_tables(4))?;
    Ok((shapes, workload.events()))
}

/// Messages of one format.
struct Set {
    name: &'static str,
    decoder: Decoder,
    pulls: Vec<Pulled>,
}

fn sets(runtime: &Runtime, shapes: &[Arc<TableShape>], events: &[Event]) -> Result<[Set; 3]> {
    let none = desk::plugins(shapes, &[])?;
    let plan = Arc::new(desk::plan(shapes, &none, |_| Rule::None));
    let native = || Decoder::new(Arc::clone(&plan), Options::default());
    let tables: Vec<(String, Vec<String>)> = split_brain::TABLES
        .iter()
        .map(|table| (table.name.to_owned(), table.key.iter().map(|key| (*key).to_owned()).collect()))
        .collect();
    let ddl = std::fs::read_to_string(split_brain::folder().join("schema.sqlite.sql"))?;
    let captured = desk::shapes(runtime, &ddl, &tables)?;
    let captured = Arc::new(desk::plan(&captured, &none, |_| Rule::None));
    let debezium = Decoder::new(captured, Options { format: Format::DebeziumJson, ..Options::default() });
    Ok([
        Set { name: "decode native JSON", decoder: native(), pulls: desk::batches(events, false) },
        Set { name: "decode native MessagePack", decoder: native(), pulls: desk::batches(events, true) },
        Set { name: "decode Debezium JSON (capture)", decoder: debezium, pulls: desk::pulled(capture()?) },
    ])
}

/// One line for each format.
fn formats(scale: &Scale, sets: &[Set]) -> Result<Vec<Line>> {
    let mut facts = Vec::new();
    for Set { name, decoder, pulls } in sets {
        let (count, allocations) = taken(decoder, pulls).with_context(|| (*name).to_owned())?;
        let payloads = pulls.iter().flat_map(|pulled| &pulled.deliveries).map(|d| d.payload.len());
        let [allocations, bytes] = [allocations, payloads.sum::<usize>() as u64].map(|sum| each(sum, count));
        facts.push(format!("{allocations:.2} allocations and {bytes:.0} bytes an event"));
    }
    let mut contestants: Vec<Contestant<'_>> =
        sets.iter().map(|set| Contestant::new(set.name, || Ok(decoding(&set.decoder, &set.pulls)))).collect();
    let measures = interleaved(scale.micro_rounds, &mut contestants)?;
    Ok(lines(sets.iter().map(|set| set.name), measures, facts))
}

fn lines<'a>(
    names: impl IntoIterator<Item = &'a str>,
    measures: Vec<Vec<f64>>,
    facts: Vec<String>,
) -> Vec<Line> {
    let told = names.into_iter().zip(measures.into_iter().zip(facts));
    told.map(|(name, (measures, fact))| Line::new(name, Unit::NanosPerEvent, measures).note(fact)).collect()
}

/// The recording of the split, as it was delivered.
fn capture() -> Result<Vec<Delivery>> {
    let delivery = |message: reconverge_capture::Message| Delivery {
        sequence: message.sequence,
        subject: message.subject.into(),
        headers: message.headers.unwrap_or_default().into_iter().collect(),
        payload: message.data.into_bytes().into(),
        published_at: 1_800_000_000_000_000,
    };
    Ok(split_brain::messages()?.into_iter().map(delivery).collect())
}

fn decoding(decoder: &Decoder, pulls: &[Pulled]) -> f64 {
    let copies: Vec<Pulled> = pulls.iter().map(desk::copy).collect();
    let count = pulls.iter().map(|pulled| pulled.deliveries.len()).sum();
    let mut batches = Vec::with_capacity(copies.len());
    let start = Instant::now();
    for pulled in copies {
        batches.push(black_box(decoder.decode(pulled)));
    }
    // What was decoded is dropped after the clock has stopped.
    desk::nanos_each(start.elapsed(), count)
}

/// How many events decode, and their allocations. Nearly all must be changes, or something else is measured.
fn taken(decoder: &Decoder, pulls: &[Pulled]) -> Result<(usize, u64)> {
    let copies: Vec<Pulled> = pulls.iter().map(desk::copy).collect();
    let (batches, allocations) =
        counted(|| copies.into_iter().map(|pulled| decoder.decode(pulled)).collect::<Vec<Batch>>());
    let items = batches.iter().flat_map(|batch| &batch.items);
    let changes = items.filter(|item| matches!(item.kind, ItemKind::Change(..))).count();
    let count = pulls.iter().map(|pulled| pulled.deliveries.len()).sum::<usize>();
    ensure!(changes * 100 >= count * 99, "only {changes} of {count} messages are changes");
    Ok((count, allocations))
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn each(sum: u64, count: usize) -> f64 {
    sum as f64 / count.max(1) as f64
}

/// One line for the plugins before the transaction, and one for resolve under each rule.
fn deciding(scale: &Scale, shapes: &[Arc<TableShape>], pulls: &[Pulled]) -> Result<Vec<Line>> {
    let [mut chained, mut none, mut merge] = cases(shapes, pulls)?;
    let mut facts = Vec::new();
    for (case, decides) in [(&mut chained, false), (&mut none, true), (&mut merge, true)] {
        let (_, allocations) = counted(|| case.run(decides));
        facts.push(format!("{:.2} allocations an event", each(allocations, case.count)));
    }
    let names = [&chained, &none, &merge].map(|case| case.name);
    let mut contestants = [
        Contestant::new(names[0], || Ok(chained.run(false))),
        Contestant::new(names[1], || Ok(none.run(true))),
        Contestant::new(names[2], || Ok(merge.run(true))),
    ];
    let measures = interleaved(scale.micro_rounds, &mut contestants)?;
    drop(contestants);
    Ok(lines(names, measures, facts))
}

/// The plugins before the transaction, and resolve under each rule.
fn cases(shapes: &[Arc<TableShape>], pulls: &[Pulled]) -> Result<[Case; 3]> {
    Ok([
        Case::new("3 plugins before the transaction", shapes, pulls, Variant::None)?,
        Case::new("resolve, policy none", shapes, pulls, Variant::None)?,
        Case::new("resolve, versions and merge plugin", shapes, pulls, Variant::Merge)?,
    ])
}

/// Batches on their way through the pure core, each key met by what stands.
struct Case {
    name: &'static str,
    plan: Arc<Plan>,
    chain: PluginChain,
    batches: Vec<(Batch, Prepared)>,
    count: usize,
}

impl Case {
    fn new(
        name: &'static str,
        shapes: &[Arc<TableShape>],
        pulls: &[Pulled],
        variant: Variant,
    ) -> Result<Case> {
        let tables: Vec<TableId> = (0..).map(TableId).take(shapes.len()).collect();
        let spec = |plugin: pipeline::Bound| PluginSpec {
            name: plugin.name.to_owned(),
            path: desk::wasm(plugin.name),
            stage: match plugin.stage {
                "residency" => Stage::Residency,
                "filter" => Stage::Filter,
                "mapping" => Stage::Mapping,
                _ => Stage::Merge,
            },
            tables: tables.clone(),
            config: plugin.config,
        };
        let specs: Vec<PluginSpec> = pipeline::plugins(variant).into_iter().map(spec).collect();
        let set: PluginSet = desk::plugins(shapes, &specs)?;
        Case::of(name, shapes, pulls, &set, |columns| match variant {
            Variant::None => Rule::None,
            Variant::Versions => {
                let newest = columns.iter().position(|column| column.name == "modification_epoch");
                Rule::Greatest(newest.into_iter().collect())
            }
            Variant::Merge => {
                let place = |name: &str| columns.iter().position(|column| column.name == name);
                let order = ["modification_epoch", "region_source"];
                Rule::Plugin(order.into_iter().filter_map(place).collect())
            }
        })
    }

    /// The same under any rule.
    fn of(
        name: &'static str,
        shapes: &[Arc<TableShape>],
        pulls: &[Pulled],
        set: &PluginSet,
        rule: impl Fn(&[ColumnShape]) -> Rule,
    ) -> Result<Case> {
        let plan = Arc::new(desk::plan(shapes, set, rule));
        let mut chain = set.chain(&plan).map_err(|error| anyhow::anyhow!("{error}"))?;
        let decoder = Decoder::new(Arc::clone(&plan), Options::default());
        let mut batches = Vec::new();
        for pulled in pulls {
            let mut batch = decoder.decode(desk::copy(pulled));
            let prepared = chain.prepare(&mut batch, &plan);
            batches.push((batch, prepared));
        }
        let count = pulls.iter().map(|pulled| pulled.deliveries.len()).sum();
        Ok(Case { name, plan, chain, batches, count })
    }

    /// Either the plugins before the transaction, or everything from the keys to the writes.
    fn run(&mut self, decides: bool) -> f64 {
        let mut took = std::time::Duration::ZERO;
        for (batch, prepared) in &mut self.batches {
            if !decides {
                let start = Instant::now();
                black_box(self.chain.prepare(batch, &self.plan));
                took += start.elapsed();
                continue;
            }
            let start = Instant::now();
            let (keyed, wanted) = keys::keyed(batch, &self.plan, 0, &[]);
            took += start.elapsed();
            let (standing, left_out) = (standing(batch, &wanted, &self.plan), LeftOut::default());
            let start = Instant::now();
            let decided = resolve::decide(
                batch,
                prepared,
                &keyed,
                &standing,
                &left_out,
                &mut self.chain,
                &self.plan,
                1,
            );
            let resolved = black_box(decided.close());
            took += start.elapsed();
            drop(resolved);
        }
        desk::nanos_each(took, self.count)
    }
}

/// What a sink would answer: for each key that it is asked for an older edit of the row, of the same region. So
/// every change meets a row, the plugin is asked about each, and none is a conflict.
fn standing(batch: &Batch, wanted: &Wanted, plan: &Plan) -> Standing {
    let origin = plan.names.intern(SOURCES[0]).expect("few names");
    let tables = wanted.tables.iter().zip(&batch.tables).map(|(wanted, table)| {
        let shape = &plan.table(table.table).shape;
        let epoch = shape.column("modification_epoch");
        let mut rows = Columns::new(shape.logicals());
        let mut keys = Vec::with_capacity(wanted.keys.len());
        let places: HashMap<&[u8], usize> =
            (0..table.changes.len()).rev().map(|row| (table.key(row), row)).collect();
        for key in wanted.keys.iter() {
            let place = places.get(key).copied().unwrap_or_default();
            for (column, (to, from)) in (0..).zip(rows.columns.iter_mut().zip(&table.after.columns)) {
                if Some(column) == epoch && from.state(place) == State::Value {
                    to.push_int(from.int(place) - 1);
                } else {
                    to.push_from(from, place);
                }
            }
            rows.end_row();
            let seen = Seen {
                source: origin,
                position: Position { epoch: 0, commit: 1, ordinal: 0 },
                deleted: false,
                live_at: 1,
            };
            keys.push(StandingKey {
                row: u32::try_from(keys.len()).ok(),
                version: Some(Version {
                    standing: StandingKind::Row,
                    origin,
                    committed_at: 1,
                    seen: [seen].into_iter().collect(),
                    clock: None,
                }),
                ..StandingKey::default()
            });
        }
        StandingTable { rows, keys, ..StandingTable::default() }
    });
    Standing { tables: tables.collect(), ..Standing::default() }
}

#[cfg(test)]
mod gate;
#[cfg(test)]
mod instructions;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capture_is_there_and_in_order() {
        let deliveries = capture().unwrap();
        assert_eq!(deliveries.len(), 4167);
        assert!(deliveries.is_sorted_by_key(|delivery| delivery.sequence));
    }
}
