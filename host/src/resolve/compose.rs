//! Filling a row that would stand: only sent columns are written, and what was not sent comes from where the
//! rules say (SURFACE (g) 5).

use reconverge_streams::columns::{Column, Columns, State};

use crate::{
    plan::TablePlan,
    stages::{Arena, Arenas, RowRef},
};

use super::column_set::ColumnSet;

/// What a row is filled from.
pub(super) struct Filling<'a> {
    pub(super) table: &'a TablePlan,
    pub(super) after: &'a Columns,
    pub(super) before: &'a Columns,
    pub(super) standing: &'a Columns,
    /// The row of the change.
    pub(super) row: u32,
    /// The old key's last row, for the create half of a key change.
    pub(super) moved_from: Option<RowRef>,
    /// The row that stands.
    pub(super) current: Option<RowRef>,
    /// Which of its columns are as the sink has them; `None`: all.
    pub(super) kept: Option<&'a ColumnSet>,
    /// Columns that a merge wrote: (table column, its cells, row).
    pub(super) written: &'a [(usize, &'a Column, usize)],
}

/// The column that has no value anywhere.
#[derive(Debug)]
pub(super) struct Lacking(pub(super) usize);

/// Appends the filled row to `composed`; returns which columns are still as the sink has them.
///
/// A column that the source's table does not have keeps the standing value; where no row stands it stays
/// [`State::Missing`] and the database fills it.
pub(super) fn compose(filling: &Filling<'_>, composed: &mut Columns) -> Result<ColumnSet, Lacking> {
    let row = filling.row as usize;
    let mut kept = ColumnSet::default();
    for c in 0..filling.table.columns.len() {
        if let Some((_, cells, at)) = filling.written.iter().find(|(column, _, _)| *column == c) {
            composed.columns[c].push_from(cells, *at);
            continue;
        }
        let sent = &filling.after.columns[c];
        if sent.state(row).is_sent() {
            composed.columns[c].push_from(sent, row);
            continue;
        }
        let missing = sent.state(row) == State::Missing;
        match fill(filling, c, missing, composed) {
            Some(as_in_sink) if as_in_sink => kept.insert(c),
            Some(_) => {}
            None if missing || c >= filling.table.shape.columns.len() => {
                composed.columns[c].push_state(State::Missing);
            }
            None => {
                composed.abandon_row();
                return Err(Lacking(c));
            }
        }
    }
    composed.end_row();
    Ok(kept)
}

/// Appends the value of a column that was not sent; tells whether it is as the sink has it. `None`: no value.
fn fill(filling: &Filling<'_>, c: usize, missing: bool, composed: &mut Columns) -> Option<bool> {
    if !missing {
        let before = &filling.before.columns[c];
        if before.state(filling.row as usize).is_sent() {
            composed.columns[c].push_from(before, filling.row as usize);
            return Some(false);
        }
        if let Some(old) = filling.moved_from
            && push(filling, c, old, composed)
        {
            return Some(false);
        }
    }
    let current = filling.current?;
    push(filling, c, current, composed).then(|| filling.kept.is_none_or(|kept| kept.contains(c)))
}

fn push(filling: &Filling<'_>, c: usize, from: RowRef, composed: &mut Columns) -> bool {
    if from.arena == Arena::Composed {
        return push_own(&mut composed.columns[c], from.row as usize);
    }
    let empty = Columns::default();
    let arenas =
        Arenas { after: filling.after, before: filling.before, standing: filling.standing, composed: &empty };
    let Some(column) = arenas.of(from.arena).columns.get(c) else { return false };
    if !column.state(from.row as usize).is_sent() {
        return false;
    }
    composed.columns[c].push_from(column, from.row as usize);
    true
}

/// Copies a cell within one column.
fn push_own(column: &mut Column, row: usize) -> bool {
    if !column.state(row).is_sent() {
        return false;
    }
    column.push_copy(row);
    true
}
