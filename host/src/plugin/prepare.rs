//! Residency, filter and mapping over the changes of one table: what the plugin is shown, and what its verdicts
//! do to the batch. Rows that an earlier stage let go or refused are not shown again.

use std::sync::Arc;

use reconverge_streams::{
    columns::{Column, State},
    names::Names,
};

use super::{
    block::{Answered, BlockWriter, Rows},
    contain::Worker,
    contract::Side,
    fault::Fault,
    program::{Program, interface},
    projection::{Projection, Read},
    written::Written,
};
use crate::{
    batch::{Op, Refusal, TableBatch},
    config::Stage,
    plan::TablePlan,
    stages::{Passed, PreparedTable},
};

/// What a stage works with besides the batch.
pub(super) struct Bounds<'a> {
    pub(super) names: &'a Names,
    /// Greatest size of one value in bytes.
    pub(super) value_bytes: usize,
}

/// Leads the changes of a table through one plugin.
pub(super) fn prepare(
    worker: &mut Worker,
    projection: &Projection,
    batch: &mut TableBatch,
    prepared: &mut PreparedTable,
    bounds: &Bounds<'_>,
) {
    let kept = |row: &usize| prepared.passed[*row] == Passed::Keep;
    let shown: Vec<u32> = (0..batch.changes.len()).filter(kept).map(row_number).collect();
    let opening = Arc::clone(&worker.opening);
    let mut verdicts = Verdicts {
        program: &opening.program,
        stage: opening.program.stage,
        value_bytes: bounds.value_bytes,
        projection,
        written: Written::new(&projection.writes),
        writers: Vec::new(),
    };
    let seen = &*batch;
    worker.ask(
        projection,
        shown.len(),
        |block, range| show(block, projection, seen, &shown[range], bounds.names),
        |range, answer| verdicts.take(seen, &shown[range], answer, prepared),
    );
    let Verdicts { written, writers, .. } = verdicts;
    put(batch, projection, &written, &writers, opening.program.stage);
}

fn row_number(row: usize) -> u32 {
    u32::try_from(row).expect("a batch is bounded far below 2^32 rows")
}

/// Writes the columns of the contract for these rows.
fn show(block: &mut BlockWriter, projection: &Projection, batch: &TableBatch, shown: &[u32], names: &Names) {
    let first = shown.first().map_or(0, |&row| row as usize);
    let is_run = shown.last().is_some_and(|&last| last as usize - first + 1 == shown.len());
    // Rows ascend, so that as many as lie between the first and the last are all of them.
    let rows = || if is_run { Rows::Run(first..first + shown.len()) } else { Rows::Picked(shown) };
    for read in &projection.reads {
        match *read {
            Read::Column(Side::Before, k, _) => block.column(&batch.before.columns[k], rows()),
            Read::Column(_, k, _) => block.column(&batch.after.columns[k], rows()),
            Read::Fact(fact) => {
                let changes = shown.iter().map(|&row| (&batch.changes[row as usize], None));
                block.column(&fact.column(changes, names), Rows::Run(0..shown.len()));
            }
            Read::Nothing(layout, state) => block.nothing(layout, state),
        }
    }
}

/// What the verdicts of one plugin come to.
struct Verdicts<'a> {
    program: &'a Program,
    stage: Stage,
    value_bytes: usize,
    projection: &'a Projection,
    /// One row per row in `writers`.
    written: Written,
    /// Rows of the batch whose written columns are put in place, ascending.
    writers: Vec<u32>,
}

