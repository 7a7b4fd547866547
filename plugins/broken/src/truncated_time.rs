//! Times cut to whole seconds: two edits within one are equal to the rule and not to the rows.

use reconverge_sdk::{Columns, Timestamp, Verdict};

#[derive(Columns)]
pub(crate) struct Row<'a> {
    updated_at: Timestamp,
    region_source: &'a str,
}

pub(crate) fn decide(incoming: &Row, current: &Row) -> Verdict {
    let order = |row: &Row| (row.updated_at.0 / 1_000_000, row.region_source.to_owned());
    if order(incoming) > order(current) { Verdict::take_incoming() } else { Verdict::keep_current() }
}
