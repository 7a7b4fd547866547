//! What must hold at each step, watched from beside: the serial oracle takes the messages of each commit at the moment
//! at which it took effect, and what the sink holds then must be what the oracle says.
//!
//! Checked at every commit: the ledger balances and counts each message once (promise 1); nothing takes effect twice
//! and nothing is skipped, since each commit begins where the last one ended (2); the rows are those of the serial
//! order, key by key (3); a row is in the sink exactly if all its parents are, and is kept beside otherwise (5); the
//! commit is one of the newest owner (9).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reconverge_oracle::{Fate, Message, Oracle, Row};
use reconverge_streams::{
    checkpoint::Checkpoint,
    disposition::{Counts, Disposition},
    records::Records,
};
use tokio::sync::Notify;

use crate::{
    place::{Place, kept},
    scenario::{Event, REGION, Scenario},
    sink::{Looking, Witness},
};

/// How often, and how long after each other, is looked at what the lanes have to find by themselves: longer than a process
/// that died is waited for.
const LOOKS: u32 = 120;
const LOOK: Duration = Duration::from_secs(1);

/// See the module.
pub struct Truth<P: Place> {
    place: Arc<P>,
    tables: usize,
    /// The application writes rows that others wait for: all is as it must be when the lanes have looked.
    is_late: bool,
    known: Mutex<Known>,
    /// Everything was published and has a disposition.
    done: Notify,
}

struct Known {
    oracle: Oracle,
    /// The stream: sequence and partition of every message.
    stream: Vec<(u64, u32, Message)>,
    published_all: bool,
    lanes: HashMap<u32, LaneKnown>,
    wrong: Option<String>,
}

/// The rows that are kept beside, and whether each is orphaned.
type Kept = BTreeMap<reconverge_oracle::Key, (Row, bool)>;

/// What is known of a lane.
#[derive(Default)]
struct LaneKnown {
    /// The epoch of its newest claim.
    epoch: i64,
    /// Everything up to here has taken effect.
    sequence: u64,
    /// Changes that have.
    delivered: u64,
}

