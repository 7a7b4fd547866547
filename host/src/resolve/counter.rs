//! Sums: a counter's value is what every change added to it, in whatever order they came.
//!
//! A change adds the difference between the row after it and the row before it; a create all that it has, a delete takes
//! away what its row had. A sum does not depend on the order of its terms, and the gate lets each term by once. So it
//! outlives the row: a tombstone keeps it, and what another region added meanwhile is there when the row comes
//! back. The rest of the row goes by the table's order.

use std::cmp::Ordering;

use reconverge_streams::{
    columns::{Columns, State},
    disposition::Disposition,
    logical::Logical,
};

use crate::{
    batch::{Op, Refusal},
    plan::Rule,
    stages::{Arena, RowRef, Rulings},
};

use super::{
    column_set::ColumnSet,
    compose::Lacking,
    history::Said,
    state::{KeyState, Stands},
    table::{Fate, Incoming, TableResolver},
};

impl TableResolver<'_> {
    /// `ordering` is that of the change and what stands: the row goes by it, the sums take part either way.
    pub(super) fn count(&mut self, incoming: &Incoming, ordering: Ordering, said: Said) -> Fate {
        let Rule::Counter { counters, .. } = &self.table.rule else {
            return self.settle(incoming, ordering, said);
        };
        let before = self.keys[incoming.key].clone();
        let (sums, adds) = match self.sums(incoming, &before, counters) {
            Ok(sums) => sums,
            Err(refusal) => return Fate::Refused(*refusal),
        };
        if ordering != Ordering::Greater && !adds {
            return self.settle(incoming, ordering, said);
        }
        let mut written = Columns::new(counters.iter().map(|_| Logical::Int));
        for (column, sum) in written.columns.iter_mut().zip(&sums) {
            column.push_int(*sum);
        }
        written.end_row();
        self.merged = Rulings { written, written_columns: counters.clone(), ..Rulings::default() };
        if ordering != Ordering::Greater {
            return self.add_to_standing(incoming, &before, said);
        }
        if incoming.delete || incoming.let_go.is_some() {
            return self.keep_sums(incoming, &before, said);
        }
        let (row, kept) = match self.fill(incoming, Some(0)) {
            Ok(filled) => filled,
            Err(Lacking(column)) => return self.lacking(incoming, column),
        };
        let at = incoming.row as usize;
        let own = counters.iter().zip(&sums).all(|(&c, sum)| value(&self.batch.after, c, at) == *sum);
        let outcome = if own { Disposition::Applied } else { Disposition::Merged };
        self.stand(incoming, Stands::Live(row), Some(kept));
        self.remember(incoming, outcome, said, Some(row).filter(|_| !own), before.stood());
        Fate::Done(outcome)
    }

    /// The sums with what the change adds, and whether it adds anything.
    fn sums(
        &self,
        incoming: &Incoming,
        before: &KeyState,
        counters: &[usize],
    ) -> Result<(Vec<i64>, bool), Box<Refusal>> {
        let mut adds = false;
        let mut sums = Vec::with_capacity(counters.len());
        for &c in counters {
            let added = self.added(incoming, c)?;
            adds |= added != 0;
            let standing =
                before.stands.row().map_or(0, |row| value(self.arenas().of(row.arena), c, row.row as usize));
            let Some(sum) = i128::from(standing).checked_add(added).and_then(|sum| i64::try_from(sum).ok())
            else {
                let why = format!("the sum of column `{}` is beyond 64 bits", self.table.columns[c].name);
                return Err(Box::new(self.refusal(incoming, "sum-out-of-range", why)));
            };
            sums.push(sum);
        }
        Ok((sums, adds))
    }

    /// What the change adds to a column. A snapshot row gives a sum its beginning where its source has not been heard of,
    /// and adds nothing to one that is being kept.
    fn added(&self, incoming: &Incoming, c: usize) -> Result<i128, Box<Refusal>> {
        let row = incoming.row as usize;
        let change = &self.batch.changes[row];
        let (after, before) = (value(&self.batch.after, c, row), value(&self.batch.before, c, row));
        let known = self.batch.before.columns[c].state(row).is_sent();
        match change.op {
            Op::Snapshot if incoming.later || change.redriven.is_some() => Ok(0),
            Op::Create | Op::Snapshot => Ok(i128::from(after)),
            _ if !known => {
                let name = &self.table.columns[c].name;
                let why = format!(
                    "what the change adds to `{name}` is not told: its before image does not carry the column"
                );
                Err(Box::new(self.refusal(incoming, "before-image-unavailable", why)))
            }
            Op::Delete => Ok(-i128::from(before)),
            // A column that was not sent again is unchanged.
            Op::Update if !self.batch.after.columns[c].state(row).is_sent() => Ok(0),
            Op::Update => Ok(i128::from(after) - i128::from(before)),
        }
    }

    /// The change loses and has added something: what stands stays, with the new sums.
    fn add_to_standing(&mut self, incoming: &Incoming, before: &KeyState, said: Said) -> Fate {
        let Some(current) = before.stands.row() else {
            return self.settle(incoming, Ordering::Less, said);
        };
        let row = self.with_sums(Some(current), incoming);
        let (stands, outcome) = match before.stands {
            Stands::Live(_) => (Stands::Live(row), Disposition::Merged),
            Stands::Absence(_) => (Stands::Absence(Some(row)), Disposition::KeptCurrent),
            _ => (Stands::Tombstone(Some(row)), Disposition::KeptCurrent),
        };
        let unchanged = |c: &usize| {
            !self.merged.written_columns.contains(c)
                && before.kept.as_ref().is_none_or(|kept| kept.contains(*c))
        };
        let kept: ColumnSet = (0..self.table.columns.len()).filter(unchanged).collect();
        self.stand_mixed(incoming, stands, kept);
        let applied = Some(row).filter(|_| outcome == Disposition::Merged);
        self.remember(incoming, outcome, said, applied, before.stood());
        Fate::Done(incoming.let_go.unwrap_or(outcome))
    }

    /// No row stands from now on; its order columns and the sums are kept.
    fn keep_sums(&mut self, incoming: &Incoming, before: &KeyState, said: Said) -> Fate {
        let row = self.with_sums(None, incoming);
        let outcome = if before.stands.live().is_some() { Disposition::Deleted } else { Disposition::NoOp };
        if incoming.delete {
            self.stand(incoming, Stands::Tombstone(Some(row)), None);
            self.remember(incoming, outcome, said, None, before.stood());
        } else {
            self.stand(incoming, Stands::Absence(Some(row)), None);
        }
        Fate::Done(incoming.let_go.unwrap_or(outcome))
    }

    /// A copy of a row, or else of the change's order columns, with the new sums in it.
    fn with_sums(&mut self, of: Option<RowRef>, incoming: &Incoming) -> RowRef {
        let from = of.unwrap_or(incoming.order);
        let compared = self.table.rule.compared_columns();
        let mut composed = std::mem::take(&mut self.composed);
        for (c, cell) in composed.columns.iter_mut().enumerate() {
            if let Some(place) = self.merged.written_columns.iter().position(|counter| *counter == c) {
                cell.push_from(&self.merged.written.columns[place], 0);
            } else if of.is_none() && !compared.contains(&c) {
                cell.push_state(State::NoRow);
            } else if from.arena == Arena::Composed {
                cell.push_copy(from.row as usize);
            } else {
                match self.arenas().of(from.arena).columns.get(c) {
                    Some(cells) => cell.push_from(cells, from.row as usize),
                    None => cell.push_state(State::Missing),
                }
            }
        }
        composed.end_row();
        self.composed = composed;
        let row = u32::try_from(self.composed.rows() - 1).expect("a batch has fewer rows than 2^32");
        RowRef { arena: Arena::Composed, row }
    }
}

/// A counter's value; null, and a column of no row, count as zero.
fn value(cells: &Columns, c: usize, row: usize) -> i64 {
    let cell = cells.columns.get(c).filter(|cell| cell.state(row) == State::Value);
    cell.map_or(0, |cell| cell.int(row))
}
