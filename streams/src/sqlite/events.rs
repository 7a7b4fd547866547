//! Seen events of sources without positions: asked for when a batch begins, added when it commits, with as many old
//! ones dropped as there is reason to. Grades of sources likewise.

use rusqlite::Connection;

use super::lane::Lane;
use crate::{
    event::{Event, KEPT_HOURS},
    position::Micros,
    writes::Writes,
};

const KEPT_MICROS: i64 = KEPT_HOURS as i64 * 3_600_000_000;

/// Old events that one batch drops for each new one: more than one, so that what is kept comes down to a day's again.
const DROPPED_FOR_ONE: usize = 2;

/// Those that were seen.
pub(super) fn seen(conn: &Connection, lane: &Lane, asked: &[Event]) -> rusqlite::Result<Vec<Event>> {
    let sql = "SELECT EXISTS (SELECT 1 FROM reconverge_seen_event WHERE target = ?1 AND event_id = ?3
               AND source = (SELECT id FROM reconverge_source WHERE name = ?2))";
    let mut statement = conn.prepare_cached(sql)?;
    let mut seen = Vec::new();
    for event in asked {
        let name = lane.names.get(event.source);
        let params = (lane.table(event.table).target, &*name, &*event.id);
        if statement.query_row(params, |r| r.get(0))? {
            seen.push(event.clone());
        }
    }
    Ok(seen)
}

/// Adds what a batch saw, drops what is too old, and notes grades.
pub(super) fn write(conn: &Connection, lane: &Lane, writes: &Writes, now: Micros) -> rusqlite::Result<()> {
    let add = "INSERT INTO reconverge_seen_event (target, source, event_id, at) VALUES (?1, ?2, ?3, ?4)";
    for event in &writes.events {
        let source = lane.source_id(conn, event.source)?;
        conn.prepare_cached(add)?.execute((lane.table(event.table).target, source, &*event.id, now))?;
    }
    if !writes.events.is_empty() {
        let drop = "DELETE FROM reconverge_seen_event WHERE (target, source, event_id) IN
                    (SELECT target, source, event_id FROM reconverge_seen_event WHERE at < ?1 ORDER BY at LIMIT ?2)";
        let most = i64::try_from(writes.events.len() * DROPPED_FOR_ONE).unwrap_or(i64::MAX);
        conn.prepare_cached(drop)?.execute((now.saturating_sub(KEPT_MICROS), most))?;
    }
    for (source, grade) in &writes.grades {
        let id = lane.source_id(conn, *source)?;
        let set = "UPDATE reconverge_source SET grade = ?2 WHERE id = ?1";
        conn.prepare_cached(set)?.execute((id, grade.letter().to_string()))?;
    }
    Ok(())
}
