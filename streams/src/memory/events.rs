//! Seen events and the grades of sources in memory.

use super::database::Contents;
use crate::{
    event::{Event, KEPT_HOURS},
    sink::ClaimRequest,
    writes::Writes,
};

/// Microseconds that a seen event is kept.
const KEPT_MICROS: i64 = KEPT_HOURS as i64 * 3_600_000_000;

/// Those that were seen.
pub(super) fn seen(state: &Contents, request: &ClaimRequest, asked: &[Event]) -> Vec<Event> {
    asked.iter().filter(|event| state.events.contains_key(&named(request, event))).cloned().collect()
}

/// Adds what a batch saw, forgets what is too old, and notes sources.
pub(super) fn remember(state: &mut Contents, request: &ClaimRequest, writes: &Writes) {
    let now = state.now();
    if !writes.events.is_empty() {
        state.events.retain(|_, at| *at >= now - KEPT_MICROS);
    }
    for event in &writes.events {
        state.events.insert(named(request, event), now);
    }
    let versions = writes.tables.iter().flat_map(|t| &t.versions).flat_map(|v| &v.version.seen);
    for seen in versions.chain(writes.tables.iter().flat_map(|t| &t.gate)) {
        state.sources.entry(request.names.get(seen.source).to_string()).or_insert('A');
    }
    for (source, grade) in &writes.grades {
        state.sources.insert(request.names.get(*source).to_string(), grade.letter());
    }
}

fn named(request: &ClaimRequest, event: &Event) -> (String, String, String) {
    let table = request.tables[event.table.index()].name.clone();
    (table, request.names.get(event.source).to_string(), event.id.to_string())
}
