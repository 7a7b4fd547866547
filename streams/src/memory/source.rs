//! A stream in memory, under the same contract as JetStream: the model that tests compare with, and the source of
//! tests that need no server.
//!
//! It knows no faults of its own: what a test wants to fail, it wraps.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::headers::Headers;
use crate::position::Micros;
use crate::source::{Delivery, Limits, Pulled, Reader, Source, SourceError, StreamBounds, StreamFacts};

/// Whether a partition holds a subject.
type Holds = dyn Fn(u32, &str) -> bool + Send + Sync;

/// A stream in memory. Cloning shares it.
#[derive(Clone)]
pub struct MemorySource {
    shared: Arc<Shared>,
}

struct Shared {
    stream: Mutex<Stream>,
    /// Wakes the readers when something came or went.
    changed: Notify,
    holds: Box<Holds>,
}

struct Stream {
    name: String,
    created: Micros,
    messages: BTreeMap<u64, Delivery>,
    /// First sequence that was not trimmed.
    first: u64,
    last: u64,
    /// Goes up when the stream is made anew.
    life: u64,
    /// Told, and not kept: what goes, a test lets go.
    bounds: StreamBounds,
}

impl MemorySource {
    /// An empty stream, made at `created`, whose partition `p` holds the subjects for which `holds(p, subject)` is true.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        created: Micros,
        holds: impl Fn(u32, &str) -> bool + Send + Sync + 'static,
    ) -> MemorySource {
        let stream = Stream {
            name: name.into(),
            created,
            messages: BTreeMap::new(),
            first: 1,
            last: 0,
            life: 0,
            bounds: StreamBounds::default(),
        };
        let shared = Shared { stream: Mutex::new(stream), changed: Notify::new(), holds: Box::new(holds) };
        MemorySource { shared: Arc::new(shared) }
    }

    /// Adds a message that the stream took at `at`; returns its sequence.
    pub fn push(&self, subject: impl Into<Arc<str>>, headers: Headers, payload: Bytes, at: Micros) -> u64 {
        let mut stream = self.shared.stream();
        stream.last += 1;
        let sequence = stream.last;
        let delivery = Delivery { sequence, subject: subject.into(), headers, payload, published_at: at };
        stream.messages.insert(sequence, delivery);
        drop(stream);
        self.shared.changed.notify_waiters();
        sequence
    }

    /// Lets go of everything before `first`, as a limit or a purge does.
    pub fn trim(&self, first: u64) {
        let mut stream = self.shared.stream();
        stream.first = first.clamp(stream.first, stream.last + 1);
        let kept = stream.messages.split_off(&first);
        stream.messages = kept;
        drop(stream);
        self.shared.changed.notify_waiters();
    }

    /// Lets go of one message in the middle; whether it was there.
    pub fn remove(&self, sequence: u64) -> bool {
        self.shared.stream().messages.remove(&sequence).is_some()
    }

    /// Lets go of everything behind `last`, as a server that came back with less. Readers that were further are in
    /// doubt.
    pub fn roll_back(&self, last: u64) {
        let mut stream = self.shared.stream();
        if last < stream.last {
            stream.messages.split_off(&(last + 1));
            stream.last = last;
            stream.first = stream.first.min(last + 1);
            stream.life += 1;
        }
        drop(stream);
        self.shared.changed.notify_waiters();
    }

    /// What the stream says of its bounds from now on.
    pub fn bound(&self, bounds: StreamBounds) {
        self.shared.stream().bounds = bounds;
    }

    /// Deletes the stream and makes it anew under the same name, empty, at `created`. Its readers are in doubt.
    pub fn recreate(&self, created: Micros) {
        let mut stream = self.shared.stream();
        stream.messages.clear();
        (stream.first, stream.last, stream.created) = (1, 0, created);
        stream.life += 1;
        drop(stream);
        self.shared.changed.notify_waiters();
    }
}

impl Shared {
    fn stream(&self) -> MutexGuard<'_, Stream> {
        // Nothing that holds the lock can panic halfway through a change.
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    fn first(&self) -> u64 {
        self.messages.keys().next().copied().unwrap_or(self.last + 1).max(self.first)
    }
}

impl fmt::Debug for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = self.shared.stream();
        f.debug_struct("MemorySource")
            .field("name", &stream.name)
            .field("first", &stream.first())
            .field("last", &stream.last)
            .finish_non_exhaustive()
    }
}

impl Source for MemorySource {
    type Reader = MemoryReader;

