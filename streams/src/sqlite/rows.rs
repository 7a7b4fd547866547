//! Writes the rows of a batch, one prepared statement per table and set of columns, stepped once per row: inside
//! the process that is as fast as statements of many rows, and says which row is to blame.
//!
//! A row that breaks a unique constraint does not fail the batch at once: the rows are then written again in
//! stream order, those that still clash after the others, and those that only clash among themselves (values
//! that swap) after they were taken out. What clashes even then is guilty.

use rusqlite::{Connection, Statement};

use super::{
    cells::Digest,
    lane::{Lane, Table},
    row::{self, Refusal, Scratch, batch_error},
    standing,
};
use crate::{
    sink::{Cause, CommitError},
    table::TableId,
    writes::{ChangeIndex, TableWrites, Upserts, Writes},
};

/// By table of the batch, set of columns, and row: how the row is stored.
pub(super) type Digests = Vec<Vec<Vec<Option<Digest>>>>;

/// A row to write or to delete, by its place in the batch's writes.
#[derive(Clone, Copy)]
enum Op {
    Upsert { set: usize, row: usize },
    Delete { row: usize },
}

/// An operation, and the change that asks for it.
type Asked = (ChangeIndex, Op);

/// Writes the rows of all tables; returns how those are stored that have a version.
pub(super) fn write(conn: &Connection, lane: &Lane, writes: &Writes) -> Result<Digests, CommitError> {
    let mut pass = Pass::new(conn, lane, writes);
    let may_clash = writes.tables.iter().any(|t| lane.table(t.table).shape.has_other_unique);
    if may_clash {
        savepoint(conn, "SAVEPOINT reconverge_rows")?;
    }
    if !pass.in_bulk()? {
        if may_clash {
            savepoint(conn, "ROLLBACK TO reconverge_rows")?;
        }
        pass.guilty.clear();
        pass.in_stream_order()?;
    }
    if may_clash {
        savepoint(conn, "RELEASE reconverge_rows")?;
    }
    pass.finish()
}

fn savepoint(conn: &Connection, sql: &str) -> Result<(), CommitError> {
    let done = conn.prepare_cached(sql).and_then(|mut s| s.raw_execute());
    done.map(|_| ()).map_err(|e| batch_error(&e, None))
}

struct Pass<'a> {
    conn: &'a Connection,
    lane: &'a Lane,
    writes: &'a Writes,
    digests: Digests,
    guilty: Vec<(ChangeIndex, Cause)>,
    scratch: Scratch,
}

impl<'a> Pass<'a> {
    fn new(conn: &'a Connection, lane: &'a Lane, writes: &'a Writes) -> Self {
        let of_set = |u: &Upserts| vec![None; u.changes.len()];
        let digests = writes.tables.iter().map(|t| t.upserts.iter().map(of_set).collect()).collect();
        Pass { conn, lane, writes, digests, guilty: Vec::new(), scratch: Scratch::default() }
    }

