//! Ownership of a lane: the checkpoint row, its epoch and its lease. What is said here is the only truth about
//! how far a lane is.

use tokio_postgres::{Error, Row};

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

/// Takes the lane: raises its epoch where it is ours, free or stale, and records whom it was taken from. The lock
/// waits for an open batch of the old owner, because that batch holds it, and what is read then is what it committed.
pub(super) async fn claim(
    session: &mut Session,
    request: &ClaimRequest,
    lane: &str,
) -> Result<Checkpoint, SinkError> {
    let failed = |e: Error| fate::sink_error(&e, "claiming the lane");
    let first = "INSERT INTO reconverge.checkpoint (lane, stream, stream_created, generation, plan) \
                 SELECT $1::text, $2::text, timestamptz '1970-01-01 00:00:00Z' + make_interval(secs => $3::bigint / 1e6), 0, $4::bytea \
                 ON CONFLICT DO NOTHING";
    let created = Param::Int8(request.stream_created);
    let params =
        vec![Param::Text(lane), Param::Text(&request.stream), created, Param::Bytea(&request.plan.0)];
    session.query(first, params).await.map_err(failed)?;
    session.say("BEGIN").await.map_err(failed)?;
    let taken = take(session, request, lane).await;
    let end = session.say(if taken.is_ok() { "COMMIT" } else { "ROLLBACK" }).await;
    let taken = taken?;
    end.map_err(failed)?;
    Ok(taken)
}

/// Inside a transaction: looks at the lane under its lock, and takes it where it may be taken.
async fn take(session: &mut Session, request: &ClaimRequest, lane: &str) -> Result<Checkpoint, SinkError> {
    let failed = |e: Error| fate::sink_error(&e, "claiming the lane");
    let look = "SELECT plan, owner, (extract(epoch FROM lease_until - clock_timestamp()) * 1000)::bigint \
                FROM reconverge.checkpoint WHERE lane = $1::text FOR UPDATE";
    let rows = session.query(look, vec![Param::Text(lane)]).await.map_err(failed)?;
    let row = rows.first().ok_or_else(|| SinkError::Fenced(lane.into()))?;
    let (stored, owner, ends_in_ms) = held(row).map_err(unlike)?;
    if stored != request.plan {
        return Err(SinkError::OtherPlan { lane: lane.into(), stored, asked: request.plan });
    }
    let other = owner.filter(|owner| *owner != request.owner);
    if let (Some(owner), Some(ends_in_ms)) = (&other, ends_in_ms.filter(|ms| *ms > 0)) {
        return Err(SinkError::Held { lane: lane.into(), owner: owner.clone(), ends_in_ms });
    }
    if let Some(old) = &other {
        let record = "INSERT INTO reconverge.takeover (lane, owner, epoch, sequence, previous, heartbeat_at, lease_until) \
                      SELECT lane, $2::text, epoch + 1, sequence, owner, heartbeat_at, lease_until \
                      FROM reconverge.checkpoint WHERE lane = $1::text";
        let params = vec![Param::Text(lane), Param::Text(&request.owner)];
        session.query(record, params).await.map_err(failed)?;
        tracing::warn!(lane, owner = old, "lane.takeover");
    }
    let update = format!(
        "UPDATE reconverge.checkpoint SET epoch = epoch + 1, owner = $2::text, heartbeat_at = clock_timestamp(), \
           lease_until = clock_timestamp() + make_interval(secs => $3::float8) \
         WHERE lane = $1::text RETURNING {COLUMNS}"
    );
    let lease = Param::Float8(lease_seconds(request));
    let params = vec![Param::Text(lane), Param::Text(&request.owner), lease];
    let rows = session.query(&update, params).await.map_err(failed)?;
    read(rows.first().ok_or_else(|| SinkError::Fenced(lane.into()))?).map_err(unlike)
}

/// Plan, owner, and how many milliseconds its lease still runs.
fn held(row: &Row) -> Result<(PlanDigest, Option<String>, Option<i64>), Unlike> {
    let plan = cells::raw(row, 0)?.unwrap_or_default();
    let owner = cells::raw(row, 1)?.map(|raw| cells::utf8(raw).map(String::from)).transpose()?;
    let ends_in = cells::raw(row, 2)?.map(cells::int).transpose()?;
    Ok((PlanDigest(plan.try_into().map_err(|_| Unlike("digest"))?), owner, ends_in))
}

/// A stored value is not laid out as it should be.
pub(super) fn unlike(unlike: Unlike) -> SinkError {
    SinkError::Setup {
        what: format!("reading from PostgreSQL: {unlike}"),
        hint: "run `reconverge check`: a table may have been altered since the start".into(),
    }
}