    async fn inspect(&self) -> Result<StreamFacts, SourceError> {
        let stream = self.shared.stream();
        let (first, last) = (stream.first(), stream.last);
        Ok(StreamFacts {
            keeps_acknowledged: true,
            name: stream.name.clone(),
            created: stream.created,
            first,
            first_at: stream.messages.values().next().map(|message| message.published_at),
            last,
            deleted: (last + 1 - first).saturating_sub(stream.messages.len() as u64),
            mirror_of: None,
            bounds: StreamBounds {
                bytes: stream.messages.values().map(|m| m.payload.len() as u64).sum(),
                messages: stream.messages.len() as u64,
                ..stream.bounds.clone()
            },
        })
    }

    async fn open(&self, partition: u32, after: u64) -> Result<MemoryReader, SourceError> {
        let stream = self.shared.stream();
        let first = stream.first();
        if after + 1 < first {
            return Err(SourceError::Trimmed { wanted: after + 1, first });
        }
        if after > stream.last {
            return Err(SourceError::Doubt(format!(
                "the stream `{}` ends at sequence {}, before {after}: it was rolled back or made anew",
                stream.name, stream.last
            )));
        }
        let shared = Arc::clone(&self.shared);
        Ok(MemoryReader { shared, partition, position: after, life: stream.life, busy: false })
    }

    async fn fetch(&self, sequence: u64) -> Result<Option<Delivery>, SourceError> {
        Ok(self.shared.stream().messages.get(&sequence).cloned())
    }

    async fn publish(&self, subject: &str, headers: &Headers, payload: Bytes) -> Result<u64, SourceError> {
        let at = jiff::Timestamp::now().as_microsecond();
        Ok(self.push(subject, headers.clone(), payload, at))
    }
}

/// Reads one partition of a [`MemorySource`].
pub struct MemoryReader {
    shared: Arc<Shared>,
    partition: u32,
    /// Everything of the partition up to here was delivered.
    position: u64,
    life: u64,
    /// Inside a call: where that was aborted, or failed, this stays true.
    busy: bool,
}

impl MemoryReader {
    /// What is there, up to the limits, added to `pulled`; whether nothing more fits.
    fn gather(
        &mut self,
        limits: &Limits,
        pulled: &mut Pulled,
        bytes: &mut usize,
    ) -> Result<bool, SourceError> {
        let stream = self.shared.stream();
        if stream.life != self.life {
            return Err(SourceError::Doubt(format!(
                "the stream `{}` was deleted and made anew",
                stream.name
            )));
        }
        let first = stream.first();
        if self.position + 1 < first {
            return Err(SourceError::Trimmed { wanted: self.position + 1, first });
        }
        let ours = stream.messages.range(self.position + 1..);
        for (sequence, delivery) in
            ours.filter(|(_, found)| (self.shared.holds)(self.partition, &found.subject))
        {
            let size = delivery.bytes();
            if !pulled.deliveries.is_empty() && *bytes + size > limits.bytes {
                self.position = sequence - 1;
                return Ok(true);
            }
            *bytes += size;
            self.position = *sequence;
            pulled.deliveries.push(delivery.clone());
            if pulled.deliveries.len() >= limits.rows.max(1) {
                return Ok(true);
            }
        }
        self.position = stream.last;
        Ok(false)
    }
}

impl fmt::Debug for MemoryReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryReader")
            .field("partition", &self.partition)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Reader for MemoryReader {
    async fn next(&mut self, limits: &Limits) -> Result<Pulled, SourceError> {
        if std::mem::replace(&mut self.busy, true) {
            return Err(SourceError::Doubt("an earlier call failed or was aborted".to_owned()));
        }
        let (mut pulled, mut bytes) = (Pulled::default(), 0);
        let mut until = Instant::now() + limits.patience;
        let shared = Arc::clone(&self.shared);
        loop {
            // Listened for before the look, so that what comes between the two is not missed.
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let first = pulled.deliveries.is_empty();
            match self.gather(limits, &mut pulled, &mut bytes) {
                // What was gathered is handed on first; the next call meets the same failure.
                Err(_) if !first => break,
                Err(failed) => return Err(failed),
                Ok(true) => break,
                Ok(false) if first && !pulled.deliveries.is_empty() => until = Instant::now() + limits.linger,
                Ok(false) => {}
            }
            if timeout_at(until, changed).await.is_err() {
                break;
            }
        }
        self.busy = false;
        pulled.scanned = self.position;
        Ok(pulled)
    }

    async fn release(&mut self, _through: u64) {}
}
