//! Column by column: of all changes to a column the greatest stands, whoever wrote the rest of the row.
//!
//! What a change changed is told by its before image (the third side of a three-way merge). That alone does not
//! converge: a comparison with the row that happens to stand depends on what came first. So each column has a stamp of
//! its own ([`super::stamp`]), and whether a row stands at all goes by the row's newest change, like in any other table.
//! A tombstone keeps the whole row, because a change that comes after the delete may have changed one column only.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use reconverge_streams::{
    canonical,
    columns::{Column, State},
    disposition::Disposition,
};

use crate::{
    batch::Op,
    plan::Deletes,
    stages::{Arena, RowRef},
};

use super::{
    column_set::ColumnSet,
    history::Said,
    stamp::{self, Stamp},
    state::{KeyState, Stands},
    table::{Fate, Incoming, TableResolver},
};

/// Who may give a column its value.
struct Sides<'a> {
    incoming: &'a Incoming,
    before: &'a KeyState,
    current: Option<RowRef>,
    /// The stamp of columns that the change changed, and of those that it carries along.
    changed: Arc<Stamp>,
    carried: Arc<Stamp>,
    /// The stamp of standing columns that have none.
    standing: Arc<Stamp>,
}

/// A row put together.
struct Merged {
    row: RowRef,
    stamps: BTreeMap<String, Arc<Stamp>>,
    /// Columns that are as the sink has them.
    kept: ColumnSet,
    /// A column got another value than it had.
    took: bool,
    /// A column did not get the value that the change carries.
    refused: bool,
    /// Both sides had changed a column.
    both: bool,
}

