//! What stands for the keys of a batch: rows and versions, read key by key inside the batch's transaction, whose
//! write lock on the file keeps them as they are. Reads only.

use rusqlite::{
    Connection, Row, Statement,
    types::{Null, ToSqlOutput},
};

use super::{
    cells, events, kept,
    lane::{Lane, Table},
    retention,
    versions::{self, Remembered},
    waiting,
};
use crate::{
    canonical,
    columns::Columns,
    standing::{LocalWrite, Standing, StandingKey, StandingKind, StandingTable, Wanted, WantedTable},
    table::TableId,
    text,
};

/// Why what stands could not be read.
#[derive(Debug)]
pub(super) struct Unread {
    /// The table that was being read, where it was one of the user's.
    pub table: Option<TableId>,
    /// SQLite's error.
    pub error: rusqlite::Error,
}

/// Reads what stands for a batch.
pub(super) fn read(conn: &Connection, lane: &Lane, wanted: &Wanted) -> Result<Standing, Unread> {
    let mut standing = Standing::default();
    for asked in &wanted.tables {
        standing.tables.push(read_table(conn, lane, asked)?);
    }
    standing.events =
        events::seen(conn, lane, &wanted.events).map_err(|error| Unread { table: None, error })?;
    Ok(standing)
}

/// What stands for keys of one table.
pub(super) fn read_table(
    conn: &Connection,
    lane: &Lane,
    asked: &WantedTable,
) -> Result<StandingTable, Unread> {
    let table = lane.table(asked.table);
    let of_table = |error| Unread { table: Some(asked.table), error };
    let of_sidecar = |error| Unread { table: None, error };
    let mut found = StandingTable { rows: Columns::new(table.shape.logicals()), ..StandingTable::default() };
    waiting::as_planned(conn, table).map_err(of_table)?;
    let mut select = conn.prepare_cached(&table.select).map_err(of_table)?;
    let mut versions = versions::Reader::new(conn).map_err(of_sidecar)?;
    if asked.versions {
        found.too_old_through = retention::too_old_through(conn, lane, asked.table).map_err(of_sidecar)?;
    } else {
        found.gate = versions.gate(lane, table.target).map_err(of_sidecar)?;
    }
    let (mut bytes, mut scratch) = (Vec::new(), String::new());
    for (i, key) in asked.keys.iter().enumerate() {
        bind_key(&mut select, table, &asked.cells, i, &mut scratch).map_err(of_table)?;
        let mut rows = select.raw_query();
        let (mut standing, mut digest) = (StandingKey::default(), None);
        if let Some(row) = rows.next().map_err(of_table)? {
            push_row(row, table, &mut found.rows).map_err(of_table)?;
            standing.row = Some(last_row(&found.rows));
            // Without versions nobody asks whose row it is.
            if asked.versions {
                digest = Some(digest_of(row, table, &mut bytes).map_err(of_table)?);
            }
        }
        if asked.versions {
            let remembered = versions.read(lane, table.target, key).map_err(of_sidecar)?;
            let local = is_local(digest.as_ref(), remembered.as_ref());
            standing.local = local.then_some(LocalWrite { at: None });
            standing.ordered_by = order_columns(asked, table, remembered.as_ref(), &mut found.rows);
            standing.counted = remembered.as_ref().map(|r| r.counted.clone()).unwrap_or_default();
            standing.version = remembered.map(|r| r.version);
            if standing.version.as_ref().is_some_and(|v| v.standing == StandingKind::Kept) {
                standing.kept = kept::read(conn, lane, table, key, &mut found.rows).map_err(of_sidecar)?;
            }
        }
        found.keys.push(standing);
    }
    Ok(found)
}

/// Binds the key of row `i` of key columns.
pub(super) fn bind_key(
    statement: &mut Statement<'_>,
    table: &Table,
    keys: &Columns,
    i: usize,
    scratch: &mut String,
) -> rusqlite::Result<()> {
    for (at, &column) in table.shape.key.iter().enumerate() {
        match cells::bound(&keys.columns[at], i, table.columns[column].affinity, scratch) {
            Ok(value) => statement.raw_bind_parameter(at + 1, ToSqlOutput::Borrowed(value))?,
            // No row can have a key that the column does not hold: a null finds none.
            Err(cells::Altered) => statement.raw_bind_parameter(at + 1, Null)?,
        }
    }
    Ok(())
}

/// Appends a row of all of the shape's columns.
pub(super) fn push_row(row: &Row<'_>, table: &Table, into: &mut Columns) -> rusqlite::Result<()> {
    for (at, shape) in table.shape.columns.iter().enumerate() {
        cells::push(row.get_ref(at)?, shape, &mut into.columns[at]);
    }
    into.end_row();
    Ok(())
}

/// The digest of a row of all of the shape's columns; what the database computes is left out.
pub(super) fn digest_of(
    row: &Row<'_>,
    table: &Table,
    bytes: &mut Vec<u8>,
) -> rusqlite::Result<cells::Digest> {
    bytes.clear();
    for &at in &table.written {
        let stored = table.columns[at];
        cells::add_to_digest(stored.name_hash, row.get_ref(at)?, stored.affinity, bytes);
    }
    Ok(cells::digest(bytes))
}

/// The digest of the row of a canonical key; `None` where it is not there.
pub(super) fn digest_by_key(
    conn: &Connection,
    table: &Table,
    key: &[u8],
) -> rusqlite::Result<Option<cells::Digest>> {
    let logicals: Vec<_> = table.shape.key_logicals().collect();
    let Some(cells) = canonical::key_cells(&logicals, key) else { return Ok(None) };
    let mut select = conn.prepare_cached(&table.select)?;
    bind_key(&mut select, table, &cells, 0, &mut String::new())?;
    let mut rows = select.raw_query();
    rows.next()?.map(|row| digest_of(row, table, &mut Vec::new())).transpose()
}

/// Whether the application wrote the row, or took it away, after we did.
pub(super) fn is_local(row: Option<&cells::Digest>, remembered: Option<&Remembered>) -> bool {
    match (row, remembered) {
        (None, None) => false,
        (Some(_), None) => true,
        (Some(digest), Some(r)) if r.version.standing == StandingKind::Row => {
            r.digest.as_deref() != Some(&digest[..])
        }
        // A row stands although we know the key as gone or as kept beside.
        (Some(_), Some(_)) => true,
        (None, Some(r)) => r.version.standing == StandingKind::Row,
    }
}

fn order_columns(
    asked: &WantedTable,
    table: &Table,
    remembered: Option<&Remembered>,
    rows: &mut Columns,
) -> Option<u32> {
    let json = remembered?.ordered_by.as_deref()?;
    // What does not read any more (a column changed its type) is as if it had not been kept.
    match text::from_json(&table.shape, &asked.order_columns, json, rows) {
        Ok(()) => Some(last_row(rows)),
        Err(_) => {
            rows.abandon_row();
            None
        }
    }
}

/// The index of the last complete row.
pub(super) fn last_row(rows: &Columns) -> u32 {
    u32::try_from(rows.rows() - 1).expect("a batch has far fewer than 4 billion rows")
}
