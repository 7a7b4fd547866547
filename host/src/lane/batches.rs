//! Cuts what the reader delivers into batches: source transactions and the two halves of a key change stay in one, and
//! nothing behind the last wanted sequence gets in. What a batch is decoded to needs nothing of the sink, so this runs ahead of the
//! transaction.

use std::time::Duration;

use reconverge_streams::{
    epoch::EpochStart,
    event::Event,
    source::{Delivery, Limits, Pulled, Reader, SourceError},
};

use crate::{
    batch::Batch,
    decode::{Decoder, Epochs, Past},
};

use super::{
    Until,
    pace::Pace,
    whole::{Marks, Transactions},
    window::{self, Grades, Window},
};

/// The header by which Debezium marks the delete half of a key change; its create half follows at once.
const NEW_KEY: &str = "__debezium.newkey";

pub(super) struct Batches<R> {
    reader: R,
    limits: Limits,
    pace: Pace,
    until: Until,
    /// What is held back: part of a source transaction, or the delete half of a key change whose create half had not
    /// arrived.
    held: Vec<Delivery>,
    transactions: Transactions,
    window: Window,
    grades: Grades,
    epochs: Epochs,
}

/// How long to wait for a first message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Patiently,
    Briefly,
}

impl<R: Reader> Batches<R> {
    pub(super) fn new(reader: R, limits: Limits, until: Until, epochs: Epochs) -> Self {
        let (window, grades) = (Window::new(), Grades::default());
        let (held, transactions) = (Vec::new(), Transactions::new());
        let pace = Pace::new(limits.rows);
        Batches { reader, limits, pace, until, held, transactions, window, grades, epochs }
    }

    /// The next batch, decoded; without deliveries where nothing came within the patience.
    pub(super) async fn decoded(&mut self, decoder: &Decoder) -> Result<Batch, SourceError> {
        let pulled = self.next(Wait::Patiently, &|d| decoder.mark(d)).await?;
        Ok(self.decode(pulled, decoder))
    }

    /// The batch that is there or comes within the linger: what a transaction in flight has no time to wait for.
    pub(super) async fn decoded_ahead(&mut self, decoder: &Decoder) -> Result<Batch, SourceError> {
        let pulled = self.next(Wait::Briefly, &|d| decoder.mark(d)).await?;
        Ok(self.decode(pulled, decoder))
    }

    fn decode(&mut self, pulled: Pulled, decoder: &Decoder) -> Batch {
        if pulled.deliveries.is_empty() {
            return Batch { scanned: pulled.scanned, ..Batch::default() };
        }
        let repeated = |event: &Event| self.window.knows(event);
        let mut batch =
            decoder.decode_after(pulled, &Past { repeated: &repeated, epochs: self.epochs.clone() });
        batch.epoch_starts.iter().for_each(|start| self.epochs.begin(*start));
        batch.grades = self.grades.news(&batch);
        for (source, grade) in &batch.grades {
            window::tell(&decoder.name(*source), *grade);
        }
        batch
    }

    /// Whether a batch holds half of what one takes.
    pub(super) fn is_large(&self, batch: &Batch) -> bool {
        batch.deliveries.len() >= self.pace.changes().div_ceil(2)
            || batch.payload_bytes() >= self.limits.bytes.div_ceil(2)
    }

    /// Learns of epochs that were begun elsewhere; whether any is new.
    pub(super) fn learn_epochs(&mut self, starts: &[EpochStart]) -> bool {
        self.epochs.learn(starts)
    }

