//! Question 8: what the program costs beside its work: its start with compiled plugins, a second with nothing to do,
//! and memory over a run four times as long.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::runtime::Runtime;

use crate::{
    answer::{Answer, Bar, Line, Unit},
    pipeline::{self, Ran, Variant},
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
pub(crate) fn ask(runtime: &Runtime, scale: &Scale, postgres: &Kind) -> Result<Answer> {
    let short = Workload { rows: scale.range_rows, keys: scale.range_rows / 4, ..Workload::default() };
    let long = Workload { rows: scale.range_rows * 4, ..short.clone() };
    let one = Workload { rows: 1, keys: 1, ..Workload::default() };
    let site = |kind, workload: &Workload| {
        runtime.block_on(Site::of(kind, workload.clone(), &workload.events(), Variant::Merge))
    };
    let (server, one) = (site(postgres, &one)?, site(&Kind::Sqlite, &one)?);
    let (short, long) = (site(&Kind::Sqlite, &short)?, site(&Kind::Sqlite, &long)?);
    // The plugins are compiled, and kept, before the first measure.
    runtime.block_on(one.run("warm"))?;
    let mut told = [const { Vec::new() }; 7];
    let ms = |ran: Ran| ran.took.as_secs_f64() * 1e3;
    for _ in 0..scale.macro_rounds {
        told[0].push(ms(runtime.block_on(one.run("start"))?));
        told[1].push(ms(runtime.block_on(one.run_first("first"))?));
        told[2].push(ms(runtime.block_on(server.run("start"))?));
        told[3].push(ms(runtime.block_on(server.run_first("first"))?));
        told[4].push(runtime.block_on(rest(&one, scale))?);
        told[5].push(runtime.block_on(short.run("short"))?.memory_mb);
        told[6].push(runtime.block_on(long.run("long"))?.memory_mb);
    }
    let [start, first, server_start, server_first, rest, short, long] = told;
    let lines = vec![
        Line::new("SQLite: start, one change, end", Unit::Millis, start).bar(Bar::Below(START_MS)),
        Line::new("SQLite: the first start, which makes its tables", Unit::Millis, first),
        Line::new("PostgreSQL: start, one change, end", Unit::Millis, server_start).bar(Bar::Below(START_MS)),
        Line::new("PostgreSQL: the first start", Unit::Millis, server_first),
        Line::new("nothing to do", Unit::PercentOfACore, rest).bar(Bar::Below(IDLE_PERCENT)),
        Line::new("peak memory", Unit::Megabytes, short.clone()).bar(Bar::Below(MEMORY_MB)),
        Line::new("peak memory of four times as many changes of the same keys", Unit::Megabytes, long)
            .against("peak memory", &short)
            .bar(Bar::Below(MEMORY_MB)),
    ];
    let asks =
        "life: the program beside its work, with three plugins, compiled before; rest and memory with SQLite"
            .to_owned();
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
