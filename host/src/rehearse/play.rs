//! One play of the recorded messages, in one order, into a scratch sink under one set of rules.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use reconverge_streams::{
    records::{DecisionRecord, ParkedRecord},
    source::{Delivery, Pulled},
    table::TableId,
};

use crate::{
    batch::Op,
    decode::Decoder,
    laws::dice::Dice,
    plan::Plan,
    scratch::{Scratch, ScratchError, Stood},
    stages::Stages,
};

/// What to decide by.
pub struct Rules {
    /// Tables and policies.
    pub plan: Arc<Plan>,
    /// For the recorded envelopes.
    pub decoder: Arc<Decoder>,
    /// The plugins.
    pub stages: Box<dyn Stages>,
}

/// A table's key.
pub type Key = (TableId, Vec<u8>);

/// What stood when everything had been applied.
pub struct Played {
    /// The rows by key.
    pub rows: BTreeMap<Key, Stood>,
    /// Conflicts, oldest first.
    pub decisions: Vec<DecisionRecord>,
    /// Rows that still wait for others.
    pub parked: Vec<ParkedRecord>,
    /// Dead letters by table, step and code.
    pub dead: BTreeMap<(String, String, String), u64>,
    /// How long it took.
    pub took: Duration,
}

impl Rules {
    /// Plays messages in this order, in batches of so many.
    ///
    /// # Errors
    /// The scratch sink fails.
    pub fn play(
        &mut self,
        messages: &[Delivery],
        order: &[usize],
        batch: usize,
    ) -> Result<Played, ScratchError> {
        let begun = Instant::now();
        let mut scratch = Scratch::new(&self.plan, &self.decoder)?;
        let mut next = 1;
        for batch in order.chunks(batch.max(1)) {
            let numbered = (next..)
                .zip(batch)
                .map(|(sequence, &message)| Delivery { sequence, ..messages[message].clone() });
            scratch.apply(numbered.collect(), self.stages.as_mut())?;
            next += batch.len() as u64;
        }
        let took = begun.elapsed();
        let mut rows = BTreeMap::new();
        for table in &self.plan.tables {
            rows.extend(scratch.rows(table.id).into_iter().map(|(key, stood)| ((table.id, key), stood)));
        }
        let mut dead = BTreeMap::new();
        for letter in scratch.dead_letters()? {
            *dead.entry((letter.table.unwrap_or_default(), letter.stage, letter.code)).or_default() += 1;
        }
        Ok(Played { rows, decisions: scratch.decisions()?, parked: scratch.parked()?, dead, took })
    }
}

/// What a recorded message turned out to be.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its place among the messages.
    pub message: usize,
    /// Its key.
    pub key: Key,
    /// The source's name.
    pub source: String,
    /// What it does.
    pub op: Op,
    /// Commit time, microseconds.
    pub at: i64,
}

/// The changes in the messages; what is none, or does not decode, is left out.
#[must_use]
pub fn changes(rules: &Rules, messages: &[Delivery]) -> Vec<Change> {
    let numbered = (1..).zip(messages).map(|(sequence, message)| Delivery { sequence, ..message.clone() });
    let batch =
        rules.decoder.decode(Pulled { deliveries: numbered.collect(), scanned: messages.len() as u64 });
    let mut found = Vec::new();
    for table in &batch.tables {
        for (row, change) in table.changes.iter().enumerate() {
            found.push(Change {
                message: batch.items[change.item as usize].delivery as usize,
                key: (table.table, table.key(row).to_vec()),
                source: rules.plan.names.get(change.source).to_string(),
                op: change.op,
                at: change.at,
            });
        }
    }
    found.sort_by_key(|change| change.message);
    found
}

/// The streams that the messages came in: which of them each belongs to. Of one, the order is kept. Told by the subject
/// without schema and table, which is the source and its partition.
#[must_use]
pub fn streams(messages: &[Delivery]) -> Vec<Vec<usize>> {
    let mut streams: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, message) in messages.iter().enumerate() {
        let mut ends = message.subject.rmatch_indices('.').map(|(end, _)| end);
        let end = ends.nth(1).unwrap_or(message.subject.len());
        streams.entry(&message.subject[..end]).or_default().push(at);
    }
    streams.into_values().collect()
}

/// An order by chance that keeps that of each stream.
#[must_use]
pub fn order(streams: &[Vec<usize>], dice: &mut Dice) -> Vec<usize> {
    let mut left: Vec<_> = streams.iter().map(|stream| stream.iter().copied()).collect();
    let lengths: Vec<usize> = streams.iter().map(Vec::len).collect();
    dice.interleave(&lengths).into_iter().filter_map(|stream| left[stream].next()).collect()
}

#[cfg(test)]
mod tests {
    use reconverge_streams::headers::Headers;

    use super::*;

    #[test]
    fn orders_keep_that_of_each_stream() {
        let message = |subject: &str| Delivery {
            sequence: 0,
            subject: subject.into(),
            headers: Headers::default(),
            payload: bytes::Bytes::new(),
            published_at: 0,
        };
        let messages = ["east.public.a", "west.public.a", "east.public.b", "east.public.a", "west.public.b"]
            .map(message);
        let streams = streams(&messages);
        assert_eq!(streams, [vec![0, 2, 3], vec![1, 4]]);
        for seed in 0..20 {
            let order = order(&streams, &mut Dice::new(seed));
            let place = |m| order.iter().position(|o| *o == m).unwrap();
            assert!(place(0) < place(2) && place(2) < place(3) && place(1) < place(4), "{order:?}");
        }
    }
}
