//! Questions 4 and 5: from the stream through three plugins into a durable database, beside what a plain client's
//! upserts of the same rows reach on one connection. Every run gets an empty database, and every run's rows are
//! checked: a run that ends with other rows has no rate.

use std::{cell::Cell, time::Duration};

use anyhow::{Result, ensure};
use tokio::runtime::Runtime;

use crate::{
    answer::{Answer, Bar, Line, Unit},
    pipeline::{self, Ran, Variant, Wiring},
    place::{Kind, Place},
    plain,
    read::rate,
    scale::Scale,
    stream::Broker,
    trial::{Contestant, interleaved},
    workload::{End, Event, Workload},
};

/// Share of conflicts in the last contestant's stream.
const CONFLICTS: f64 = 0.1;
pub(crate) const SUBJECTS: &str = "cdc.>";
/// Rows of a plain client's transaction, where nothing else is asked for.
const TRANSACTION: usize = 1_000;

/// The changes of a stream, and the end that a rule gives them.
pub(crate) struct Stream<'a> {
    pub(crate) name: &'static str,
    pub(crate) events: &'a [Event],
    pub(crate) nats: String,
}

/// Answers the question for a kind of sink.
///
/// # Errors
/// There is no server, a run fails, or it ends with other rows than the workload says.
pub(crate) fn ask(runtime: &Runtime, scale: &Scale, kind: &Kind) -> Result<Answer> {
    let workload = Workload { rows: scale.sink_rows, keys: scale.sink_keys, ..Workload::default() };
    let calm = workload.events();
    let split = Workload { conflicts: CONFLICTS, ..workload }.events();
    // Two servers, since the subjects of both streams are the same.
    let brokers = [runtime.block_on(Broker::start())?, runtime.block_on(Broker::start())?];
    let mut streams = Vec::new();
    for ((name, events), broker) in [("CALM", &calm), ("SPLIT", &split)].into_iter().zip(&brokers) {
        runtime.block_on(broker.fill_with(name, &[SUBJECTS], events))?;
        streams.push(Stream { name, events, nats: broker.server.url() });
    }
    let [calm, split] = [&streams[0], &streams[1]];
    let bench = Bench::of(runtime, kind);
    bench.warm(calm)?;
    let rows = plain::Rows::of(calm.events);
    let notes = [const { Cell::new(None) }; 5];
    let [plain_note, none_note, versions_note, merge_note, conflicts_note] = &notes;
    let mut contestants = [
        Contestant::new("plain client", || bench.plain(&rows, calm, plain_note)),
        Contestant::new("3 plugins, policy none", || bench.pipeline(calm, Variant::None, none_note)),
        Contestant::new("3 plugins, versions", || bench.pipeline(calm, Variant::Versions, versions_note)),
        Contestant::new("3 plugins, versions and merge", || bench.pipeline(calm, Variant::Merge, merge_note)),
        Contestant::new("the same, 10 % conflicts", || bench.pipeline(split, Variant::Merge, conflicts_note)),
    ];
    let measures = interleaved(scale.macro_rounds, &mut contestants)?;
    drop(contestants);
    let mut notes = notes.map(|note| note.take().unwrap_or_default()).into_iter();
    let [plain, none, versions, merge, conflicts] = measures.try_into().unwrap_or_default();
    let (none_bar, merge_bar) = bars(kind);
    let plain_line = Line::new("plain client, 1,000 a transaction", Unit::EventsPerSecond, plain.clone());
    let plain_line = plain_line.note(notes.next().unwrap_or_default());
    let mut line = |what: &str, measures: Vec<f64>| {
        let line = Line::new(what, Unit::EventsPerSecond, measures).against("plain client", &plain);
        line.note(notes.next().unwrap_or_default())
    };
    let mut lines = vec![
        line("3 plugins, policy none", none).bar(Bar::RatioAtLeast(none_bar)),
        line("3 plugins, versions, no merge plugin", versions),
        line("3 plugins, versions and merge", merge),
        line("the same, 10 % of the changes conflict", conflicts),
        plain_line,
    ];
    if let Some(bar) = merge_bar {
        let merge = lines.remove(2).bar(Bar::RatioAtLeast(bar));
        lines.insert(2, merge);
    }
    let asks = format!(
        "{}: JetStream -> 3 plugins -> durable sink; {} changes of {} keys, 357 bytes on average, start of the process included",
        kind.name(),
        scale.sink_rows,
        scale.sink_keys
    );
    Ok(Answer { question: kind.name(), asks, lines })
}

