//! The boundary between the pure core and whoever decides: plugins, or plain closures in tests.
//!
//! `prepare` runs before the transaction (residency, filter, mapping), `merge` inside it. Neither does IO, and
//! both answer for every row: a plugin that fails costs its own change.

use std::sync::Arc;

use reconverge_streams::{
    columns::Columns,
    names::{NameId, Names},
    position::Micros,
};

use crate::{
    batch::{Batch, Change, Refusal},
    plan::{Plan, TablePlan},
};

/// Where a row's cells lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arena {
    /// [`crate::batch::TableBatch::after`].
    After,
    /// [`crate::batch::TableBatch::before`].
    Before,
    /// [`reconverge_streams::standing::StandingTable::rows`].
    Standing,
    /// Rows that resolve put together.
    Composed,
}

/// A row in one of the arenas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRef {
    /// Which one.
    pub arena: Arena,
    /// The row in it.
    pub row: u32,
}

/// The arenas of one table. All have the table's columns in the plan's order; `standing` may lack the columns
/// that only the source has.
#[derive(Clone, Copy, Debug)]
pub struct Arenas<'a> {
    /// See [`Arena::After`].
    pub after: &'a Columns,
    /// See [`Arena::Before`].
    pub before: &'a Columns,
    /// See [`Arena::Standing`].
    pub standing: &'a Columns,
    /// See [`Arena::Composed`].
    pub composed: &'a Columns,
}

impl<'a> Arenas<'a> {
    /// The columns that a row lies in.
    #[must_use]
    pub fn of(&self, arena: Arena) -> &'a Columns {
        match arena {
            Arena::After => self.after,
            Arena::Before => self.before,
            Arena::Standing => self.standing,
            Arena::Composed => self.composed,
        }
    }
}

/// An incoming change beside what stands.
#[derive(Clone, Copy, Debug)]
pub struct Contest {
    /// Row of the change in its [`crate::batch::TableBatch`].
    pub change: u32,
    /// The incoming row; of a delete under `deletes = "ordered"` its before image.
    pub incoming: RowRef,
    /// The row that stands, or the order columns of a tombstone or absence.
    pub current: RowRef,
    /// Whether a row stands (false: tombstone or absence).
    pub current_live: bool,
    /// Origin of what stands.
    pub current_origin: NameId,
    /// Commit time of what stands; `None` where unknown.
    pub current_at: Option<Micros>,
}

/// One merge call: the contests of one round of one table.
#[derive(Clone, Copy, Debug)]
pub struct Contests<'a> {
    /// The table.
    pub table: &'a TablePlan,
    /// All changes of the table's batch; [`Contest::change`] is an index.
    pub changes: &'a [Change],
    /// Where the rows lie.
    pub arenas: Arenas<'a>,
    /// The contests, each of another key, in stream order.
    pub rows: &'a [Contest],
    /// Origins by name.
    pub names: &'a Names,
}

/// What merge says of a contest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Who stands.
    pub verdict: Verdict,
    /// Whether the author asks to archive the loser.
    pub archive: bool,
    /// Why, in the author's words: index into [`Rulings::reasons`]. A number, because a shared text would be counted up
    /// and down for each ruling, which costs as much as all else that is done for it.
    pub reason: Option<u32>,
}

/// See [`Ruling`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What stands stays.
    Keep,
    /// The incoming change stands.
    Take,
    /// The incoming row stands with the written columns of this row of [`Rulings::written`] in place.
    Write(u32),
    /// No row stands.
    Delete,
    /// The change is a dead letter: rejected by the author, or the plugin failed on it.
    Refuse(Box<Refusal>),
}

/// The answer to [`Contests`].
#[derive(Debug, Default)]
pub struct Rulings {
    /// One per contest, in order.
    pub rulings: Vec<Ruling>,
    /// What the rulings give as reasons.
    pub reasons: Vec<Arc<str>>,
    /// Written columns; empty where the contract writes none.
    pub written: Columns,
    /// The table column index of each written column.
    pub written_columns: Vec<usize>,
}

impl Rulings {
    /// Why a ruling is as it is.
    #[must_use]
    pub fn reason(&self, ruling: &Ruling) -> Option<&Arc<str>> {
        self.reasons.get(ruling.reason? as usize)
    }
}

/// What the stages before the transaction say of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Passed {
    /// It goes on.
    #[default]
    Keep,
    /// Residency lets it go.
    Suppressed,
    /// A filter lets it go.
    Filtered,
    /// A dead letter.
    Refused(Refusal),
}

/// Per table of the batch, per row: what the stages said. `residency_passed` tells whether a refused change's
/// bytes may be kept.
#[derive(Debug, Default)]
pub struct Prepared {
    /// In the order of [`Batch::tables`].
    pub tables: Vec<PreparedTable>,
}

impl Prepared {
    /// Of a batch about which nothing was said yet: everything goes on.
    #[must_use]
    pub fn all(batch: &Batch) -> Self {
        let untouched =
            |rows| PreparedTable { passed: vec![Passed::Keep; rows], residency_passed: vec![true; rows] };
        Prepared { tables: batch.tables.iter().map(|table| untouched(table.changes.len())).collect() }
    }
}

/// See [`Prepared`].
#[derive(Debug, Default)]
pub struct PreparedTable {
    /// One per change.
    pub passed: Vec<Passed>,
    /// One per change: no residency rule is bound to its table, or one has passed it as it is.
    pub residency_passed: Vec<bool>,
}

/// Whoever decides.
pub trait Stages: Send {
    /// Residency, filter and mapping over a whole batch, in that order. Writes redacted and mapped columns in
    /// place in [`crate::batch::TableBatch::after`]; a redacted column is taken out of `before` too.
    fn prepare(&mut self, batch: &mut Batch, plan: &Plan) -> Prepared {
        let admitted = self.admit(batch, plan, Prepared::all(batch));
        self.refine(batch, plan, admitted)
    }

    /// The first half of [`Stages::prepare`]: residency, of the changes that `known` keeps.
    fn admit(&mut self, _batch: &mut Batch, _plan: &Plan, known: Prepared) -> Prepared {
        known
    }

    /// The second half: filter and mapping, of the changes that residency let by.
    fn refine(&mut self, _batch: &mut Batch, _plan: &Plan, admitted: Prepared) -> Prepared {
        admitted
    }

    /// Merge of one round of one table.
    fn merge(&mut self, contests: &Contests<'_>) -> Rulings;

    /// Calls that failed so far: traps, limits, bad answers and errors. Of plain closures there are none.
    fn faults(&self) -> u64 {
        0
    }
}
