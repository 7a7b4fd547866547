//! A stream to ask questions of: in memory, and on a private nats-server. Its messages are `cdc.us.<partition>.<table>`.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use reconverge_servers::NatsServer;
use reconverge_streams::headers::Headers;
use reconverge_streams::jetstream::{ConnectOptions, FilterPattern, JetStreamSource};
use reconverge_streams::memory::source::MemorySource;
use reconverge_streams::source::{Delivery, Limits, Reader, Source, SourceError};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The pattern of the stream's subjects.
pub const PATTERN: &str = "cdc.us.{partition}.>";

/// One stream and the hands of its operator.
pub trait World: Sized {
    type Source: Source;
    async fn start() -> Self;
    fn source(&self) -> &Self::Source;
    /// Adds messages in order, by partition and payload.
    async fn fill(&self, messages: &[(u32, Bytes)]);
    async fn trim(&self, first: u64);
    async fn remove(&self, sequence: u64);
    /// Deletes the stream and makes it anew, empty.
    async fn recreate(&self);
}

pub fn subject(partition: u32) -> String {
    format!("cdc.us.{partition}.public.shifts")
}

/// `count` small messages for partition 0, each saying its number from 1 on.
pub fn numbered(count: usize) -> Vec<(u32, Bytes)> {
    (1..=count).map(|n| (0, Bytes::from(n.to_string()))).collect()
}

pub fn limits(rows: usize, bytes: usize, linger_ms: u64) -> Limits {
    let linger = Duration::from_millis(linger_ms);
    Limits { rows, bytes, patience: linger, linger }
}

/// Reads until `scanned` is at least `through`; what came.
pub async fn read_through(reader: &mut impl Reader, through: u64) -> Result<Vec<Delivery>, SourceError> {
    let mut all: Vec<Delivery> = Vec::new();
    let reading = async {
        let mut scanned = 0;
        while scanned < through {
            let pulled = reader.next(&limits(1000, 1 << 20, 20)).await?;
            let last = pulled.deliveries.last().map_or(scanned, |delivery| delivery.sequence);
            assert!(pulled.scanned >= last && pulled.scanned >= scanned, "scanned went back");
            scanned = pulled.scanned;
            all.extend(pulled.deliveries);
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the stream is read in time")?;
    assert!(all.is_sorted_by(|one, next| one.sequence < next.sequence), "out of order");
    Ok(all)
}

/// Reads until it fails; what came, and why it failed.
pub async fn read_to_failure(reader: &mut impl Reader) -> (Vec<Delivery>, SourceError) {
    let mut all = Vec::new();
    let reading = async {
        loop {
            match reader.next(&limits(100, 1 << 20, 20)).await {
                Ok(pulled) => all.extend(pulled.deliveries),
                Err(failed) => return failed,
            }
        }
    };
    let failed = tokio::time::timeout(PATIENCE, reading).await.expect("the failure is noticed in time");
    (all, failed)
}

pub fn sequences(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.sequence).collect()
}

/// What failed and the hint.
pub fn setup(error: SourceError) -> (String, String) {
    match error {
        SourceError::Setup { what, hint } => (what, hint),
        other => panic!("not a set-up error: {other:?}"),
    }
}

pub struct Memory(MemorySource);

impl World for Memory {
    type Source = MemorySource;

    async fn start() -> Memory {
        let holds = |partition, found: &str| found.starts_with(&format!("cdc.us.{partition}."));
        Memory(MemorySource::new("CDC", 1_000_000, holds))
    }

    fn source(&self) -> &MemorySource {
        &self.0
    }

    async fn fill(&self, messages: &[(u32, Bytes)]) {
        for (at, (partition, payload)) in messages.iter().enumerate() {
            self.0.push(subject(*partition), Headers::default(), payload.clone(), at as i64);
        }
    }

    async fn trim(&self, first: u64) {
        self.0.trim(first);
    }

    async fn remove(&self, sequence: u64) {
        assert!(self.0.remove(sequence));
    }

    async fn recreate(&self) {
        self.0.recreate(2_000_000);
    }
}

/// A stream `CDC` on its own server.
pub struct JetStream {
    pub server: NatsServer,
    pub context: jetstream::Context,
    source: JetStreamSource,
    config: stream::Config,
}

impl JetStream {
    pub async fn with(retention: stream::RetentionPolicy) -> JetStream {
        let server = NatsServer::temporary().unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        let context = jetstream::new(client);
        let config = stream::Config {
            name: "CDC".to_owned(),
            subjects: vec!["cdc.>".to_owned()],
            retention,
            ..stream::Config::default()
        };
        context.create_stream(config.clone()).await.unwrap();
        let source = connect(&server.url(), "CDC").await.unwrap().named("pipe/main");
        JetStream { server, context, source, config }
    }

    pub async fn stream(&self) -> stream::Stream {
        self.context.get_stream("CDC").await.unwrap()
    }

    /// Names of the consumers that are there.
    pub async fn consumers(&self) -> Vec<String> {
        use futures_util::TryStreamExt;
        self.stream().await.consumer_names().try_collect().await.unwrap()
    }
}

pub async fn connect(url: &str, stream: &str) -> Result<JetStreamSource, SourceError> {
    JetStreamSource::connect(&ConnectOptions::at(url), stream, FilterPattern::parse(PATTERN)?).await
}

impl World for JetStream {
    type Source = JetStreamSource;

    async fn start() -> JetStream {
        JetStream::with(stream::RetentionPolicy::Limits).await
    }

    fn source(&self) -> &JetStreamSource {
        &self.source
    }

    async fn fill(&self, messages: &[(u32, Bytes)]) {
        for some in messages.chunks(1000) {
            let mut acks = Vec::new();
            for (partition, payload) in some {
                acks.push(self.context.publish(subject(*partition), payload.clone()).await.unwrap());
            }
            for ack in acks {
                ack.await.unwrap();
            }
        }
    }

    async fn trim(&self, first: u64) {
        self.stream().await.purge().sequence(first).await.unwrap();
    }

    async fn remove(&self, sequence: u64) {
        assert!(self.stream().await.delete_message(sequence).await.unwrap());
    }

    async fn recreate(&self) {
        self.context.delete_stream("CDC").await.unwrap();
        self.context.create_stream(self.config.clone()).await.unwrap();
    }
}
