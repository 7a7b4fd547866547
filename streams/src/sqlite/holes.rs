//! Holes in SQLite's sidecar: what a stream lost before a lane had applied it. Each function is a step inside a
//! transaction that its caller opened.

use rusqlite::{Connection, Row};

use super::{
    checkpoint,
    history::stored,
    lane::Lane,
    records::{bounds, unsigned},
};
use crate::{
    checkpoint::Checkpoint,
    hole::{Hole, HoleRecord, Passed, Resume},
    position::Micros,
    records::Query,
    text,
};

const COLUMNS: &str = "id, lane, stream, first, last, kind, state, at, passed_at, closed_at, by, note";

/// Records a hole before a lane, or finds it.
pub(super) fn record(
    conn: &Connection,
    lane: &Lane,
    ours: &Checkpoint,
    hole: &Hole,
    now: Micros,
) -> rusqlite::Result<HoleRecord> {
    let sql = format!(
        "INSERT INTO reconverge_hole (lane, stream, stream_created, first, last, kind, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (lane, kind, stream_created) WHERE passed_at IS NULL DO UPDATE SET
         first = CASE state WHEN 'open' THEN min(first, excluded.first) ELSE first END,
         last = CASE state WHEN 'open' THEN excluded.last ELSE last END
         RETURNING {COLUMNS}"
    );
    let (first, last) = (stored(hole.first), hole.last.map(stored));
    let row = (&lane.name, &ours.stream, ours.stream_created, first, last, hole.kind.word(), now);
    conn.query_row(&sql, row, of_row)
}

/// Moves the checkpoint behind a hole; returns it.
pub(super) fn pass(
    conn: &Connection,
    ours: &Checkpoint,
    id: i64,
    how: &Passed,
    resume: Resume,
    now: Micros,
) -> rusqlite::Result<Checkpoint> {
    conn.execute("UPDATE reconverge_hole SET passed_at = ?2 WHERE id = ?1", (id, now))?;
    if let Passed::Filled { mirror } = how {
        let fill = "UPDATE reconverge_hole SET state = 'filled', closed_at = ?2, by = ?3
                    WHERE id = ?1 AND state = 'open'";
        conn.execute(fill, (id, now, mirror))?;
    }
    if matches!(resume, Resume::Anew { .. }) {
        let old = format!("{}@{id}", ours.stream);
        let letters = "UPDATE reconverge_dead_letter SET stream = ?3 WHERE lane = ?1 AND stream = ?2";
        conn.execute(letters, (&ours.lane, &ours.stream, old))?;
    }
    let behind = ours.behind_hole(resume);
    let moved =
        "UPDATE reconverge_checkpoint SET stream_created = ?3, sequence = ?4, scanned = ?5, heartbeat_at = ?6
                 WHERE lane = ?1 AND epoch = ?2";
    let (sequence, scanned) = (stored(behind.sequence), stored(behind.scanned));
    conn.execute(moved, (&ours.lane, ours.epoch, behind.stream_created, sequence, scanned, now))?;
    checkpoint::read(conn, &ours.lane)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// Accepts an open hole; false where it was not open.
pub(super) fn accept(
    conn: &Connection,
    id: i64,
    by: &str,
    note: Option<&str>,
    now: Micros,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE reconverge_hole SET state = 'accepted', closed_at = ?2, by = ?3, note = ?4
               WHERE id = ?1 AND state = 'open'";
    Ok(conn.execute(sql, (id, now, by, note))? == 1)
}

/// Holes, newest first.
pub(super) fn list(conn: &Connection, query: &Query) -> rusqlite::Result<Vec<HoleRecord>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM reconverge_hole WHERE substr(lane, 1, length(?1)) = ?1
         AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR id = ?3) ORDER BY id DESC LIMIT ?4"
    );
    let (lanes, _, _, state, id, limit) = bounds(query);
    conn.prepare_cached(&sql)?.query_map((lanes, state, id, limit), of_row)?.collect()
}

fn of_row(row: &Row<'_>) -> rusqlite::Result<HoleRecord> {
    let time =
        |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(text::format_timestamp));
    Ok(HoleRecord {
        id: row.get(0)?,
        lane: row.get(1)?,
        stream: row.get(2)?,
        first: unsigned(row, 3)?,
        last: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
        kind: row.get(5)?,
        state: row.get(6)?,
        at: time(7)?.unwrap_or_default(),
        passed_at: time(8)?,
        closed_at: time(9)?,
        by: row.get(10)?,
        note: row.get(11)?,
    })
}
