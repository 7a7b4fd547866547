//! The checkpoint row: how a lane is claimed, fenced, moved forward and given up. Each function is one statement
//! or two inside a transaction that its caller opened.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{history::stored, lane::Lane, ledger};
use crate::{
    checkpoint::{Checkpoint, PlanDigest},
    disposition::Counts,
    position::Micros,
    sink::ClaimRequest,
    writes::Writes,
};

const COLUMNS: &str =
    "lane, stream, stream_created, sequence, scanned, epoch, owner, lease_until, generation,
    plan, delivered, counts, committed_at";

/// What became of a claim.
pub(super) enum Claimed {
    /// It is ours; who held it before, where that was someone else whose lease had ended.
    Ours(Box<Checkpoint>, Option<String>),
    /// Another owner's lease still runs.
    Held { owner: String, ends_in_ms: i64 },
    /// The checkpoint is of another plan.
    OtherPlan(PlanDigest),
}

/// The checkpoint of a lane.
pub(super) fn read(conn: &Connection, lane: &str) -> rusqlite::Result<Option<Checkpoint>> {
    let sql = format!("SELECT {COLUMNS} FROM reconverge_checkpoint WHERE lane = ?1");
    conn.prepare_cached(&sql)?.query_row([lane], of_row).optional()
}

/// All checkpoints whose lane begins with `prefix`, by lane, with what other lanes moved in their ledgers.
pub(super) fn all(conn: &Connection, prefix: &str) -> rusqlite::Result<Vec<Checkpoint>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM reconverge_checkpoint WHERE substr(lane, 1, length(?1)) = ?1 ORDER BY lane"
    );
    let stored: Vec<Checkpoint> =
        conn.prepare_cached(&sql)?.query_map([prefix], of_row)?.collect::<Result<_, _>>()?;
    stored.iter().map(|stored| Ok(stored.settled(&ledger::moves_of(conn, &stored.lane)?))).collect()
}

fn of_row(row: &Row<'_>) -> rusqlite::Result<Checkpoint> {
    let unsigned = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let counts: String = row.get(11)?;
    let places: Vec<u64> = serde_json::from_str(&counts).unwrap_or_default();
    let plan: Vec<u8> = row.get(9)?;
    Ok(Checkpoint {
        lane: row.get(0)?,
        stream: row.get(1)?,
        stream_created: row.get(2)?,
        sequence: unsigned(3)?,
        scanned: unsigned(4)?,
        epoch: row.get(5)?,
        owner: row.get(6)?,
        lease_until: row.get(7)?,
        generation: row.get(8)?,
        plan: PlanDigest(plan.try_into().unwrap_or_default()),
        delivered: unsigned(10)?,
        counts: Counts::from_places(places),
        committed_at: row.get(12)?,
    })
}

/// Takes the lane, making its checkpoint where there is none.
pub(super) fn claim(conn: &Connection, request: &ClaimRequest, now: Micros) -> rusqlite::Result<Claimed> {
    let lane = request.lane.to_string();
    let lease_until = now.saturating_add(micros(request.lease));
    let insert = "INSERT INTO reconverge_checkpoint (lane, stream, stream_created, generation, plan)
                  VALUES (?1, ?2, ?3, 0, ?4) ON CONFLICT (lane) DO NOTHING";
    conn.execute(insert, (&lane, &request.stream, request.stream_created, &request.plan.0[..]))?;
    let before = read(conn, &lane)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    if before.plan != request.plan {
        return Ok(Claimed::OtherPlan(before.plan));
    }
    let other = before.owner.filter(|o| *o != request.owner);
    if let (Some(owner), Some(until)) = (&other, before.lease_until)
        && until > now
    {
        return Ok(Claimed::Held { owner: owner.clone(), ends_in_ms: (until - now).div_euclid(1000) + 1 });
    }
    if let Some(previous) = &other {
        let record = "INSERT INTO reconverge_takeover
            (lane, at, owner, epoch, sequence, previous, heartbeat_at, lease_until)
            SELECT lane, ?2, ?3, epoch + 1, sequence, ?4, heartbeat_at, lease_until
            FROM reconverge_checkpoint WHERE lane = ?1";
        conn.execute(record, (&lane, now, &request.owner, previous))?;
    }
    let update =
        "UPDATE reconverge_checkpoint SET epoch = epoch + 1, owner = ?2, lease_until = ?3, heartbeat_at = ?4
                  WHERE lane = ?1";
    conn.execute(update, (&lane, &request.owner, lease_until, now))?;
    let ours = read(conn, &lane)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let ours = balance(conn, &ours, now)?;
    Ok(Claimed::Ours(Box::new(ours), other))
}

