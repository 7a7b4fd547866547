//! What is kept for a time only: history, and the tombstones of rows that are gone. Looked after between batches, in
//! bounded steps.
//!
//! A tombstone is what an older change of its key is compared with, so it stays until no such change can come: until every
//! source of every lane has passed its commit time, and a retention is over. What comes even then is known as too old by
//! the table's horizon ([`crate::standing::StandingTable::too_old_through`]), and never brings a deleted row back.

use crate::{names::NameId, position::Micros};

/// What a lane asks of the sink, between batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Days that conflicts stay in the history, at least 1.
    pub history_days: u32,
    /// How long a tombstone or an absence stays at least, in microseconds of the sink's clock.
    pub tombstones: Micros,
    /// Per source of this lane: everything that it committed before this time has been applied.
    pub passed: Vec<(NameId, Micros)>,
    /// Tombstones that one transaction removes, at most.
    pub limit: u32,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Tombstones and absences removed.
    pub tombstones: u64,
    /// Up to which commit time tombstones may go at present; `None` while a lane has not told how far its sources are.
    pub passed_by_all: Option<Micros>,
}
