//! Reads one partition: the loop over pulls, arrivals and continuity.
//!
//! What comes is handed on in order and once; at the first sign that something is missing or out of order the reader
//! hands on what is certain, and ends. It never acknowledges by itself what the lane has not released.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::{Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};

use super::arrival::{Arrival, Deliveries, Place};
use super::batch::Gathered;
use super::connect::{Connection, Refusal};
use super::consumer::Consumer;
use super::continuity::Continuity;
use super::guard::Guard;
use super::pull::{HEARTBEAT, Pulls};
use super::stream::{Retention, StreamInfo};
use crate::source::{Delivery, Limits, Pulled, Reader, SourceError};

/// Silence of the server after which a reader is in doubt: eight heartbeats.
const SILENCE_MAX: Duration = HEARTBEAT.saturating_mul(8);

/// Reads one partition of a JetStream stream.
#[derive(Debug)]
pub struct JetStreamReader {
    connection: Connection,
    /// [`Connection::losses`] when it was opened.
    losses: u64,
    refusals: broadcast::Receiver<Refusal>,
    consumer: Consumer,
    pull_subject: Subject,
    inbox_subject: Subject,
    inbox: Subscriber,
    pulls: Pulls,
    continuity: Continuity,
    deliveries: Deliveries,
    guard: Guard,
    /// When the server last gave a sign, or was last asked for one.
    heard: Instant,
    /// Whether anything came since `heard` was set.
    hearing: bool,
    /// A message that did not fit into the last batch.
    carried: Option<Delivery>,
    /// Why it ended, to be told by the next call.
    failed: Option<SourceError>,
    /// Inside a call: where that was aborted, or failed, this stays true.
    busy: bool,
    /// The last `scanned` that was told.
    scanned: u64,
    /// Where the lane had got to; a work queue delivers again what was not released.
    after: u64,
    /// Where releases are sent, for streams that wait for them.
    unreleased: VecDeque<(u64, Subject)>,
}

impl JetStreamReader {
    /// A reader over a consumer that begins after `after`.
    pub(super) async fn open(
        connection: &Connection,
        info: &StreamInfo,
        consumer: Consumer,
        after: u64,
        losses: u64,
    ) -> Result<JetStreamReader, SourceError> {
        let refusals = connection.refusals();
        let inbox_subject = Subject::from(connection.client.new_inbox());
        let inbox = connection.client.subscribe(inbox_subject.clone()).await;
        // Where nothing waits, everything that the stream held before the consumer was made is not for us.
        let nothing = consumer.pending == 0;
        let passed = if nothing { after.max(info.state.last_seq) } else { after };
        let retention = consumer.retention();
        let position = if retention == Retention::WorkQueue && !nothing { 0 } else { passed };
        let watches = retention == Retention::Limits;
        Ok(JetStreamReader {
            inbox: inbox.map_err(|error| connection.unreachable(error))?,
            pull_subject: Subject::from(consumer.pull_subject()),
            inbox_subject,
            pulls: Pulls::default(),
            continuity: Continuity::new(after, position, info.state.first(), watches),
            deliveries: Deliveries::default(),
            guard: Guard::new(connection, info),
            heard: Instant::now(),
            hearing: false,
            carried: None,
            failed: None,
            busy: false,
            scanned: after,
            after,
            unreleased: VecDeque::new(),
            connection: connection.clone(),
            losses,
            refusals,
            consumer,
        })
    }

    async fn gather(&mut self, limits: &Limits, gathered: &mut Gathered) -> Result<(), SourceError> {
        self.check_connection()?;
        // It has been vouched for, and may be gone from the stream: whatever the guard says comes after it.
        if let Some(delivery) = self.carried.take() {
            self.carried = gathered.offer(delivery);
        }
        self.guard.look(&mut self.continuity).await?;
        let mut until = Instant::now() + limits.patience;
        loop {
            while !gathered.is_full()
                && let Some(message) = self.ready()?
            {
                self.take(message, gathered)?;
            }
            // Asked for before the batch is handed on, so that the next one comes while this one is worked on.
            self.ask_for_more(limits).await?;
            if gathered.is_full() {
                return Ok(());
            }
            let first = gathered.is_empty();
            match self.wait(until).await? {
                Some(message) => self.take(message, gathered)?,
                None => return Ok(()),
            }
            if first && !gathered.is_empty() {
                until = Instant::now() + limits.linger;
            }
        }
    }

    /// A message that has come already.
    fn ready(&mut self) -> Result<Option<Message>, SourceError> {
        match self.inbox.next().now_or_never() {
            Some(Some(message)) => Ok(Some(message)),
            Some(None) => Err(self.closed()),
            None => Ok(None),
        }
    }

    /// The next message to come until then.
    async fn wait(&mut self, until: Instant) -> Result<Option<Message>, SourceError> {
        if std::mem::take(&mut self.hearing) {
            self.heard = Instant::now();
        }
        let silent = self.heard + SILENCE_MAX;
        match timeout_at(until.min(silent), self.inbox.next()).await {
            Ok(Some(message)) => Ok(Some(message)),
            Ok(None) => Err(self.closed()),
            Err(_) if self.pulls.is_outstanding() && Instant::now() >= silent => Err(self.silence()),
            Err(_) => Ok(None),
        }
    }

