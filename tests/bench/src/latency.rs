//! Question 7: how long from the moment at which a change was to be published until it is committed, at fixed rates?
//!
//! The times of publication are laid down beforehand and nothing waits for an answer, so a stall costs every change
//! behind it and not one (no coordinated omission). A change counts as committed when a reader of the database sees a
//! checkpoint that has passed it; it looks every millisecond or two, so that much is in the figures.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_nats::{HeaderMap, jetstream::context::PublishAckFuture};
use bytes::Bytes;
use hdrhistogram::Histogram;
use reconverge_capture::Database;
use rusqlite::{Connection, OpenFlags};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use crate::{
    answer::{Answer, Bar, Line, Unit},
    pipeline::{self, Variant},
    place::{Kind, Place},
    scale::Scale,
    site::Site,
    workload::{Event, Workload},
};

/// Changes a second; the second has the bar.
const RATES: [u64; 3] = [1_000, 5_000, 20_000];
const BAR_RATE: u64 = 5_000;
const BAR_MS: f64 = 25.0;
/// How often the checkpoint is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// How long the pipeline may take to come up, and to finish.
const PATIENCE: Duration = Duration::from_secs(60);
/// The share of the run at its beginning that is not counted: the first transactions fill caches.
const WARM: u64 = 10;

/// Answers the question.
///
/// # Errors
/// There is no server, or the pipeline does not commit what was published.
pub(crate) fn ask(runtime: &Runtime, scale: &Scale, kind: &Kind) -> Result<Answer> {
    let mut lines = Vec::new();
    for rate in RATES {
        let mut by_round = [Vec::new(), Vec::new(), Vec::new()];
        for round in 1..=scale.macro_rounds {
            let told = runtime.block_on(measured(kind, rate, scale.latency_seconds))?;
            for (all, micros) in by_round.iter_mut().zip(told) {
                all.push(Duration::from_micros(micros).as_secs_f64() * 1e3);
            }
            eprintln!(
                "   round {round}/{}  {}, {rate}/s: p99 {} ms",
                scale.macro_rounds,
                kind.name(),
                told[1] / 1000
            );
        }
        let names = ["median", "p99", "p99.9"];
        for (name, measures) in names.into_iter().zip(by_round) {
            let line = Line::new(format!("{rate} a second, {name}"), Unit::Millis, measures);
            let has_bar = rate == BAR_RATE && name == "p99";
            lines.push(if has_bar { line.bar(Bar::Below(BAR_MS)) } else { line });
        }
    }
    let asks = format!(
        "latency: published to committed, 3 plugins with versions and merge, durable commits into {}, {} s at each rate",
        kind.name(),
        scale.latency_seconds
    );
    Ok(Answer { question: "latency", asks, lines })
}

/// Median, p99 and p99.9 in microseconds.
async fn measured(kind: &Kind, rate: u64, seconds: u64) -> Result<[u64; 3]> {
    let workload = Workload { rows: rate * seconds, keys: rate * seconds / 4, ..Workload::default() };
    let events = workload.events();
    let (first, rest) = events.split_first().context("a workload has changes")?;
    let site = Site::of(kind, workload.clone(), std::slice::from_ref(first), Variant::Merge).await?;
    let (place, pipeline) = site.place("latency").await?;
    let running = pipeline::start(&place.folder(), &pipeline)?;
    let eye = Eye::open(&place).await?;
    eye.until(1).await?;
    let begin = Instant::now() + LOOK;
    let step = Duration::from_secs(1).div_f64(u32::try_from(rate).map_or(1.0, f64::from));
    let watching = eye.watch(workload.rows, begin, step);
    let (seen, ()) = tokio::try_join!(watching, publish(&site, rest, begin, step))?;
    drop(running);
    Ok([0.5, 0.99, 0.999].map(|quantile| seen.value_at_quantile(quantile)))
}

/// Sends every change at its time, those whose time has passed at once; their answers are read beside, since the client
/// sends nothing more while 5,000 of them are open.
async fn publish(site: &Site<'_>, events: &[Event], begin: Instant, step: Duration) -> Result<()> {
    let (open, mut sent) = tokio::sync::mpsc::unbounded_channel::<PublishAckFuture>();
    let answers = tokio::spawn(async move {
        while let Some(sent) = sent.recv().await {
            sent.await?;
        }
        anyhow::Ok(())
    });
    for (place, event) in (0_u32..).zip(events) {
        let at = begin + step * place;
        if at > Instant::now() {
            tokio::time::sleep_until(at.into()).await;
        }
        let mut headers = HeaderMap::new();
        headers.insert("Reconverge-Version", "1");
        let payload = Bytes::from(event.json());
        // Where the other side has ended, its error is told below.
        let _ =
            open.send(site.broker.jetstream.publish_with_headers(event.subject(), headers, payload).await?);
    }
    drop(open);
    answers.await.context("publishing")?.context("publishing")
}

/// A reader of the sink's checkpoint.
enum Eye {
    Sqlite(Connection),
    Postgres(Client),
}

impl Eye {
    async fn open(place: &Place<'_>) -> Result<Eye> {
        match place.database() {
            Database::Sqlite(file) => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let opened = Connection::open_with_flags(file, flags);
                Ok(Eye::Sqlite(opened.context("opening the sink to read")?))
            }
            Database::Postgres(url) => {
                let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
                // It ends with the client.
                drop(tokio::spawn(connection));
                Ok(Eye::Postgres(client))
            }
        }
    }

    /// How far the lane is; 0 while there is no checkpoint.
    async fn sequence(&self) -> u64 {
        let told = match self {
            Eye::Sqlite(file) => {
                let ask = file.prepare_cached("SELECT max(sequence) FROM reconverge_checkpoint");
                ask.and_then(|mut ask| ask.query_row([], |row| row.get::<_, Option<i64>>(0))).ok()
            }
            Eye::Postgres(client) => {
                let ask = client.query_one("SELECT max(sequence) FROM reconverge.checkpoint", &[]).await;
                ask.ok().map(|row| row.get(0))
            }
        };
        told.flatten().unwrap_or_default().unsigned_abs()
    }

    async fn until(&self, sequence: u64) -> Result<()> {
        let start = Instant::now();
        while self.sequence().await < sequence {
            ensure!(start.elapsed() < PATIENCE, "the pipeline does not come up");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Sees one change after another committed, up to sequence `last`; change `n` was to be published `n - 2` steps
    /// after `begin`, the first one before.
    async fn watch(&self, last: u64, begin: Instant, step: Duration) -> Result<Histogram<u64>> {
        let mut seen = Histogram::new(3).context("a histogram of three digits")?;
        let mut through = 1;
        while through < last {
            let sequence = self.sequence().await;
            let now = Instant::now();
            for change in through + 1..=sequence.max(through) {
                let at = begin + step * u32::try_from(change - 2).unwrap_or(u32::MAX);
                let micros = u64::try_from(now.saturating_duration_since(at).as_micros()).unwrap_or(u64::MAX);
                if change > last / WARM {
                    seen.record(micros.max(1)).context("a latency that fits")?;
                }
            }
            through = sequence.max(through);
            ensure!(begin.elapsed() < PATIENCE, "only {through} of {last} changes are committed");
            tokio::time::sleep(LOOK).await;
        }
        Ok(seen)
    }
}
