//! A check in the wrong place: a row without a region is rejected where it meets another, and taken where it is first.

use reconverge_sdk::{Columns, Verdict};

#[derive(Columns, PartialEq, PartialOrd)]
pub(crate) struct Row<'a> {
    modification_epoch: i64,
    region_source: Option<&'a str>,
}

pub(crate) fn decide(incoming: &Row, current: &Row) -> Verdict {
    if incoming.region_source.is_none() {
        return Verdict::reject().because("a schedule has a region");
    }
    if incoming > current { Verdict::take_incoming() } else { Verdict::keep_current() }
}
