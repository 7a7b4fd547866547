//! Rows whose parent is known not to come, where their table does not keep them beside: they become dead letters, or go
//! in without what names the parent. Asked by the walk for each row, before it is hidden.

use bytes::Bytes;
use reconverge_streams::{
    columns::State,
    family::Presence,
    position::Seen,
    text::{self, write_json_text},
    writes::DeadLetter,
};
use sha2::{Digest, Sha256};

use crate::{
    batch::{Batch, Refusal},
    plan::Orphans,
    stages::{Arena, RowRef},
};

use super::{
    Resolved,
    column_set::ColumnSet,
    state::{KeyState, Stands},
    table::{Fate, TableResolver},
};

/// The code of the dead letters.
pub const ORPHANED: &str = "orphaned";

/// The step of a letter about a row that was decided before: it is no message.
const STAGE: &str = "parked";

/// What becomes of a row besides being in the sink or beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Orphan {
    /// It is a dead letter.
    Dead,
    /// These columns name parents that will not come.
    Without(Vec<usize>),
}

impl TableResolver<'_> {
    /// What the table wants of a row whose parents are so, in the order of `depends_on`; `None` for a parent that the row
    /// does not name. With null in place of some, other parents may not be named any more either.
    pub(super) fn orphan(&self, parents: &[Option<Presence>]) -> Option<Orphan> {
        let is_gone = |parent: &Option<Presence>| *parent == Some(Presence::Gone);
        if self.table.orphans == Orphans::Keep || !parents.iter().any(is_gone) {
            return None;
        }
        if self.table.orphans == Orphans::DeadLetter {
            return Some(Orphan::Dead);
        }
        let gone = self.table.depends_on.iter().zip(parents).filter(|(_, presence)| is_gone(presence));
        let columns: Vec<usize> = gone.flat_map(|(parent, _)| parent.columns.iter().copied()).collect();
        let still_named = |parent: &crate::plan::Parent| !parent.columns.iter().any(|c| columns.contains(c));
        let mut named = self.table.depends_on.iter().zip(parents).filter(|(parent, _)| still_named(parent));
        // As long as another parent may still come the row waits for it, whole.
        named
            .all(|(_, presence)| presence.is_none_or(|p| p == Presence::In))
            .then_some(Orphan::Without(columns))
    }

    /// It takes effect.
    pub(super) fn settle_orphan(&mut self, place: usize, orphan: Orphan) {
        match orphan {
            Orphan::Dead => self.bury(place),
            Orphan::Without(columns) => self.take_references(place, &columns),
        }
    }

    /// The row does not stand any more. A change of this batch is refused for it.
    fn bury(&mut self, place: usize) {
        let Some(row) = self.keys[place].stands.live() else { return };
        if let Some(change) = self.keys[place].set_by {
            let refusal = Refusal {
                stage: "resolve",
                code: ORPHANED,
                reason: "a row that it depends on was deleted, does not belong here, or is a dead letter"
                    .into(),
                table: Some(self.table.id),
                key: Some(self.key_at(place).to_vec()),
            };
            self.fates[change as usize] = Fate::Refused(refusal);
        }
        let state = &mut self.keys[place];
        state.stands = Stands::Absence(Some(row));
        state.orphan = Some(row);
        state.discarded = true;
        state.touched = true;
    }

    /// The row stands with null in these columns.
    fn take_references(&mut self, place: usize, columns: &[usize]) {
        let Some(row) = self.keys[place].stands.live() else { return };
        let mut cells = Vec::with_capacity(self.composed.columns.len());
        for c in 0..self.composed.columns.len() {
            let mut cell = reconverge_streams::columns::Column::new(self.table.columns[c].logical);
            match self.arenas().of(row.arena).columns.get(c) {
                _ if columns.contains(&c) => cell.push_state(State::Null),
                Some(from) => cell.push_from(from, row.row as usize),
                None => cell.push_state(State::Missing),
            }
            cells.push(cell);
        }
        for (to, cell) in self.composed.columns.iter_mut().zip(&cells) {
            to.push_from(cell, 0);
        }
        self.composed.end_row();
        let row = u32::try_from(self.composed.rows() - 1).expect("a batch has fewer rows than 2^32");
        let width = self.table.columns.len();
        let state = &mut self.keys[place];
        let as_in_sink = |c: &usize| state.kept.as_ref().is_none_or(|kept| kept.contains(*c));
        let kept: ColumnSet = (0..width).filter(|c| !columns.contains(c) && as_in_sink(c)).collect();
        state.kept = Some(kept);
        state.stands = Stands::Live(RowRef { arena: Arena::Composed, row });
        state.stripped = true;
        state.touched = true;
    }

    /// The letter of a row that no change of this batch set. Its bytes are an envelope of our own, which a redrive sends
    /// like any other.
    pub(super) fn orphan_letter(&self, place: usize, batch: &Batch, resolved: &mut Resolved) {
        let state = &self.keys[place];
        let Some(row) = state.orphan.filter(|_| state.set_by.is_none()) else { return };
        let bytes = Bytes::from(self.envelope(state, row));
        resolved.writes.dead.push(DeadLetter {
            sequence: batch.through,
            subject: batch.deliveries.last().map(|d| d.subject.to_string()).unwrap_or_default(),
            table: Some(self.table.id),
            key: Some(self.key_at(place).to_vec()),
            stage: STAGE,
            code: ORPHANED,
            reason: "the row that it depends on went, or is known not to come".into(),
            generation: None,
            headers: Some(r#"{"Reconverge-Version":"1"}"#.into()),
            digest: Sha256::digest(&bytes).into(),
            bytes: Some(bytes),
            discarded: None,
        });
    }

    fn envelope(&self, state: &KeyState, row: RowRef) -> String {
        let cells = self.arenas().of(row.arena);
        let source_name = |c: usize| {
            let renamed = self.table.key_from.iter().find(|(_, at)| *at == c);
            renamed.map_or(self.table.columns[c].name.as_str(), |(name, _)| name)
        };
        let listed = self.plan.by_source_name.iter().find(|(_, id)| **id == self.table.id);
        let mut out = String::from("{\"v\":1,\"op\":\"u\",\"table\":");
        write_json_text(listed.map_or(&self.table.source_name, |(name, _)| name), &mut out);
        out.push_str(",\"key\":");
        let key = self.table.shape.key.iter().map(|&k| (source_name(k), &cells.columns[k]));
        out.push_str(&text::to_json(key, row.row as usize));
        out.push_str(",\"after\":");
        let sent = cells.columns.iter().enumerate().filter(|(_, c)| c.state(row.row as usize).is_sent());
        out.push_str(&text::to_json(sent.map(|(c, column)| (source_name(c), column)), row.row as usize));
        let name = |id| serde_json::Value::from(self.plan.names.get(id).to_string());
        out.push_str(&format!(",\"origin\":{}", name(state.origin)));
        out.push_str(&format!(",\"at\":{}", state.at.unwrap_or_default()));
        let seen = state.seen.iter().find(|s| s.source == state.origin).or(state.seen.first());
        if let Some(Seen { source, position, .. }) = seen {
            let (epoch, commit, ordinal) = (position.epoch, position.commit, position.ordinal);
            out.push_str(&format!(
                ",\"pos\":{{\"source\":{},\"epoch\":{epoch},\"commit\":\"{commit}\",\"ordinal\":{ordinal}}}",
                name(*source)
            ));
        }
        out.push('}');
        out
    }
}
