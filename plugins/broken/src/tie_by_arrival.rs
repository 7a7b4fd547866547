//! `>=` in place of a column that tells the rows apart: of one epoch, what arrives last stands.

use reconverge_sdk::{Columns, Verdict};

#[derive(Columns)]
pub(crate) struct Row<'a> {
    modification_epoch: i64,
    #[allow(dead_code, reason = "that ties do not go by it is the fault")]
    region_source: &'a str,
}

pub(crate) fn decide(incoming: &Row, current: &Row) -> Verdict {
    if incoming.modification_epoch >= current.modification_epoch {
        Verdict::take_incoming()
    } else {
        Verdict::keep_current()
    }
}
