//! The switch from one plan to the next, inside the transaction that its caller opened: the file's write lock keeps
//! every lane of it from moving meanwhile.

use rusqlite::Connection;

use super::{checkpoint, history::stored, records::lanes_of, roster::remember, versions::gate_key};
use crate::{
    checkpoint::PlanDigest,
    position::Micros,
    roster::{Switch, TableMove},
    sink::SinkError,
};

/// Why the plan cannot be switched now.
pub(super) fn refusal(
    conn: &Connection,
    switch: &Switch,
    now: Micros,
) -> rusqlite::Result<Option<SinkError>> {
    let lanes = checkpoint::all(conn, &lanes_of(Some(&switch.pipeline)))?;
    for found in &lanes {
        let left = found.lease_until.unwrap_or_default().saturating_sub(now);
        if let Some(owner) = found.owner.as_ref().filter(|_| left > 0) {
            let (lane, owner) = (found.lane.clone(), owner.clone());
            return Ok(Some(SinkError::Held { lane, owner, ends_in_ms: left.div_euclid(1000) + 1 }));
        }
        if !switch.expected.contains(&(found.lane.clone(), found.epoch, found.sequence)) {
            return Ok(Some(SinkError::Fenced(found.lane.clone())));
        }
    }
    let same = lanes.len() == switch.expected.len();
    Ok((!same).then(|| SinkError::Fenced(switch.pipeline.clone())))
}

/// Writes all of it.
pub(super) fn write(conn: &Connection, switch: &Switch, now: Micros) -> rusqlite::Result<()> {
    remember(conn, switch.plan, &switch.form, now)?;
    let fence =
        "UPDATE reconverge_checkpoint SET epoch = epoch + 1, owner = NULL, lease_until = NULL, plan = ?2
                 WHERE substr(lane, 1, length(?1)) = ?1";
    conn.execute(fence, (lanes_of(Some(&switch.pipeline)), &PlanDigest::RETIRED.0[..]))?;
    let plan = &switch.plan.0[..];
    for start in &switch.lanes {
        let upsert = "INSERT INTO reconverge_checkpoint
            (lane, stream, stream_created, sequence, scanned, generation, plan)
            VALUES (?1, ?2, ?3, ?4, ?4, 0, ?5) ON CONFLICT (lane) DO UPDATE SET stream = excluded.stream,
            stream_created = excluded.stream_created, sequence = excluded.sequence,
            scanned = excluded.scanned, plan = excluded.plan RETURNING delivered";
        let sequence = stored(start.sequence);
        let asked = (&start.lane, &start.stream, start.stream_created, sequence, plan);
        let delivered: i64 = conn.query_row(upsert, asked, |r| r.get(0))?;
        let record = "INSERT INTO reconverge_move (pipeline, at, by, plan, lane, sequence, delivered)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let made = (&switch.pipeline, now, &switch.by, plan, &start.lane, sequence, delivered);
        conn.execute(record, made)?;
    }
    for lane in &switch.gates_dropped {
        conn.execute("DELETE FROM reconverge_version WHERE key = ?1", [gate_key(lane)])?;
    }
    switch.moved.iter().try_for_each(|moved| carry(conn, moved))?;
    for (table, lane, sequence) in &switch.since {
        // The next claim fills in what the key is.
        let since = "INSERT INTO reconverge_target (name, key_columns, since_sequence) VALUES (?1, '[]', json_object(?2, ?3))
                     ON CONFLICT (name) DO UPDATE SET since_sequence = json_patch(since_sequence, json_object(?2, ?3))";
        conn.execute(since, (table, lane, stored(*sequence)))?;
    }
    Ok(())
}

/// A table's gate and the rows that are kept for it go along; they stay in the ledger of the lane that counted them.
fn carry(conn: &Connection, moved: &TableMove) -> rusqlite::Result<()> {
    let of_table = "(SELECT id FROM reconverge_target WHERE name = ?1)";
    let gate =
        format!("UPDATE OR REPLACE reconverge_version SET key = ?3 WHERE target = {of_table} AND key = ?2");
    conn.execute(&gate, (&moved.table, gate_key(&moved.from), gate_key(&moved.to)))?;
    let kept = format!(
        "UPDATE reconverge_parked SET lane = ?3, counted_by = coalesce(counted_by, lane) WHERE target = {of_table} AND lane = ?2"
    );
    conn.execute(&kept, (&moved.table, &moved.from, &moved.to)).map(drop)
}
