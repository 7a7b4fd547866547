//! What is known of one key: what stands, and the newest change of each source.

use std::{cmp::Ordering, collections::BTreeMap};

use crate::change::{Position, Row, Rule};

/// What stands for a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stands {
    /// Nothing was ever written.
    #[default]
    Nothing,
    /// A row.
    Row(Row),
    /// A delete, with the row that it deleted where its table orders deletes.
    Tombstone(Option<Row>),
    /// A row that does not belong here.
    Absence(Row),
}

/// The newest change of one source.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) position: Position,
    pub(crate) deleted: bool,
    /// Commit time of its newest change that was no snapshot row.
    pub(crate) live_at: i64,
}

/// All that is known of a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) stands: Stands,
    /// Origin of what stands.
    pub(crate) origin: String,
    /// Its commit time; unknown where the application wrote it.
    pub(crate) at: Option<i64>,
    pub(crate) seen: BTreeMap<String, Seen>,
}

impl State {
    /// The row that stands.
    pub(crate) fn row(&self) -> Option<&Row> {
        if let Stands::Row(row) = &self.stands { Some(row) } else { None }
    }

    /// Whether the newest change of a source other than this one is a delete.
    pub(crate) fn is_gone_elsewhere(&self, source: &str) -> bool {
        self.seen.iter().any(|(name, seen)| name != source && seen.deleted)
    }
}

/// A change that meets what stands, as far as an order is concerned.
pub(crate) struct Challenger<'a> {
    /// The row whose columns order it: of a delete that before it.
    pub(crate) row: Option<&'a Row>,
    pub(crate) delete: bool,
    pub(crate) at: i64,
    pub(crate) origin: &'a str,
    /// Whether its source has changed the key before.
    pub(crate) later: bool,
}

/// `Greater`: the challenger stands. `Equal`: nothing to change.
pub(crate) fn compare(rule: &Rule, challenger: &Challenger<'_>, state: &State) -> Ordering {
    let (stood, tombstone) = match &state.stands {
        Stands::Nothing => return Ordering::Greater,
        Stands::Row(row) | Stands::Absence(row) => (Some(row), false),
        Stands::Tombstone(row) => (row.as_ref(), true),
    };
    let by_rule = match rule {
        Rule::Greatest(columns) => {
            let values = |row: Option<&Row>| -> Vec<Option<i64>> {
                columns.iter().map(|&c| row.and_then(|row| row[c])).collect()
            };
            values(challenger.row).cmp(&values(stood))
        }
        Rule::CommitTime => Some(challenger.at).cmp(&state.at),
        Rule::KeepCurrent if state.row().is_some() => Ordering::Less,
        Rule::KeepCurrent | Rule::None | Rule::TakeIncoming => Ordering::Greater,
    };
    by_rule
        .then(challenger.delete.cmp(&tombstone))
        .then(Some(challenger.at).cmp(&state.at))
        .then(challenger.origin.cmp(&state.origin))
        .then(if challenger.later { Ordering::Greater } else { Ordering::Equal })
        .then_with(|| challenger.row.cmp(&stood))
}
