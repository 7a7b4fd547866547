//! Ownership of a lane: the checkpoint row, its epoch and its lease. What is said here is the only truth about
//! how far a lane is.

use tokio_postgres::{Client, Error, Row};

use crate::{
    checkpoint::{Checkpoint, PlanDigest},
    disposition::Counts,
    sink::{ClaimRequest, SinkError},
};

use super::{
    cells::{self, Unlike},
    fate,
    params::Param,
    session::Session,
};

/// The columns of a [`Checkpoint`], in the order in which [`read`] takes them.
pub(super) const COLUMNS: &str = "lane, stream, stream_created, sequence, scanned, epoch, owner, lease_until, generation, plan, \
     delivered, counts, committed_at";

/// A checkpoint from a row of [`COLUMNS`].
pub(super) fn read(row: &Row) -> Result<Checkpoint, Unlike> {
    let text = |at| cells::raw(row, at)?.map(|r| cells::utf8(r).map(String::from)).transpose();
    let number =
        |at| Ok(cells::raw(row, at)?.map(cells::int).transpose()?.unwrap_or_default().cast_unsigned());
    let micros = |at| cells::raw(row, at)?.map(cells::micros).transpose();
    let plan = cells::raw(row, 9)?.unwrap_or_default();
    let counts = cells::elements(cells::raw(row, 11)?.unwrap_or(&[0; 12]))?;
    let counts = counts.into_iter().map(|c| cells::int(c.unwrap_or(&[0; 8])).map(i64::cast_unsigned));
    Ok(Checkpoint {
        lane: text(0)?.unwrap_or_default(),
        stream: text(1)?.unwrap_or_default(),
        stream_created: micros(2)?.unwrap_or_default(),
        sequence: number(3)?,
        scanned: number(4)?,
        epoch: number(5)?.cast_signed(),
        owner: text(6)?,
        lease_until: micros(7)?,
        generation: number(8)?.cast_signed(),
        plan: PlanDigest(plan.try_into().map_err(|_| Unlike("digest"))?),
        delivered: number(10)?,
        counts: Counts::from_places(counts.collect::<Result<Vec<_>, _>>()?),
        committed_at: cells::raw(row, 12)?.map(cells::int).transpose()?,
    })
}

/// The lease as PostgreSQL's `make_interval` takes it.
pub(super) fn lease_seconds(request: &ClaimRequest) -> f64 {
    request.lease.as_secs_f64()
}

/// Takes the lane: raises its epoch where it is ours, free or stale. The update waits for an open batch of the
/// old owner, because that batch holds the row's lock, and then sees what it committed.
pub(super) async fn claim(
    session: &mut Session,
    request: &ClaimRequest,
    lane: &str,
) -> Result<Checkpoint, SinkError> {
    let failed = |e: Error| fate::sink_error(&e, "claiming the lane");
    let first = "INSERT INTO reconverge.checkpoint (lane, stream, stream_created, generation, plan) \
                 SELECT $1::text, $2::text, timestamptz '1970-01-01 00:00:00Z' + make_interval(secs => $3::bigint / 1e6), 0, $4::bytea \
                 ON CONFLICT DO NOTHING";
    let take = format!(
        "UPDATE reconverge.checkpoint c SET epoch = c.epoch + 1, owner = $2::text, heartbeat_at = clock_timestamp(), \
           lease_until = clock_timestamp() + make_interval(secs => $3::float8) \
         WHERE c.lane = $1::text AND c.plan = $4::bytea \
           AND (c.owner IS NULL OR c.owner = $2 OR c.lease_until IS NULL OR c.lease_until <= clock_timestamp()) \
         RETURNING {COLUMNS}"
    );
    let created = Param::Int8(request.stream_created);
    let params =
        vec![Param::Text(lane), Param::Text(&request.stream), created, Param::Bytea(&request.plan.0)];
    session.query(first, params).await.map_err(failed)?;
    let before = holder(&session.client, lane).await.map_err(failed)?;
    let lease = Param::Float8(lease_seconds(request));
    let params = vec![Param::Text(lane), Param::Text(&request.owner), lease, Param::Bytea(&request.plan.0)];
    let taken = session.query(&take, params).await.map_err(failed)?;
    if let Some(row) = taken.first() {
        if let Some(old) = before.filter(|old| *old != request.owner) {
            tracing::warn!(lane, owner = old, "stale owner overridden");
        }
        return read(row).map_err(unlike);
    }
    Err(refusal(&session.client, request, lane).await.map_err(failed)?)
}

async fn holder(client: &Client, lane: &str) -> Result<Option<String>, Error> {
    let row = client.query_opt("SELECT owner FROM reconverge.checkpoint WHERE lane = $1", &[&lane]).await?;
    Ok(row.and_then(|r| r.get(0)))
}

/// Why the lane could not be taken.
async fn refusal(client: &Client, request: &ClaimRequest, lane: &str) -> Result<SinkError, Error> {
    let why = "SELECT plan, owner, (extract(epoch FROM lease_until - clock_timestamp()) * 1000)::bigint \
               FROM reconverge.checkpoint WHERE lane = $1";
    let row = client.query_one(why, &[&lane]).await?;
    let plan: Vec<u8> = row.get(0);
    let (owner, ends_in): (Option<String>, Option<i64>) = (row.get(1), row.get(2));
    let stored = PlanDigest(plan.try_into().unwrap_or_default());
    Ok(if stored == request.plan {
        let ends_in_ms = ends_in.unwrap_or_default().max(0);
        SinkError::Held { lane: lane.into(), owner: owner.unwrap_or_default(), ends_in_ms }
    } else {
        SinkError::OtherPlan { lane: lane.into(), stored, asked: request.plan }
    })
}

/// A stored value is not laid out as it should be.
pub(super) fn unlike(unlike: Unlike) -> SinkError {
    SinkError::Setup {
        what: format!("reading from PostgreSQL: {unlike}"),
        hint: "run `reconverge check`: a table may have been altered since the start".into(),
    }
}
