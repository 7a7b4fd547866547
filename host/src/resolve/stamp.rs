//! Stamps: which change a column's value is of, and which of two changes to a column is the greater one.
//!
//! A stamp is a change's place in the table's order, written down so that it outlives the batch and the row. A column that
//! a change carries and did not change has the least of stamps: it only fills what nobody has changed yet.

use std::{cmp::Ordering, sync::Arc};

use reconverge_streams::{
    canonical,
    columns::{Columns, State},
    names::{NameId, Names},
    position::Micros,
    table::TableShape,
    text,
};
use serde::{Deserialize, Serialize};

use crate::{clock::Hlc, plan::Rule, stages::RowRef};

use super::{
    state::KeyState,
    table::{Incoming, TableResolver},
};

/// A change to a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// Where it began.
    pub(super) origin: String,
    /// Its commit time; `None` where it is unknown, or the column was only carried along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<Micros>,
    /// The column was only carried along.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) carried: bool,
    /// Its hybrid clock, where the table goes by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hlc: Option<String>,
    /// Its order columns as a JSON object, where the table goes by columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) order: Option<String>,
}

impl Stamp {
    /// That of a column that was only carried along.
    pub(super) fn carried(origin: String) -> Self {
        Stamp { origin, at: None, carried: true, hlc: None, order: None }
    }
}

/// How the change of one stamp stands to that of another, up to their positions.
pub(super) fn compare(rule: &Rule, shape: &TableShape, names: &Names, a: &Stamp, b: &Stamp) -> Ordering {
    let by_rule = || match rule {
        Rule::Greatest(columns) => by_columns(columns, shape, a.order.as_deref(), b.order.as_deref()),
        Rule::Hlc => hlc(a).cmp(&hlc(b)),
        Rule::OriginPriority(origins) => {
            let place = |stamp: &Stamp| {
                let named = |origin: &NameId| *names.get(*origin) == *stamp.origin;
                origins.iter().position(named).unwrap_or(origins.len())
            };
            place(b).cmp(&place(a))
        }
        _ => Ordering::Equal,
    };
    // What was only carried along is below everything, and among itself goes by origin.
    let by_rule = match (a.carried, b.carried) {
        (false, false) => by_rule(),
        (a, b) => b.cmp(&a),
    };
    by_rule.then_with(|| a.at.cmp(&b.at)).then_with(|| a.origin.cmp(&b.origin))
}

fn hlc(stamp: &Stamp) -> Option<Hlc> {
    stamp.hlc.as_deref().and_then(|text| text.parse().ok())
}

/// By order columns as they were written down. One without is the least.
fn by_columns(columns: &[usize], shape: &TableShape, a: Option<&str>, b: Option<&str>) -> Ordering {
    let (Some(a), Some(b)) = (a, b) else { return a.is_some().cmp(&b.is_some()) };
    let mut cells = Columns::new(shape.logicals());
    for json in [a, b] {
        if text::from_json(shape, columns, json, &mut cells).is_err() {
            // Written under another shape of the table: it counts as a row of nulls.
            cells.push_row_of(State::Null);
        }
    }
    let compared = |&c: &usize| canonical::compare(&cells.columns[c], 0, &cells.columns[c], 1);
    columns.iter().map(compared).find(|ordering| *ordering != Ordering::Equal).unwrap_or(Ordering::Equal)
}

impl TableResolver<'_> {
    /// The stamp of a change, for columns that it changed or only carries along.
    pub(super) fn stamp(&self, incoming: &Incoming, carried: bool) -> Arc<Stamp> {
        let change = &self.batch.changes[incoming.row as usize];
        let origin = self.plan.names.get(change.origin).to_string();
        if carried {
            return Arc::new(Stamp::carried(origin));
        }
        let by_hlc = *self.table.rule.order() == Rule::Hlc;
        Arc::new(Stamp {
            origin,
            at: Some(incoming.at),
            carried: false,
            hlc: by_hlc.then(|| self.hlc(incoming).to_string()),
            order: self.order_json(incoming.order),
        })
    }

    /// The stamp of what stands as a whole: of columns that have none of their own.
    pub(super) fn standing_stamp(&self, state: &KeyState) -> Arc<Stamp> {
        let by_hlc = *self.table.rule.order() == Rule::Hlc;
        Arc::new(Stamp {
            origin: self.plan.names.get(state.origin).to_string(),
            at: state.at,
            carried: false,
            hlc: self.standing_hlc(state).filter(|_| by_hlc).map(|hlc| hlc.to_string()),
            order: state.stands.row().and_then(|row| self.order_json(row)),
        })
    }

    fn order_json(&self, row: RowRef) -> Option<String> {
        let columns = self.table.rule.compared_columns();
        let cells = self.arenas().of(row.arena);
        let named = columns
            .iter()
            .filter_map(|&c| Some((self.table.columns[c].name.as_str(), cells.columns.get(c)?)));
        (!columns.is_empty()).then(|| text::to_json(named, row.row as usize))
    }
}
