//! Which of a partition's messages are one lane's.
//!
//! Every lane of a partition reads all of its messages and asks the same question of each: whose is the table that the
//! envelope names? So each message is exactly one lane's, whatever its subject says. What names no table of the plan
//! (control messages, unlisted tables, what cannot be read) is the rest, and the rest is one lane's too.

use reconverge_streams::table::TableId;

use super::refusal::Aside;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// By table; `None`: all of them.
    tables: Option<Vec<bool>>,
    rest: bool,
}

impl Share {
    /// Everything: a partition with one lane.
    #[must_use]
    pub fn all() -> Self {
        Share { tables: None, rest: true }
    }

    /// These tables, by their place in the plan, and the rest or not.
    #[must_use]
    pub fn of(tables: Vec<bool>, rest: bool) -> Self {
        Share { tables: Some(tables), rest }
    }

    /// Whether a change of this table is the lane's.
    pub(super) fn has(&self, table: TableId) -> bool {
        self.tables.as_ref().is_none_or(|tables| tables.get(table.index()).copied().unwrap_or(self.rest))
    }

    /// The same for a message that brings no change.
    pub(super) fn has_aside(&self, aside: &Aside) -> bool {
        match aside {
            Aside::Settled(_) => self.rest,
            Aside::Refused(refusal) => refusal.table.map_or(self.rest, |table| self.has(table)),
        }
    }
}