impl<P: Place> Truth<P> {
    /// Before anything happened.
    #[must_use]
    pub fn new(scenario: &Scenario, place: Arc<P>) -> Truth<P> {
        let known = Known {
            oracle: Oracle::new(scenario.tables.clone(), REGION),
            stream: Vec::new(),
            published_all: false,
            lanes: (0..scenario.partitions).map(|p| (p, LaneKnown::default())).collect(),
            wrong: None,
        };
        let has_family = scenario.tables.iter().any(|table| !table.parents.is_empty());
        let is_local = scenario.steps.iter().any(|step| matches!(step.event, Event::Local { .. }));
        let is_late = has_family && is_local;
        Truth { place, tables: scenario.tables.len(), is_late, known: Mutex::new(known), done: Notify::new() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream has taken a message.
    pub fn published(&self, sequence: u64, partition: u32, message: Message) {
        self.known().stream.push((sequence, partition, message));
    }

    /// Nothing more will be published.
    pub fn published_all(&self) {
        self.known().published_all = true;
        self.end_if_done();
    }

    /// The application has written a row.
    pub fn written_locally(&self, table: usize, row: &Row) {
        self.known().oracle.write_locally(table, row.clone());
    }

    /// Everything up to here has taken effect in every lane.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.known().lanes.values().map(|lane| lane.sequence).min().unwrap_or_default()
    }

    /// Ends when all is done, or something is wrong.
    pub async fn ended(&self) {
        self.done.notified().await;
        for _ in 0..LOOKS {
            if !self.is_late || self.wrong().is_some() || self.difference().await.is_none() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The first thing that was wrong.
    #[must_use]
    pub fn wrong(&self) -> Option<String> {
        self.known().wrong.clone()
    }

    /// Something is wrong.
    pub fn accuse(&self, what: String) {
        self.known().wrong.get_or_insert(what);
        self.done.notify_one();
    }

    /// Compares what the sink holds with what the oracle says.
    pub async fn compare(&self) {
        if let Some(wrong) = self.difference().await {
            self.accuse(wrong);
        }
    }

    async fn difference(&self) -> Option<String> {
        let rows = self.place.rows(self.tables).await;
        let expected = self.known().oracle.visible();
        if rows != expected {
            return Some(format!("in the sink: {rows:?}\n     must be: {expected:?}"));
        }
        let sink = self.place.sink().await;
        // What is kept and what is counted, of one moment.
        let (found, checkpoints) = loop {
            let before = sink.checkpoints(None).await.unwrap_or_default();
            let found = kept(&*sink).await;
            let after = sink.checkpoints(None).await.unwrap_or_default();
            if before == after {
                break (found, after);
            }
        };
        let known = self.known();
        let expected = known.oracle.kept();
        let rows: Vec<_> = found.iter().map(|(key, (row, _))| (key, row)).collect();
        let wrong = if rows == expected.iter().collect::<Vec<_>>() {
            None
        } else {
            Some(format!("kept beside: {rows:?}\n    must be: {expected:?}"))
        };
        wrong.or_else(|| ledger(&known, &found, &checkpoints))
    }

    fn end_if_done(&self) {
        let known = self.known();
        let rest = |partition: &u32| {
            let last = known.stream.iter().rev().find(|(_, p, _)| p == partition);
            last.map_or(0, |(sequence, ..)| *sequence)
        };
        if known.published_all && known.lanes.iter().all(|(p, lane)| lane.sequence >= rest(p)) {
            self.done.notify_one();
        }
    }
}

impl Known {
    /// The oracle takes what a lane has made of the stream by now. Returns where the lane stood, and how many changes
    /// were delivered to it in all.
    fn take_up_to(&mut self, partition: u32, checkpoint: &Checkpoint) -> (u64, u64) {
        let lane = self.lanes.entry(partition).or_default();
        let from = lane.sequence;
        for (sequence, of, message) in &self.stream {
            if *of == partition && (from + 1..=checkpoint.sequence).contains(sequence) {
                lane.delivered += self.oracle.take(partition as usize, message).len() as u64;
            }
        }
        lane.sequence = checkpoint.sequence;
        (from, lane.delivered)
    }
}

/// The ledger beside the oracle's fates. A row that waits counts as waiting, whatever brought it.
fn ledger(known: &Known, kept: &Kept, checkpoints: &[Checkpoint]) -> Option<String> {
    let mut counts = Counts::default();
    checkpoints.iter().for_each(|lane| counts.add_all(&lane.counts));
    let found = |of: &[Disposition]| of.iter().map(|d| counts.get(*d)).sum::<u64>();
    let must = |of: &[Fate]| of.iter().map(|f| known.oracle.count(*f)).sum::<u64>();
    let pairs = [
        (found(&[Disposition::Applied, Disposition::Parked, Disposition::Orphaned]), must(&[Fate::Applied])),
        (found(&[Disposition::Deleted, Disposition::NoOp]), must(&[Fate::Deleted, Fate::NoOp])),
        (found(&[Disposition::KeptCurrent]), must(&[Fate::KeptCurrent])),
        (found(&[Disposition::Duplicate]), must(&[Fate::Duplicate])),
        (found(&[Disposition::Regressed]), must(&[Fate::Regressed])),
        (found(&[Disposition::Filtered]), must(&[Fate::Filtered])),
        (found(&[Disposition::Suppressed]), must(&[Fate::Suppressed])),
        (found(&[Disposition::DeadLettered]), must(&[Fate::DeadLettered])),
        (found(&[Disposition::Control]), must(&[Fate::Control])),
        (found(&[Disposition::Echo]), must(&[Fate::Echo])),
        (found(&[Disposition::Unlisted]), must(&[Fate::Unlisted])),
    ];
    if let Some(wrong) = pairs.iter().position(|(found, must)| found != must) {
        let present: Vec<_> = counts.present().collect();
        let (found, must) = pairs[wrong];
        return Some(format!("count {wrong} of the ledger is {found} and must be {must}: {present:?}"));
    }
    checkpoints.iter().find_map(|lane| waiting(lane, kept, known.lanes.len() as u64))
}

/// A lane's rows that wait, whichever lane keeps them: in its ledger, which a parent in another lane cannot put wrong.
fn waiting(lane: &Checkpoint, kept: &Kept, partitions: u64) -> Option<String> {
    let partition: u64 = lane.lane.rsplit('/').next()?.parse().ok()?;
    let its_own = |key: &&reconverge_oracle::Key| key.1.unsigned_abs() % partitions == partition;
    let of =
        |orphaned: bool| kept.iter().filter(|(key, kept)| kept.1 == orphaned && its_own(key)).count() as u64;
    let found = [Disposition::Parked, Disposition::Orphaned].map(|d| lane.counts.get(d));
    let must = [of(false), of(true)];
    let name = &lane.lane;
    (found != must)
        .then(|| format!("lane {name} counts {found:?} as parked and orphaned, and keeps {must:?}"))
}

impl<P: Place> Witness for Truth<P> {
    fn claimed(&self, partition: u32, checkpoint: &Checkpoint) {
        let mut known = self.known();
        let lane = known.lanes.entry(partition).or_default();
        let (epoch, sequence) = (lane.epoch, lane.sequence);
        lane.epoch = checkpoint.epoch;
        // A process that died while its commit was under way never told of it; in memory nothing is under way.
        let untold = checkpoint.sequence > sequence && !self.place.is_exact();
        if untold {
            known.take_up_to(partition, checkpoint);
        }
        drop(known);
        if checkpoint.epoch <= epoch || checkpoint.sequence != sequence && !untold {
            self.accuse(format!(
                "lane {partition} was claimed at {checkpoint:?}, after epoch {epoch} and sequence {sequence}"
            ));
        }
    }

    fn wrote(&self, partition: u32, before: &Checkpoint, after: &Checkpoint) {
        let mut known = self.known();
        let (from, delivered) = known.take_up_to(partition, after);
        let epoch = known.lanes[&partition].epoch;
        let sum = (after.delivered, after.counts.sum());
        let wrong = if after.epoch != epoch {
            Some(format!("an owner of epoch {} wrote after epoch {epoch} was given out", after.epoch))
        } else if before.sequence != from {
            Some(format!("lane {partition} stood at {from}, and a commit began at {}", before.sequence))
        } else if sum != (delivered, delivered) {
            Some(format!("{delivered} changes were delivered, the ledger says {sum:?}"))
        } else {
            None
        };
        drop(known);
        if let Some(wrong) = wrong {
            self.accuse(wrong);
        }
        self.end_if_done();
    }

    fn look(&self) -> Looking<'_> {
        Box::pin(async {
            if self.place.is_exact() && !self.is_late {
                self.compare().await;
            }
        })
    }
}