impl TableResolver<'_> {
    /// `ordering` is that of the change and what stands as a whole: whether a row stands goes by it.
    pub(super) fn merge_columns(&mut self, incoming: &Incoming, ordering: Ordering, said: Said) -> Fate {
        let before = self.keys[incoming.key].clone();
        let win = self.table.deletes == Deletes::Win;
        let gone = win && matches!(before.stands, Stands::Tombstone(_));
        if win && incoming.delete || gone && ordering == Ordering::Less {
            // Where deletes win, a row that comes back is wholly of the change that brings it: nothing is kept.
            return self.settle(incoming, ordering, said);
        }
        let current = before.stands.row().filter(|_| !gone);
        let sides = Sides {
            incoming,
            before: &before,
            current,
            changed: self.stamp(incoming, false),
            carried: self.stamp(incoming, true),
            standing: self.standing_stamp(&before),
        };
        let stays_away = incoming.delete || incoming.let_go.is_some();
        let needed = ordering == Ordering::Greater && !stays_away;
        let merged = match self.merged_row(&sides, needed) {
            Ok(merged) => merged,
            Err(column) => return self.lacking(incoming, column),
        };
        let (row, took, refused, both) = (merged.row, merged.took, merged.refused, merged.both);
        // What such a rule decides is always read.
        let live = before.stands.live().is_some();
        let (stands, outcome) = match ordering {
            Ordering::Greater if incoming.delete => {
                let gone = if live { Disposition::Deleted } else { Disposition::NoOp };
                (Stands::Tombstone(Some(row)), gone)
            }
            Ordering::Greater if incoming.let_go.is_some() => (Stands::Absence(Some(row)), Disposition::NoOp),
            Ordering::Greater if refused => (Stands::Live(row), Disposition::Merged),
            Ordering::Greater => (Stands::Live(row), Disposition::Applied),
            _ => match before.stands {
                Stands::Live(_) if took => (Stands::Live(row), Disposition::Merged),
                Stands::Live(_) if ordering == Ordering::Equal => (before.stands, Disposition::NoOp),
                Stands::Live(_) => (before.stands, Disposition::KeptCurrent),
                Stands::Absence(_) => (Stands::Absence(Some(row)), Disposition::KeptCurrent),
                Stands::Tombstone(_) | Stands::Nothing => {
                    (Stands::Tombstone(Some(row)), Disposition::KeptCurrent)
                }
            },
        };
        self.keep_merged(incoming, ordering, stands, merged);
        if outcome != Disposition::NoOp {
            let applied = Some(row).filter(|_| outcome == Disposition::Merged);
            self.remember_merged(incoming, outcome, said, applied, before.stood(), both);
        }
        Fate::Done(incoming.let_go.unwrap_or(outcome))
    }

    /// Lets the merged row stand, and the change where it is the newest of the row.
    fn keep_merged(&mut self, incoming: &Incoming, ordering: Ordering, stands: Stands, merged: Merged) {
        let before = self.keys[incoming.key].stands;
        if ordering == Ordering::Greater {
            self.stand(incoming, stands, Some(merged.kept));
        } else if stands != before {
            self.stand_mixed(incoming, stands, merged.kept);
        }
        self.keys[incoming.key].clock.get_or_insert_default().stamps = merged.stamps;
    }

    /// Puts the row together. `needed` tells that it stands, so that every column has to have a value.
    fn merged_row(&mut self, sides: &Sides<'_>, needed: bool) -> Result<Merged, usize> {
        let mut composed = std::mem::take(&mut self.composed);
        let mut merged = Merged {
            row: RowRef {
                arena: Arena::Composed,
                row: u32::try_from(composed.rows()).expect("a batch has fewer rows than 2^32"),
            },
            stamps: BTreeMap::new(),
            kept: ColumnSet::default(),
            took: false,
            refused: false,
            both: false,
        };
        let mut lacking = None;
        for c in 0..self.table.columns.len() {
            let cell = &mut composed.columns[c];
            if !self.merge_cell(sides, c, cell, &mut merged) && needed && !self.may_lack(sides, c) {
                lacking = Some(c);
                break;
            }
        }
        match lacking {
            Some(_) => composed.abandon_row(),
            None => composed.end_row(),
        }
        self.composed = composed;
        lacking.map_or(Ok(merged), Err)
    }

    /// Pushes one cell; whether it has a value.
    fn merge_cell(&self, sides: &Sides<'_>, c: usize, cell: &mut Column, merged: &mut Merged) -> bool {
        let current = sides.current.filter(|row| self.sent_in(cell, *row, c));
        let told = self.told(sides.incoming, c, cell);
        let is_key = self.table.shape.key.contains(&c);
        if is_key || c >= self.table.shape.columns.len() {
            let after = &self.batch.after.columns[c];
            cell.push_from(after, sides.incoming.row as usize);
            return true;
        }
        let name = &self.table.columns[c].name;
        let stored = current.map(|row| self.stored_stamp(sides, row, c, cell));
        let Some((from, changed)) = told else {
            let Some((row, stored)) = current.zip(stored) else {
                cell.push_state(State::Missing);
                return false;
            };
            self.push_cell(cell, row, c);
            merged.stamps.insert(name.clone(), stored);
            self.note_kept(sides, c, merged);
            return true;
        };
        let ours = if changed { &sides.changed } else { &sides.carried };
        let equal = current.is_some_and(|row| self.compare_cells(cell, from, row, c) == Ordering::Equal);
        let takes = match (&stored, current) {
            (Some(stored), Some(row)) => {
                merged.both |= changed && !stored.carried && !equal && stored.origin != ours.origin;
                let by_stamp = stamp::compare(
                    self.table.rule.order(),
                    &self.table.shape,
                    &self.plan.names,
                    ours,
                    stored,
                );
                let later = if sides.incoming.later { Ordering::Greater } else { Ordering::Equal };
                by_stamp.then(later).then_with(|| self.compare_cells(cell, from, row, c)) == Ordering::Greater
            }
            _ => true,
        };
        if takes {
            merged.took |= !equal;
            self.push_cell(cell, from, c);
            merged.stamps.insert(name.clone(), Arc::clone(ours));
            if equal {
                self.note_kept(sides, c, merged);
            }
        } else if let Some((row, stored)) = current.zip(stored) {
            merged.refused |= !equal && changed;
            self.push_cell(cell, row, c);
            merged.stamps.insert(name.clone(), stored);
            self.note_kept(sides, c, merged);
        }
        true
    }

    /// Where the change has a value for a column, and whether it changed it. The columns that order the rows always
    /// go with the change.
    fn told(&self, incoming: &Incoming, c: usize, composed: &Column) -> Option<(RowRef, bool)> {
        let row = incoming.row as usize;
        let compared = self.table.rule.compared_columns().contains(&c);
        let (after, before) = (&self.batch.after.columns[c], &self.batch.before.columns[c]);
        let at = |arena| RowRef { arena, row: incoming.row };
        let sent_before = before.state(row).is_sent();
        if incoming.delete {
            return sent_before.then_some((at(Arena::Before), compared));
        }
        if after.state(row).is_sent() {
            let op = self.batch.changes[row].op;
            let same = sent_before && canonical::compare(after, row, before, row) == Ordering::Equal;
            let changed = op != Op::Snapshot && !same;
            return Some((at(Arena::After), compared || changed));
        }
        if after.state(row) == State::Missing {
            return None;
        }
        if sent_before {
            return Some((at(Arena::Before), false));
        }
        let moved_from = self.keyed.moved_from.get(&incoming.row);
        let old = moved_from.and_then(|&old| self.keys[old as usize].row_before_move());
        old.filter(|old| self.sent_in(composed, *old, c)).map(|old| (old, false))
    }

    /// The stamp of a standing column. What the application wrote is a change to the columns in which it differs from
    /// what the incoming change's writer saw; to the others it was only carried along.
    fn stored_stamp(&self, sides: &Sides<'_>, row: RowRef, c: usize, composed: &Column) -> Arc<Stamp> {
        let own = sides.before.clock.as_ref().and_then(|clock| clock.stamps.get(&self.table.columns[c].name));
        if !sides.before.local {
            return own.map_or_else(|| Arc::clone(&sides.standing), Arc::clone);
        }
        let at = sides.incoming.row as usize;
        let seen = RowRef { arena: Arena::Before, row: sides.incoming.row };
        let saw = self.batch.before.columns[c].state(at).is_sent();
        if saw && self.compare_cells(composed, seen, row, c) == Ordering::Equal {
            let carried = || Arc::new(Stamp::carried(sides.standing.origin.clone()));
            return own.map_or_else(carried, Arc::clone);
        }
        Arc::clone(&sides.standing)
    }

    fn may_lack(&self, sides: &Sides<'_>, c: usize) -> bool {
        let after = &self.batch.after.columns[c];
        after.state(sides.incoming.row as usize) == State::Missing || c >= self.table.shape.columns.len()
    }

    fn note_kept(&self, sides: &Sides<'_>, c: usize, merged: &mut Merged) {
        let live = sides.before.stands.live().is_some();
        if live && sides.before.kept.as_ref().is_none_or(|kept| kept.contains(c)) {
            merged.kept.insert(c);
        }
    }

    /// The cells of a column in an arena; those of `composed` are the column that is being filled.
    fn cells<'c>(&'c self, composed: &'c Column, row: RowRef, c: usize) -> Option<&'c Column> {
        if row.arena == Arena::Composed { Some(composed) } else { self.arenas().of(row.arena).columns.get(c) }
    }

    fn sent_in(&self, composed: &Column, row: RowRef, c: usize) -> bool {
        self.cells(composed, row, c).is_some_and(|cells| cells.state(row.row as usize).is_sent())
    }

    fn compare_cells(&self, composed: &Column, a: RowRef, b: RowRef, c: usize) -> Ordering {
        match (self.cells(composed, a, c), self.cells(composed, b, c)) {
            (Some(x), Some(y)) => canonical::compare(x, a.row as usize, y, b.row as usize),
            (x, y) => x.is_some().cmp(&y.is_some()),
        }
    }

    fn push_cell(&self, cell: &mut Column, from: RowRef, c: usize) {
        if from.arena == Arena::Composed {
            cell.push_copy(from.row as usize);
        } else if let Some(cells) = self.arenas().of(from.arena).columns.get(c) {
            cell.push_from(cells, from.row as usize);
        }
    }
}
