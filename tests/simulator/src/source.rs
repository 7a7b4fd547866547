//! The stream with faults in front: connections that fail, order that is in doubt, acknowledgements that get lost, and
//! batches cut anywhere. Where the stream is a work queue, what was acknowledged is gone.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use reconverge_streams::{
    headers::Headers,
    memory::source::{MemoryReader, MemorySource},
    source::{Delivery, Limits, Pulled, Reader, Source, SourceError, StreamFacts},
};

use crate::{
    faults::{Failed, Life},
    random::Random,
};

/// The stream as one process sees it.
#[derive(Clone, Debug)]
pub struct FaultySource {
    stream: MemorySource,
    life: Life,
    /// False for a work queue.
    keeps_acknowledged: bool,
    /// Where the cuts of the next reader come from.
    cuts: Arc<AtomicU64>,
}

impl FaultySource {
    /// The stream in one life of a process; `cuts` is the seed of where batches end.
    #[must_use]
    pub fn new(stream: MemorySource, life: Life, keeps_acknowledged: bool, cuts: u64) -> FaultySource {
        FaultySource { stream, life, keeps_acknowledged, cuts: Arc::new(AtomicU64::new(cuts)) }
    }
}

impl Source for FaultySource {
    type Reader = FaultyReader;

    async fn inspect(&self) -> Result<StreamFacts, SourceError> {
        let called = self.life.before("inspect").await.map_err(unreachable)?;
        let facts = self.stream.inspect().await?;
        self.life.after(called).await.map_err(unreachable)?;
        Ok(StreamFacts { keeps_acknowledged: self.keeps_acknowledged, ..facts })
    }

    async fn open(&self, partition: u32, after: u64) -> Result<FaultyReader, SourceError> {
        let called =
            self.life.before(&format!("open {partition} after {after}")).await.map_err(unreachable)?;
        let reader = self.stream.open(partition, after).await?;
        self.life.after(called).await.map_err(unreachable)?;
        let cuts = Random::new(self.cuts.fetch_add(1, Ordering::Relaxed));
        Ok(FaultyReader { reader, of: self.clone(), cuts, released: after })
    }

    async fn fetch(&self, sequence: u64) -> Result<Option<Delivery>, SourceError> {
        self.stream.fetch(sequence).await
    }

    async fn publish(&self, subject: &str, headers: &Headers, payload: Bytes) -> Result<u64, SourceError> {
        self.stream.publish(subject, headers, payload).await
    }
}

/// A reader of it.
#[derive(Debug)]
pub struct FaultyReader {
    reader: MemoryReader,
    of: FaultySource,
    cuts: Random,
    released: u64,
}

impl Reader for FaultyReader {
    async fn next(&mut self, limits: &Limits) -> Result<Pulled, SourceError> {
        let called = self.of.life.before("next").await.map_err(doubt)?;
        let rows = 1 + usize::try_from(self.cuts.below(limits.rows as u64)).unwrap_or_default();
        let pulled = self.reader.next(&Limits { rows, ..limits.clone() }).await?;
        // What was pulled and is not handed on is lost with this reader, as with a connection that breaks.
        self.of.life.after(called).await.map_err(doubt)?;
        Ok(pulled)
    }

    async fn release(&mut self, through: u64) {
        let Ok(called) = self.of.life.before("release").await else { return };
        if !self.of.keeps_acknowledged {
            for sequence in self.released + 1..=through {
                self.of.stream.remove(sequence);
            }
        }
        self.released = self.released.max(through);
        // Nobody waits for the answer to an acknowledgement.
        let _ = self.of.life.after(called).await;
    }
}

fn unreachable(_: Failed) -> SourceError {
    SourceError::Unreachable(Failed::WORDS.into())
}

fn doubt(_: Failed) -> SourceError {
    SourceError::Doubt(Failed::WORDS.into())
}