    fn part(&self, t: usize) -> (&'a TableWrites, (TableId, &'a Table)) {
        let part = &self.writes.tables[t];
        (part, (part.table, self.lane.table(part.table)))
    }

    /// Parents' rows before their children's, children's deletes before their parents'. False at the first clash.
    fn in_bulk(&mut self) -> Result<bool, CommitError> {
        for t in 0..self.writes.tables.len() {
            for set in 0..self.writes.tables[t].upserts.len() {
                if !self.upsert_set(t, set)? {
                    return Ok(false);
                }
            }
        }
        for (t, part) in self.writes.tables.iter().enumerate().rev() {
            for row in 0..part.deletes.changes.len() {
                let refused = self.apply(t, Op::Delete { row }).err();
                if !self.blame(part.deletes.changes[row], refused)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn upsert_set(&mut self, t: usize, set: usize) -> Result<bool, CommitError> {
        let (part, (id, table)) = self.part(t);
        let upserts = &part.upserts[set];
        let sql = table.upsert(&upserts.columns);
        let mut statement = self.conn.prepare_cached(&sql).map_err(|e| batch_error(&e, Some(id)))?;
        for (row, &change) in upserts.changes.iter().enumerate() {
            let refused = self.step(&mut statement, t, set, row).err();
            if !self.blame(change, refused)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn step(
        &mut self,
        statement: &mut Statement<'_>,
        t: usize,
        set: usize,
        row: usize,
    ) -> Result<(), Refusal> {
        let (part, table) = self.part(t);
        let upserts = &part.upserts[set];
        // Without versions nobody asks later whose row it is.
        self.scratch.digests = !part.versions.is_empty();
        let mut written = row::upsert(statement, table, upserts, row, &mut self.scratch);
        if let (Err(Refusal::Row(_)), Some(sql)) = (&written, table.1.update(&upserts.columns)) {
            let mut update = self.conn.prepare_cached(&sql).map_err(|e| row::refusal(&e, table.0))?;
            // Where the row is not there, what was said of the insert is the reason.
            written = row::upsert(&mut update, table, upserts, row, &mut self.scratch).or(written);
        }
        self.digests[t][set][row] = written?;
        Ok(())
    }

    /// Notes a refusal; false where it is a clash, which another order may avoid.
    fn blame(&mut self, change: ChangeIndex, refused: Option<Refusal>) -> Result<bool, CommitError> {
        match refused {
            None => Ok(true),
            Some(Refusal::Clash(_)) => Ok(false),
            Some(Refusal::Row(cause)) => {
                self.guilty.push((change, cause));
                Ok(true)
            }
            Some(Refusal::Batch(error)) => Err(error),
        }
    }

    /// Table by table, each in stream order, until nothing more can be written.
    fn in_stream_order(&mut self) -> Result<(), CommitError> {
        for t in 0..self.writes.tables.len() {
            let mut ops = in_order(&self.writes.tables[t]);
            let mut before = ops.len() + 1;
            while !ops.is_empty() && ops.len() < before {
                before = ops.len();
                ops = self.what_clashes(t, ops)?;
            }
            self.take_out_and_put_in(t, &ops)?;
        }
        Ok(())
    }

    fn what_clashes(&mut self, t: usize, ops: Vec<Asked>) -> Result<Vec<Asked>, CommitError> {
        let mut clashing = Vec::new();
        for (change, op) in ops {
            let refused = self.apply(t, op).err();
            if !self.blame(change, refused)? {
                clashing.push((change, op));
            }
        }
        Ok(clashing)
    }

    fn apply(&mut self, t: usize, op: Op) -> Result<(), Refusal> {
        let (part, (id, table)) = self.part(t);
        let refused = |e: rusqlite::Error| row::refusal(&e, id);
        match op {
            Op::Upsert { set, row } => {
                let sql = table.upsert(&part.upserts[set].columns);
                let mut statement = self.conn.prepare_cached(&sql).map_err(refused)?;
                self.step(&mut statement, t, set, row)
            }
            Op::Delete { row } => {
                let mut statement = self.conn.prepare_cached(&table.delete).map_err(refused)?;
                let keys = &part.deletes.keys;
                standing::bind_key(&mut statement, table, keys, row, &mut self.scratch.text)
                    .map_err(refused)?;
                statement.raw_execute().map(|_| ()).map_err(refused)
            }
        }
    }

    /// Rows that clash among themselves: each is taken out with all its columns, then put in as it shall be.
    fn take_out_and_put_in(&mut self, t: usize, ops: &[Asked]) -> Result<(), CommitError> {
        let (part, table) = self.part(t);
        let mut taken = Vec::new();
        for &(change, op) in ops {
            let values = match op {
                Op::Delete { .. } => None,
                Op::Upsert { set, row } => {
                    row::take_out(self.conn, table.1, &part.upserts[set], row, &mut self.scratch)
                        .map_err(|e| batch_error(&e, Some(table.0)))?
                }
            };
            taken.push((change, op, values));
        }
        for (change, op, values) in taken {
            let put = match (op, values) {
                (Op::Upsert { set, row }, Some(values)) => {
                    row::put_in(self.conn, table, &part.upserts[set], row, values, &mut self.scratch)
                }
                (op, _) => self.apply(t, op),
            };
            match put {
                Ok(()) => {}
                Err(Refusal::Clash(cause) | Refusal::Row(cause)) => self.guilty.push((change, cause)),
                Err(Refusal::Batch(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Digests, CommitError> {
        if let Some((_, cause)) = self.guilty.first() {
            let cause = cause.clone();
            let mut changes: Vec<ChangeIndex> = self.guilty.iter().map(|(change, _)| *change).collect();
            changes.sort_unstable();
            changes.dedup();
            return Err(CommitError::Guilty(changes, cause));
        }
        for t in 0..self.writes.tables.len() {
            let (part, (id, _)) = self.part(t);
            if !part.versions.is_empty() {
                self.read_back(t).map_err(|e| batch_error(&e, Some(id)))?;
            }
        }
        Ok(self.digests)
    }

    /// The digests that could not be told from what was bound: columns that were not named, values that SQLite
    /// stores otherwise, and what triggers changed.
    fn read_back(&mut self, t: usize) -> rusqlite::Result<()> {
        let (part, (_, table)) = self.part(t);
        let mut copy = self.conn.prepare_cached(&table.copy)?;
        for (upserts, digests) in part.upserts.iter().zip(&mut self.digests[t]) {
            for (row, digest) in digests.iter_mut().enumerate().filter(|(_, d)| d.is_none()) {
                *digest = row::read_back(&mut copy, table, upserts, row, &mut self.scratch)?;
            }
        }
        Ok(())
    }
}

fn in_order(part: &TableWrites) -> Vec<Asked> {
    let mut ops = Vec::new();
    for (set, upserts) in part.upserts.iter().enumerate() {
        ops.extend(upserts.changes.iter().enumerate().map(|(row, &c)| (c, Op::Upsert { set, row })));
    }
    ops.extend(part.deletes.changes.iter().enumerate().map(|(row, &c)| (c, Op::Delete { row })));
    ops.sort_by_key(|(change, _)| *change);
    ops
}
