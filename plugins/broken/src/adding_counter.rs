//! A counter that adds: what is sent once more is counted once more.

use reconverge_sdk::{Columns, Verdict, Writes};

#[derive(Columns, Writes)]
pub(crate) struct Row {
    calls: i64,
}

pub(crate) fn decide(incoming: &Row, current: &Row) -> Verdict<Row> {
    Verdict::write(Row { calls: incoming.calls.saturating_add(current.calls) })
}
