//! A decision takes effect: what stands is moved on, the row is filled, conflicts go into the history.

use std::{cmp::Ordering, sync::Arc};

use reconverge_streams::disposition::Disposition;

use crate::{
    plan::{Deletes, Rule},
    stages::{Arena, Contest, Contests, RowRef, Ruling, Stages, Verdict},
};

use super::{
    column_set::ColumnSet,
    compose::{self, Filling, Lacking},
    history::{self, Met, Said},
    state::{InSink, Stands, Stood},
    table::{Fate, Incoming, TableResolver},
};

impl TableResolver<'_> {
    pub(super) fn merge(&mut self, asked: &[Incoming], contests: &[Contest], stages: &mut dyn Stages) {
        let mut rulings = stages.merge(&Contests {
            table: self.table,
            changes: &self.batch.changes,
            arenas: self.arenas(),
            rows: contests,
            names: &self.plan.names,
        });
        let list = std::mem::take(&mut rulings.rulings);
        self.merged = rulings;
        for (incoming, ruling) in asked.iter().zip(list) {
            let fate = self.rule(incoming, ruling);
            self.fates[incoming.row as usize] = fate;
        }
    }

    /// What a merge plugin said takes effect.
    fn rule(&mut self, incoming: &Incoming, ruling: Ruling) -> Fate {
        let reason = self.merged.reason(&ruling).cloned();
        let said = Said { by: Arc::clone(&self.rule_name), reason, archive: ruling.archive };
        match ruling.verdict {
            Verdict::Keep => self.settle(incoming, Ordering::Less, said),
            Verdict::Take => self.settle(incoming, Ordering::Greater, said),
            Verdict::Write(_) if incoming.delete || incoming.let_go.is_some() => {
                self.settle(incoming, Ordering::Greater, said)
            }
            Verdict::Write(written) => self.settle_written(incoming, Some(written), said),
            Verdict::Delete => self.settle_deleted(incoming, said),
            Verdict::Refuse(mut refusal) => {
                refusal.table = Some(self.table.id);
                refusal.key = Some(self.batch.key(incoming.row as usize).to_vec());
                Fate::Refused(*refusal)
            }
        }
    }

    /// `Greater`: the change stands from now on; `Less`: what stands stays; `Equal`: both are the same.
    pub(super) fn settle(&mut self, incoming: &Incoming, ordering: Ordering, said: Said) -> Fate {
        match ordering {
            Ordering::Equal => Fate::Done(incoming.let_go.unwrap_or(Disposition::NoOp)),
            Ordering::Less => {
                let stands = self.keys[incoming.key].stood();
                self.remember(incoming, Disposition::KeptCurrent, said, None, stands);
                Fate::Done(incoming.let_go.unwrap_or(Disposition::KeptCurrent))
            }
            Ordering::Greater if incoming.delete => self.settle_deleted(incoming, said),
            Ordering::Greater if incoming.let_go.is_some() => {
                let order = Some(incoming.order);
                self.stand(incoming, Stands::Absence(order), None);
                Fate::Done(incoming.let_go.unwrap_or(Disposition::Suppressed))
            }
            Ordering::Greater => self.settle_written(incoming, None, said),
        }
    }

    /// No row stands from now on.
    fn settle_deleted(&mut self, incoming: &Incoming, said: Said) -> Fate {
        let (before, in_sink) = (self.keys[incoming.key].stood(), self.keys[incoming.key].in_sink);
        let stood = before.stands.live().is_some() || in_sink == InSink::Unknown;
        let ordered = self.table.deletes == Deletes::Ordered;
        self.stand(incoming, Stands::Tombstone(ordered.then_some(incoming.order)), None);
        let disposition = if stood { Disposition::Deleted } else { Disposition::NoOp };
        self.remember(incoming, disposition, said, None, before);
        Fate::Done(incoming.let_go.unwrap_or(disposition))
    }

    /// 5. Writing: the row is filled, then it stands. `written` is the row of merged columns that a plugin wrote.
    fn settle_written(&mut self, incoming: &Incoming, written: Option<u32>, said: Said) -> Fate {
        let before = self.keys[incoming.key].stood();
        let (row, kept) = match self.fill(incoming, written) {
            Ok(filled) => filled,
            Err(Lacking(column)) => return self.lacking(incoming, column),
        };
        self.stand(incoming, Stands::Live(row), Some(kept));
        let disposition = if written.is_some() { Disposition::Merged } else { Disposition::Applied };
        self.remember(incoming, disposition, said, written.map(|_| row), before);
        Fate::Done(disposition)
    }

    /// What a rule decided takes effect, as the rule puts rows together.
    pub(super) fn conclude(&mut self, incoming: &Incoming, ordering: Ordering, said: Said) -> Fate {
        let local = self.keys[incoming.key].local;
        let fate = match &self.table.rule {
            Rule::ColumnMerge { .. } => self.merge_columns(incoming, ordering, said),
            Rule::Counter { .. } => self.count(incoming, ordering, said),
            _ => self.settle(incoming, ordering, said),
        };
        if matches!(fate, Fate::Done(_)) {
            self.advance_clock(incoming, ordering, local);
        }
        fate
    }

    /// A row that would stand lacks a value.
    pub(super) fn lacking(&self, incoming: &Incoming, column: usize) -> Fate {
        let name = &self.table.columns[column].name;
        let why = format!("column `{name}` was not sent, and no earlier row has a value for it");
        Fate::Refused(self.refusal(incoming, "value-unavailable", why))
    }

    /// The row that the change makes of what stands.
    pub(super) fn fill(
        &mut self,
        incoming: &Incoming,
        written: Option<u32>,
    ) -> Result<(RowRef, ColumnSet), Lacking> {
        if self.whole[incoming.row as usize] && written.is_none() {
            return Ok((RowRef { arena: Arena::After, row: incoming.row }, ColumnSet::default()));
        }
        let cells = |w: u32| {
            let columns = self.merged.written_columns.iter().zip(&self.merged.written.columns);
            let filled = columns.filter(move |(_, c)| c.state(w as usize).is_sent());
            filled.map(move |(&column, c)| (column, c, w as usize))
        };
        let written: Vec<_> = written.into_iter().flat_map(cells).collect();
        let moved_from = self.keyed.moved_from.get(&incoming.row);
        let stands = &self.keys[incoming.key];
        let filling = Filling {
            table: self.table,
            after: &self.batch.after,
            before: &self.batch.before,
            standing: &self.standing.rows,
            row: incoming.row,
            moved_from: moved_from.and_then(|&old| self.keys[old as usize].row_before_move()),
            current: stands.stands.live(),
            kept: stands.kept.as_ref(),
            written: &written,
        };
        let kept = compose::compose(&filling, &mut self.composed)?;
        let row = u32::try_from(self.composed.rows() - 1).expect("a batch has fewer rows than 2^32");
        Ok((RowRef { arena: Arena::Composed, row }, kept))
    }

    /// From now on this stands.
    pub(super) fn stand(&mut self, incoming: &Incoming, stands: Stands, kept: Option<ColumnSet>) {
        let change = &self.batch.changes[incoming.row as usize];
        let state = &mut self.keys[incoming.key];
        state.origin = change.origin;
        state.at = Some(incoming.at);
        self.stand_mixed(incoming, stands, kept.unwrap_or_default());
    }

    /// From now on this stands, of several changes; the newest of them is what it was.
    pub(super) fn stand_mixed(&mut self, incoming: &Incoming, stands: Stands, kept: ColumnSet) {
        let state = &mut self.keys[incoming.key];
        state.broken |= state.stands.live().is_some() && !matches!(stands, Stands::Live(_));
        state.stands = stands;
        state.local = false;
        state.set_by = Some(incoming.row);
        state.kept = Some(kept);
    }

    /// Keeps a conflict; `applied` is the row where it is neither of the two sides.
    pub(super) fn remember(
        &mut self,
        incoming: &Incoming,
        outcome: Disposition,
        said: Said,
        applied: Option<RowRef>,
        before: Stood,
    ) {
        self.remember_merged(incoming, outcome, said, applied, before, false);
    }

    /// Likewise; `both` tells that a column had been changed by both sides.
    pub(super) fn remember_merged(
        &mut self,
        incoming: &Incoming,
        outcome: Disposition,
        said: Said,
        applied: Option<RowRef>,
        before: Stood,
        both: bool,
    ) {
        if incoming.let_go.is_some() || self.table.rule == Rule::None {
            return;
        }
        let change = &self.batch.changes[incoming.row as usize];
        let shown = if incoming.delete { Arena::Before } else { Arena::After };
        let met = Met {
            table: self.table,
            change,
            at: incoming.at,
            incoming: Some(RowRef { arena: shown, row: incoming.row }),
            before,
            arenas: self.arenas(),
        };
        let kind = history::kind(&met, outcome);
        let kind = kind.map(|kind| if both { history::differing(kind) } else { kind });
        let counted = kind.or(history::missing(&met));
        let key = self.batch.key(incoming.row as usize);
        let decision =
            kind.map(|kind| history::decision(&met, kind, outcome, said, applied, key, self.generation));
        self.decisions.extend(decision.map(|decision| (incoming.row, decision)));
        if let Some(kind) = counted {
            *self.conflicts.entry((kind, outcome)).or_default() += 1;
        }
    }
}
