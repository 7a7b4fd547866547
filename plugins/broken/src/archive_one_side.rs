//! The right order, and an archive that only one region has: the loser is kept where it was overwritten, and not where
//! it came too late.

use reconverge_sdk::{Columns, Verdict};

#[derive(Columns, PartialEq, PartialOrd)]
pub(crate) struct Row<'a> {
    modification_epoch: i64,
    region_source: &'a str,
}

pub(crate) fn decide(incoming: &Row, current: &Row) -> Verdict {
    if incoming > current { Verdict::take_incoming().archive_loser() } else { Verdict::keep_current() }
}
