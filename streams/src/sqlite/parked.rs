//! Kept rows for people: what `parked`, `status` and `explain` show of `reconverge_parked`. Reads only.

use rusqlite::{Connection, Row};

use super::records::{bounds, json, key_json, unsigned};
use crate::{
    records::{ParkedRecord, Query},
    text,
};

/// Rows that wait for their parents and changes that wait on time, newest first.
pub(super) fn list(conn: &Connection, query: &Query) -> rusqlite::Result<Vec<ParkedRecord>> {
    let sql = "SELECT t.name, t.key_columns, d.key, d.why, w.name, w.key_columns, d.waits_key, d.lane, d.sequence, s.name,
               d.epoch, d.commit_position, d.ordinal, d.parked_at, d.until_at, d.attempts, d.asked, d.asked_by, d.note,
               CASE WHEN d.why IN ('parent', 'orphaned') THEN CAST(d.change AS TEXT) END, coalesce(d.counted_by, d.lane)
        FROM reconverge_parked d JOIN reconverge_target t ON t.id = d.target
        JOIN reconverge_source s ON s.id = d.source LEFT JOIN reconverge_target w ON w.id = d.waits_target
        WHERE substr(d.lane, 1, length(?1)) = ?1 AND (?2 IS NULL OR t.name = ?2) AND (?3 IS NULL OR d.key = ?3)
        AND (?4 IS NULL OR d.why = ?4) AND ?5 IS NULL
        ORDER BY d.parked_at DESC, d.sequence DESC, d.key LIMIT ?6";
    let mut statement = conn.prepare_cached(sql)?;
    statement.query_map(bounds(query), record)?.collect()
}

fn record(r: &Row<'_>) -> rusqlite::Result<ParkedRecord> {
    let parent: (Option<String>, Option<Vec<u8>>) = (r.get(5)?, r.get(6)?);
    Ok(ParkedRecord {
        table: r.get(0)?,
        key: key_json(&r.get::<_, String>(1)?, &r.get::<_, Vec<u8>>(2)?),
        why: r.get(3)?,
        waits_table: r.get(4)?,
        waits_key: parent.0.zip(parent.1).map(|(columns, key)| key_json(&columns, &key)),
        lane: r.get(7)?,
        counted_by: r.get(20)?,
        sequence: unsigned(r, 8)?,
        source: r.get(9)?,
        epoch: r.get(10)?,
        commit_position: unsigned(r, 11)?,
        ordinal: unsigned(r, 12)?,
        parked_at: text::format_timestamp(r.get(13)?),
        until: r.get::<_, Option<i64>>(14)?.map(text::format_timestamp),
        attempts: r.get(15)?,
        asked: r.get(16)?,
        asked_by: r.get(17)?,
        note: r.get(18)?,
        row: json(r.get(19)?),
    })
}

/// How many rows wait, by table and reason.
pub(super) fn counts(conn: &Connection, lanes: &str) -> rusqlite::Result<Vec<(String, String, u64)>> {
    let sql =
        "SELECT t.name, d.why, count(*) FROM reconverge_parked d JOIN reconverge_target t ON t.id = d.target
               WHERE substr(d.lane, 1, length(?1)) = ?1 GROUP BY 1, 2 ORDER BY 1, 2";
    let of_row = |r: &Row<'_>| Ok((r.get(0)?, r.get(1)?, unsigned(r, 2)?));
    conn.prepare_cached(sql)?.query_map([lanes], of_row)?.collect()
}
