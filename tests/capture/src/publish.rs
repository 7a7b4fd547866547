//! Puts a recording into a JetStream stream again: the same payloads and headers under the same subjects, in the
//! same order. Not a publisher for users: it gives no message ids, as the recorded one gave none.

use std::collections::VecDeque;

use anyhow::{Context as _, Result};
use async_nats::HeaderMap;
use async_nats::jetstream::{Context, context::PublishAckFuture, stream};
use bytes::Bytes;

use crate::Message;

/// How many messages may be without their acknowledgement.
const UNACKNOWLEDGED_MAX: usize = 256;

/// Makes a stream that keeps what it takes on disk.
///
/// # Errors
/// When the server refuses it, which it does where a stream of that name has another configuration.
pub async fn create_stream(jetstream: &Context, name: &str, subjects: &[&str]) -> Result<()> {
    let config = stream::Config {
        name: name.to_owned(),
        subjects: subjects.iter().map(|subject| (*subject).to_owned()).collect(),
        storage: stream::StorageType::File,
        ..stream::Config::default()
    };
    jetstream.create_stream(config).await.with_context(|| format!("creating stream {name}"))?;
    Ok(())
}

/// Publishes messages in their order, and returns the stream sequence that each of them got. When this returns,
/// the server has acknowledged them all.
///
/// # Errors
/// When a message is refused or the server is gone; with the message's place in the recording.
pub async fn publish(jetstream: &Context, messages: &[Message]) -> Result<Vec<u64>> {
    let mut sequences = Vec::with_capacity(messages.len());
    let mut open: VecDeque<(u64, PublishAckFuture)> = VecDeque::with_capacity(UNACKNOWLEDGED_MAX);
    for message in messages {
        if open.len() == UNACKNOWLEDGED_MAX {
            sequences.extend(acknowledged(open.pop_front()).await?);
        }
        let headers = headers(message);
        let data = Bytes::copy_from_slice(message.data.as_bytes());
        let sent = jetstream.publish_with_headers(message.subject.clone(), headers, data).await;
        let sent = sent.with_context(|| format!("publishing message {}", message.sequence))?;
        open.push_back((message.sequence, sent));
    }
    while !open.is_empty() {
        sequences.extend(acknowledged(open.pop_front()).await?);
    }
    Ok(sequences)
}

async fn acknowledged(oldest: Option<(u64, PublishAckFuture)>) -> Result<Option<u64>> {
    let Some((recorded, acknowledgement)) = oldest else { return Ok(None) };
    let acknowledgement = acknowledgement.await;
    let acknowledgement =
        acknowledgement.with_context(|| format!("message {recorded} was not acknowledged"))?;
    Ok(Some(acknowledgement.sequence))
}

fn headers(message: &Message) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in message.headers.iter().flatten() {
        headers.insert(name.as_str(), value.as_str());
    }
    headers
}
