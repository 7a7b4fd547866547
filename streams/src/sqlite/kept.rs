//! Rows that are kept beside until their parents stand: `reconverge_parked`, as far as it says what stands.
//! Written with the batch, read with what stands. Who is kept and who is put in is the host's to decide.

use rusqlite::Connection;

use super::{
    history::stored,
    lane::{Lane, Table},
    standing::last_row,
};
use crate::{
    columns::Columns,
    position::Micros,
    standing::Kept,
    text,
    writes::{KeptWrite, Writes},
};

const READ: &str =
    "SELECT change, why, waits_target, waits_key, coalesce(counted_by, lane) FROM reconverge_parked
    WHERE target = ?1 AND key = ?2 AND why IN ('parent', 'orphaned')";

const REMOVE: &str =
    "DELETE FROM reconverge_parked WHERE target = ?1 AND key = ?2 AND why IN ('parent', 'orphaned')";

const WRITE: &str = "INSERT INTO reconverge_parked (target, key, source, epoch, commit_position, ordinal,
    lane, sequence, why, waits_target, waits_key, change, parked_at, subject, counted_by)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";

/// The kept row of a key, appended to `rows`; `None` where none is kept.
pub(super) fn read(
    conn: &Connection,
    lane: &Lane,
    table: &Table,
    key: &[u8],
    rows: &mut Columns,
) -> rusqlite::Result<Option<Kept>> {
    let mut statement = conn.prepare_cached(READ)?;
    let mut found = statement.query((table.target, key))?;
    let Some(stored) = found.next()? else { return Ok(None) };
    let columns: Vec<usize> = (0..table.shape.columns.len()).collect();
    let json = std::str::from_utf8(stored.get_ref(0)?.as_blob()?);
    // A row that does not read any more (a column changed its type) is as if it had not been kept.
    if !json.is_ok_and(|json| text::from_json(&table.shape, &columns, json, rows).is_ok()) {
        rows.abandon_row();
        return Ok(None);
    }
    let parent = stored.get::<_, Option<i64>>(2)?.and_then(|target| lane.table_of(target));
    let waits = parent.zip(stored.get::<_, Option<Vec<u8>>>(3)?);
    let orphaned = stored.get_ref(1)?.as_str()? == "orphaned";
    let counted_by = lane.elsewhere(Some(stored.get_ref(4)?.as_str()?));
    Ok(Some(Kept { row: last_row(rows), orphaned, waits, counted_by }))
}

/// Takes out what goes, and keeps what stays away.
pub(super) fn write(conn: &Connection, lane: &Lane, writes: &Writes, now: Micros) -> rusqlite::Result<()> {
    let replaced = writes.kept.iter().map(|kept| (kept.table, &kept.key));
    let gone: Vec<_> = writes.unkept.iter().map(|(table, key)| (*table, key)).chain(replaced).collect();
    if !gone.is_empty() {
        let mut remove = conn.prepare_cached(REMOVE)?;
        for (table, key) in gone {
            remove.execute((lane.table(table).target, key))?;
        }
    }
    for kept in &writes.kept {
        keep(conn, lane, kept, now)?;
    }
    Ok(())
}

fn keep(conn: &Connection, lane: &Lane, kept: &KeptWrite, now: Micros) -> rusqlite::Result<()> {
    let source = lane.source_id(conn, kept.source)?;
    let mut s = conn.prepare_cached(WRITE)?;
    s.raw_bind_parameter(1, lane.table(kept.table).target)?;
    s.raw_bind_parameter(2, &kept.key[..])?;
    s.raw_bind_parameter(3, source)?;
    s.raw_bind_parameter(4, kept.position.epoch)?;
    s.raw_bind_parameter(5, stored(kept.position.commit))?;
    s.raw_bind_parameter(6, stored(kept.position.ordinal))?;
    s.raw_bind_parameter(7, &lane.name)?;
    s.raw_bind_parameter(8, stored(kept.sequence))?;
    s.raw_bind_parameter(9, if kept.orphaned { "orphaned" } else { "parent" })?;
    s.raw_bind_parameter(10, lane.table(kept.waits.0).target)?;
    s.raw_bind_parameter(11, &kept.waits.1[..])?;
    s.raw_bind_parameter(12, kept.row.as_bytes())?;
    s.raw_bind_parameter(13, now)?;
    s.raw_bind_parameter(14, kept.subject.as_deref())?;
    s.raw_bind_parameter(15, kept.counted_by.as_deref())?;
    s.raw_execute().map(|_| ())
}
