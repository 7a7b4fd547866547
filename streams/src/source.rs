//! Where changes come from: one partition of a stream, in order, from a sequence on.
//!
//! The contract is strict so that the lane above can be simple: no redelivery, no gaps, no reordering. Any
//! doubt ends the reader with an error, and the lane claims again and opens a new one. How far we are stands
//! in the sink, never here.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{headers::Headers, position::Micros};

/// What a stream says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFacts {
    /// The stream's name.
    pub name: String,
    /// When it was created, microseconds since 1970: another value under the same name is another stream.
    pub created: Micros,
    /// First sequence that it still holds; `last + 1` where it is empty.
    pub first: u64,
    /// Its own time for that message, microseconds since 1970; `None` where it is empty.
    pub first_at: Option<Micros>,
    /// Last sequence that was ever given.
    pub last: u64,
    /// Whether it lets go only what its limits say. Others let go what was acknowledged, so that their first sequence
    /// says nothing about loss.
    pub keeps_acknowledged: bool,
    /// Messages deleted between `first` and `last`, of any subject.
    pub deleted: u64,
    /// The stream that it is a mirror of, where it says so.
    pub mirror_of: Option<String>,
    /// How much it may hold, and how much it does.
    pub bounds: StreamBounds,
}

/// How much a stream may hold before it lets the oldest go, and how much it does. A bound that is not set is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamBounds {
    /// Bytes that it holds, of whatever subject.
    pub bytes: u64,
    /// Messages that it holds.
    pub messages: u64,
    /// How long it keeps a message, in microseconds.
    pub age_max: Option<Micros>,
    /// Most bytes.
    pub bytes_max: Option<u64>,
    /// Most messages.
    pub messages_max: Option<u64>,
    /// Most messages of one subject: over it older changes go, also from the middle.
    pub per_subject_max: Option<u64>,
    /// Whether a full stream refuses what is published (discard policy `new`) rather than let the oldest go.
    pub refuses_new: bool,
}

/// One message as the stream delivered it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The stream sequence: ascending in one partition, with holes where other partitions stand.
    pub sequence: u64,
    /// The subject that it was published under; messages share it.
    pub subject: Arc<str>,
    /// Names and values as published; the values of a name that stands on several lines are joined with a comma.
    pub headers: Headers,
    /// The body.
    pub payload: Bytes,
    /// The stream's own time for the message, microseconds since 1970.
    pub published_at: Micros,
}

impl Delivery {
    /// The first value of a header, by its exact name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// Bytes of payload and headers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.payload.len() + self.headers.bytes()
    }
}

/// Bounds of one pull.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most messages, at least 1.
    pub rows: usize,
    /// Most bytes of payload and headers. One message is always delivered, however large.
    pub bytes: usize,
    /// How long to wait for the first one.
    pub patience: Duration,
    /// How long to wait for more once there is one.
    pub linger: Duration,
}

/// What a pull brought.
#[derive(Debug, Default)]
pub struct Pulled {
    /// In sequence order.
    pub deliveries: Vec<Delivery>,
    /// Everything of this partition up to here has been delivered; nothing for us stands between the last
    /// delivery and this. At least the last delivery's sequence.
    pub scanned: u64,
}

/// Why a source or reader stopped.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It will not work without a change of the set-up. `hint` says what to do.
    #[error("{what}")]
    Setup {
        /// What failed.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// The connection or the server failed; opening anew may help.
    #[error("{0}")]
    Unreachable(String),
    /// The reader cannot vouch for order or completeness any more (a gap in the consumer's sequence, two
    /// heartbeats of silence, the consumer or the connection was lost). Claim again, open anew.
    #[error("in doubt about the order of deliveries: {0}")]
    Doubt(String),
    /// The stream does not hold `wanted` any more: it begins at `first`.
    #[error("the stream begins at sequence {first}; sequence {wanted} is gone")]
    Trimmed {
        /// The sequence that was asked for.
        wanted: u64,
        /// The first one that is there.
        first: u64,
    },
}

/// A stream of changes, cut into partitions.
pub trait Source: Send + Sync {
    /// Reads one partition.
    type Reader: Reader;

    /// Asks what the stream is now: finds holes, rollbacks and recreated streams.
    fn inspect(&self) -> impl Future<Output = Result<StreamFacts, SourceError>> + Send;

    /// Opens a partition from sequence `after + 1` on. Leaves no state behind at the source that a later
    /// `open` would have to know of.
    ///
    /// # Errors
    /// [`SourceError::Trimmed`] where `after + 1` is before the stream's first sequence and the stream was
    /// not empty there.
    fn open(
        &self,
        partition: u32,
        after: u64,
    ) -> impl Future<Output = Result<Self::Reader, SourceError>> + Send;

    /// One message by its sequence, for `audit` and `dlq redrive`; `None` where it is gone.
    fn fetch(&self, sequence: u64) -> impl Future<Output = Result<Option<Delivery>, SourceError>> + Send;

    /// Publishes a message and waits until the stream holds it; returns its sequence. For `dlq redrive`.
    fn publish(
        &self,
        subject: &str,
        headers: &Headers,
        payload: Bytes,
    ) -> impl Future<Output = Result<u64, SourceError>> + Send;
}

/// Reads one partition in order. Dropping it closes it.
pub trait Reader: Send {
    /// The next messages, up to `limits`; waits at most `limits.patience` for
    /// the first and `limits.linger` for the others. An empty answer with a raised
    /// `scanned` says that nothing stands for us up to there. Cancel-safe between calls only: an aborted
    /// call leaves the reader in doubt.
    fn next(&mut self, limits: &Limits) -> impl Future<Output = Result<Pulled, SourceError>> + Send;

    /// Everything up to `through` is committed: advice to the broker. May be lost; never relied on.
    fn release(&mut self, through: u64) -> impl Future<Output = ()> + Send;
}
