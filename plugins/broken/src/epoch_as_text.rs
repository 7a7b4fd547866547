//! Epochs compared as text, as they come out of JSON: all regions agree that 9 is newer than 10.

use reconverge_sdk::{Columns, Verdict};

#[derive(Columns)]
pub(crate) struct Row<'a> {
    modification_epoch: i64,
    region_source: &'a str,
}

pub(crate) fn decide(incoming: &Row, current: &Row) -> Verdict {
    let order = |row: &Row| (row.modification_epoch.to_string(), row.region_source.to_owned());
    if order(incoming) > order(current) { Verdict::take_incoming() } else { Verdict::keep_current() }
}
