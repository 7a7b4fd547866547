//! Makes a counterexample small: changes are left out, then cells and times made plain, as long as the law stays broken.
//! Delta debugging with the history's own moves, since a smaller history must still be one that sources can write.

use serde_json::Value;

use super::{
    history::{Cell, History},
    law::Law,
    trial::{Broken, Subject},
};
use crate::{batch::Op, scratch::ScratchError};

/// Histories that are tried to make one smaller.
const TRIES_MAX: usize = 600;

/// The smallest counterexample that was found from this one. A rule with a memory may not break the law again: then
/// it is as it was.
///
/// # Errors
/// The scratch sink fails.
pub(super) fn smallest(subject: &mut Subject, found: Broken) -> Result<Broken, ScratchError> {
    if found.law == Law::Monotone {
        return Ok(found);
    }
    let mut shrinking = Shrinking { subject, best: found, tries: TRIES_MAX };
    shrinking.one_key()?;
    loop {
        let before = shrinking.best.history.clone();
        shrinking.fewer_steps()?;
        shrinking.plainer_steps()?;
        if shrinking.best.history == before || shrinking.tries == 0 {
            return Ok(shrinking.best);
        }
    }
}

struct Shrinking<'a> {
    subject: &'a mut Subject,
    best: Broken,
    tries: usize,
}

impl Shrinking<'_> {
    /// Takes a smaller history where the law is broken on it too.
    fn take(&mut self, history: History) -> Result<bool, ScratchError> {
        if self.tries == 0 || history == self.plain() {
            return Ok(false);
        }
        self.tries -= 1;
        let found = self.subject.broken(self.best.law, &history)?;
        let is_broken = found.is_some();
        if let Some(found) = found {
            self.best = found;
        }
        Ok(is_broken)
    }

    /// The history that the law is asked about: of one that was sent twice, each change once.
    fn plain(&self) -> History {
        let steps = &self.best.history.steps;
        let each = if self.best.law == Law::Idempotent { 2 } else { 1 };
        History { steps: steps.iter().step_by(each).cloned().collect() }
    }

    fn one_key(&mut self) -> Result<(), ScratchError> {
        let mut history = self.plain();
        let key = self.best.key;
        history.steps.retain(|step| step.key == key);
        self.take(history).map(drop)
    }

    fn fewer_steps(&mut self) -> Result<(), ScratchError> {
        let mut at = 0;
        while at < self.plain().steps.len() {
            let fewer = self.plain().without(at);
            if !self.take(fewer)? {
                at += 1;
            }
        }
        Ok(())
    }

    fn plainer_steps(&mut self) -> Result<(), ScratchError> {
        for at in 0..self.plain().steps.len() {
            let change = |history: &mut History, with: &dyn Fn(&mut super::history::Step)| {
                with(&mut history.steps[at])
            };
            let first_at = self.plain().steps.iter().map(|step| step.at).min().unwrap_or_default();
            let moves: [&dyn Fn(&mut super::history::Step); 4] = [
                &|step| step.let_go = false,
                &|step| step.at = first_at,
                &|step| step.op = if step.op == Op::Delete { Op::Delete } else { Op::Update },
                &|step| step.before = step.before.take().filter(|_| step.row.contains(&Cell::Unsent)),
            ];
            for with in moves {
                let mut history = self.plain();
                change(&mut history, with);
                self.take(history)?;
            }
            for column in 0..self.plain().steps.get(at).map_or(0, |step| step.row.len()) {
                self.plainer_cell(at, column)?;
            }
        }
        Ok(())
    }

    /// A cell like that of the first change, or the type's plainest value, or null.
    fn plainer_cell(&mut self, at: usize, column: usize) -> Result<(), ScratchError> {
        let field = &self.subject.ground.fields[column];
        if field.in_key || field.values.is_empty() {
            return Ok(());
        }
        let history = self.plain();
        let plainest = if field.holds.null && !field.in_contract {
            Value::Null
        } else {
            field.values.iter().min_by_key(|value| value.to_string().len()).cloned().unwrap_or(Value::Null)
        };
        let first = history.steps[0].row[column].clone();
        for cell in [Cell::Is(plainest), first] {
            let mut plainer = self.plain();
            // Towards the plainest only, or two moves would undo each other for ever.
            if cell == plainer.steps[at].row[column] || size(&cell) > size(&plainer.steps[at].row[column]) {
                continue;
            }
            plainer.steps[at].row[column] = cell;
            if self.take(plainer)? {
                break;
            }
        }
        Ok(())
    }
}

fn size(cell: &Cell) -> usize {
    match cell {
        Cell::Is(value) => value.to_string().len(),
        Cell::Missing => 0,
        Cell::Unsent => usize::MAX,
    }
}