    /// Bytes of the payloads that are held back.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.iter().map(|d| d.payload.len()).sum()
    }

    /// A batch of so many changes was committed within this time. What it saw first is known from now on.
    pub(super) fn committed(&mut self, events: &[Event], changes: usize, within: Duration) {
        self.window.fill(events);
        self.pace.committed(changes, within);
    }

    /// The next batch; empty where nothing came, or nothing whole. Half a key change is let go alone only after a
    /// patient wait.
    async fn next(&mut self, wait: Wait, marks: Marks<'_>) -> Result<Pulled, SourceError> {
        let patience = match wait {
            Wait::Patiently => self.limits.patience,
            Wait::Briefly => self.limits.linger,
        };
        // A source transaction that needs more than the pace gets what a batch may hold.
        let held = self.held.len();
        let rows = if held < self.pace.changes() { self.pace.changes() } else { self.limits.rows };
        let limits = Limits {
            rows: rows.saturating_sub(held).max(1),
            bytes: self.limits.bytes.saturating_sub(self.held_bytes()).max(1),
            patience,
            linger: self.limits.linger,
        };
        let mut pulled = self.reader.next(&limits).await?;
        let waited_in_vain = pulled.deliveries.is_empty();
        if waited_in_vain && !self.held.is_empty() && (wait == Wait::Briefly || self.transactions.waits()) {
            return Ok(Pulled::default());
        }
        let new = std::mem::replace(&mut pulled.deliveries, std::mem::take(&mut self.held));
        pulled.deliveries.extend(new);
        let mut ends = false;
        if let Until::Sequence(last) = self.until {
            ends = pulled.scanned >= last;
            pulled.deliveries.retain(|d| d.sequence <= last);
            pulled.scanned = pulled.scanned.min(last);
        }
        if waited_in_vain {
            self.transactions.let_go(&pulled.deliveries, marks);
        } else {
            let bytes: usize = pulled.deliveries.iter().map(|d| d.payload.len()).sum();
            let room = pulled.deliveries.len() < self.limits.rows && bytes < self.limits.bytes;
            let whole = self.transactions.whole(&pulled.deliveries, room, marks);
            if ends {
                // The operator said where to stop.
                self.transactions.wait_no_more();
            } else {
                self.hold(&mut pulled, whole);
            }
        }
        if !waited_in_vain && pulled.deliveries.last().is_some_and(|d| d.header(NEW_KEY).is_some()) {
            let whole = pulled.deliveries.len() - 1;
            self.hold(&mut pulled, whole);
        }
        Ok(pulled)
    }

    /// Holds back what stands behind the first `keep`.
    fn hold(&mut self, pulled: &mut Pulled, keep: usize) {
        if keep < pulled.deliveries.len() {
            let mut held = pulled.deliveries.split_off(keep);
            held.append(&mut self.held);
            self.held = held;
            pulled.scanned = pulled.deliveries.last().map_or(0, |d| d.sequence);
        }
    }

    pub(super) async fn release(&mut self, through: u64) {
        self.reader.release(through).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;

    use super::*;
    use crate::decode::Mark;

    struct Script(VecDeque<Vec<Delivery>>);

    impl Reader for Script {
        async fn next(&mut self, _: &Limits) -> Result<Pulled, SourceError> {
            let deliveries = self.0.pop_front().unwrap_or_default();
            let scanned = deliveries.last().map_or(9, |d| d.sequence);
            Ok(Pulled { deliveries, scanned })
        }
        async fn release(&mut self, _: u64) {}
    }

    fn delivery(sequence: u64, key_change: bool) -> Delivery {
        let headers = key_change.then_some((NEW_KEY, "{}")).into_iter().collect();
        Delivery { sequence, subject: "s".into(), headers, payload: Bytes::new(), published_at: 0 }
    }

    fn batches(script: Vec<Vec<Delivery>>, until: Until) -> Batches<Script> {
        let limits = Limits { rows: 10, bytes: 10, patience: Duration::ZERO, linger: Duration::ZERO };
        Batches::new(Script(script.into()), limits, until, Epochs::default())
    }

    async fn sequences(batches: &mut Batches<Script>) -> (Vec<u64>, u64) {
        let pulled = batches.next(Wait::Patiently, &|_| None).await.unwrap();
        (pulled.deliveries.iter().map(|d| d.sequence).collect(), pulled.scanned)
    }

    #[tokio::test]
    async fn the_halves_of_a_key_change_stay_together() {
        let script = vec![vec![delivery(1, false), delivery(2, true)], vec![delivery(3, false)]];
        let mut b = batches(script, Until::Forever);
        assert_eq!(sequences(&mut b).await, (vec![1], 1));
        assert_eq!(sequences(&mut b).await, (vec![2, 3], 3));
    }

    #[tokio::test]
    async fn a_half_whose_other_never_comes_is_not_held_for_ever() {
        let mut b = batches(vec![vec![delivery(2, true)]], Until::Forever);
        assert_eq!(sequences(&mut b).await, (vec![], 0));
        assert_eq!(sequences(&mut b).await, (vec![2], 9));
    }

    #[tokio::test]
    async fn a_brief_wait_does_not_part_the_halves() {
        let mut b = batches(vec![vec![delivery(2, true)], vec![], vec![delivery(3, false)]], Until::Forever);
        assert_eq!(sequences(&mut b).await, (vec![], 0));
        assert!(b.next(Wait::Briefly, &|_| None).await.unwrap().deliveries.is_empty());
        assert_eq!(sequences(&mut b).await, (vec![2, 3], 3));
    }

    /// Messages of one endless transaction, as many as asked for, and how many that was.
    struct Endless(Vec<usize>);

    impl Reader for Endless {
        async fn next(&mut self, limits: &Limits) -> Result<Pulled, SourceError> {
            let from: usize = self.0.iter().sum();
            self.0.push(limits.rows);
            let deliveries: Vec<_> =
                (from..from + limits.rows).map(|at| delivery(at as u64 + 1, false)).collect();
            Ok(Pulled { scanned: deliveries.last().map_or(0, |d| d.sequence), deliveries })
        }
        async fn release(&mut self, _: u64) {}
    }

    #[tokio::test]
    async fn a_transaction_that_exceeds_the_pace_stays_whole_up_to_the_limit() {
        let limits = Limits { rows: 2_500, bytes: 10, patience: Duration::ZERO, linger: Duration::ZERO };
        let mut b = Batches::new(Endless(Vec::new()), limits, Until::Forever, Epochs::default());
        let mark =
            |_: &Delivery| Some(Mark { source: Some("e".into()), transaction: Some("1".into()), end: false });
        assert!(b.next(Wait::Patiently, &mark).await.unwrap().deliveries.is_empty(), "not whole yet");
        assert_eq!(b.next(Wait::Patiently, &mark).await.unwrap().deliveries.len(), 2_500, "cut at the limit");
        assert_eq!(b.reader.0, [1_000, 1_500]);
    }

    #[tokio::test]
    async fn nothing_behind_the_last_sequence_gets_in() {
        let mut b = batches(vec![vec![delivery(1, false), delivery(5, false)]], Until::Sequence(4));
        assert_eq!(sequences(&mut b).await, (vec![1], 4));
    }
}
