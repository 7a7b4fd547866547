//! The roster in PostgreSQL: members, lanes, overrides and plans, read and kept on the connection for reads, whose
//! statements stand alone. Stands beside the batches; waits for none of them.

use tokio_postgres::{Error, Row, types::ToSql};

use super::{
    PostgresSink, fate, lane,
    records::{lanes_of, micros, unsigned},
};
use crate::{
    checkpoint::PlanDigest,
    roster::{FORGET_AFTER_MICROS, LaneMove, Look, Member, Presence, Roster, Switch, Takeover, Way},
    sink::SinkError,
};

/// Keeps a member; one that had been taken for gone is there anew.
const ATTEND: &str = "INSERT INTO reconverge.member AS m (pipeline, name, until) \
    VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3)) \
    ON CONFLICT (pipeline, name) DO UPDATE SET until = excluded.until, \
    since = CASE WHEN m.until > clock_timestamp() THEN m.since ELSE clock_timestamp() END";

/// Keeps the lanes of an owner, but for those whose row a batch has locked: its commit keeps them.
const KEEP: &str = "UPDATE reconverge.checkpoint c SET heartbeat_at = clock_timestamp(), \
    lease_until = clock_timestamp() + make_interval(secs => $3) \
    FROM (SELECT lane FROM reconverge.checkpoint WHERE lane = ANY($2) AND owner = $1 FOR UPDATE SKIP LOCKED) ours \
    WHERE c.lane = ours.lane";

const FORGET: &str = "DELETE FROM reconverge.member WHERE pipeline = $1 \
    AND until < clock_timestamp() - make_interval(secs => $2)";

impl PostgresSink {
    async fn told(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, SinkError> {
        let client = self.shared.reads().await?;
        client.execute(sql, params).await.map_err(failed)
    }
}

impl Roster for PostgresSink {
    async fn attend(&self, presence: &Presence) -> Result<(), SinkError> {
        let lease = presence.lease.as_secs_f64();
        if presence.shares {
            self.told(ATTEND, &[&presence.pipeline, &presence.member, &lease]).await?;
        }
        if !presence.lanes.is_empty() {
            self.told(KEEP, &[&presence.member, &presence.lanes, &lease]).await?;
        }
        #[expect(clippy::cast_precision_loss, reason = "an hour in microseconds is far below 2^53")]
        let forget_after = FORGET_AFTER_MICROS as f64 / 1e6;
        self.told(FORGET, &[&presence.pipeline, &forget_after]).await.map(drop)
    }

    async fn leave(&self, pipeline: &str, member: &str) -> Result<(), SinkError> {
        let sql = "DELETE FROM reconverge.member WHERE pipeline = $1 AND name = $2";
        self.told(sql, &[&pipeline, &member]).await.map(drop)
    }

    async fn look(&self, pipeline: &str) -> Result<Look, SinkError> {
        let members = format!(
            "SELECT name, {}, {} FROM reconverge.member WHERE pipeline = $1 AND until > clock_timestamp() ORDER BY name",
            micros("since"),
            micros("until")
        );
        let lanes = format!(
            "SELECT {} FROM reconverge.checkpoint WHERE starts_with(lane, $1) ORDER BY lane",
            lane::COLUMNS
        );
        let now = format!("SELECT {}", micros("clock_timestamp()"));
        let client = self.shared.reads().await?;
        let now = client.query_one(&now, &[]).await.map_err(failed)?.get(0);
        let members = client.query(&members, &[&pipeline]).await.map_err(failed)?;
        let lanes = client.query(&lanes, &[&lanes_of(Some(pipeline))]).await.map_err(failed)?;
        let member = |row: &Row| Member { name: row.get(0), since: row.get(1), until: row.get(2) };
        Ok(Look {
            now,
            members: members.iter().map(member).collect(),
            lanes: lanes.iter().map(lane::read).collect::<Result<_, _>>().map_err(lane::unlike)?,
        })
    }

    async fn ways(&self, lanes: &[String]) -> Result<Vec<Way>, SinkError> {
        let sql = "SELECT coalesce(c.scanned, 0), coalesce(c.owner IS NOT NULL AND c.lease_until > clock_timestamp(), false) \
                   FROM unnest($1::text[]) WITH ORDINALITY AS u(lane, ord) \
                   LEFT JOIN reconverge.checkpoint c ON c.lane = u.lane ORDER BY u.ord";
        let client = self.shared.reads().await?;
        let rows = client.query(sql, &[&lanes]).await.map_err(failed)?;
        Ok(rows.iter().map(|row| Way { scanned: unsigned(row, 0), is_held: row.get(1) }).collect())
    }

    async fn takeovers(&self, pipeline: &str, limit: u32) -> Result<Vec<Takeover>, SinkError> {
        let sql = format!(
            "SELECT lane, {}, owner, epoch, sequence, previous, {}, {} FROM reconverge.takeover \
             WHERE starts_with(lane, $1) ORDER BY id DESC LIMIT $2",
            micros("at"),
            micros("heartbeat_at"),
            micros("lease_until")
        );
        let rows = self.read(&sql, &[&lanes_of(Some(pipeline)), &i64::from(limit)]).await?;
        let takeover = |row: &Row| Takeover {
            lane: row.get(0),
            at: row.get(1),
            owner: row.get(2),
            epoch: row.get(3),
            sequence: unsigned(row, 4),
            previous: row.get(5),
            heartbeat_at: row.get(6),
            lease_until: row.get(7),
        };
        Ok(rows.iter().map(takeover).collect())
    }

    async fn remember_plan(&self, plan: PlanDigest, form: &str) -> Result<(), SinkError> {
        let sql =
            "INSERT INTO reconverge.plan (digest, form) VALUES ($1, $2::text::jsonb) ON CONFLICT DO NOTHING";
        self.told(sql, &[&&plan.0[..], &form]).await.map(drop)
    }

    async fn plan_form(&self, plan: PlanDigest) -> Result<Option<String>, SinkError> {
        let sql = "SELECT form::text FROM reconverge.plan WHERE digest = $1";
        Ok(self.read(sql, &[&&plan.0[..]]).await?.first().map(|row| row.get(0)))
    }

    async fn switch(&self, switch: &Switch) -> Result<(), SinkError> {
        self.put_in_force(switch).await
    }

    async fn moves(&self, pipeline: &str) -> Result<Vec<LaneMove>, SinkError> {
        let sql = format!(
            "SELECT DISTINCT ON (lane) lane, {}, by, sequence, delivered FROM reconverge.move WHERE pipeline = $1 \
             ORDER BY lane, id DESC",
            micros("at")
        );
        let rows = self.read(&sql, &[&pipeline]).await?;
        let made = |row: &Row| LaneMove {
            lane: row.get(0),
            at: row.get(1),
            by: row.get(2),
            sequence: unsigned(row, 3),
            delivered: unsigned(row, 4),
        };
        Ok(rows.iter().map(made).collect())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err hands over")]
fn failed(error: Error) -> SinkError {
    fate::sink_error(&error, "reading or keeping the roster")
}
