//! Question 10: what do more rows in a transaction buy? The same changes in batches of several sizes, beside a plain client
//! with transactions of the same size.

use std::cell::Cell;

use anyhow::Result;
use tokio::runtime::Runtime;

use crate::{
    answer::{Answer, Line, Unit},
    pipeline::Variant,
    place::Kind,
    plain,
    scale::Scale,
    sinks::{Bench, SUBJECTS, Stream},
    stream::Broker,
    trial::{Contestant, interleaved},
    workload::Workload,
};

/// Rows of a transaction.
const SIZES: [usize; 4] = [250, 1_000, 4_000, 16_000];

/// Who takes part, at each size.
#[derive(Clone, Copy)]
enum Who {
    Plain,
    Ours(Variant),
}

/// Answers the question for a kind of sink.
///
/// # Errors
/// There is no server, a run fails, or it ends with other rows than the workload says.
pub(crate) fn ask(runtime: &Runtime, scale: &Scale, kind: &Kind) -> Result<Answer> {
    let workload = Workload { rows: scale.sink_rows, keys: scale.sink_keys, ..Workload::default() };
    let events = workload.events();
    let broker = runtime.block_on(Broker::start())?;
    runtime.block_on(broker.fill_with("BATCH", &[SUBJECTS], &events))?;
    let stream = Stream { name: "BATCH", events: &events, nats: broker.server.url() };
    let rows = plain::Rows::of(&events);
    let benches = SIZES.map(|size| (size, Bench::of(runtime, kind).in_batches_of(size)));
    benches[0].1.warm(&stream)?;
    let parts = [Who::Plain, Who::Ours(Variant::None), Who::Ours(Variant::Merge)];
    let all: Vec<_> = benches.iter().flat_map(|bench| parts.map(|who| (bench, who))).collect();
    let notes: Vec<Cell<Option<String>>> = all.iter().map(|_| Cell::new(None)).collect();
    let mut contestants: Vec<Contestant<'_>> = all
        .iter()
        .zip(&notes)
        .map(|(((size, bench), who), note)| {
            Contestant::new(name(*size, *who), || match who {
                Who::Plain => bench.plain(&rows, &stream, note),
                Who::Ours(variant) => bench.pipeline(&stream, *variant, note),
            })
        })
        .collect();
    let measures = interleaved(scale.macro_rounds, &mut contestants)?;
    drop(contestants);
    let mut beside = Vec::new();
    let mut lines = Vec::new();
    for (((bench, who), measures), note) in all.iter().zip(measures).zip(&notes) {
        let line = Line::new(name(bench.0, *who), Unit::EventsPerSecond, measures.clone());
        let line = line.note(note.take().unwrap_or_default());
        lines.push(match who {
            Who::Plain => {
                beside = measures;
                line
            }
            Who::Ours(_) => line.against("plain client", &beside),
        });
    }
    let asks = format!(
        "batch: JetStream -> 3 plugins -> {}, {} changes of {} keys, in transactions of several sizes",
        kind.name(),
        scale.sink_rows,
        scale.sink_keys
    );
    Ok(Answer { question: "batch", asks, lines })
}

fn name(size: usize, who: Who) -> String {
    let who = match who {
        Who::Plain => "plain client",
        Who::Ours(Variant::None) => "policy none",
        Who::Ours(_) => "versions and merge",
    };
    format!("{size} rows: {who}")
}
