//! Which rows a row names, and keys as a sink is asked for them.

use std::collections::BTreeSet;

use reconverge_streams::{
    canonical,
    columns::{Columns, State},
    family::Keys,
    keys::KeyList,
};

use crate::{plan::Parent, stages::RowRef};

use super::table::TableResolver;

/// Keys of a table with their cells, ascending.
pub(super) fn keys(table: &TableResolver<'_>, wanted: BTreeSet<Vec<u8>>) -> Keys {
    let logicals: Vec<_> = table.table.shape.key_logicals().collect();
    let mut keys = Keys { keys: KeyList::default(), cells: Columns::new(logicals.iter().copied()) };
    for key in wanted {
        if let Some(cells) = canonical::key_cells(&logicals, &key) {
            keys.cells.push_row_from(&cells, 0);
            keys.keys.push(&key);
        }
    }
    keys
}

/// The canonical key of a parent that a row names; `None` where it names none, or itself.
pub(super) fn named(
    child: &TableResolver<'_>,
    place: usize,
    row: RowRef,
    parent: &Parent,
) -> Option<Vec<u8>> {
    let key = parent_key(child, row, &parent.columns)?;
    (parent.table != child.table.id || key != child.key_at(place)).then_some(key)
}

/// The parent's canonical key that a row names; `None` where one of the columns is null or has no value.
pub(super) fn parent_key(child: &TableResolver<'_>, row: RowRef, columns: &[usize]) -> Option<Vec<u8>> {
    let cells = child.arenas().of(row.arena);
    let named: Vec<_> = columns.iter().filter_map(|&c| cells.columns.get(c)).collect();
    let all = named.len() == columns.len() && named.iter().all(|c| c.state(row.row as usize) == State::Value);
    all.then(|| {
        let mut key = Vec::new();
        canonical::key(&named, row.row as usize, &mut key);
        key
    })
}

/// Puts the cells by which a row names a parent behind others.
pub(super) fn push_cells(child: &TableResolver<'_>, row: RowRef, columns: &[usize], to: &mut Columns) {
    let cells = child.arenas().of(row.arena);
    for (to, &c) in to.columns.iter_mut().zip(columns) {
        to.push_from(&cells.columns[c], row.row as usize);
    }
    to.end_row();
}
