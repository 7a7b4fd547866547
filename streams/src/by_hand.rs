//! What an operator asks for of what is kept beside: to release it, or to discard it.
//!
//! The word stands with the row in `parked`, durably. The lane that keeps the row does what is asked between two of its
//! batches, in a transaction of its own; so nobody writes beside a lane, whether it runs or not.

use std::sync::Arc;

use crate::{names::NameId, position::Position, table::TableId};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// What waits on time is decided now; a row that waits for its parent is put in without it.
    Release,
    /// It goes, and a closed dead letter says so.
    Discard,
}

impl Hand {
    /// The word in `parked.asked`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Hand::Release => "release",
            Hand::Discard => "discard",
        }
    }

    /// What a word asks for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Hand::Release, Hand::Discard].into_iter().find(|hand| hand.word() == word)
    }
}

/// The operator's word about all that is kept under one key.
#[derive(Clone, Debug)]
pub struct HandWord {
    /// The pipeline, whose lanes keep it.
    pub pipeline: String,
    /// The table, as the sink calls it.
    pub table: String,
    /// The canonical key.
    pub key: Vec<u8>,
    /// What is asked for.
    pub hand: Hand,
    /// Who asks.
    pub by: String,
    /// Why.
    pub note: Option<String>,
}

/// Something asked for, as the lane reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The table.
    pub table: TableId,
    /// The canonical key.
    pub key: Vec<u8>,
    /// The sequence that it is kept under.
    pub sequence: u64,
    /// Whether it is a change that waits on time, and not a row that waits for its parent.
    pub waits_on_time: bool,
    /// What is asked for.
    pub hand: Hand,
    /// Who asked.
    pub by: String,
    /// Why.
    pub note: Option<String>,
    /// Where the change was published, where that is known.
    pub subject: Option<String>,
    /// The source of the change; `None` where this process knows too many names.
    pub source: Option<NameId>,
    /// Its position.
    pub position: Position,
    /// The lane that counts it as kept, where that is another one.
    pub counted_by: Option<Arc<str>>,
    /// The bytes that are kept: of a row its JSON, of a change the host's own form.
    pub kept: Vec<u8>,
}

/// What is read at a time.
pub const ORDERS_MAX: u32 = 100;
