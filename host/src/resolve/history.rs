//! Which decisions are conflicts, what kind, and what is kept of them.
//!
//! A conflict is a change that met what another origin wrote, or that lost against what its own origin wrote.
//! An ordinary next version of a row is none. Kinds are PostgreSQL 18's where it has a name; `superseded` ones
//! are ours. A change that residency or a filter let go leaves no history.

use std::sync::Arc;

use reconverge_streams::{disposition::Disposition, position::Micros, text, writes::Decision};

use crate::{
    batch::{Change, Op},
    plan::TablePlan,
    stages::{Arenas, RowRef},
};

use super::state::{Stands, Stood};

/// What decided, and what it said.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) by: Arc<str>,
    pub(super) reason: Option<Arc<str>>,
    /// Whether the author of a merge asks to archive the loser; a built-in rule always does.
    pub(super) archive: bool,
}

/// A change beside what stood, before the decision took effect.
pub(super) struct Met<'a> {
    pub(super) table: &'a TablePlan,
    pub(super) change: &'a Change,
    pub(super) at: Micros,
    pub(super) incoming: Option<RowRef>,
    pub(super) before: Stood,
    pub(super) arenas: Arenas<'a>,
}

/// The conflict's kind; `None` where it is none.
pub(super) fn kind(met: &Met<'_>, outcome: Disposition) -> Option<&'static str> {
    let same_origin = met.before.origin == met.change.origin && !met.before.local;
    let lost = outcome == Disposition::KeptCurrent;
    let delete = met.change.op == Op::Delete;
    match met.before.stands {
        Stands::Nothing => None,
        _ if same_origin && !lost => None,
        Stands::Live(_) if same_origin && delete => Some("delete_superseded"),
        Stands::Live(_) if same_origin => Some("update_superseded"),
        Stands::Live(_) if delete => Some("delete_origin_differs"),
        Stands::Live(_) if met.change.op == Op::Update => Some("update_origin_differs"),
        Stands::Live(_) => Some("insert_exists"),
        // The key of a row that does not belong here is told by no history, unless a row comes back under it.
        Stands::Absence(_) if delete || lost => None,
        Stands::Tombstone(_) if delete => Some("delete_missing"),
        Stands::Tombstone(_) => Some("update_deleted"),
        Stands::Absence(_) => Some("update_missing"),
    }
}

/// A change of a row that was never here: no conflict, and worth a count. Where no snapshot was taken it is what the first
/// change of every key is.
pub(super) fn missing(met: &Met<'_>) -> Option<&'static str> {
    match (met.before.stands, met.change.op) {
        (Stands::Nothing, Op::Update) => Some("update_missing"),
        (Stands::Nothing, Op::Delete) => Some("delete_missing"),
        _ => None,
    }
}

/// The kind where both sides had changed the same column.
pub(super) fn differing(kind: &'static str) -> &'static str {
    if kind == "update_origin_differs" { "update_differing" } else { kind }
}

/// The history row. Rows are kept where the table archives losers and whoever decided asks for it.
pub(super) fn decision(
    met: &Met<'_>,
    kind: &'static str,
    outcome: Disposition,
    said: Said,
    applied: Option<RowRef>,
    key: &[u8],
    generation: i64,
) -> Decision {
    let archive = met.table.archive_losers && said.archive;
    let row = |row: Option<RowRef>| row.filter(|_| archive).map(|row| json(met, row, |_| true));
    // Of a tombstone only what the sink keeps of it is shown, whether or not the batch still knows more; of an
    // absence nothing: what residency let go is kept nowhere.
    let current = match met.before.stands {
        Stands::Tombstone(Some(kept)) if archive => {
            Some(json(met, kept, |c| met.table.rule.order_columns().contains(&c)))
        }
        Stands::Live(_) => row(met.before.stands.row()),
        _ => None,
    };
    Decision {
        sequence: 0,
        table: met.table.id,
        key: key.to_vec(),
        kind,
        outcome,
        decided_by: said.by,
        generation,
        reason: said.reason,
        source: met.change.source,
        position: met.change.position.unwrap_or_default(),
        incoming_at: Some(met.at),
        current_origin: Some(met.before.origin),
        current_at: met.before.at,
        incoming: row(met.incoming),
        current,
        applied: row(applied),
    }
}

/// The row as JSON, of the columns that are to be shown.
fn json(met: &Met<'_>, row: RowRef, shown: impl Fn(usize) -> bool) -> String {
    let columns = met.arenas.of(row.arena).columns.iter().enumerate().filter(|(c, _)| shown(*c));
    let named = columns.filter_map(|(c, cells)| Some((met.table.columns.get(c)?.name.as_str(), cells)));
    text::to_json(named, row.row as usize)
}
