//! Question 11: is the last of many changes as cheap as the first? The same few keys changed ever more often, so that
//! nothing grows but the stream. The start of the process is in the figures, and weighs on the shortest run.

use anyhow::Result;
use tokio::runtime::Runtime;

use crate::{
    answer::{Answer, Bar, Line, Unit},
    life::MEMORY_MB,
    pipeline::Variant,
    place::Kind,
    range::FLAT_BAR,
    read::rate,
    scale::Scale,
    site::Site,
    workload::Workload,
};

/// The shortest run; each further one is ten times as long, up to the scale's.
const SHORTEST: u64 = 10_000;
/// Of all runs.
const KEYS: u64 = 5_000;
/// The run that the others are held against: the first one of which the start of the process is a small part.
const BASE: u64 = 100_000;

/// Answers the question for a kind of sink.
///
/// # Errors
/// There is no server, a run fails, or it ends with other rows than its workload says.
pub(crate) fn ask(runtime: &Runtime, scale: &Scale, kind: &Kind) -> Result<Answer> {
    let mut lines = Vec::new();
    let (mut base, mut memories) = (Vec::new(), Vec::new());
    let mut rows = SHORTEST;
    while rows <= scale.length_rows {
        let workload = Workload { rows, keys: KEYS, ..Workload::default() };
        let site = runtime.block_on(Site::of(kind, workload.clone(), &workload.events(), Variant::Merge))?;
        if rows == SHORTEST {
            // The plugins are compiled, and kept, before the first measure.
            runtime.block_on(site.run("warm"))?;
        }
        let (mut rates, mut memory) = (Vec::new(), Vec::new());
        for _ in 0..rounds(rows, scale) {
            let ran = runtime.block_on(site.run("length"))?;
            eprintln!(
                "   {}, {rows} changes: {:.1} s, {:.0} MB",
                kind.name(),
                ran.took.as_secs_f64(),
                ran.memory_mb
            );
            rates.push(rate(rows, ran.took));
            memory.push(ran.memory_mb);
        }
        let line = Line::new(format!("{rows} changes"), Unit::EventsPerSecond, rates.clone());
        if rows == BASE {
            base = rates;
            lines.push(line);
        } else if rows < BASE {
            lines.push(line);
        } else {
            lines.push(line.against("100000", &base).bar(Bar::RatioAtLeast(FLAT_BAR)));
        }
        let line = Line::new(format!("{rows} changes, peak memory"), Unit::Megabytes, memory);
        memories.push(line.bar(Bar::Below(MEMORY_MB)));
        rows *= 10;
    }
    lines.append(&mut memories);
    let asks = format!(
        "length: JetStream -> 3 plugins -> {} with versions and merge, {KEYS} keys, ever more changes",
        kind.name()
    );
    Ok(Answer { question: "length", asks, lines })
}

/// Long runs vary less, and are measured once.
fn rounds(rows: u64, scale: &Scale) -> usize {
    if rows <= 1_000_000 { scale.macro_rounds } else { 1 }
}
