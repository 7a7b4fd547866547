//! A JetStream stream as a [`Source`]: binds to what is there, opens partitions, and reaches single messages.
//!
//! It never creates or changes a stream; that is [`super::StreamDefinition`]'s, and only where the user asks.

use async_nats::HeaderMap;
use async_nats::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::api::{self, ApiError, NO_MESSAGE_FOUND};
use super::arrival::Stored;
use super::connect::{ConnectOptions, Connection};
use super::consumer::{Consumer, Wanted, sanitized};
use super::reader::JetStreamReader;
use super::stream::{self, Retention, StreamConfig};
use super::subjects::FilterPattern;
use crate::headers::Headers;
use crate::source::{Delivery, Source, SourceError, StreamFacts};

/// One stream, cut into partitions by subject. Cloning shares the connection.
#[derive(Clone, Debug)]
pub struct JetStreamSource {
    connection: Connection,
    stream: String,
    filters: FilterPattern,
    prefix: String,
}

impl JetStreamSource {
    /// Connects and binds to `stream`, which must be there and hold subjects that `filters` can match.
    ///
    /// # Errors
    /// [`SourceError::Setup`] with what to do: wrong credentials, a server before 2.10, JetStream not enabled, no such
    /// stream, a missing permission, filters that the stream cannot match. [`SourceError::Unreachable`] after at
    /// most some seconds where no server answers.
    pub async fn connect(
        options: &ConnectOptions,
        stream: &str,
        filters: FilterPattern,
    ) -> Result<JetStreamSource, SourceError> {
        let connection = Connection::open(options).await?;
        let found = stream::find(&connection, stream).await?;
        found.check_filters(&filters.subjects())?;
        Ok(JetStreamSource {
            connection,
            stream: stream.to_owned(),
            filters,
            prefix: "reconverge".to_owned(),
        })
    }

    /// The same source, whose consumers' names begin with `prefix` (pipeline and lane): for the operator of the server,
    /// and so that a lane finds its own leftovers. Letters that a name may not have become `_`.
    #[must_use]
    pub fn named(&self, prefix: &str) -> JetStreamSource {
        JetStreamSource { prefix: sanitized(prefix), ..self.clone() }
    }

    /// How many messages no lane reads, because the partition in their subject is not below `partitions`. Asks the server to
    /// count, and reads nothing. Of a stream that gives each message away once (work queue, interest) it is not asked, since
    /// the consumer that counts would take part: 0.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub async fn unread(&self, partitions: u32) -> Result<u64, SourceError> {
        let info = stream::find(&self.connection, &self.stream).await?;
        if !self.filters.has_partition() || info.config.retention != Retention::Limits {
            return Ok(0);
        }
        let read = (0..partitions).flat_map(|partition| self.filters.filter(partition)).collect();
        // What is published between the two counts is among those that are read, at most.
        let all = self.count(&info.config, self.filters.subjects()).await?;
        Ok(all.saturating_sub(self.count(&info.config, read).await?))
    }

    async fn count(&self, stream: &StreamConfig, filters: Vec<String>) -> Result<u64, SourceError> {
        let wanted = Wanted { prefix: format!("{}-count", self.prefix), partition: 0, filters, after: 0 };
        Ok(Consumer::create(&self.connection, stream, &wanted).await?.pending)
    }

    /// The stream's name.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.stream
    }
}

impl Source for JetStreamSource {
    type Reader = JetStreamReader;

    async fn inspect(&self) -> Result<StreamFacts, SourceError> {
        Ok(stream::find(&self.connection, &self.stream).await?.facts())
    }

    async fn open(&self, partition: u32, after: u64) -> Result<JetStreamReader, SourceError> {
        // Taken first: a connection that is lost while the consumer is made may have lost the consumer.
        let losses = self.connection.losses();
        let info = stream::find(&self.connection, &self.stream).await?;
        let filters = self.filters.filter(partition);
        info.check_filters(&filters)?;
        info.check_holds(after)?;
        let wanted = Wanted { prefix: self.prefix.clone(), partition, filters, after };
        let consumer = Consumer::create(&self.connection, &info.config, &wanted).await?;
        JetStreamReader::open(&self.connection, &info, consumer, after, losses).await
    }

    async fn fetch(&self, sequence: u64) -> Result<Option<Delivery>, SourceError> {
        let verb = format!("STREAM.MSG.GET.{}", self.stream);
        let doing = || format!("fetching sequence {sequence} of the stream `{}`", self.stream);
        match api::call::<Stored>(&self.connection, &verb, &json!({ "seq": sequence })).await {
            Ok(stored) => stored
                .message
                .delivery()
                .map(Some)
                .map_err(|why| ApiError::Malformed(why).into_source_error(&self.connection, &doing())),
            Err(error) if error.is_refusal(&[NO_MESSAGE_FOUND]) => Ok(None),
            Err(error) => Err(error.into_source_error(&self.connection, &doing())),
        }
    }

    async fn publish(&self, subject: &str, headers: &Headers, payload: Bytes) -> Result<u64, SourceError> {
        #[derive(Deserialize)]
        struct Taken {
            stream: String,
            seq: u64,
        }
        let doing = format!("publishing to `{subject}`");
        let headers = header_map(headers).map_err(|name| SourceError::Setup {
            what: format!("{doing} failed: the header `{name}` has letters that a header may not have"),
            hint: "leave the header out".to_owned(),
        })?;
        let sent = api::request(&self.connection, subject.to_owned(), headers, payload).await;
        let taken: Taken = match sent {
            Ok(taken) => taken,
            Err(ApiError::NobodyThere) if self.connection.stands() => {
                return Err(SourceError::Setup {
                    what: format!("{doing} failed: no stream takes that subject"),
                    hint: format!("add it to the subjects of the stream `{}`", self.stream),
                });
            }
            Err(error) => return Err(error.into_source_error(&self.connection, &doing)),
        };
        if taken.stream == self.stream {
            return Ok(taken.seq);
        }
        Err(SourceError::Setup {
            what: format!("{doing} failed: the stream `{}` took it, not `{}`", taken.stream, self.stream),
            hint: "give each subject to one stream".to_owned(),
        })
    }
}

/// The headers as the client wants them; an error names the one that cannot be sent.
fn header_map(headers: &Headers) -> Result<Option<HeaderMap>, &str> {
    if headers.is_empty() {
        return Ok(None);
    }
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter() {
        let (Ok(known), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) else {
            return Err(name);
        };
        map.append(known, value);
    }
    Ok(Some(map))
}
