//! The stream that every contestant reads: a private nats-server with its files on disk, filled once.

use std::collections::VecDeque;

use anyhow::{Context as _, Result};
use async_nats::{
    HeaderMap,
    jetstream::{self, Context, context::PublishAckFuture},
};
use bytes::Bytes;
use reconverge_capture::create_stream;
use reconverge_servers::NatsServer;

use crate::workload::Event;

/// How many messages may be without their acknowledgement.
const UNACKNOWLEDGED_MAX: usize = 512;

/// A server and a client of it.
pub(crate) struct Broker {
    pub(crate) server: NatsServer,
    pub(crate) jetstream: Context,
}

impl Broker {
    /// Starts a server that is gone, with its files, when this is dropped.
    ///
    /// # Errors
    /// There is no nats-server, or it does not come up.
    pub(crate) async fn start() -> Result<Broker> {
        let server = NatsServer::temporary()?;
        let client = async_nats::connect(server.url()).await.context("connecting to nats-server")?;
        Ok(Broker { server, jetstream: jetstream::new(client) })
    }

    /// Makes a stream of a workload's changes.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub(crate) async fn fill_with(&self, name: &str, subjects: &[&str], events: &[Event]) -> Result<()> {
        let messages = events.iter().map(|event| (event.subject(), Bytes::from(event.json())));
        self.fill(name, subjects, messages).await
    }

    /// Makes a stream of native changes and fills it.
    ///
    /// # Errors
    /// The server refuses something.
    pub(crate) async fn fill(
        &self,
        name: &str,
        subjects: &[&str],
        messages: impl Iterator<Item = (String, Bytes)>,
    ) -> Result<()> {
        create_stream(&self.jetstream, name, subjects).await?;
        self.publish(messages).await
    }

    /// Publishes native changes into the streams that take them.
    ///
    /// # Errors
    /// The server refuses something.
    pub(crate) async fn publish(&self, messages: impl Iterator<Item = (String, Bytes)>) -> Result<()> {
        let mut open: VecDeque<PublishAckFuture> = VecDeque::with_capacity(UNACKNOWLEDGED_MAX);
        for (subject, payload) in messages {
            if open.len() == UNACKNOWLEDGED_MAX
                && let Some(oldest) = open.pop_front()
            {
                oldest.await.context("filling the stream")?;
            }
            let mut headers = HeaderMap::new();
            headers.insert("Reconverge-Version", "1");
            open.push_back(self.jetstream.publish_with_headers(subject, headers, payload).await?);
        }
        for sent in open {
            sent.await.context("filling the stream")?;
        }
        Ok(())
    }
}
