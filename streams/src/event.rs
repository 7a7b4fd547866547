//! What tells the changes of a source apart that gives them no position: the id of the event.
//!
//! A sink keeps the ids that it has seen for a day, in the transaction that made them take effect. Stands between
//! `begin`, which asks for the ids of a batch, and `commit`, which adds the new ones.

use std::sync::Arc;

use crate::{names::NameId, table::TableId};

/// How long a seen event is kept, in hours. One that comes again later counts as new.
pub const KEPT_HOURS: u32 = 24;

/// One event of one source, as one table meets it. Two tables may bear changes of the same id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    /// The table of its change.
    pub table: TableId,
    /// Its source.
    pub source: NameId,
    /// Its id: at most 200 bytes, without NUL.
    pub id: Arc<str>,
}

/// How well the changes of a source can be told apart, and so what a publisher that repeats itself costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Each has a position: repetitions and older changes are told for ever.
    A,
    /// Each has an id: repetitions are told for [`KEPT_HOURS`].
    B,
    /// Neither: a change that is published again takes effect again.
    C,
}

impl Grade {
    /// The letter in `source.grade`.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Grade::A => 'A',
            Grade::B => 'B',
            Grade::C => 'C',
        }
    }

    /// The grade behind a letter.
    #[must_use]
    pub fn of(letter: char) -> Option<Grade> {
        [Grade::A, Grade::B, Grade::C].into_iter().find(|grade| grade.letter() == letter)
    }
}
