//! A table page by page, by the order of its key's index.

use rusqlite::Connection;

use super::{cells, lane::Table, standing};
use crate::columns::Columns;

/// See [`crate::sink::Claim::page`].
pub(super) fn read(
    conn: &Connection,
    table: &Table,
    behind: Option<&Columns>,
    limit: u32,
) -> rusqlite::Result<Columns> {
    let mut statement = conn.prepare_cached(&table.page(behind.is_some()))?;
    if let Some(key) = behind {
        standing::bind_key(&mut statement, table, key, 0, &mut String::new())?;
    }
    let places = statement.parameter_count();
    statement.raw_bind_parameter(places, limit)?;
    let mut keys = Columns::new(table.shape.key_logicals());
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        for (at, &k) in table.shape.key.iter().enumerate() {
            cells::push(row.get_ref(at)?, &table.shape.columns[k], &mut keys.columns[at]);
        }
        keys.end_row();
    }
    drop(rows);
    Ok(keys)
}