impl Verdicts<'_> {
    /// Takes the answer for the rows `shown`.
    fn take(
        &mut self,
        batch: &TableBatch,
        shown: &[u32],
        answer: Result<&Answered<'_>, &Fault>,
        prepared: &mut PreparedTable,
    ) {
        for (i, &row) in shown.iter().enumerate() {
            let said = match answer {
                Ok(answered) => self.verdict(answered, i, row),
                Err(fault) => Err((fault.code(), fault.told(!self.projection.is_guarded))),
            };
            let row = row as usize;
            if self.stage == Stage::Residency {
                let is_whole = answer.is_ok_and(|answered| answered.verdicts[i] == 1);
                prepared.residency_passed[row] &= is_whole;
            }
            prepared.passed[row] = said.unwrap_or_else(|(code, what)| {
                Passed::Refused(Refusal {
                    stage: interface(self.stage),
                    code,
                    reason: format!("{} {what}", self.program.label),
                    table: Some(batch.table),
                    key: Some(batch.key(row).to_vec()),
                })
            });
        }
    }

    fn verdict(
        &mut self,
        answered: &Answered<'_>,
        i: usize,
        row: u32,
    ) -> Result<Passed, (&'static str, String)> {
        match (answered.verdicts[i], self.stage) {
            (0, Stage::Residency) => Ok(Passed::Suppressed),
            (0, _) => Ok(Passed::Filtered),
            (1, _) => Ok(Passed::Keep),
            (2, Stage::Residency | Stage::Mapping) => {
                if answered.columns.is_empty() {
                    return Err(("bad-answer", "wrote columns and gave none".into()));
                }
                let taken = self.written.take(answered, i, &self.projection.writes, self.value_bytes);
                self.writers.push(row);
                taken.map(|()| Passed::Keep).map_err(|cause| ("bad-answer", cause.to_string()))
            }
            (255, _) => Err(("plugin-failed", self.reason(answered, i))),
            (other, stage) => {
                Err(("bad-answer", format!("gave verdict {other}, which `{stage}` does not have")))
            }
        }
    }

    /// What a plugin says of a change that it failed.
    fn reason(&self, answered: &Answered<'_>, i: usize) -> String {
        match answered.reason(i) {
            _ if self.projection.is_guarded => "failed the change".into(),
            Some(reason) => {
                format!("failed the change: {}", self.program.tame(&answered.reasons[reason]))
            }
            None => "failed the change and says no reason".into(),
        }
    }
}

/// Puts written cells in place. What residency writes is taken out of the row before as well, so that no later
/// step can bring it back. A delete has no row to write to.
fn put(batch: &mut TableBatch, projection: &Projection, written: &Written, writers: &[u32], stage: Stage) {
    if writers.is_empty() {
        return;
    }
    for (write, cells) in projection.writes.iter().zip(&written.columns.columns) {
        let changes = &batch.changes;
        let is_delete = |row: usize| changes[row].op == Op::Delete;
        replace(&mut batch.after.columns[write.column], cells, writers, |to, row, cell| {
            if !is_delete(row) {
                to.push_from(cells, cell);
            }
            !is_delete(row)
        });
        if stage == Stage::Residency {
            let before = &mut batch.before.columns[write.column];
            let is_there: Vec<bool> =
                (0..before.len()).map(|row| before.state(row) != State::NoRow).collect();
            replace(before, cells, writers, |to, row, _| {
                if is_there[row] {
                    to.push_state(State::Unavailable);
                }
                is_there[row]
            });
        }
    }
}

/// Residency judges the row after a change; of a delete it sees the key alone, and says nothing of the row that goes.
/// So of that row only key and order columns go on, and its bytes do not count as passed.
pub(super) fn seal_deletes(batch: &mut TableBatch, prepared: &mut PreparedTable, table: &TablePlan) {
    let deletes: Vec<usize> =
        (0..batch.changes.len()).filter(|&row| batch.changes[row].op == Op::Delete).collect();
    if deletes.is_empty() {
        return;
    }
    for (k, column) in batch.before.columns.iter_mut().enumerate() {
        if table.shape.key.contains(&k) {
            continue;
        }
        for &row in deletes.iter().filter(|&&row| column.state(row).is_sent()) {
            prepared.residency_passed[row] = false;
        }
        if !table.rule.order_columns().contains(&k) {
            let mut sealed = Column::new(column.logical());
            for row in 0..column.len() {
                if column.state(row).is_sent() && deletes.binary_search(&row).is_ok() {
                    sealed.push_state(State::Unavailable);
                } else {
                    sealed.push_from(column, row);
                }
            }
            *column = sealed;
        }
    }
}

/// Makes the column anew with the cells that `push` gives for rows that write it; where it gives none, the cell
/// stays.
fn replace(
    column: &mut Column,
    cells: &Column,
    writers: &[u32],
    push: impl Fn(&mut Column, usize, usize) -> bool,
) {
    if cells.states().iter().all(|&state| state == State::Unavailable as u8) {
        return;
    }
    let mut made = Column::new(column.logical());
    let mut next = writers.iter().enumerate().peekable();
    for row in 0..column.len() {
        let writer = next.next_if(|(_, writer)| **writer as usize == row);
        let cell = writer.map(|(cell, _)| cell).filter(|&cell| cells.state(cell) != State::Unavailable);
        if !cell.is_some_and(|cell| push(&mut made, row, cell)) {
            made.push_from(column, row);
        }
    }
    *column = made;
}
