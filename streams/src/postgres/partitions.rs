//! The history's partitions, one a day in UTC: today's and tomorrow's are made ahead, old ones dropped.
//!
//! Runs beside the lanes on its own connection, at a claim and at most hourly after that; never inside a batch.

use tokio_postgres::{Client, Error};

use super::ddl;

/// How many days of history stay.
const DAYS_KEPT: i32 = 30;

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

/// Makes and drops what is due. Without anything due it takes no lock.
pub(super) async fn keep(client: &Client) -> Result<(), Error> {
    if client.query(DUE, &[&DAYS_KEPT]).await?.is_empty() {
        return Ok(());
    }
    client.batch_execute("BEGIN").await?;
    let done = keep_locked(client).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    done.and(client.batch_execute(end).await)
}

async fn keep_locked(client: &Client) -> Result<(), Error> {
    client.batch_execute(ddl::LOCK).await?;
    // Asked again: another process may have been first.
    for row in client.query(DUE, &[&DAYS_KEPT]).await? {
        client.batch_execute(row.get(0)).await?;
    }
    Ok(())
}
