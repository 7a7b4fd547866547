//! One row into the user's table: bound, stepped, and known afterwards by its digest. The digest is told from
//! what was bound where SQLite stores exactly that, else read back at the end of the batch (a row costs 0.7 us
//! without `RETURNING`, 2 to 3 us with it, and a read by key 0.5 us).

use rusqlite::{
    Connection, Statement,
    types::{Null, ToSqlOutput, Value, ValueRef},
};

use super::{
    cells::{self, Digest},
    errors::{self, Fate},
    lane::{Stored, Table},
};
use crate::{
    sink::{Cause, CommitError},
    table::TableId,
    writes::Upserts,
};

/// Why a row was not written.
pub(super) enum Refusal {
    /// It clashes with another row.
    Clash(Cause),
    /// It cannot be written.
    Row(Cause),
    /// It is not about the row.
    Batch(CommitError),
}

/// Room for a row's bytes and texts, kept from row to row.
#[derive(Default)]
pub(super) struct Scratch {
    pub text: String,
    /// Whether digests are wanted.
    pub digests: bool,
    bytes: Vec<u8>,
}

/// Writes the named columns of a row; its digest, where that can be told without reading it back.
pub(super) fn upsert(
    statement: &mut Statement<'_>,
    (id, table): (TableId, &Table),
    upserts: &Upserts,
    row: usize,
    scratch: &mut Scratch,
) -> Result<Option<Digest>, Refusal> {
    // Both lists ascend, so equal lengths mean the same columns.
    let mut is_known = scratch.digests && !table.has_triggers && upserts.columns.len() == table.written.len();
    scratch.bytes.clear();
    for (at, &column) in upserts.columns.iter().enumerate() {
        let stored = table.columns[column];
        let value = cells::bound(&upserts.rows.columns[at], row, stored.affinity, &mut scratch.text);
        let value = value.map_err(|_| altered(table, column))?;
        is_known = is_known && cells::is_kept(value, stored.affinity, table.shape.columns[column].not_null);
        if is_known {
            cells::add_to_digest(stored.name_hash, value, stored.affinity, &mut scratch.bytes);
        }
        let bound = statement.raw_bind_parameter(at + 1, ToSqlOutput::Borrowed(value));
        bound.map_err(|e| refusal(&e, id))?;
    }
    step(statement, id, table)?;
    Ok(is_known.then(|| cells::digest(&scratch.bytes)))
}

fn step(statement: &mut Statement<'_>, id: TableId, table: &Table) -> Result<(), Refusal> {
    if statement.raw_execute().map_err(|e| refusal(&e, id))? > 0 {
        return Ok(());
    }
    let text = format!("a trigger of table `{}` left the row out", table.shape.name);
    Err(Refusal::Row(Cause { code: "ignored".into(), text }))
}

/// Binds the key of a row that is upserted.
pub(super) fn bind_key(
    statement: &mut Statement<'_>,
    table: &Table,
    upserts: &Upserts,
    row: usize,
    scratch: &mut Scratch,
) -> rusqlite::Result<()> {
    for (at, key) in table.shape.key.iter().enumerate() {
        let place = upserts.columns.binary_search(key).expect("key columns are among the written ones");
        let column = &upserts.rows.columns[place];
        match cells::bound(column, row, table.columns[*key].affinity, &mut scratch.text) {
            Ok(value) => statement.raw_bind_parameter(at + 1, ToSqlOutput::Borrowed(value))?,
            // No row can have a key that the column does not hold: a null finds none.
            Err(cells::Altered) => statement.raw_bind_parameter(at + 1, Null)?,
        }
    }
    Ok(())
}

/// The digest of a row as it is stored now; `None` where it is not there.
pub(super) fn read_back(
    copy: &mut Statement<'_>,
    table: &Table,
    upserts: &Upserts,
    row: usize,
    scratch: &mut Scratch,
) -> rusqlite::Result<Option<Digest>> {
    bind_key(copy, table, upserts, row, scratch)?;
    let mut rows = copy.raw_query();
    let Some(stored) = rows.next()? else { return Ok(None) };
    scratch.bytes.clear();
    for (at, &column) in table.written.iter().enumerate() {
        let Stored { affinity, name_hash } = table.columns[column];
        cells::add_to_digest(name_hash, stored.get_ref(at)?, affinity, &mut scratch.bytes);
    }
    Ok(Some(cells::digest(&scratch.bytes)))
}

/// Takes a row out of its table, with all columns that can be written; `None` where it is not there.
pub(super) fn take_out(
    conn: &Connection,
    table: &Table,
    upserts: &Upserts,
    row: usize,
    scratch: &mut Scratch,
) -> rusqlite::Result<Option<Vec<Value>>> {
    let mut copy = conn.prepare_cached(&table.copy)?;
    bind_key(&mut copy, table, upserts, row, scratch)?;
    let mut rows = copy.raw_query();
    let Some(stored) = rows.next()? else { return Ok(None) };
    let values: Vec<Value> =
        (0..table.written.len()).map(|at| stored.get(at)).collect::<rusqlite::Result<_>>()?;
    drop(rows);
    let mut delete = conn.prepare_cached(&table.delete)?;
    bind_key(&mut delete, table, upserts, row, scratch)?;
    delete.raw_execute()?;
    Ok(Some(values))
}

/// Puts a row in that was taken out, with the upsert's columns in place.
pub(super) fn put_in(
    conn: &Connection,
    (id, table): (TableId, &Table),
    upserts: &Upserts,
    row: usize,
    mut values: Vec<Value>,
    scratch: &mut Scratch,
) -> Result<(), Refusal> {
    for (at, &column) in upserts.columns.iter().enumerate() {
        let affinity = table.columns[column].affinity;
        let value = cells::bound(&upserts.rows.columns[at], row, affinity, &mut scratch.text);
        let value = value.map_err(|_| altered(table, column))?;
        if let Ok(place) = table.written.binary_search(&column) {
            values[place] = owned(value);
        }
    }
    let refused = |e: rusqlite::Error| refusal(&e, id);
    let mut statement = conn.prepare_cached(&table.insert_copy).map_err(refused)?;
    for (at, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(at + 1, value).map_err(refused)?;
    }
    step(&mut statement, id, table)
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Integer(n),
        ValueRef::Real(x) => Value::Real(x),
        // Text of a cell is UTF-8 by the column's type.
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

fn altered(table: &Table, column: usize) -> Refusal {
    let column = &table.shape.columns[column];
    let text = format!(
        "column `{}` of table `{}` would store this text as another number; declare it TEXT_{}",
        column.name,
        table.shape.name,
        column.sql_type.to_ascii_uppercase()
    );
    Refusal::Row(Cause { code: "altered".into(), text })
}

/// What SQLite's refusal of a row's statement means.
pub(super) fn refusal(error: &rusqlite::Error, table: TableId) -> Refusal {
    match errors::fate(error) {
        Fate::Unique => Refusal::Clash(errors::cause(error)),
        Fate::Row => Refusal::Row(errors::cause(error)),
        Fate::Again | Fate::Table | Fate::Halt => Refusal::Batch(batch_error(error, Some(table))),
    }
}

/// An error that no row is to blame for.
pub(super) fn batch_error(error: &rusqlite::Error, table: Option<TableId>) -> CommitError {
    let cause = errors::cause(error);
    match (errors::fate(error), table) {
        (Fate::Again, _) => CommitError::Again(cause),
        (Fate::Table, Some(table)) => CommitError::PauseTable(table, cause),
        (Fate::Table | Fate::Unique | Fate::Row | Fate::Halt, _) => CommitError::Halt(cause),
    }
}
