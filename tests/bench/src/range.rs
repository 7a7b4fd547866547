//! Question 6: does an event cost the same, whatever the changes are like? One base workload, and others that differ
//! from it in one thing: conflicts, hot keys, lanes, tables, payload, length. With versions and merge.

use anyhow::Result;
use tokio::runtime::Runtime;

use crate::{
    answer::{Answer, Bar, Line, Unit},
    pipeline::Variant,
    place::Kind,
    read::rate,
    scale::Scale,
    site::Site,
    trial::{Contestant, interleaved},
    workload::Workload,
};

/// What half of the changes on ten keys may cost.
const HOT_BAR: f64 = 0.5;
/// What is flat: within 20 % of the base.
pub(crate) const FLAT_BAR: f64 = 0.8;

/// Answers the question.
///
/// # Errors
/// There is no server, a run fails, or it ends with other rows than its workload says.
pub(crate) fn ask(runtime: &Runtime, scale: &Scale, kind: &Kind) -> Result<Answer> {
    let base = Workload { rows: scale.range_rows, keys: scale.range_rows / 4, ..Workload::default() };
    let cases = cases(&base);
    let mut sites = Vec::new();
    for (name, bar, workload) in cases {
        let site = runtime.block_on(Site::of(kind, workload.clone(), &workload.events(), Variant::Merge))?;
        // The plugins are compiled, and kept, before the first measure.
        runtime.block_on(site.run("warm"))?;
        sites.push((name, bar, site));
    }
    let mut contestants: Vec<Contestant<'_>> = sites
        .iter()
        .map(|(name, _, site)| {
            Contestant::new(*name, || {
                let ran = runtime.block_on(site.run("range"))?;
                Ok(rate(site.workload.rows, ran.took))
            })
        })
        .collect();
    let measures = interleaved(scale.macro_rounds, &mut contestants)?;
    drop(contestants);
    let first = measures.first().cloned().unwrap_or_default();
    let lines = sites.iter().zip(measures).map(|((name, bar, _), measures)| {
        let line = Line::new(*name, Unit::EventsPerSecond, measures);
        match bar {
            None => line,
            Some(bar) => line.against("base", &first).bar(Bar::RatioAtLeast(*bar)),
        }
    });
    let asks = format!(
        "range: JetStream -> 3 plugins -> {} with versions and merge; the base has {} changes of {} keys in one table \
         and one lane, 357 bytes, no conflicts; each line differs from it in one thing",
        kind.name(),
        base.rows,
        base.keys
    );
    Ok(Answer { question: "range", asks, lines: lines.collect() })
}

fn cases(base: &Workload) -> Vec<(&'static str, Option<f64>, Workload)> {
    let of = |change: fn(&mut Workload)| {
        let mut workload = base.clone();
        change(&mut workload);
        workload
    };
    vec![
        ("base", None, base.clone()),
        ("5 % conflicts", Some(FLAT_BAR), of(|w| w.conflicts = 0.05)),
        ("50 % conflicts", Some(FLAT_BAR), of(|w| w.conflicts = 0.5)),
        ("half of the changes on 10 keys", Some(HOT_BAR), of(|w| w.hot_keys = 10)),
        ("5 % deletes", Some(FLAT_BAR), of(|w| w.deletes = 0.05)),
        ("4 lanes", Some(FLAT_BAR), of(|w| w.partitions = 4)),
        ("8 lanes", Some(FLAT_BAR), of(|w| w.partitions = 8)),
        ("10 tables", Some(FLAT_BAR), of(|w| w.tables = 10)),
        ("100 tables", Some(FLAT_BAR), of(|w| w.tables = 100)),
        ("1,000 tables", Some(FLAT_BAR), of(|w| w.tables = 1_000)),
        ("280 byte payloads", Some(FLAT_BAR), of(|w| w.payload_bytes = 280)),
        ("2 kB payloads", Some(FLAT_BAR), of(|w| w.payload_bytes = 2_000)),
        (
            "100 kB payloads, a fiftieth of the changes",
            None,
            of(|w| {
                (w.payload_bytes, w.rows, w.keys) = (100_000, w.rows / 50, w.keys / 50);
            }),
        ),
        ("four times as many changes", Some(FLAT_BAR), of(|w| (w.rows, w.keys) = (w.rows * 4, w.keys * 4))),
    ]
}
