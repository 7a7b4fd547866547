//! Changes that wait on time and not on a row: of a source whose clock is ahead, or of a table that is paused.
//!
//! Such a change is kept in `parked` before anything was decided about it: for a sink it is bytes under a table, a key
//! and a sequence. The lane that keeps it releases it, in stream order, through a batch like any other. Where a table
//! is paused is said here too, since that is what most of them wait for.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    names::NameId,
    position::{Micros, Position},
    table::TableId,
};

/// Why a change waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// Its commit time is ahead of the stream's own time by more than is allowed.
    Skew,
    /// Its table is paused.
    Paused,
}

impl Why {
    /// The word in `parked.why`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Why::Skew => "skew",
            Why::Paused => "paused",
        }
    }

    /// The reason behind a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Why::Skew, Why::Paused].into_iter().find(|why| why.word() == word)
    }
}

/// Names one change that waits on a lane. Two halves of a key change have one sequence and two keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WaitingId {
    /// The stream sequence that it was delivered with.
    pub sequence: u64,
    /// Its table.
    pub table: TableId,
    /// Its canonical key; empty where that could not be read.
    pub key: Vec<u8>,
}

/// A change to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingWrite {
    /// Which one.
    pub id: WaitingId,
    /// Why it waits.
    pub why: Why,
    /// Until when, where that is known: microseconds since 1970.
    pub until: Option<Micros>,
    /// Its source.
    pub source: NameId,
    /// Its position; all zero for a source without positions.
    pub position: Position,
    /// The other key of a key change, whose halves wait together.
    pub moved: Option<Vec<u8>>,
    /// The change in the host's own form. A sink never looks into it.
    pub change: Vec<u8>,
}

/// A change that waits, as the sink has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// Which one.
    pub id: WaitingId,
    /// Why it waits.
    pub why: Why,
    /// Until when, where that is known.
    pub until: Option<Micros>,
    /// Its source; `None` where this process knows too many names.
    pub source: Option<NameId>,
    /// Its position.
    pub position: Position,
    /// The other key of a key change.
    pub moved: Option<Vec<u8>>,
    /// Since when, by the sink's clock.
    pub parked_at: Micros,
    /// How often it was released in vain.
    pub attempts: u32,
    /// The lane that counts it as parked, where that is another one: its table went from lane to lane.
    pub counted_by: Option<Arc<str>>,
    /// [`WaitingWrite::change`], where it was asked for.
    pub change: Vec<u8>,
}

/// Which of the lane's waiting changes are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitingWanted {
    /// All, without their bytes.
    All,
    /// Those of these sequences, with their bytes.
    Sequences(Vec<u64>),
}

/// How much a lane keeps beside, of one table and for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depth {
    /// The table.
    pub table: TableId,
    /// `parent`, `orphaned`, `skew` or `paused`.
    pub why: String,
    /// How many rows or changes.
    pub rows: u64,
    /// Since when the oldest of them is kept.
    pub oldest_at: Micros,
}

/// A table that is paused: nothing is read from it or written to it, and its changes wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paused {
    /// The table.
    pub table: TableId,
    /// Why, for a person.
    pub reason: String,
}

/// Tables that a claim leaves alone: those that are paused, and those that are bound to one by `depends_on`.
pub type Aside = BTreeSet<TableId>;
