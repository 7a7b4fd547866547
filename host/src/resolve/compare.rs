//! The table's rule beside one key: which of two changes is the greater one, before the tie chain.

use std::cmp::Ordering;

use crate::{plan::Rule, stages::RowRef};

use super::{
    order,
    table::{Incoming, TableResolver},
};

impl TableResolver<'_> {
    /// Rules that need no more than both sides and their versions. `current` is the row of what stands, where it has one.
    pub(super) fn by_order(&self, rule: &Rule, incoming: &Incoming, current: Option<RowRef>) -> Ordering {
        let state = &self.keys[incoming.key];
        match rule {
            Rule::Greatest(columns) => current.map_or(Ordering::Greater, |current| {
                order::by_columns(columns, &self.arenas(), incoming.order, current)
            }),
            Rule::Hlc => self.by_hlc(incoming),
            Rule::CommitTime => Some(incoming.at).cmp(&state.at),
            Rule::KeepCurrent if state.stands.live().is_some() => Ordering::Less,
            Rule::KeepCurrent => Ordering::Greater,
            Rule::OriginPriority(origins) => {
                let place = |origin| origins.iter().position(|o| *o == origin).unwrap_or(origins.len());
                place(state.origin).cmp(&place(self.batch.changes[incoming.row as usize].origin))
            }
            _ => Ordering::Equal,
        }
    }

    pub(super) fn unsent_order_column(&self, incoming: &Incoming) -> Option<&str> {
        let columns = self.table.rule.compared_columns();
        let cells = self.arenas().of(incoming.order.arena);
        let unsent = |c: &&usize| !cells.columns[**c].state(incoming.order.row as usize).is_sent();
        columns.iter().find(unsent).map(|&c| self.table.columns[c].name.as_str())
    }
}
