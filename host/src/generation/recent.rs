//! The last batches that lanes committed, as they came and with what stood: what a new generation is tried on before
//! it decides anything. Held in memory alone, and bounded; a batch that does not fit is not kept.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex},
};

use reconverge_streams::{
    family::Family,
    keys::KeyList,
    source::Delivery,
    standing::{Standing, Wanted},
    table::TableId,
};

/// Bytes of messages that are kept, all batches together.
const BYTES_MAX: usize = 4 << 20;

/// One batch, before anything was decided about it.
#[derive(Debug)]
pub struct Sample {
    /// The lane.
    pub lane: String,
    /// Its messages, in sequence order.
    pub deliveries: Vec<Delivery>,
    /// The checkpoint's sequence before it.
    pub from: u64,
    /// What the sink was asked for, see [`asked`].
    pub asked: Vec<(TableId, u64)>,
    /// What stood, in its answer.
    pub standing: Standing,
    /// What the sink said of parents and children, answer by answer.
    pub families: Vec<Family>,
}

/// Each table that the sink was asked about with a digest of its keys: equal ones get equal answers' places.
#[must_use]
pub fn asked(wanted: &Wanted) -> Vec<(TableId, u64)> {
    let digest = |keys: &KeyList| {
        let mut digest = DefaultHasher::new();
        keys.hash(&mut digest);
        digest.finish()
    };
    wanted.tables.iter().map(|table| (table.table, digest(&table.keys))).collect()
}

impl Sample {
    fn bytes(&self) -> usize {
        self.deliveries.iter().map(|delivery| delivery.payload.len()).sum()
    }
}

/// See the module. Shared by the lanes of a process.
#[derive(Debug)]
pub struct Recent {
    batches_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    samples: VecDeque<Arc<Sample>>,
    bytes: usize,
    /// Number of the sample behind the last.
    next: u64,
}

impl Recent {
    /// Keeps up to `batches` of them; none for 0.
    #[must_use]
    pub fn new(batches: usize) -> Self {
        Recent { batches_max: batches, kept: Mutex::default() }
    }

    /// Whether anything is kept at all: a lane that need not take notes does not.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.batches_max > 0
    }

    /// Keeps a batch, and lets the oldest go.
    pub fn push(&self, sample: Sample) {
        let bytes = sample.bytes();
        let mut kept = self.kept.lock().expect("no holder panics");
        kept.next += 1;
        if bytes > BYTES_MAX || self.batches_max == 0 {
            // A gap in the numbers: `since` tells it as missed.
            kept.samples.clear();
            kept.bytes = 0;
            return;
        }
        kept.bytes += bytes;
        kept.samples.push_back(Arc::new(sample));
        while kept.samples.len() > self.batches_max || kept.bytes > BYTES_MAX {
            let oldest = kept.samples.pop_front().map_or(0, |sample| sample.bytes());
            kept.bytes -= oldest;
        }
    }

    /// The batches from number `from` on that are still here, the number to ask with next, and how many of those
    /// asked for were missed.
    #[must_use]
    pub fn since(&self, from: u64) -> (Vec<Arc<Sample>>, u64, u64) {
        let kept = self.kept.lock().expect("no holder panics");
        let first = kept.next - kept.samples.len() as u64;
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        let samples = kept.samples.iter().skip(skip).cloned().collect();
        (samples, kept.next, first.saturating_sub(from))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use reconverge_streams::headers::Headers;

    use super::*;

    fn sample(from: u64, bytes: usize) -> Sample {
        let payload = Bytes::from(vec![0; bytes]);
        let delivery = Delivery {
            sequence: from + 1,
            subject: "s".into(),
            headers: Headers::default(),
            payload,
            published_at: 0,
        };
        Sample {
            lane: "main".into(),
            deliveries: vec![delivery],
            from,
            asked: Vec::new(),
            standing: Standing::default(),
            families: Vec::new(),
        }
    }

    fn told(recent: &Recent, from: u64) -> (Vec<u64>, u64, u64) {
        let (samples, next, missed) = recent.since(from);
        (samples.iter().map(|s| s.from).collect(), next, missed)
    }

    #[test]
    fn the_last_ones_are_kept_and_a_slow_reader_knows_what_it_missed() {
        let recent = Recent::new(2);
        assert_eq!(told(&recent, 0), (vec![], 0, 0));
        (0..3).for_each(|n| recent.push(sample(n, 10)));
        assert_eq!(told(&recent, 0), (vec![1, 2], 3, 1));
        assert_eq!(told(&recent, 2), (vec![2], 3, 0));
        assert_eq!(told(&recent, 3), (vec![], 3, 0));
    }

    #[test]
    fn bytes_are_bounded() {
        let recent = Recent::new(100);
        (0..3).for_each(|n| recent.push(sample(n, BYTES_MAX / 2)));
        assert_eq!(told(&recent, 0), (vec![1, 2], 3, 1));
        recent.push(sample(3, BYTES_MAX + 1));
        assert_eq!(told(&recent, 2), (vec![], 4, 2));
        recent.push(sample(4, 1));
        assert_eq!(told(&recent, 4), (vec![4], 5, 0));
    }

    #[test]
    fn none_means_none() {
        let recent = Recent::new(0);
        recent.push(sample(0, 1));
        assert!(!recent.is_kept() && recent.since(0).0.is_empty());
    }
}
