//! Questions 4 and 5: from the stream through three plugins into a durable database, beside what a plain client's
//! upserts of the same rows reach on one connection. Every run gets an empty database, and every run's rows are
//! checked: a run that ends with other rows has no rate.

use std::{cell::Cell, path::PathBuf};

use anyhow::{Result, ensure};
use reconverge_capture::Database;
use reconverge_servers::{Postgres, scratch};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    answer::{Answer, Bar, Line, Unit},
    desk,
    pipeline::{self, Ran, Variant, Wiring},
    plain,
    read::rate,
    scale::Scale,
    stream::Broker,
    trial::{Contestant, interleaved, median},
    workload::{End, Event, Workload},
};

/// Share of conflicts in the last contestant's stream.
const CONFLICTS: f64 = 0.1;
pub(crate) const SUBJECTS: &str = "cdc.>";

/// A kind of sink, and what it takes.
pub(crate) enum Kind {
    /// A file.
    Sqlite,
    /// A private server with durable commits.
    Postgres(Box<Postgres>),
}

impl Kind {
    /// Of the share of a plain client's upserts: single-writer tables, versions and merge.
    fn bars(&self) -> (f64, Option<f64>) {
        match self {
            Kind::Sqlite => (0.7, None),
            Kind::Postgres(_) => (0.7, Some(0.45)),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Kind::Sqlite => "sqlite",
            Kind::Postgres(_) => "postgres",
        }
    }

    /// An empty table in a database of its own.
    pub(crate) fn fresh(&self, runtime: &Runtime, number: usize) -> Result<Place<'_>> {
        let folder = scratch("bench-sink")?;
        let ddl = desk::workload_ddl(1);
        let database = match self {
            Kind::Sqlite => Database::Sqlite(folder.path().join("sink.db")),
            Kind::Postgres(server) => Database::Postgres(server.create_database(&database_name(number))?),
        };
        runtime.block_on(database.execute(&ddl))?;
        if let Kind::Postgres(server) = self {
            server.execute("postgres", "CHECKPOINT")?;
        }
        Ok(Place { kind: self, number, database, folder })
    }
}

fn database_name(number: usize) -> String {
    format!("bench_{number}")
}

/// One run's database. Gone when it is dropped.
pub(crate) struct Place<'a> {
    kind: &'a Kind,
    number: usize,
    database: Database,
    folder: TempDir,
}

