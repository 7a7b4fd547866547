//! What is kept for a time only ([`crate::retention`]), in a transaction of its own between the batches.

use rusqlite::{Connection, OptionalExtension};

use super::{history, lane::Lane};
use crate::{
    position::{BEFORE_ALL, Micros},
    retention::{Retention, Tidied},
    table::TableId,
};

const MICROS_PER_DAY: Micros = 86_400 * 1_000_000;

const PASSED: &str = "INSERT INTO reconverge_frontier (lane, source, passed) VALUES (?1, ?2, ?3)
    ON CONFLICT (lane, source) DO UPDATE SET passed = max(passed, excluded.passed)";

/// None while a lane has not told how far its sources are.
const PASSED_BY_ALL: &str = "SELECT min(passed) FROM reconverge_frontier WHERE NOT EXISTS (
    SELECT 1 FROM reconverge_checkpoint c WHERE NOT EXISTS (
      SELECT 1 FROM reconverge_frontier f WHERE f.lane = c.lane))";

/// A tombstone that a kept row waits behind stays: it tells that the row's parent is not to be waited for.
const DUE: &str = "SELECT target, key, committed_at FROM reconverge_version v
    WHERE standing IN ('d', 'a') AND committed_at < ?1 AND committed_at > ?2
      AND NOT EXISTS (SELECT 1 FROM reconverge_parked p WHERE p.waits_target = v.target AND p.waits_key = v.key)
    ORDER BY committed_at LIMIT ?3";

/// Does what is due for a lane.
pub(super) fn tidy(
    conn: &Connection,
    lane: &Lane,
    asked: &Retention,
    now: Micros,
) -> rusqlite::Result<Tidied> {
    history::forget_old_decisions(
        conn,
        now.saturating_sub(Micros::from(asked.history_days) * MICROS_PER_DAY),
    )?;
    for (source, passed) in &asked.passed {
        let source = lane.source_id(conn, *source)?;
        conn.prepare_cached(PASSED)?.execute((&lane.name, source, passed))?;
    }
    let all: Option<Micros> = conn.query_row(PASSED_BY_ALL, [], |row| row.get(0))?;
    let mut tidied = Tidied { tombstones: 0, passed_by_all: all };
    let Some(all) = all else { return Ok(tidied) };
    let before = all.min(now.saturating_sub(asked.tombstones));
    let due: Vec<(i64, Vec<u8>, Micros)> = conn
        .prepare_cached(DUE)?
        .query_map((before, BEFORE_ALL, asked.limit), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut remove = conn.prepare_cached("DELETE FROM reconverge_version WHERE target = ?1 AND key = ?2")?;
    let mut raise = conn.prepare_cached(
        "UPDATE reconverge_target SET too_old_through = max(coalesce(too_old_through, ?2), ?2) WHERE id = ?1",
    )?;
    for (target, key, committed_at) in due {
        remove.execute((target, &key))?;
        raise.execute((target, committed_at))?;
        tidied.tombstones += 1;
    }
    Ok(tidied)
}

/// The horizon of a table.
pub(super) fn too_old_through(
    conn: &Connection,
    lane: &Lane,
    table: TableId,
) -> rusqlite::Result<Option<Micros>> {
    let asked = "SELECT too_old_through FROM reconverge_target WHERE id = ?1";
    let found = conn.prepare_cached(asked)?.query_row([lane.table(table).target], |row| row.get(0));
    found.optional().map(Option::flatten)
}
