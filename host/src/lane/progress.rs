//! How each lane is: for `/ready`, metrics and the progress of a run. Told by the lane, read by anyone; nothing
//! is decided by it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use dashmap::DashMap;
use reconverge_streams::{checkpoint::Checkpoint, source::StreamFacts};

use super::{Alarms, Ends};

/// The registry of a process's lanes, by the lane's name.
pub type Lanes = DashMap<String, Arc<Progress>>;

/// What a lane is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneState {
    /// Not yet claimed.
    Starting,
    /// Claimed and working.
    Running,
    /// Trying again after a pause; why.
    Waiting(String),
    /// Ended as it was told.
    Stopped,
    /// Ended by an error.
    Failed(String),
    /// Another process has it.
    Elsewhere,
}

/// One lane.
#[derive(Debug)]
pub struct Progress {
    lane: String,
    state: Mutex<LaneState>,
    sequence: AtomicU64,
    stream_last: AtomicU64,
    delivered: AtomicU64,
    claimed: AtomicBool,
    /// Whether the sink has said how far the lane is.
    known: AtomicBool,
    alarms: Alarms,
    ends: Ends,
}

impl Progress {
    /// A lane that has not begun.
    #[must_use]
    pub fn new(lane: String) -> Self {
        Progress {
            ends: Ends::new(lane.clone()),
            lane,
            state: Mutex::new(LaneState::Starting),
            sequence: AtomicU64::new(0),
            stream_last: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            claimed: AtomicBool::new(false),
            known: AtomicBool::new(false),
            alarms: Alarms::default(),
        }
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> LaneState {
        self.state.lock().expect("no holder panics").clone()
    }

    /// A lane that waited works again.
    pub(super) fn goes_on(&self) {
        if matches!(self.state(), LaneState::Waiting(_)) {
            self.set(LaneState::Running);
        }
    }

    /// Everything up to here has a disposition.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// The stream's last sequence when the lane was claimed.
    #[must_use]
    pub fn stream_last(&self) -> u64 {
        self.stream_last.load(Ordering::Relaxed)
    }

    /// Changes delivered, all runs together.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Whether the lane is claimed, so that its lease is to be kept.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Relaxed)
    }

    /// Another process has the lane, and is that far.
    pub fn elsewhere(&self, checkpoint: Option<&Checkpoint>) {
        if let Some(checkpoint) = checkpoint {
            self.committed(checkpoint);
        }
        self.set(LaneState::Elsewhere);
    }

    /// The lane ended by an error.
    pub fn failed(&self, error: &str) {
        self.given_up();
        self.set(LaneState::Failed(error.to_owned()));
    }

    pub(super) fn given_up(&self) {
        self.claimed.store(false, Ordering::Relaxed);
    }

    /// What an operator should look at.
    #[must_use]
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// How its source and its sink are.
    #[must_use]
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Payload bytes that are decoded and not committed.
    pub(super) fn in_flight(&self, bytes: usize) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float; a batch is far below 2^53 bytes"
        )]
        metrics::gauge!("reconverge_in_flight_bytes", "lane" => self.lane.clone()).set(bytes as f64);
    }

    /// How far the lane is, once the sink has said so.
    pub(super) fn known_sequence(&self) -> Option<u64> {
        self.known.load(Ordering::Acquire).then(|| self.sequence())
    }

    pub(super) fn lane(&self) -> &str {
        &self.lane
    }

    pub(super) fn set(&self, state: LaneState) {
        let running = f64::from(u8::from(state == LaneState::Running));
        *self.state.lock().expect("no holder panics") = state;
        metrics::gauge!("reconverge_lane_running", "lane" => self.lane.clone()).set(running);
    }

    pub(super) fn claimed(&self, checkpoint: &Checkpoint, facts: &StreamFacts) {
        self.stream_last.store(facts.last, Ordering::Relaxed);
        self.claimed.store(true, Ordering::Relaxed);
        self.committed(checkpoint);
        self.set(LaneState::Running);
    }

    pub(super) fn committed(&self, checkpoint: &Checkpoint) {
        self.sequence.store(checkpoint.sequence, Ordering::Relaxed);
        self.delivered.store(checkpoint.delivered, Ordering::Relaxed);
        self.known.store(true, Ordering::Release);
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; sequences stay below 2^53")]
        let sequence = checkpoint.sequence as f64;
        metrics::gauge!("reconverge_lane_sequence", "lane" => self.lane.clone()).set(sequence);
        if let Some(at) = checkpoint.committed_at {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a gauge is a float; a millisecond is fine enough for lag"
            )]
            let seconds = (at / 1000) as f64 / 1000.0;
            metrics::gauge!("reconverge_lane_newest_change_seconds", "lane" => self.lane.clone())
                .set(seconds);
        }
    }
}