    fn take(&mut self, message: Message, gathered: &mut Gathered) -> Result<(), SourceError> {
        self.hearing = true;
        match Arrival::read(&message) {
            Arrival::Event(place) => self.take_event(message, &place, gathered),
            Arrival::Heartbeat { stream_sequence, consumer_sequence } => {
                self.continuity.heartbeat(stream_sequence, consumer_sequence)
            }
            Arrival::PullEnded { left, oversize } => {
                self.pulls.ended(left, oversize);
                Ok(())
            }
            Arrival::Over(why) => Err(SourceError::Doubt(why)),
        }
    }

    fn take_event(
        &mut self,
        message: Message,
        place: &Place,
        gathered: &mut Gathered,
    ) -> Result<(), SourceError> {
        self.pulls.delivered();
        self.continuity.delivered(place)?;
        if self.consumer.retention() != Retention::Limits
            && let Some(reply) = &message.reply
        {
            self.unreleased.push_back((place.stream_sequence, reply.clone()));
        }
        // Delivered anew by a work queue, committed long ago: the next release lets it go.
        if place.stream_sequence > self.after {
            self.carried = gathered.offer(self.deliveries.delivery(message, place));
        }
        Ok(())
    }

    async fn ask_for_more(&mut self, limits: &Limits) -> Result<(), SourceError> {
        let payload_max = self.connection.client.max_payload();
        while let Some(pull) = self.pulls.wanted(limits, payload_max) {
            let sent = self.connection.client.publish_with_reply(
                self.pull_subject.clone(),
                self.inbox_subject.clone(),
                Bytes::from(pull.body()),
            );
            sent.await.map_err(|error| self.connection.unreachable(error))?;
            self.heard = Instant::now();
        }
        Ok(())
    }

    fn check_connection(&self) -> Result<(), SourceError> {
        if !self.connection.stands() {
            return Err(self.connection.unreachable("the connection was lost"));
        }
        if self.connection.losses() != self.losses {
            return Err(SourceError::Doubt("the connection to the server was lost and made anew".to_owned()));
        }
        Ok(())
    }

    fn closed(&self) -> SourceError {
        self.connection.unreachable("the subscription was closed")
    }

    fn silence(&mut self) -> SourceError {
        while let Ok(refusal) = self.refusals.try_recv() {
            let verb = if refusal.publish { "publish" } else { "subscribe" };
            let ours = if refusal.publish { self.pull_subject.as_str() } else { self.inbox_subject.as_str() };
            if refusal.subject == ours {
                return SourceError::Setup {
                    what: format!("reading failed: the NATS user may not {verb} to `{ours}`"),
                    hint: format!(
                        "grant the user permission to {verb} to it; see the list of subjects in the manual"
                    ),
                };
            }
        }
        if let Err(lost) = self.check_connection() {
            return lost;
        }
        SourceError::Doubt(format!("the server was silent for {} s", SILENCE_MAX.as_secs()))
    }

    /// What a call tells, and how far everything has been told.
    fn told(&mut self, gathered: Gathered) -> Pulled {
        let deliveries = gathered.deliveries;
        let last = deliveries.last().map_or(0, |delivery| delivery.sequence);
        let certain = self.carried.is_none() && self.failed.is_none();
        let looked = if certain { self.continuity.position() } else { 0 };
        self.scanned = self.scanned.max(last).max(looked);
        Pulled { deliveries, scanned: self.scanned }
    }
}

impl Reader for JetStreamReader {
    async fn next(&mut self, limits: &Limits) -> Result<Pulled, SourceError> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        if std::mem::replace(&mut self.busy, true) {
            return Err(SourceError::Doubt("an earlier call failed or was aborted".to_owned()));
        }
        let mut gathered = Gathered::new(limits);
        let read = match self.gather(limits, &mut gathered).await {
            Ok(()) => self.guard.vouch(&mut self.continuity).await,
            failed => failed,
        };
        if let Err(failed) = read {
            if let Some(certain) = self.continuity.hole() {
                gathered.cut(certain);
            }
            if gathered.is_empty() {
                return Err(failed);
            }
            // What came before is certain, and may be gone from the stream: it is handed on first.
            self.failed = Some(failed);
            return Ok(self.told(gathered));
        }
        self.busy = false;
        Ok(self.told(gathered))
    }

    async fn release(&mut self, through: u64) {
        let count = self.unreleased.partition_point(|(sequence, _)| *sequence <= through);
        let mut replies: Vec<Subject> = self.unreleased.drain(..count).map(|(_, reply)| reply).collect();
        if self.consumer.retention() == Retention::Interest {
            // The last one stands for all before it.
            replies.drain(..replies.len().saturating_sub(1));
        }
        for reply in replies {
            // Advice: what is lost is said again by the next release, or by the next reader.
            if let Err(error) = self.connection.client.publish(reply, Bytes::from_static(b"+ACK")).await {
                tracing::debug!(through, error = %error, "release not sent");
            }
        }
    }
}
