//! The history's partitions, one a day in UTC: today's and tomorrow's are made ahead, old ones dropped.
//!
//! Runs beside the lanes on its own connection, at a claim, at most hourly after that, and where the lane looks after what
//! is kept for a time only; never inside a batch.

use tokio_postgres::{Client, Error};

use super::ddl;

/// As many days as drop nothing: partitions are only made.
pub(super) const ALL_DAYS: u32 = 100_000;

/// The days that lack a partition, and the partitions whose day is over for long: what to run.
const DUE: &str = "
WITH today AS (SELECT (now() AT TIME ZONE 'UTC')::date AS day),
made AS (
  SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = 'reconverge.decision'::regclass)
SELECT format('CREATE TABLE IF NOT EXISTS reconverge.decision_%s PARTITION OF reconverge.decision '
              'FOR VALUES FROM (%L) TO (%L)',
              to_char(day + ahead, 'YYYYMMDD'), (day + ahead) || ' 00:00:00+00', (day + ahead + 1) || ' 00:00:00+00')
FROM today, generate_series(0, 1) ahead
WHERE 'decision_' || to_char(day + ahead, 'YYYYMMDD') NOT IN (SELECT name FROM made)
UNION ALL
SELECT format('DROP TABLE reconverge.%I', name) FROM made, today
WHERE name ~ '^decision_[0-9]{8}$' AND to_date(right(name, 8), 'YYYYMMDD') < day - $1::int";

/// Makes what is due, and drops what is older than so many days. Without anything due it takes no lock.
pub(super) async fn keep(client: &Client, days: u32) -> Result<(), Error> {
    let days = i32::try_from(days.min(ALL_DAYS)).unwrap_or(i32::MAX);
    if client.query(DUE, &[&days]).await?.is_empty() {
        return Ok(());
    }
    client.batch_execute("BEGIN").await?;
    let done = keep_locked(client, days).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    done.and(client.batch_execute(end).await)
}

async fn keep_locked(client: &Client, days: i32) -> Result<(), Error> {
    client.batch_execute(ddl::LOCK).await?;
    // Asked again: another process may have been first.
    for row in client.query(DUE, &[&days]).await? {
        client.batch_execute(row.get(0)).await?;
    }
    Ok(())
}
