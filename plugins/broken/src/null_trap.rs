//! A null that "cannot happen": the column allows it, and the rule traps.

use reconverge_sdk::{Columns, Verdict};

#[derive(Columns)]
pub(crate) struct Row<'a> {
    modification_epoch: Option<i64>,
    region_source: &'a str,
}

pub(crate) fn decide(incoming: &Row, current: &Row) -> Verdict {
    let order = |row: &Row| {
        let epoch = row.modification_epoch.expect("every row has an epoch");
        (epoch, row.region_source.to_owned())
    };
    if order(incoming) > order(current) { Verdict::take_incoming() } else { Verdict::keep_current() }
}
