//! Changes that wait, beside the oracle: whoever waits for whatever, in whatever batches, the end is as if nobody had.

use std::collections::BTreeMap;

use proptest::prelude::*;
use reconverge_streams::{disposition::Disposition, table::TableId};

use crate::{
    batch::ItemKind,
    waiting::{Queue, hold},
};

use super::{
    history::{Event, Policy, histories, redeliver},
    model::ModelSink,
    oracle::Oracle,
};

/// A lane in front of a model sink.
struct Lane {
    sink: ModelSink,
    queue: Queue,
    /// By sequence.
    waiting: BTreeMap<u64, Event>,
    settled: Vec<Disposition>,
    sequence: u64,
}

impl Lane {
    /// Takes a batch; of each change whether its clock is ahead.
    fn pull(&mut self, events: &[(Event, bool)]) {
        let plain: Vec<Event> = events.iter().map(|(event, _)| event.clone()).collect();
        let (mut batch, mut prepared) = self.sink.batch(&plain);
        for (i, (_, ahead)) in events.iter().enumerate() {
            self.sequence += 1;
            batch.deliveries[i].sequence = self.sequence;
            batch.tables[0].changes[i].published_at -= i64::from(*ahead);
        }
        let writes = hold(&mut batch, &mut prepared, &self.queue, self.sink.plan());
        for write in &writes {
            self.queue.add(write, self.sink.plan());
        }
        let mut going = Vec::new();
        for (item, event) in batch.items.iter().zip(plain) {
            match item.kind {
                ItemKind::Held(_, Disposition::Parked) => {
                    self.waiting.insert(batch.deliveries[item.delivery as usize].sequence, event);
                }
                ItemKind::Held(_, disposition) => self.settled.push(disposition),
                _ => going.push(event),
            }
        }
        assert_eq!(batch.tables.iter().map(|t| t.changes.len()).sum::<usize>(), going.len());
        if !going.is_empty() {
            self.sink.apply(&going);
        }
    }

    fn release(&mut self, now: i64) {
        loop {
            let due = self.queue.due(now, 2, self.sink.plan());
            if due.is_empty() {
                return;
            }
            let events: Vec<Event> =
                due.iter().map(|id| self.waiting.remove(&id.sequence).expect("it waits")).collect();
            due.iter().for_each(|id| self.queue.remove(id, self.sink.plan()));
            self.sink.apply(&events);
        }
    }
}

/// A repetition is told by what waits, which may be older than what the version has seen: which of the two words it gets
/// is no promise.
fn old(disposition: Disposition) -> Disposition {
    if disposition == Disposition::Duplicate { Disposition::Regressed } else { disposition }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// A change that waits has not arrived yet: its key's changes are decided in stream order, and the end is the oracle's.
    #[test]
    fn waiting_changes_end_like_the_serial_oracle(
        policy in prop::sample::select(Policy::ALL.to_vec()),
        history in histories(),
        again in prop::collection::vec((any::<usize>(), any::<usize>()), 0..4),
        ahead in prop::collection::vec(prop::bool::weighted(0.3), 32),
        steps in prop::collection::vec((1..6_usize, 0..20_i64, prop::bool::weighted(0.2)), 32),
    ) {
        let history = redeliver(&history, &again);
        let mut lane = Lane {
            sink: ModelSink::new(policy),
            queue: Queue::default(),
            waiting: BTreeMap::new(),
            settled: Vec::new(),
            sequence: 0,
        };
        let mut left: &[Event] = &history;
        let (mut now, mut taken) = (80, 0);
        for &(rows, passes, paused) in steps.iter().cycle() {
            if left.is_empty() {
                break;
            }
            if paused {
                let plan = lane.sink.plan();
                lane.queue.pause(TableId(0), "by hand".into(), plan);
            } else {
                let plan = lane.sink.plan();
                lane.queue.paused_are(Vec::new(), plan);
            }
            let (batch, rest) = left.split_at(rows.min(left.len()));
            let events: Vec<(Event, bool)> =
                batch.iter().enumerate().map(|(i, e)| (e.clone(), ahead[(taken + i) % ahead.len()])).collect();
            taken += batch.len();
            left = rest;
            lane.pull(&events);
            now += passes;
            lane.release(now);
        }
        let plan = lane.sink.plan();
        lane.queue.paused_are(Vec::new(), plan);
        lane.release(i64::MAX);
        prop_assert!(lane.queue.is_empty() && lane.waiting.is_empty());
        let mut oracle = Oracle::new(policy);
        let mut expected: Vec<_> = history.iter().map(|e| old(oracle.take(e))).collect();
        prop_assert_eq!(lane.sink.rows(), oracle.rows());
        let mut found: Vec<_> = lane.sink.dispositions().iter().copied().chain(lane.settled).map(old).collect();
        expected.sort_unstable();
        found.sort_unstable();
        prop_assert_eq!(found, expected);
    }
}
