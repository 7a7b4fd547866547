//! Question 8: what the program costs beside its work: its start with compiled plugins, a second with nothing to do,
//! and memory over a run four times as long.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::runtime::Runtime;

use crate::{
    answer::{Answer, Bar, Line, Unit},
    pipeline::{self, Variant},
    place::Kind,
    scale::Scale,
    site::Site,
    workload::Workload,
};

/// The bars: ms to start, percent of a core when idle, MB.
const START_MS: f64 = 200.0;
const IDLE_PERCENT: f64 = 1.0;
pub(crate) const MEMORY_MB: f64 = 150.0;
/// How long a pipeline is let alone before its rest is measured.
const SETTLE: Duration = Duration::from_secs(1);

/// Answers the question.
///
/// # Errors
/// There is no server, or a run fails.
pub(crate) fn ask(runtime: &Runtime, scale: &Scale) -> Result<Answer> {
    let short = Workload { rows: scale.range_rows, keys: scale.range_rows / 4, ..Workload::default() };
    let long = Workload { rows: scale.range_rows * 4, ..short.clone() };
    let one = Workload { rows: 1, keys: 1, ..Workload::default() };
    let site = |workload: &Workload| {
        runtime.block_on(Site::of(&Kind::Sqlite, workload.clone(), &workload.events(), Variant::Merge))
    };
    let (one, short, long) = (site(&one)?, site(&short)?, site(&long)?);
    // The plugins are compiled, and kept, before the first measure.
    runtime.block_on(one.run("warm"))?;
    let mut told = [const { Vec::new() }; 4];
    for _ in 0..scale.macro_rounds {
        told[0].push(runtime.block_on(one.run("start"))?.took.as_secs_f64() * 1e3);
        told[1].push(runtime.block_on(rest(&one, scale))?);
        told[2].push(runtime.block_on(short.run("short"))?.memory_mb);
        told[3].push(runtime.block_on(long.run("long"))?.memory_mb);
    }
    let [start, rest, short, long] = told;
    let lines = vec![
        Line::new("start, one change, end", Unit::Millis, start).bar(Bar::Below(START_MS)),
        Line::new("nothing to do", Unit::PercentOfACore, rest).bar(Bar::Below(IDLE_PERCENT)),
        Line::new("peak memory", Unit::Megabytes, short.clone()).bar(Bar::Below(MEMORY_MB)),
        Line::new("peak memory of four times as many changes of the same keys", Unit::Megabytes, long)
            .against("peak memory", &short)
            .bar(Bar::Below(MEMORY_MB)),
    ];
    let asks = "life: the program beside its work, SQLite with three plugins, compiled before".to_owned();
    Ok(Answer { question: "life", asks, lines })
}

/// Percent of a core that a pipeline with nothing to do takes.
async fn rest(site: &Site<'_>, scale: &Scale) -> Result<f64> {
    let (place, pipeline) = site.place("rest").await?;
    let running = pipeline::start(&place.folder(), &pipeline)?;
    tokio::time::sleep(SETTLE).await;
    let (before, resting) = (pipeline::cpu_of(&running), Duration::from_secs(scale.latency_seconds));
    ensure!(!before.is_zero(), "the pipeline does not run");
    tokio::time::sleep(resting).await;
    Ok(pipeline::cpu_of(&running).saturating_sub(before).as_secs_f64() / resting.as_secs_f64() * 100.0)
}
