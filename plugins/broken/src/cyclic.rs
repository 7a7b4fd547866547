//! Kinds that beat each other in a circle: a correction beats an edit, an edit a draft, a draft a correction. Any two
//! agree, three go round.

use reconverge_sdk::{Columns, Verdict};

#[derive(Columns, PartialEq, PartialOrd)]
pub(crate) struct Row<'a> {
    kind: i64,
    region_source: &'a str,
}

pub(crate) fn decide(incoming: &Row, current: &Row) -> Verdict {
    let wins = match (incoming.kind.rem_euclid(3) - current.kind.rem_euclid(3)).rem_euclid(3) {
        0 => incoming > current,
        ahead => ahead == 1,
    };
    if wins { Verdict::take_incoming() } else { Verdict::keep_current() }
}
