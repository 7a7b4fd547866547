//! The epochs of sources that a batch knows: which run of its positions a source is in, by stream sequence. A value;
//! `decode` reads the control messages that begin one, and places changes.

use reconverge_streams::{epoch::EpochStart, names::NameId};

/// The beginnings of epochs that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs(Vec<EpochStart>);

impl Epochs {
    /// Those that the sink knows.
    #[must_use]
    pub fn new(starts: Vec<EpochStart>) -> Self {
        Epochs(starts)
    }

    /// The epoch of a source at a sequence; 0 where none has begun.
    #[must_use]
    pub fn at(&self, source: NameId, sequence: u64) -> i32 {
        let begun = self.0.iter().filter(|s| s.source == source && s.from_sequence <= sequence);
        begun.map(|s| s.epoch).max().unwrap_or(0)
    }

    /// From now on this is known too.
    pub fn begin(&mut self, start: EpochStart) {
        self.0.push(start);
    }

    /// Learns what the sink knows by now; whether any of it is new.
    pub fn learn(&mut self, starts: &[EpochStart]) -> bool {
        let known = self.0.len();
        for start in starts {
            if !self.0.contains(start) {
                self.0.push(*start);
            }
        }
        self.0.len() > known
    }
}
