//! From what was decided to the statements over the user's tables: which rows go by which statement, in which
//! order.
//!
//! Upserts table by table as the plan orders them, then deletes in the reverse order. Rows that were there are
//! updated and those that were not are inserted, rather than both upserted: an insert that finds a row after all
//! is then an error instead of a lost write, and an update needs no value for the columns that it leaves alone.

use crate::{
    canonical,
    columns::Columns,
    writes::{ChangeIndex, TableWrites},
};

use super::{
    params::Param,
    standing::{Open, key_params},
    target::Target,
};

/// What a step does with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Rows that were not there.
    Insert,
    /// Rows that were.
    Update,
    /// Rows that nobody asked for.
    Upsert,
    /// Rows that go.
    Delete,
}

/// Some rows of one table by one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Index into the writes' tables.
    pub table: usize,
    pub kind: Kind,
    /// Index into the table's upserts; 0 for deletes.
    pub set: usize,
    /// Rows of that set, or of the deletes.
    pub rows: Vec<u32>,
}

impl Step {
    /// The statement.
    pub(super) fn sql(&self, target: &Target, writes: &TableWrites) -> String {
        match self.kind {
            Kind::Insert => target.insert(&writes.upserts[self.set].columns),
            Kind::Update => target.update(&writes.upserts[self.set].columns),
            Kind::Upsert => target.upsert(&writes.upserts[self.set].columns),
            Kind::Delete => target.delete(),
        }
    }

    /// Its parameters.
    pub(super) fn params<'a>(&'a self, target: &Target, writes: &'a TableWrites) -> Vec<Param<'a>> {
        if self.kind == Kind::Delete {
            return key_params(target, &writes.deletes.keys, Some(&self.rows));
        }
        let set = &writes.upserts[self.set];
        let columns = set.columns.iter().zip(&set.rows.columns);
        columns.map(|(&c, column)| Param::Cells(column, target.wire(c), Some(&self.rows))).collect()
    }

    /// The key columns of its rows as parameters, in key order.
    pub(super) fn keys<'a>(&'a self, target: &Target, writes: &'a TableWrites) -> Vec<Param<'a>> {
        if self.kind == Kind::Delete {
            return key_params(target, &writes.deletes.keys, Some(&self.rows));
        }
        let set = &writes.upserts[self.set];
        let of_key = |&k: &usize| {
            let at = set
                .columns
                .iter()
                .position(|&c| c == k)
                .expect("all key columns are among the columns written");
            Param::Cells(&set.rows.columns[at], target.wire(k), Some(&self.rows))
        };
        target.shape.key.iter().map(of_key).collect()
    }

    /// The change that is to blame for one of its rows.
    pub(super) fn change(&self, writes: &TableWrites, row: u32) -> ChangeIndex {
        let changes = match self.kind {
            Kind::Delete => &writes.deletes.changes,
            _ => &writes.upserts[self.set].changes,
        };
        changes[row as usize]
    }
}

/// The upserts of one table: per set of columns, what is inserted and what is updated.
pub(super) fn upserts(table: usize, target: &Target, writes: &TableWrites, open: &Open) -> Vec<Step> {
    let mut steps = Vec::new();
    for (set, upserts) in writes.upserts.iter().enumerate() {
        let mut lookup = open.of(writes.table);
        let mut rows = [Vec::new(), Vec::new(), Vec::new()];
        let mut key = Vec::new();
        for row in 0..upserts.rows.rows() {
            key.clear();
            canonical_key(target, &upserts.columns, &upserts.rows, row, &mut key);
            let kind = match lookup.known(&key) {
                Some(known) if known.row.is_some() => Kind::Update,
                Some(_) => Kind::Insert,
                None => Kind::Upsert,
            };
            rows[kind as usize].push(u32::try_from(row).expect("a batch has far fewer rows"));
        }
        for (kind, rows) in [Kind::Insert, Kind::Update, Kind::Upsert].into_iter().zip(rows) {
            if !rows.is_empty() {
                steps.push(Step { table, kind, set, rows });
            }
        }
    }
    // Updates first: one of them may give up a unique value that an insert takes.
    steps.sort_by_key(|s| s.kind == Kind::Insert);
    steps
}

/// The deletes of one table.
pub(super) fn deletes(table: usize, writes: &TableWrites) -> Option<Step> {
    let rows: Vec<u32> = (0..writes.deletes.changes.len()).filter_map(|r| u32::try_from(r).ok()).collect();
    (!rows.is_empty()).then_some(Step { table, kind: Kind::Delete, set: 0, rows })
}

/// All steps of a batch, in order.
pub(super) fn all(targets: &[Target], tables: &[TableWrites], open: &Open) -> Vec<Step> {
    let target = |w: &TableWrites| &targets[w.table.index()];
    let mut steps: Vec<Step> =
        tables.iter().enumerate().flat_map(|(t, w)| upserts(t, target(w), w, open)).collect();
    steps.extend(tables.iter().enumerate().rev().filter_map(|(t, w)| deletes(t, w)));
    steps
}

/// The steps of one table cut into runs that follow the stream, for writing in the order of the changes.
pub(super) fn in_stream_order(table: usize, target: &Target, writes: &TableWrites, open: &Open) -> Vec<Step> {
    let mut single: Vec<(ChangeIndex, Step)> = Vec::new();
    for step in upserts(table, target, writes, open).into_iter().chain(deletes(table, writes)) {
        for &row in &step.rows {
            single.push((step.change(writes, row), Step { rows: vec![row], ..step.clone() }));
        }
    }
    single.sort_by_key(|(change, _)| *change);
    let mut runs: Vec<Step> = Vec::new();
    for (_, step) in single {
        match runs.last_mut() {
            Some(run) if run.kind == step.kind && run.set == step.set => run.rows.extend(step.rows),
            _ => runs.push(step),
        }
    }
    runs
}

fn canonical_key(target: &Target, columns: &[usize], rows: &Columns, row: usize, key: &mut Vec<u8>) {
    let of_key = |k: &usize| {
        let at = columns.iter().position(|c| c == k).expect("all key columns are among the columns written");
        &rows.columns[at]
    };
    let cells: smallvec::SmallVec<[_; 4]> = target.shape.key.iter().map(of_key).collect();
    canonical::key(&cells, row, key);
}
