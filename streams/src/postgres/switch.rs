//! The switch from one plan to the next: one transaction under the locks of all of the pipeline's checkpoints, so that
//! an owner that wakes up late finds its epoch gone.

use tokio_postgres::{Client, Error, Row};

use super::{PostgresSink, fate, records::lanes_of, records::unsigned, standing::gate_key};
use crate::{
    checkpoint::PlanDigest,
    roster::{LaneStart, Switch, TableMove},
    sink::SinkError,
};

/// The pipeline's lanes under their locks: name, epoch, sequence, and the owner and its time where its lease runs.
const LANES: &str = "SELECT lane, epoch, sequence, owner, \
    (extract(epoch FROM lease_until - clock_timestamp()) * 1000)::bigint \
    FROM reconverge.checkpoint WHERE starts_with(lane, $1) ORDER BY lane FOR UPDATE";

const FENCE: &str = "UPDATE reconverge.checkpoint SET epoch = epoch + 1, owner = NULL, lease_until = NULL, \
    plan = $2 WHERE starts_with(lane, $1)";

const START: &str = "INSERT INTO reconverge.checkpoint AS c \
    (lane, stream, stream_created, sequence, scanned, generation, plan) \
    VALUES ($1, $2, timestamptz '1970-01-01 00:00:00Z' + make_interval(secs => $3::bigint / 1e6), $4, $4, 0, $5) \
    ON CONFLICT (lane) DO UPDATE SET stream = excluded.stream, stream_created = excluded.stream_created, \
    sequence = excluded.sequence, scanned = excluded.scanned, plan = excluded.plan RETURNING c.delivered";

const RECORD: &str = "INSERT INTO reconverge.move (pipeline, by, plan, lane, sequence, delivered) \
    VALUES ($1, $2, $3, $4, $5, $6)";

/// The table's number by its name as the pipeline has it: with or without the schema that it looks in first.
const OF_TABLE: &str = "(SELECT id FROM reconverge.target WHERE name IN ($1, $2 || '.' || $1))";

impl PostgresSink {
    /// See [`crate::roster::Roster::switch`].
    pub(super) async fn put_in_force(&self, switch: &Switch) -> Result<(), SinkError> {
        let failed = |e: Error| fate::sink_error(&e, "switching the plan");
        let client = self.shared.server.connect().await?;
        client.batch_execute("BEGIN").await.map_err(failed)?;
        let lanes = client.query(LANES, &[&lanes_of(Some(&switch.pipeline))]).await.map_err(failed)?;
        // A refusal drops the connection, and with it the transaction.
        as_expected(&lanes, switch)?;
        write(&client, &self.shared.schema, switch).await.map_err(failed)?;
        client.batch_execute("COMMIT").await.map_err(failed)
    }
}

fn as_expected(lanes: &[Row], switch: &Switch) -> Result<(), SinkError> {
    for row in lanes {
        let lane: String = row.get(0);
        let (owner, ends_in): (Option<String>, Option<i64>) = (row.get(3), row.get(4));
        if let (Some(owner), Some(ends_in_ms)) = (owner, ends_in.filter(|ms| *ms > 0)) {
            return Err(SinkError::Held { lane, owner, ends_in_ms });
        }
        if !switch.expected.contains(&(lane.clone(), row.get(1), unsigned(row, 2))) {
            return Err(SinkError::Fenced(lane));
        }
    }
    if lanes.len() == switch.expected.len() {
        Ok(())
    } else {
        Err(SinkError::Fenced(switch.pipeline.clone()))
    }
}

async fn write(client: &Client, schema: &str, switch: &Switch) -> Result<(), Error> {
    let plan = &switch.plan.0[..];
    let remember =
        "INSERT INTO reconverge.plan (digest, form) VALUES ($1, $2::text::jsonb) ON CONFLICT DO NOTHING";
    client.execute(remember, &[&plan, &switch.form]).await?;
    let retired = &PlanDigest::RETIRED.0[..];
    client.execute(FENCE, &[&lanes_of(Some(&switch.pipeline)), &retired]).await?;
    for LaneStart { lane, stream, stream_created, sequence } in &switch.lanes {
        let sequence = sequence.cast_signed();
        let started = client.query_one(START, &[lane, stream, stream_created, &sequence, &plan]).await?;
        let delivered: i64 = started.get(0);
        let record: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&switch.pipeline, &switch.by, &plan, lane, &sequence, &delivered];
        client.execute(RECORD, &record).await?;
    }
    for lane in &switch.gates_dropped {
        let drop = "DELETE FROM reconverge.version WHERE key = $1";
        client.execute(drop, &[&gate_key(lane)]).await?;
    }
    for moved in &switch.moved {
        carry(client, schema, moved).await?;
    }
    for (table, lane, sequence) in &switch.since {
        // The next claim fills in what the key is.
        let since = "INSERT INTO reconverge.target AS t (name, key_columns, key_types, since_sequence) \
                     VALUES ($1, '{}', '{}', jsonb_build_object($2::text, $3::bigint)) ON CONFLICT (name) \
                     DO UPDATE SET since_sequence = t.since_sequence || excluded.since_sequence";
        let name = if table.contains('.') { table.clone() } else { format!("{schema}.{table}") };
        client.execute(since, &[&name, lane, &sequence.cast_signed()]).await?;
    }
    Ok(())
}

/// A table's gate and the rows that are kept for it go along; they stay in the ledger of the lane that counted them.
async fn carry(client: &Client, schema: &str, moved: &TableMove) -> Result<(), Error> {
    let (from, to) = (gate_key(&moved.from), gate_key(&moved.to));
    let replaced = format!(
        "DELETE FROM reconverge.version v WHERE target = {OF_TABLE} AND key = $4 \
         AND EXISTS (SELECT FROM reconverge.version o WHERE o.target = v.target AND o.key = $3)"
    );
    client.execute(&replaced, &[&moved.table, &schema, &from, &to]).await?;
    let gate = format!("UPDATE reconverge.version SET key = $4 WHERE target = {OF_TABLE} AND key = $3");
    client.execute(&gate, &[&moved.table, &schema, &from, &to]).await?;
    let kept = format!(
        "UPDATE reconverge.parked SET lane = $4, counted_by = coalesce(counted_by, lane) WHERE target = {OF_TABLE} AND lane = $3"
    );
    client.execute(&kept, &[&moved.table, &schema, &moved.from, &moved.to]).await.map(drop)
}
