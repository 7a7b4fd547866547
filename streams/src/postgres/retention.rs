//! What is kept for a time only ([`crate::retention`]): one transaction of bounded size, beside the batches. It locks no
//! version that a batch holds, and waits for none.

use tokio_postgres::{Client, Error};

use crate::{
    names::NameId,
    position::{BEFORE_ALL, Micros},
    retention::{Retention, Tidied},
};

/// Tells how far a lane has come with a source; it never goes back.
const PASSED: &str = "INSERT INTO reconverge.frontier AS f (lane, source, passed) \
    SELECT $1::text, u.source, u.passed FROM unnest($2::smallint[], $3::bigint[]) AS u(source, passed) \
    ON CONFLICT (lane, source) DO UPDATE SET passed = greatest(f.passed, EXCLUDED.passed)";

/// How far all lanes have come with all their sources; none while one of them has not told.
const PASSED_BY_ALL: &str = "SELECT min(f.passed) FROM reconverge.frontier f \
    HAVING NOT EXISTS (SELECT FROM reconverge.checkpoint c \
      WHERE NOT EXISTS (SELECT FROM reconverge.frontier f WHERE f.lane = c.lane))";

/// Removes tombstones and absences that no change can be compared with any more, and raises the horizon of their tables.
/// One that a kept row waits behind stays: it tells that the row's parent is not to be waited for.
const REMOVE: &str = "WITH due AS ( \
      SELECT v.target, v.key FROM reconverge.version v \
      WHERE v.gone_at < $1::bigint AND v.gone_at > $2::bigint \
        AND v.gone_at < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $3::bigint \
        AND NOT EXISTS (SELECT FROM reconverge.parked p WHERE p.waits_target = v.target AND p.waits_key = v.key) \
      ORDER BY v.gone_at LIMIT $4::bigint FOR UPDATE SKIP LOCKED), \
    gone AS (DELETE FROM reconverge.version v USING due WHERE v.target = due.target AND v.key = due.key \
      RETURNING v.target, v.committed_at), \
    newest AS (SELECT target, max(committed_at) AS at, count(*) AS n FROM gone GROUP BY target), \
    raised AS (UPDATE reconverge.target t SET too_old_through = greatest(t.too_old_through, newest.at) \
      FROM newest WHERE t.id = newest.target) \
    SELECT coalesce(sum(n), 0)::bigint FROM newest";

/// The horizons of tables that have one.
pub(super) const HORIZONS: &str =
    "SELECT id, too_old_through FROM reconverge.target WHERE too_old_through IS NOT NULL";

/// Does what is due for a lane; `number` is the sidecar's number of a source.
pub(super) async fn tidy(
    client: &mut Client,
    lane: &str,
    asked: &Retention,
    number: impl Fn(NameId) -> i16,
) -> Result<Tidied, Error> {
    let tx = client.transaction().await?;
    let (sources, passed): (Vec<i16>, Vec<Micros>) =
        asked.passed.iter().map(|(source, at)| (number(*source), *at)).unzip();
    tx.execute(PASSED, &[&lane, &sources, &passed]).await?;
    let all: Option<Micros> = tx.query_opt(PASSED_BY_ALL, &[]).await?.and_then(|row| row.get(0));
    let mut tidied = Tidied { tombstones: 0, passed_by_all: all };
    if let Some(all) = all {
        let limit = i64::from(asked.limit);
        let removed: i64 =
            tx.query_one(REMOVE, &[&all, &BEFORE_ALL, &asked.tombstones, &limit]).await?.get(0);
        tidied.tombstones = removed.unsigned_abs();
    }
    tx.commit().await?;
    Ok(tidied)
}
