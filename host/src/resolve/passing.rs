//! A table's changes at the gate: what was seen before does not go on, and what looks as if its source's positions began
//! anew is told.

use reconverge_streams::{
    disposition::Disposition,
    epoch::Suspicion,
    position::{Micros, Position},
    writes::ChangeIndex,
};

use crate::{
    batch::{Change, Op},
    plan::Rule,
};

use super::{
    SOURCE_EPOCH, Suspected,
    gate::{self, Arrival, Passage},
    table::{Fate, TableResolver},
};

impl TableResolver<'_> {
    /// Under policy `none` the gate is the lane's: all changes pass it in stream order before the first round.
    pub(super) fn pass_single_writer(&mut self) {
        if self.table.rule == Rule::None {
            let (repeated, newest_at, gate) = (&self.repeated, self.newest_at, &mut self.gate);
            let pass = |c: &Change| match repeated.contains(&c.item) {
                true => Passage::Duplicate,
                false => gate::pass_single_writer(gate, arrival(c, newest_at)),
            };
            self.passages = self.batch.changes.iter().map(pass).collect();
        }
    }

    /// A change at the gate of its key.
    pub(super) fn pass(&mut self, row: u32, key: usize) -> Passage {
        if let Some(passage) = self.passages.get(row as usize) {
            return *passage;
        }
        let change = &self.batch.changes[row as usize];
        if self.repeated.contains(&change.item) {
            return Passage::Duplicate;
        }
        let state = &mut self.keys[key];
        let passage = gate::pass(&mut state.seen, arrival(change, self.newest_at));
        state.touched |= matches!(passage, Passage::Pass { .. });
        passage
    }

    /// Whether a change is left out because of its source's epoch.
    pub(super) fn leaves_out(&self, change: ChangeIndex) -> bool {
        self.refused.get(&change).is_some_and(|refusal| refusal.code == SOURCE_EPOCH)
    }

    /// Left out where the lane said so, else older than what was seen.
    pub(super) fn suspect(&mut self, row: u32, newest: Position) -> Fate {
        let change = &self.batch.changes[row as usize];
        let (source, table, key) = (change.source, self.table.id, self.batch.key(row as usize).to_vec());
        let (position, at) = (change.position.unwrap_or_default(), change.at);
        let suspicion = Suspicion { source, table, key, sequence: 0, position, at, newest };
        self.suspicions.push(Suspected { change: change.item, suspicion });
        match self.refused.get(&change.item).filter(|refusal| refusal.code == SOURCE_EPOCH) {
            Some(refusal) => Fate::Refused(refusal.clone()),
            None => Fate::Done(Disposition::Regressed),
        }
    }
}

/// A change as the gate sees it.
fn arrival(change: &Change, newest_at: Option<Micros>) -> Arrival {
    Arrival {
        source: change.source,
        position: change.position,
        at: change.at,
        snapshot: change.op == Op::Snapshot,
        delete: change.op == Op::Delete,
        redriven: change.redriven.is_some(),
        newest_at,
    }
}
