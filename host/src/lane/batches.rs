//! Cuts what the reader delivers into batches: the two halves of a key change stay in one, and nothing behind the
//! last wanted sequence gets in. What a batch is decoded to needs nothing of the sink, so this runs ahead of the
//! transaction by one batch.

use reconverge_streams::{
    event::Event,
    source::{Delivery, Limits, Pulled, Reader, SourceError},
};

use crate::{
    batch::Batch,
    decode::{Decoder, Past},
};

use super::{
    Until,
    window::{self, Grades, Window},
};

/// The header by which Debezium marks the delete half of a key change; its create half follows at once.
const NEW_KEY: &str = "__debezium.newkey";

pub(super) struct Batches<R> {
    reader: R,
    limits: Limits,
    until: Until,
    /// The delete half of a key change whose create half had not arrived.
    held: Option<Delivery>,
    window: Window,
    grades: Grades,
}

/// How long to wait for a first message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Patiently,
    Briefly,
}

impl<R: Reader> Batches<R> {
    pub(super) fn new(reader: R, limits: Limits, until: Until) -> Self {
        let (window, grades) = (Window::new(), Grades::default());
        Batches { reader, limits, until, held: None, window, grades }
    }

    /// The next batch, decoded; without deliveries where nothing came within the patience.
    pub(super) async fn decoded(&mut self, decoder: &Decoder) -> Result<Batch, SourceError> {
        let pulled = self.next(Wait::Patiently).await?;
        Ok(self.decode(pulled, decoder))
    }

    /// The batch that is there or comes within the linger: what a transaction in flight has no time to wait for.
    pub(super) async fn decoded_ahead(&mut self, decoder: &Decoder) -> Result<Batch, SourceError> {
        let pulled = self.next(Wait::Briefly).await?;
        Ok(self.decode(pulled, decoder))
    }

    fn decode(&mut self, pulled: Pulled, decoder: &Decoder) -> Batch {
        if pulled.deliveries.is_empty() {
            return Batch { scanned: pulled.scanned, ..Batch::default() };
        }
        let repeated = |event: &Event| self.window.knows(event);
        let mut batch = decoder.decode_after(pulled, &Past { repeated: &repeated });
        batch.grades = self.grades.news(&batch);
        for (source, grade) in &batch.grades {
            window::tell(&decoder.name(*source), *grade);
        }
        batch
    }

    /// What a batch saw first is known from now on.
    pub(super) fn committed(&self, events: &[Event]) {
        self.window.fill(events);
    }

    /// The next batch; empty where nothing came. Half a key change is let go alone only after a patient wait.
    async fn next(&mut self, wait: Wait) -> Result<Pulled, SourceError> {
        let limits = match wait {
            Wait::Patiently => self.limits.clone(),
            Wait::Briefly => Limits { patience: self.limits.linger, ..self.limits.clone() },
        };
        let mut pulled = self.reader.next(&limits).await?;
        let waited_in_vain = pulled.deliveries.is_empty();
        if waited_in_vain && wait == Wait::Briefly && self.held.is_some() {
            return Ok(Pulled::default());
        }
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
        let pulled = batches.next(Wait::Patiently).await.unwrap();
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
        assert!(b.next(Wait::Briefly).await.unwrap().deliveries.is_empty());
        assert_eq!(sequences(&mut b).await, (vec![2, 3], 3));
    }

    #[tokio::test]
    async fn nothing_behind_the_last_sequence_gets_in() {
        let mut b = batches(vec![vec![delivery(1, false), delivery(5, false)]], Until::Sequence(4));
        assert_eq!(sequences(&mut b).await, (vec![1], 4));
    }
}
