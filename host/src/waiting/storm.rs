//! The storm breaker: a batch in which too many of a table's changes cannot be applied says that something is wrong with
//! the table, not with the changes.

use reconverge_streams::{disposition::Disposition, table::TableId};

use crate::{
    resolve::{ORPHANED, Resolved},
    waiting::Queue,
};

/// Dead letters of a table in a batch that are no storm yet.
const ROWS: u64 = 20;
/// The part of a table's changes that is one, beyond that: 1 in so many.
const ONE_IN: u64 = 20;

/// A table of whose changes too many became dead letters in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    /// The table.
    pub table: TableId,
    /// Dead letters.
    pub dead: u64,
    /// Changes of the table.
    pub changes: u64,
}

/// The first table of a decided batch in which more than 20 changes, and more than 5 % of its changes, would be dead
/// letters. A table that is paused already is left to its pause.
#[must_use]
pub fn storm(resolved: &Resolved, queue: &Queue) -> Option<Storm> {
    let of = |(table, counts): (&Option<TableId>, &reconverge_streams::disposition::Counts)| {
        let (table, changes) = ((*table)?, counts.sum());
        // Orphans tell of their parents, and of nothing that is wrong with the table.
        let letters = resolved.writes.dead.iter().filter(|letter| letter.table == Some(table));
        let orphans =
            letters.filter(|letter| letter.code == ORPHANED && letter.stage == "resolve").count() as u64;
        let dead = counts.get(Disposition::DeadLettered).saturating_sub(orphans);
        Some(Storm { table, dead, changes })
    };
    let is_one =
        |s: &Storm| s.dead > ROWS && s.dead * ONE_IN > s.changes && !queue.aside().contains(&s.table);
    resolved.counts.iter().filter_map(of).filter(is_one).min_by_key(|s| s.table)
}

#[cfg(test)]
mod tests {
    use reconverge_streams::disposition::Counts;

    use super::*;

    fn resolved(dead: u64, applied: u64) -> Resolved {
        let mut counts = Counts::default();
        (0..dead).for_each(|_| counts.add(Disposition::DeadLettered));
        (0..applied).for_each(|_| counts.add(Disposition::Applied));
        let mut resolved = Resolved::default();
        resolved.counts.insert(Some(TableId(3)), counts);
        resolved.counts.insert(None, counts);
        resolved
    }

    #[test]
    fn more_than_twenty_rows_and_five_percent() {
        for (dead, applied, is_one) in [
            (20, 0, false),
            (21, 0, true),
            (21, 398, true),
            (21, 399, false),
            (50, 950, false),
            (51, 949, true),
        ] {
            let found = storm(&resolved(dead, applied), &Queue::default());
            assert_eq!(found.is_some(), is_one, "{dead} of {}", dead + applied);
            assert!(found.is_none_or(|s| s.table == TableId(3)));
        }
    }
}
