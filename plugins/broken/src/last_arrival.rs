//! Last arrival wins: what the author saw in every demo with one region.

use reconverge_sdk::{Columns, Verdict};

#[derive(Columns)]
pub(crate) struct Row {
    #[allow(dead_code, reason = "that it is not looked at is the fault")]
    modification_epoch: i64,
}

pub(crate) fn decide(_incoming: &Row, _current: &Row) -> Verdict {
    Verdict::take_incoming()
}
