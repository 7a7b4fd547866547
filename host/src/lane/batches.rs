//! Cuts what the reader delivers into batches: the two halves of a key change stay in one, and nothing behind the
//! last wanted sequence gets in.

use reconverge_streams::source::{Delivery, Limits, Pulled, Reader, SourceError};

use super::Until;

/// The header by which Debezium marks the delete half of a key change; its create half follows at once.
const NEW_KEY: &str = "__debezium.newkey";

pub(super) struct Batches<R> {
    reader: R,
    limits: Limits,
    until: Until,
    /// The delete half of a key change whose create half had not arrived.
    held: Option<Delivery>,
    scanned: u64,
}

impl<R: Reader> Batches<R> {
    pub(super) fn new(reader: R, limits: Limits, until: Until) -> Self {
        Batches { reader, limits, until, held: None, scanned: 0 }
    }

    /// The next batch; empty where nothing came within the linger.
    pub(super) async fn next(&mut self) -> Result<Pulled, SourceError> {
        let mut pulled = self.reader.next(&self.limits).await?;
        self.scanned = self.scanned.max(pulled.scanned);
        let waited_in_vain = pulled.deliveries.is_empty();
        if let Some(held) = self.held.take() {
            pulled.deliveries.insert(0, held);
        }
        if let Until::Sequence(last) = self.until {
            pulled.deliveries.retain(|d| d.sequence <= last);
            pulled.scanned = pulled.scanned.min(last);
        }
        if !waited_in_vain && let Some(last) = pulled.deliveries.pop_if(|d| d.header(NEW_KEY).is_some()) {
            pulled.scanned = pulled.deliveries.last().map_or(0, |d| d.sequence);
            self.held = Some(last);
        }
        Ok(pulled)
    }

    pub(super) async fn release(&mut self, through: u64) {
        self.reader.release(through).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, time::Duration};

    use bytes::Bytes;

    use super::*;

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
        let headers = if key_change { vec![(NEW_KEY.to_owned(), "{}".to_owned())] } else { Vec::new() };
        Delivery { sequence, subject: "s".into(), headers, payload: Bytes::new(), published_at: 0 }
    }

    fn batches(script: Vec<Vec<Delivery>>, until: Until) -> Batches<Script> {
        let limits = Limits { rows: 10, bytes: 10, patience: Duration::ZERO, linger: Duration::ZERO };
        Batches::new(Script(script.into()), limits, until)
    }

    async fn sequences(batches: &mut Batches<Script>) -> (Vec<u64>, u64) {
        let pulled = batches.next().await.unwrap();
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
    async fn nothing_behind_the_last_sequence_gets_in() {
        let mut b = batches(vec![vec![delivery(1, false), delivery(5, false)]], Until::Sequence(4));
        assert_eq!(sequences(&mut b).await, (vec![1], 4));
    }
}
