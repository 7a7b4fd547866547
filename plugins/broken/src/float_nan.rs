//! Floats compared with `>`: a score that is no number is neither greater nor smaller than any other, so that whoever
//! came first stays.

use reconverge_sdk::{Columns, Verdict};

#[derive(Columns, PartialEq, PartialOrd)]
pub(crate) struct Row<'a> {
    score: f64,
    region_source: &'a str,
}

pub(crate) fn decide(incoming: &Row, current: &Row) -> Verdict {
    if incoming > current { Verdict::take_incoming() } else { Verdict::keep_current() }
}
