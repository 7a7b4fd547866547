//! Generations of plugins: which number the lane's decisions name. Reads only; the claim keeps what is to be recorded.

use crate::{records::GenerationRecord, standing::NewGeneration, text};

use super::database::Contents;

/// The number of a generation of a lane, and its record where it is another than the lane's newest.
pub(super) fn numbered(
    state: &Contents,
    lane: &str,
    from_sequence: u64,
    new: &NewGeneration,
) -> (i64, Option<GenerationRecord>) {
    let plugins = serde_json::from_str(&new.plugins).unwrap_or_else(|_| new.plugins.as_str().into());
    let newest = state.generations.iter().rev().find(|g| g.lane == *lane);
    if let Some(known) = newest.filter(|g| g.plugins == plugins) {
        return (known.id, None);
    }
    let id = i64::try_from(state.generations.len()).unwrap_or(i64::MAX) + 1;
    let at = text::format_timestamp(state.now());
    let record = GenerationRecord { id, lane: lane.into(), from_sequence, plugins, at, by: new.by.clone() };
    (id, Some(record))
}