impl Place<'_> {
    /// What it holds.
    pub(crate) async fn end(&self) -> Result<End> {
        match &self.database {
            Database::Sqlite(file) => plain::sqlite_end(file),
            Database::Postgres(url) => plain::postgres_end(url).await,
        }
    }

    async fn plain(&self, rows: &plain::Rows) -> Result<std::time::Duration> {
        match &self.database {
            Database::Sqlite(file) => plain::sqlite(file, rows),
            Database::Postgres(url) => plain::postgres(url, rows).await,
        }
    }

    fn file(&self, name: &str, variant: Variant, nats: &str, stream: &str) -> String {
        let sink = &self.database.url();
        pipeline::file(&Wiring { name, variant, nats, stream, sink, tables: 1, partitions: 1 })
    }

    /// More tables.
    pub(crate) async fn execute(&self, sql: &str) -> Result<()> {
        self.database.execute(sql).await
    }

    /// Where the database is.
    pub(crate) fn url(&self) -> String {
        self.database.url()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Kind::Postgres(server) = self.kind {
            let drop = format!("DROP DATABASE \"{}\" WITH (FORCE)", database_name(self.number));
            if let Err(error) = server.execute("postgres", &drop) {
                eprintln!("   a database is left until the server is: {error}");
            }
        }
    }
}

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
    let notes = [const { Cell::new(None) }; 3];
    let mut contestants = [
        Contestant::new("plain client", || bench.plain(&rows, calm)),
        Contestant::new("3 plugins, policy none", || bench.pipeline(calm, Variant::None, &notes[0])),
        Contestant::new("3 plugins, versions and merge", || bench.pipeline(calm, Variant::Merge, &notes[1])),
        Contestant::new("the same, 10 % conflicts", || bench.pipeline(split, Variant::Merge, &notes[2])),
    ];
    let measures = interleaved(scale.macro_rounds, &mut contestants)?;
    drop(contestants);
    let [plain, none, merge, conflicts] = measures.try_into().unwrap_or_default();
    let [none_note, merge_note, conflicts_note] = notes.map(|note| note.take().unwrap_or_default());
    let (none_bar, merge_bar) = kind.bars();
    let line = |what: &str, measures: Vec<f64>, note: String| {
        Line::new(what, Unit::EventsPerSecond, measures).against("plain client", &plain).note(note)
    };
    let merge = line("3 plugins, versions and merge", merge, merge_note);
    let lines = vec![
        line("3 plugins, policy none", none, none_note).bar(Bar::RatioAtLeast(none_bar)),
        match merge_bar {
            Some(bar) => merge.bar(Bar::RatioAtLeast(bar)),
            None => merge,
        },
        line("the same, 10 % of the changes conflict", conflicts, conflicts_note),
        Line::new("plain client, 1,000 a transaction", Unit::EventsPerSecond, plain.clone())
            .note(format!("median {:.2} s", seconds(scale.sink_rows, &plain))),
    ];
    let asks = format!(
        "{}: JetStream -> 3 plugins -> durable sink; {} changes of {} keys, 357 bytes on average, start of the process included",
        kind.name(),
        scale.sink_rows,
        scale.sink_keys
    );
    Ok(Answer { question: kind.name(), asks, lines })
}

fn seconds(rows: u64, rates: &[f64]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of rows stays far below 2^53")]
    let rows = rows as f64;
    rows / median(rates).max(1.0)
}

/// What all contestants of a question share.
pub(crate) struct Bench<'a> {
    pub(crate) runtime: &'a Runtime,
    kind: &'a Kind,
    number: Cell<usize>,
}

impl<'a> Bench<'a> {
    pub(crate) fn of(runtime: &'a Runtime, kind: &'a Kind) -> Bench<'a> {
        Bench { runtime, kind, number: Cell::new(0) }
    }

    pub(crate) fn fresh(&self) -> Result<Place<'_>> {
        self.number.set(self.number.get() + 1);
        self.kind.fresh(self.runtime, self.number.get())
    }

    pub(crate) fn plain(&self, rows: &plain::Rows, stream: &Stream<'_>) -> Result<f64> {
        let place = self.fresh()?;
        let took = self.runtime.block_on(place.plain(rows))?;
        self.check(&place, End::of(stream.events, false))?;
        Ok(rate(stream.events.len() as u64, took))
    }

    pub(crate) fn pipeline(
        &self,
        stream: &Stream<'_>,
        variant: Variant,
        note: &Cell<Option<String>>,
    ) -> Result<f64> {
        let place = self.fresh()?;
        let name = format!("bench-{}", place.number);
        let file = place.file(&name, variant, &stream.nats, stream.name);
        let count = stream.events.len() as u64;
        let Ran { took, cpu, memory_mb } =
            self.runtime.block_on(pipeline::run(&place.folder(), &file, count))?;
        self.check(&place, End::of(stream.events, variant == Variant::Merge))?;
        let (took_s, cpu_s) = (took.as_secs_f64(), cpu.as_secs_f64());
        note.set(Some(format!(
            "last run {took_s:.2} s, CPU of the process {cpu_s:.2} s, peak {memory_mb:.0} MB"
        )));
        Ok(rate(count, took))
    }

    /// Compiles the plugins into the cache, which every later start finds as a user's second start does.
    pub(crate) fn warm(&self, stream: &Stream<'_>) -> Result<()> {
        for variant in [Variant::None, Variant::Merge] {
            let place = self.fresh()?;
            let name = format!("bench-{}", place.number);
            let file = place.file(&name, variant, &stream.nats, stream.name);
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
