//! Changes that wait on time, and paused tables: `reconverge_parked`, as far as it holds what is not decided yet, and
//! `reconverge_target.paused`. Written with the batch or between batches; nothing is decided here.

use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension, Row, ffi};

use super::{
    history::stored,
    lane::{Lane, Table},
    shapes,
};
use crate::{
    position::{Micros, Position},
    records::TableRecord,
    sink::TableName,
    table::{TableId, TableShape},
    waiting::{Depth, Paused, Waiting, WaitingId, WaitingWanted, WaitingWrite, Why},
    writes::Writes,
};

const WRITE: &str = "INSERT INTO reconverge_parked (target, key, source, epoch, commit_position, ordinal,
    lane, sequence, why, until_at, change, parked_at, waits_target, waits_key)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

const RELEASE: &str = "DELETE FROM reconverge_parked
    WHERE lane = ?1 AND sequence = ?2 AND target = ?3 AND key = ?4 AND why IN ('paused', 'skew')";

const TRIED: &str = "UPDATE reconverge_parked SET attempts = attempts + 1
    WHERE lane = ?1 AND sequence = ?2 AND target = ?3 AND key = ?4 AND why IN ('paused', 'skew')";

/// Takes out what was released, counts what was tried in vain, and keeps what begins to wait.
pub(super) fn write(conn: &Connection, lane: &Lane, writes: &Writes, now: Micros) -> rusqlite::Result<()> {
    for (sql, ids) in [(RELEASE, &writes.released), (TRIED, &writes.tried)] {
        if ids.is_empty() {
            continue;
        }
        let mut statement = conn.prepare_cached(sql)?;
        for id in ids {
            let target = lane.table(id.table).target;
            statement.execute((&lane.name, stored(id.sequence), target, &id.key))?;
        }
    }
    for change in &writes.waiting {
        keep(conn, lane, change, now)?;
    }
    Ok(())
}

fn keep(conn: &Connection, lane: &Lane, change: &WaitingWrite, now: Micros) -> rusqlite::Result<()> {
    let source = lane.source_id(conn, change.source)?;
    let mut s = conn.prepare_cached(WRITE)?;
    s.raw_bind_parameter(1, lane.table(change.id.table).target)?;
    s.raw_bind_parameter(2, &change.id.key[..])?;
    s.raw_bind_parameter(3, source)?;
    s.raw_bind_parameter(4, change.position.epoch)?;
    s.raw_bind_parameter(5, stored(change.position.commit))?;
    s.raw_bind_parameter(6, stored(change.position.ordinal))?;
    s.raw_bind_parameter(7, &lane.name)?;
    s.raw_bind_parameter(8, stored(change.id.sequence))?;
    s.raw_bind_parameter(9, change.why.word())?;
    s.raw_bind_parameter(10, change.until)?;
    s.raw_bind_parameter(11, &change.change[..])?;
    s.raw_bind_parameter(12, now)?;
    // A half of a key change is filed under the other key.
    s.raw_bind_parameter(13, change.moved.as_ref().map(|_| lane.table(change.id.table).target))?;
    s.raw_bind_parameter(14, change.moved.as_deref())?;
    s.raw_execute().map(|_| ())
}

/// The lane's waiting changes, in the order of their sequences.
pub(super) fn read(conn: &Connection, lane: &Lane, asked: &WaitingWanted) -> rusqlite::Result<Vec<Waiting>> {
    let (change, which) = match asked {
        WaitingWanted::All => ("x''", ""),
        WaitingWanted::Sequences(_) => ("change", "AND sequence IN (SELECT value FROM json_each(?2))"),
    };
    let sql = format!(
        "SELECT sequence, target, key, why, until_at, source, epoch, commit_position, ordinal, parked_at, attempts, {change},
         waits_key, coalesce(counted_by, lane)
         FROM reconverge_parked WHERE lane = ?1 AND why IN ('paused', 'skew') {which} ORDER BY sequence, target, key"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = match asked {
        WaitingWanted::All => statement.query([&lane.name])?,
        WaitingWanted::Sequences(sequences) => {
            let list: Vec<String> = sequences.iter().map(|s| stored(*s).to_string()).collect();
            statement.query((&lane.name, format!("[{}]", list.join(","))))?
        }
    };
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        // A change of a table that the plan does not list any more waits on.
        if let (Some(table), Some(why)) = (lane.table_of(row.get(1)?), Why::of(&row.get::<_, String>(3)?)) {
            found.push(waiting(conn, lane, row, table, why)?);
        }
    }
    Ok(found)
}