/// Whether the checkpoint is as we left it.
pub(super) fn is_ours(conn: &Connection, ours: &Checkpoint) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM reconverge_checkpoint WHERE lane = ?1 AND epoch = ?2 AND sequence = ?3";
    let found: i64 =
        conn.prepare_cached(sql)?.query_row((&ours.lane, ours.epoch, stored(ours.sequence)), |r| r.get(0))?;
    Ok(found == 1)
}

/// The checkpoint that a batch leaves, written.
pub(super) fn advance(
    conn: &Connection,
    lane: &Lane,
    ours: &Checkpoint,
    writes: &Writes,
    now: Micros,
) -> rusqlite::Result<Checkpoint> {
    let lease_until = Some(now.saturating_add(lane.lease_micros));
    let settled = ours.settled(&ledger::take_moves_of(conn, &ours.lane)?);
    let after = Checkpoint { lease_until, ..settled.after(writes) };
    save(conn, &after, now)?;
    Ok(after)
}

/// The checkpoint of a lane that had nothing to do up to `scanned`, written.
pub(super) fn idle(
    conn: &Connection,
    lane: &Lane,
    ours: &Checkpoint,
    scanned: u64,
    now: Micros,
) -> rusqlite::Result<Checkpoint> {
    let mut after = ours.clone();
    after.sequence = ours.sequence.max(scanned);
    after.scanned = ours.scanned.max(after.sequence);
    after.lease_until = Some(now.saturating_add(lane.lease_micros));
    save(conn, &after, now)?;
    Ok(after)
}

/// The checkpoint with what other lanes moved in its ledger, written where that is anything.
pub(super) fn balance(conn: &Connection, ours: &Checkpoint, now: Micros) -> rusqlite::Result<Checkpoint> {
    let moves = ledger::take_moves_of(conn, &ours.lane)?;
    if moves.is_empty() {
        return Ok(ours.clone());
    }
    let after = ours.settled(&moves);
    save(conn, &after, now)?;
    Ok(after)
}

fn save(conn: &Connection, after: &Checkpoint, now: Micros) -> rusqlite::Result<()> {
    let sql = "UPDATE reconverge_checkpoint SET sequence = ?3, scanned = ?4, delivered = ?5, counts = ?6,
               committed_at = ?7, generation = ?8, lease_until = ?9, heartbeat_at = ?10 WHERE lane = ?1 AND epoch = ?2";
    let counts: Vec<String> = after.counts.places().iter().map(u64::to_string).collect();
    let changed = conn.prepare_cached(sql)?.execute((
        &after.lane,
        after.epoch,
        stored(after.sequence),
        stored(after.scanned),
        stored(after.delivered),
        format!("[{}]", counts.join(",")),
        after.committed_at,
        after.generation,
        after.lease_until,
        now,
    ))?;
    if changed == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(changed)) }
}

/// Gives the lane up, where it still is ours.
pub(super) fn release(conn: &Connection, ours: &Checkpoint) -> rusqlite::Result<()> {
    let sql =
        "UPDATE reconverge_checkpoint SET owner = NULL, lease_until = NULL WHERE lane = ?1 AND epoch = ?2";
    conn.execute(sql, (&ours.lane, ours.epoch)).map(|_| ())
}

pub(super) fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
