//! The plain clients: what the same rows reach with no broker, no decoding, no plugins, no versions and no exactly-once,
//! so many rows a transaction, as fast as each database takes them from one connection.
//!
//! The rows are made ready before the clock starts, so this is a limit and not a rival.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result};
use rusqlite::{Connection, params};
use tokio_postgres::{NoTls, types::ToSql};

use crate::workload::{End, Event, table_name, text_of};

/// Rows as a program has them that made them itself.
pub(crate) struct Rows {
    rows: Vec<Row>,
}

struct Row {
    schedule_id: i64,
    agent_id: i64,
    shift_start: SystemTime,
    shift_text: String,
    modification_epoch: i64,
    region_source: &'static str,
    notes: String,
    overtime: i32,
}

impl Rows {
    /// The rows of changes that delete nothing.
    pub(crate) fn of(events: &[Event]) -> Rows {
        let row = |event: &Event| Row {
            schedule_id: event.schedule_id,
            agent_id: event.agent_id,
            shift_start: SystemTime::UNIX_EPOCH + Duration::from_micros(event.shift_start.unsigned_abs()),
            shift_text: text_of(event.shift_start),
            modification_epoch: event.modification_epoch,
            region_source: event.source,
            notes: event.notes.clone(),
            overtime: i32::try_from(event.overtime).unwrap_or_default(),
        };
        Rows { rows: events.iter().map(row).collect() }
    }
}

/// Upserts the rows into a SQLite file, `transaction` of them at a time: WAL, `synchronous = FULL`, one prepared
/// statement.
///
/// # Errors
/// SQLite refuses something.
pub(crate) fn sqlite(file: &Path, rows: &Rows, transaction: usize) -> Result<Duration> {
    let sql = format!(
        "INSERT INTO {} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (schedule_id) DO UPDATE SET \
         agent_id = excluded.agent_id, shift_start = excluded.shift_start, \
         modification_epoch = excluded.modification_epoch, region_source = excluded.region_source, \
         notes = excluded.notes, overtime = excluded.overtime",
        table_name(0)
    );
    let start = Instant::now();
    let mut connection = Connection::open(file).context("opening the file")?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    for rows in rows.rows.chunks(transaction) {
        let transaction = connection.transaction()?;
        let mut statement = transaction.prepare_cached(&sql)?;
        for row in rows {
            statement.execute(params![
                row.schedule_id,
                row.agent_id,
                row.shift_text,
                row.modification_epoch,
                row.region_source,
                row.notes,
                row.overtime
            ])?;
        }
        drop(statement);
        transaction.commit()?;
    }
    drop(connection);
    Ok(start.elapsed())
}

/// Upserts the rows into PostgreSQL: one statement of arrays of `transaction` rows a transaction, on one connection.
///
/// # Errors
/// PostgreSQL refuses something.
pub(crate) async fn postgres(url: &str, rows: &Rows, transaction: usize) -> Result<Duration> {
    let sql = format!(
        "INSERT INTO {} SELECT * FROM unnest($1::int8[], $2::int8[], $3::timestamptz[], $4::int8[], \
         $5::text[], $6::text[], $7::int4[]) ON CONFLICT (schedule_id) DO UPDATE SET \
         agent_id = excluded.agent_id, shift_start = excluded.shift_start, \
         modification_epoch = excluded.modification_epoch, region_source = excluded.region_source, \
         notes = excluded.notes, overtime = excluded.overtime",
        table_name(0)
    );
    let ready: Vec<Arrays<'_>> = rows.rows.chunks(transaction).map(Arrays::of).collect();
    let start = Instant::now();
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("connecting")?;
    // It ends with the client; what goes wrong before, the client's own call tells.
    drop(tokio::spawn(connection));
    let statement = client.prepare(&sql).await?;
    for arrays in &ready {
        client.execute(&statement, &arrays.params()).await?;
    }
    Ok(start.elapsed())
}

/// The columns of one statement. A key stands once in it, with its last row, as the statement wants it.
#[derive(Default)]
struct Arrays<'a> {
    ids: Vec<i64>,
    agents: Vec<i64>,
    starts: Vec<SystemTime>,
    epochs: Vec<i64>,
    regions: Vec<&'a str>,
    notes: Vec<&'a str>,
    overtimes: Vec<i32>,
}

impl<'a> Arrays<'a> {
    fn of(rows: &'a [Row]) -> Arrays<'a> {
        let last: HashMap<i64, usize> =
            rows.iter().enumerate().map(|(place, row)| (row.schedule_id, place)).collect();
        let mut arrays = Arrays::default();
        for (_, row) in rows.iter().enumerate().filter(|(place, row)| last[&row.schedule_id] == *place) {
            arrays.ids.push(row.schedule_id);
            arrays.agents.push(row.agent_id);
            arrays.starts.push(row.shift_start);
            arrays.epochs.push(row.modification_epoch);
            arrays.regions.push(row.region_source);
            arrays.notes.push(&row.notes);
            arrays.overtimes.push(row.overtime);
        }
        arrays
    }

    fn params(&self) -> [&(dyn ToSql + Sync); 7] {
        [&self.ids, &self.agents, &self.starts, &self.epochs, &self.regions, &self.notes, &self.overtimes]
    }
}

fn end_query() -> String {
    format!("SELECT count(*), coalesce(sum(modification_epoch), 0)::bigint FROM {}", table_name(0))
}

/// What a file holds in the end.
///
/// # Errors
/// It cannot be read.
pub(crate) fn sqlite_end(file: &Path) -> Result<End> {
    let query = end_query().replace("::bigint", "");
    let connection = Connection::open(file)?;
    Ok(connection.query_row(&query, [], |row| Ok(End { rows: row.get(0)?, epochs: row.get(1)? }))?)
}

/// What a database holds in the end.
///
/// # Errors
/// It cannot be read.
pub(crate) async fn postgres_end(url: &str) -> Result<End> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    drop(tokio::spawn(connection));
    let row = client.query_one(&end_query(), &[]).await?;
    Ok(End { rows: row.get(0), epochs: row.get(1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{desk, workload::Workload};

    #[test]
    fn the_plain_client_ends_with_the_last_row_of_each_key() {
        let events = Workload { rows: 3_000, keys: 500, ..Workload::default() }.events();
        let folder = reconverge_servers::scratch("bench-plain").unwrap();
        let file = folder.path().join("it.db");
        Connection::open(&file).unwrap().execute_batch(&desk::workload_ddl(1)).unwrap();
        sqlite(&file, &Rows::of(&events), 1000).unwrap();
        assert_eq!(sqlite_end(&file).unwrap(), End::of(&events, false));
    }

    #[test]
    fn a_key_stands_once_in_a_statement_with_its_last_row() {
        let events = Workload { rows: 1_000, keys: 10, ..Workload::default() }.events();
        let rows = Rows::of(&events);
        let arrays = Arrays::of(&rows.rows);
        assert_eq!(arrays.ids.len(), 10);
        assert_eq!(arrays.epochs.iter().sum::<i64>(), End::of(&events, false).epochs);
    }
}