fn waiting(
    conn: &Connection,
    lane: &Lane,
    row: &Row<'_>,
    table: TableId,
    why: Why,
) -> rusqlite::Result<Waiting> {
    let unsigned = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    Ok(Waiting {
        id: WaitingId { sequence: unsigned(0)?, table, key: row.get(2)? },
        why,
        until: row.get(4)?,
        source: lane.source_name(conn, row.get(5)?)?,
        position: Position { epoch: row.get(6)?, commit: unsigned(7)?, ordinal: unsigned(8)? },
        parked_at: row.get(9)?,
        attempts: row.get(10)?,
        change: row.get(11)?,
        moved: row.get(12)?,
        counted_by: lane.elsewhere(Some(row.get_ref(13)?.as_str()?)),
    })
}

/// How much the lane keeps beside.
pub(super) fn depths(conn: &Connection, lane: &Lane) -> rusqlite::Result<Vec<Depth>> {
    let sql =
        "SELECT target, why, count(*), min(parked_at) FROM reconverge_parked WHERE lane = ?1 GROUP BY 1, 2";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([&lane.name])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(table) = lane.table_of(row.get(0)?) {
            let rows = row.get::<_, i64>(2)?.cast_unsigned();
            found.push(Depth { table, why: row.get(1)?, rows, oldest_at: row.get(3)? });
        }
    }
    Ok(found)
}

/// The tables of the plan that are paused.
pub(super) fn paused(conn: &Connection, lane: &Lane) -> rusqlite::Result<Vec<Paused>> {
    let sql = "SELECT id, paused FROM reconverge_target WHERE paused IS NOT NULL ORDER BY id";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(table) = lane.table_of(row.get(0)?) {
            found.push(Paused { table, reason: row.get(1)? });
        }
    }
    Ok(found)
}

/// Pauses a table by its number; one that is paused keeps its reason.
pub(super) fn pause(conn: &Connection, target: i64, reason: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE reconverge_target SET paused = ?2 WHERE id = ?1 AND paused IS NULL";
    conn.prepare_cached(sql)?.execute((target, reason)).map(|_| ())
}

/// What keeps a table from being what the plan has; `None`: nothing.
pub(super) fn unlike(conn: &Connection, planned: &TableShape) -> rusqlite::Result<Option<String>> {
    let key = planned.key.iter().map(|&k| planned.columns[k].name.clone()).collect();
    let asked = TableName { name: planned.name.clone(), key };
    Ok(match shapes::shape(conn, &asked)? {
        Ok(now) => planned.unlike(&now),
        Err(problems) => Some(problems.into_iter().map(|p| p.what).collect::<Vec<_>>().join("; ")),
    })
}

/// Pauses those of the tables that are not what the plan has.
pub(super) fn pause_unlike(conn: &Connection, tables: &[Table]) -> rusqlite::Result<()> {
    let version = schema_version(conn)?;
    for table in tables {
        match unlike(conn, &table.shape)? {
            Some(why) => pause(conn, table.target, &why)?,
            None => table.looked_at.store(version, Ordering::Relaxed),
        }
    }
    Ok(())
}

/// That the table still is what the plan has; looked at again whenever the file's schema has changed.
///
/// # Errors
/// One of [`super::errors::Fate::Table`], where it is not.
pub(super) fn as_planned(conn: &Connection, table: &Table) -> rusqlite::Result<()> {
    let version = schema_version(conn)?;
    if version == table.looked_at.load(Ordering::Relaxed) {
        return Ok(());
    }
    if let Some(why) = unlike(conn, &table.shape)? {
        return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ERROR), Some(why)));
    }
    table.looked_at.store(version, Ordering::Relaxed);
    Ok(())
}

/// Raised by every change of a table's form in the file.
fn schema_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("PRAGMA schema_version")?.query_row([], |r| r.get(0))
}

/// All tables that a pipeline ever wrote to.
pub(super) fn tables(conn: &Connection) -> rusqlite::Result<Vec<TableRecord>> {
    let record = |r: &Row<'_>| Ok(TableRecord { name: r.get(0)?, paused: r.get(1)? });
    conn.prepare_cached("SELECT name, paused FROM reconverge_target ORDER BY name")?
        .query_map([], record)?
        .collect()
}

/// Pauses a table by name or lets it run; whether that changed anything.
pub(super) fn set_paused(conn: &Connection, table: &str, reason: Option<&str>) -> rusqlite::Result<bool> {
    let sql =
        "UPDATE reconverge_target SET paused = ?2 WHERE name = ?1 AND (paused IS NULL) = (?2 IS NOT NULL)
               RETURNING id";
    conn.query_row(sql, (table, reason), |r| r.get::<_, i64>(0)).optional().map(|found| found.is_some())
}
