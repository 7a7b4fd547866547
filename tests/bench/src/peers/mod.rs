//! Question 10: beside what a user would pick instead. A peer gets the same stream, the same rules and an empty table of
//! the same kind, in turns with ours; then both are broken in the same four ways. `tests/bench/peers` holds the peer's
//! configuration and says why it is as it is.

mod faucet;
mod probes;
mod told;

use std::cell::Cell;

use anyhow::{Result, ensure};
use tokio::runtime::Runtime;

pub(crate) use self::{faucet::Faucet, probes::ask as broken, told::Outcome, told::table};
use crate::{
    answer::{Answer, Bar, Line, Unit},
    pipeline::Variant,
    place::{Kind, Place},
    plain,
    read::rate,
    scale::Scale,
    sinks::{Bench, SUBJECTS, Stream},
    stream::Broker,
    trial::{Contestant, interleaved},
    workload::{End, Workload},
};

/// A run of the peer that stops early is made again, so often.
const TRIES: usize = 4;
const STREAM: &str = "CALM";

/// Answers the question for a kind of sink.
///
/// # Errors
/// There is no server, a run fails, or it ends with other rows than the workload says.
pub(crate) fn ask(runtime: &Runtime, scale: &Scale, kind: &Kind, faucet: &Faucet) -> Result<Answer> {
    let workload = Workload { rows: scale.sink_rows, keys: scale.sink_keys, ..Workload::default() };
    let events = workload.events();
    let broker = runtime.block_on(Broker::start())?;
    runtime.block_on(broker.fill_with(STREAM, &[SUBJECTS], &events))?;
    let stream = Stream { name: STREAM, events: &events, nats: broker.server.url() };
    let bench = Bench::of(runtime, kind);
    bench.warm(&stream)?;
    let rows = plain::Rows::of(&events);
    let notes = [const { Cell::new(None) }; 3];
    let early = Cell::new((0, 0));
    let peer = || peer_run(&bench, &broker, &stream, faucet, &early);
    let mut contestants = [
        Contestant::new("ours, policy none", || bench.pipeline(&stream, Variant::None, &notes[0])),
        Contestant::new("faucet-stream", peer),
        Contestant::new("ours, versions and merge", || bench.pipeline(&stream, Variant::Merge, &notes[1])),
        Contestant::new("plain client", || bench.plain(&rows, &stream, &notes[2])),
    ];
    let measures = interleaved(scale.macro_rounds, &mut contestants)?;
    drop(contestants);
    let [none, peer, merge, plain] = measures.try_into().unwrap_or_default();
    let [none_note, merge_note, plain_note] = notes.map(|note| note.take().unwrap_or_default());
    let (none_bar, merge_bar) = bars(kind);
    let line = |what: &str, measures: &[f64]| Line::new(what, Unit::EventsPerSecond, measures.to_vec());
    let (runs, stopped) = early.get();
    let lines = vec![
        line("ours, policy none", &none)
            .against(faucet.name(), &peer)
            .bar(Bar::RatioAtLeast(none_bar))
            .note(none_note),
        line("ours, versions and merge", &merge)
            .against(faucet.name(), &peer)
            .bar(Bar::RatioAtLeast(merge_bar))
            .note(merge_note),
        line(faucet.name(), &peer)
            .against("plain client", &plain)
            .note(format!("{stopped} of its {runs} runs stopped early with exit 0, and have no rate")),
        line("plain client, 1,000 a transaction", &plain).note(plain_note),
    ];
    let asks = format!(
        "{}: the same stream and the same three rules; {} changes of {} keys, start of the process to its end",
        kind.name(),
        scale.sink_rows,
        scale.sink_keys
    );
    let question = if kind.name() == "sqlite" { "peers-sqlite" } else { "peers-postgres" };
    Ok(Answer { question, asks, lines })
}

/// Of the rate of faucet-stream: single-writer tables, versions and merge.
fn bars(kind: &Kind) -> (f64, f64) {
    match kind {
        Kind::Sqlite => (1.6, 1.0),
        Kind::Postgres(_) => (2.5, 2.0),
    }
}

fn peer_run(
    bench: &Bench<'_>,
    broker: &Broker,
    stream: &Stream<'_>,
    faucet: &Faucet,
    early: &Cell<(usize, usize)>,
) -> Result<f64> {
    for _ in 0..TRIES {
        let place = bench.fresh()?;
        let count = stream.events.len() as u64;
        let took = bench.runtime.block_on(async {
            faucet::consumer(broker, stream.name).await?;
            let asked =
                faucet::Asked { ends_at: Some(count), idle_s: 5, ..faucet::Asked::at(&place, stream) };
            faucet.run(&asked).await
        })?;
        let (runs, stopped) = early.get();
        if is_whole(bench, broker, &place, stream)? {
            early.set((runs + 1, stopped));
            return Ok(rate(count, took));
        }
        early.set((runs + 1, stopped + 1));
    }
    anyhow::bail!("the peer stopped early {TRIES} times in a row")
}

/// Whether the peer took everything; then its rows must be right.
fn is_whole(bench: &Bench<'_>, broker: &Broker, place: &Place<'_>, stream: &Stream<'_>) -> Result<bool> {
    let open = bench.runtime.block_on(faucet::open(broker, stream.name))?;
    if open.never_delivered > 0 {
        return Ok(false);
    }
    let (end, wanted) = (bench.runtime.block_on(place.end())?, End::of(stream.events, false));
    ensure!(end == wanted, "the peer ended with {end:?} in place of {wanted:?}");
    Ok(true)
}