/// Of the share of a plain client's upserts: single-writer tables, versions and merge.
fn bars(kind: &Kind) -> (f64, Option<f64>) {
    match kind {
        Kind::Sqlite => (0.7, None),
        Kind::Postgres(_) => (0.7, Some(0.45)),
    }
}

/// What all contestants of a question share.
pub(crate) struct Bench<'a> {
    pub(crate) runtime: &'a Runtime,
    kind: &'a Kind,
    /// Rows of a transaction, where both are to have the same.
    batch: Option<usize>,
}

impl<'a> Bench<'a> {
    pub(crate) fn of(runtime: &'a Runtime, kind: &'a Kind) -> Bench<'a> {
        Bench { runtime, kind, batch: None }
    }

    /// With transactions of so many rows.
    pub(crate) fn in_batches_of(self, rows: usize) -> Bench<'a> {
        Bench { batch: Some(rows), ..self }
    }

    pub(crate) fn fresh(&self) -> Result<Place<'_>> {
        self.runtime.block_on(self.kind.fresh(1))
    }

    pub(crate) fn plain(
        &self,
        rows: &plain::Rows,
        stream: &Stream<'_>,
        note: &Cell<Option<String>>,
    ) -> Result<f64> {
        let place = self.fresh()?;
        let before = self.kind.cpu();
        let took = self.runtime.block_on(place.plain(rows, self.batch.unwrap_or(TRANSACTION)))?;
        self.check(&place, End::of(stream.events, false))?;
        note.set(Some(format!("last run {:.2} s{}", took.as_secs_f64(), self.server(before))));
        Ok(rate(stream.events.len() as u64, took))
    }

    pub(crate) fn pipeline(
        &self,
        stream: &Stream<'_>,
        variant: Variant,
        note: &Cell<Option<String>>,
    ) -> Result<f64> {
        let place = self.fresh()?;
        let file = self.file(&place, variant, stream);
        let count = stream.events.len() as u64;
        self.runtime.block_on(pipeline::first_start(&place.folder(), &file))?;
        let before = self.kind.cpu();
        let Ran { took, cpu, memory_mb } =
            self.runtime.block_on(pipeline::run(&place.folder(), &file, count))?;
        self.check(&place, End::of(stream.events, variant != Variant::None))?;
        let (took_s, cpu_s) = (took.as_secs_f64(), cpu.as_secs_f64());
        note.set(Some(format!(
            "last run {took_s:.2} s, CPU of the process {cpu_s:.2} s{}, peak {memory_mb:.0} MB",
            self.server(before)
        )));
        Ok(rate(count, took))
    }

    fn file(&self, place: &Place<'_>, variant: Variant, stream: &Stream<'_>) -> String {
        let (name, sink, batch) = (place.name(), &place.url(), self.batch);
        let (nats, stream) = (&stream.nats, stream.name);
        pipeline::file(&Wiring { name, variant, nats, stream, sink, tables: 1, partitions: 1, batch })
    }

    /// What the server's sessions have used since then, in words.
    fn server(&self, before: Option<Duration>) -> String {
        let used = self.kind.cpu().zip(before).map(|(now, before)| now.saturating_sub(before));
        used.map(|used| format!(", of the server's sessions {:.2} s", used.as_secs_f64())).unwrap_or_default()
    }

    /// Compiles the plugins into the cache, which every later start finds as a user's second start does.
    pub(crate) fn warm(&self, stream: &Stream<'_>) -> Result<()> {
        for variant in [Variant::None, Variant::Versions, Variant::Merge] {
            let place = self.fresh()?;
            let file = self.file(&place, variant, stream);
            self.runtime.block_on(pipeline::check(&place.folder(), &file))?;
        }
        Ok(())
    }

    fn check(&self, place: &Place<'_>, wanted: End) -> Result<()> {
        let end = self.runtime.block_on(place.end())?;
        ensure!(end == wanted, "the run ended with {end:?} in place of {wanted:?}");
        Ok(())
    }
}
