//! A counter between calls: every seventh contest is decided for the one who comes, "to be fair".

use std::sync::atomic::{AtomicU32, Ordering};

use reconverge_sdk::{Columns, Verdict};

#[derive(Columns, PartialEq, PartialOrd)]
pub(crate) struct Row<'a> {
    modification_epoch: i64,
    region_source: &'a str,
}

static CONTESTS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn decide(incoming: &Row, current: &Row) -> Verdict {
    let is_seventh = CONTESTS.fetch_add(1, Ordering::Relaxed) % 7 == 6;
    if is_seventh || incoming > current { Verdict::take_incoming() } else { Verdict::keep_current() }
}
