//! Question 3: reading alone. Our reader, which vouches for order and completeness, beside the loop that the client
//! library offers, which does not.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::{consumer, stream::Stream};
use bytes::Bytes;
use futures_util::StreamExt;
use reconverge_streams::{
    jetstream::{ConnectOptions, FilterPattern, JetStreamSource},
    source::{Limits, Reader, Source},
};
use tokio::runtime::Runtime;

use crate::{
    answer::{Answer, Bar, Line, Unit},
    desk::BATCH,
    scale::Scale,
    stream::Broker,
    trial::{Contestant, interleaved},
};

const STREAM: &str = "READ";
const SUBJECT: &str = "read.0.it";
const PAYLOAD_BYTES: usize = 256;

/// Answers the question.
///
/// # Errors
/// There is no server, or a message is missing.
pub(crate) fn ask(runtime: &Runtime, scale: &Scale) -> Result<Answer> {
    let count = scale.read_messages;
    let broker = runtime.block_on(Broker::start())?;
    let payload = Bytes::from(vec![b'x'; PAYLOAD_BYTES]);
    let messages = (0..count).map(|_| (SUBJECT.to_owned(), payload.clone()));
    runtime.block_on(broker.fill(STREAM, &["read.>"], messages))?;
    let url = broker.server.url();
    let mut contestants = [
        Contestant::new("our reader", || runtime.block_on(ours(&url, count))),
        Contestant::new("bare batch()", || runtime.block_on(bare(&url, count))),
    ];
    let measures = interleaved(scale.macro_rounds.max(3), &mut contestants)?;
    let [ours, bare] = measures.try_into().unwrap_or_default();
    let asks =
        format!("reading: {count} messages of {PAYLOAD_BYTES} bytes with one header, batches of {BATCH}");
    let lines = vec![
        Line::new("our reader", Unit::EventsPerSecond, ours)
            .against("bare batch() loop", &bare)
            .bar(Bar::RatioAtLeast(0.8)),
        Line::new("bare batch() loop of async-nats", Unit::EventsPerSecond, bare),
    ];
    Ok(Answer { question: "read", asks, lines })
}

async fn ours(url: &str, count: u64) -> Result<f64> {
    let start = Instant::now();
    let filters = FilterPattern::parse("read.{partition}.>")?;
    let source = JetStreamSource::connect(&ConnectOptions::at(url), STREAM, filters).await?;
    let mut reader = source.open(0, 0).await?;
    let limits = Limits {
        rows: BATCH,
        bytes: 8 << 20,
        patience: Duration::from_millis(100),
        linger: Duration::from_millis(100),
    };
    let mut read = 0;
    while read < count {
        let pulled = reader.next(&limits).await?;
        ensure!(!pulled.deliveries.is_empty(), "nothing more came after {read} messages");
        read += pulled.deliveries.len() as u64;
    }
    Ok(rate(count, start.elapsed()))
}

async fn bare(url: &str, count: u64) -> Result<f64> {
    let start = Instant::now();
    let client = async_nats::connect(url).await?;
    let stream: Stream = async_nats::jetstream::new(client).get_stream(STREAM).await?;
    let config = consumer::pull::Config {
        ack_policy: consumer::AckPolicy::None,
        memory_storage: true,
        num_replicas: 1,
        ..consumer::pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let mut read = 0;
    while read < count {
        let mut batch = consumer.batch().max_messages(BATCH).messages().await?;
        let before = read;
        while let Some(message) = batch.next().await {
            message.map_err(|error| anyhow::anyhow!("{error}")).context("reading")?;
            read += 1;
        }
        ensure!(read > before, "nothing more came after {read} messages");
    }
    Ok(rate(count, start.elapsed()))
}

/// Events in a second.
pub(crate) fn rate(count: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of events stays far below 2^53")]
    let count = count as f64;
    count / took.as_secs_f64().max(1e-9)
}
