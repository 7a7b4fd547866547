//! A note for support that differs between regions: each writes down whom it met.

use reconverge_sdk::{Columns, Verdict, Writes};

#[derive(Columns, PartialEq, PartialOrd)]
pub(crate) struct Row<'a> {
    modification_epoch: i64,
    region_source: &'a str,
}

#[derive(Writes)]
pub(crate) struct Note {
    region_source: String,
    merged_by: String,
}

pub(crate) fn decide(incoming: &Row, current: &Row) -> Verdict<Note> {
    let region_source = incoming.region_source.max(current.region_source).to_owned();
    Verdict::write(Note { region_source, merged_by: format!("met {}", current.region_source) })
}
