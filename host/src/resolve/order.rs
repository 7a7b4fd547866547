//! Comparing: the order value of a write or delete with that of what stands, and the tie chain.
//!
//! Every comparison is total and the same in every region. The chain: a delete before a write, later commit
//! time, greater origin name, later position at the same origin, canonical bytes of the whole row.

use std::cmp::Ordering;

use reconverge_streams::{
    canonical,
    names::{NameId, Names},
    position::Micros,
};

use crate::{
    plan::TablePlan,
    stages::{Arenas, RowRef},
};

/// One side of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// Its row, or the order columns of a tombstone or absence.
    pub row: Option<RowRef>,
    /// Whether it is a delete or a tombstone.
    pub delete: bool,
    /// Its commit time; unknown is smaller than any known time.
    pub at: Option<Micros>,
    /// Its origin.
    pub origin: NameId,
}

/// How a tie was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie {
    /// `Greater`: incoming stands; `Less`: current stays; `Equal`: nothing to change.
    pub ordering: Ordering,
    /// The step that decided, for the history.
    pub step: &'static str,
}

/// Compares the values of `columns`, in that order. A side without a row has null in all of them.
#[must_use]
pub fn by_columns(columns: &[usize], arenas: &Arenas<'_>, incoming: RowRef, current: RowRef) -> Ordering {
    let (a, b) = (arenas.of(incoming.arena), arenas.of(current.arena));
    for &c in columns {
        let (Some(x), Some(y)) = (a.columns.get(c), b.columns.get(c)) else { continue };
        let ordering = canonical::compare(x, incoming.row as usize, y, current.row as usize);
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    Ordering::Equal
}

/// Whether both sides were sent all of `columns` and are equal in them. Nothing to ask a plugin then.
#[must_use]
pub fn equal_and_sent(columns: &[usize], arenas: &Arenas<'_>, incoming: RowRef, current: RowRef) -> bool {
    !columns.is_empty()
        && columns.iter().all(|&c| {
            let sent =
                |r: RowRef| arenas.of(r.arena).columns.get(c).map(|c| c.state(r.row as usize).is_sent());
            sent(incoming) == Some(true) && sent(current) == Some(true)
        })
        && by_columns(columns, arenas, incoming, current) == Ordering::Equal
}

/// The sink's columns in the order of their names: what the canonical bytes of a whole row are made of.
#[must_use]
pub fn by_name(table: &TablePlan) -> Vec<usize> {
    let mut columns: Vec<usize> = (0..table.shape.columns.len()).collect();
    columns.sort_by(|&a, &b| table.shape.columns[a].name.cmp(&table.shape.columns[b].name));
    columns
}

/// The tie chain. `later` tells that incoming is of a source that has changed the key before, at a later position;
/// `columns` are those of [`by_name`].
#[must_use]
pub fn tie(
    incoming: &Side,
    current: &Side,
    later: bool,
    columns: &[usize],
    arenas: &Arenas<'_>,
    names: &Names,
) -> Tie {
    let decided = |ordering, step| Tie { ordering, step };
    if incoming.delete != current.delete {
        return decided(incoming.delete.cmp(&current.delete), "tie:delete");
    }
    if incoming.at != current.at {
        return decided(incoming.at.cmp(&current.at), "tie:commit-time");
    }
    if incoming.origin != current.origin {
        return decided(names.get(incoming.origin).cmp(&names.get(current.origin)), "tie:origin");
    }
    if later {
        return decided(Ordering::Greater, "tie:position");
    }
    let bytes = |side: &Side| side.row.map(|row| canonical_row(columns, arenas, row));
    decided(bytes(incoming).cmp(&bytes(current)), "tie:bytes")
}

/// The canonical bytes of a row in these columns.
fn canonical_row(columns: &[usize], arenas: &Arenas<'_>, row: RowRef) -> Vec<u8> {
    let cells = arenas.of(row.arena);
    let columns: Vec<_> = columns.iter().filter_map(|&c| cells.columns.get(c)).collect();
    let mut bytes = Vec::new();
    canonical::row(&columns, row.row as usize, &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reconverge_streams::{
        columns::{Columns, State},
        logical::Logical,
        table::{ColumnShape, TableId, TableShape},
    };

    use super::*;
    use crate::{plan::Rule, stages::Arena};

    /// The canonical row: columns by name, whatever their order in the table.
    #[test]
    fn where_nothing_else_decides_the_bytes_of_the_rows_do() {
        let names = Names::default();
        let origin = names.intern("east").unwrap();
        let columns = ["b", "a"].map(|name| ColumnShape::new(name, Logical::Int)).into();
        let shape = TableShape { name: "t".into(), columns, key: vec![0], has_other_unique: false };
        let by_name = by_name(&TablePlan::new(TableId(0), Arc::new(shape), Rule::CommitTime, "lww"));
        let mut rows = Columns::new([Logical::Int, Logical::Int]);
        for [b, a] in [[1, 2], [2, 1], [3, 1]] {
            rows.columns[0].push_int(b);
            rows.columns[1].push_int(a);
            rows.end_row();
        }
        let empty = Columns::default();
        let arenas = Arenas { after: &rows, before: &empty, standing: &empty, composed: &empty };
        let side = |row: Option<u32>| {
            let row = row.map(|row| RowRef { arena: Arena::After, row });
            Side { row, delete: false, at: Some(1), origin }
        };
        for (incoming, current, ordering) in [
            (Some(0), Some(1), Ordering::Greater),
            (Some(1), Some(2), Ordering::Less),
            (Some(2), Some(2), Ordering::Equal),
            (None, Some(2), Ordering::Less),
        ] {
            let tie = tie(&side(incoming), &side(current), false, &by_name, &arenas, &names);
            assert_eq!(tie, Tie { ordering, step: "tie:bytes" }, "{incoming:?} and {current:?}");
        }
    }

    /// What was not sent is not known to be equal: a plugin is asked.
    #[test]
    fn only_what_was_sent_is_equal() {
        let mut rows = Columns::new([Logical::Int, Logical::Int]);
        let (null, unsent, one, two) = (0, 1, 2, 3);
        for second in [Err(State::Null), Err(State::Unavailable), Ok(1), Ok(2)] {
            rows.columns[0].push_int(7);
            match second {
                Ok(value) => rows.columns[1].push_int(value),
                Err(state) => rows.columns[1].push_state(state),
            }
            rows.end_row();
        }
        let empty = Columns::default();
        let arenas = Arenas { after: &rows, before: &empty, standing: &empty, composed: &empty };
        let equal = |columns: &[usize], a, b| {
            let [a, b] = [a, b].map(|row| RowRef { arena: Arena::After, row });
            equal_and_sent(columns, &arenas, a, b)
        };
        for (a, b, expected) in [
            (null, null, true),
            (one, one, true),
            (one, two, false),
            (null, one, false),
            (null, unsent, false),
            (unsent, null, false),
            (unsent, unsent, false),
        ] {
            assert_eq!(equal(&[0, 1], a, b), expected, "{a} and {b}");
        }
        assert!(!equal(&[], one, one), "a plugin that reads no column of the rows is always asked");
        assert!(equal(&[0], one, two), "columns outside of the contract do not count");
    }
}
