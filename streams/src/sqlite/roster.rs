//! The roster in SQLite: members, lanes, overrides and plans. What is read is read on the reading connection; what is
//! kept takes its turn on the writing one, like a batch.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior};

use super::{
    SqliteSink,
    checkpoint::{self, micros},
    errors,
    records::{lanes_of, unsigned},
    switch,
};
use crate::{
    checkpoint::PlanDigest,
    position::Micros,
    roster::{FORGET_AFTER_MICROS, LaneMove, Look, Member, Presence, Roster, Switch, Takeover, Way},
    sink::SinkError,
};

impl SqliteSink {
    /// Does something in a transaction of its own, in its turn.
    pub(super) async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SinkError> {
        let _turn = self.writer.turns.lock().await;
        let job = move |conn: &mut Connection| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&tx)?;
            tx.commit()?;
            Ok(done)
        };
        let done: rusqlite::Result<T> = self.writer.thread.run(job).await?;
        done.map_err(|e| errors::sink_error("the roster could not be kept", &e))
    }
}

impl Roster for SqliteSink {
    async fn attend(&self, presence: &Presence) -> Result<(), SinkError> {
        let (presence, now) = (presence.clone(), self.clock.now());
        self.in_turn(move |conn| attend(conn, &presence, now)).await
    }

    async fn leave(&self, pipeline: &str, member: &str) -> Result<(), SinkError> {
        let (pipeline, member) = (pipeline.to_owned(), member.to_owned());
        let leave = "DELETE FROM reconverge_member WHERE pipeline = ?1 AND name = ?2";
        self.in_turn(move |conn| conn.execute(leave, (pipeline, member)).map(drop)).await
    }

    async fn look(&self, pipeline: &str) -> Result<Look, SinkError> {
        let (pipeline, now) = (pipeline.to_owned(), self.clock.now());
        let look = self.read(move |conn| {
            let members = "SELECT name, since, until FROM reconverge_member
                           WHERE pipeline = ?1 AND until > ?2 ORDER BY name";
            let member = |r: &Row<'_>| Ok(Member { name: r.get(0)?, since: r.get(1)?, until: r.get(2)? });
            let mut statement = conn.prepare_cached(members)?;
            let members = statement.query_map((&pipeline, now), member)?.collect::<rusqlite::Result<_>>()?;
            Ok(Look { now, members, lanes: checkpoint::all(conn, &lanes_of(Some(&pipeline)))? })
        });
        look.await
    }

    async fn ways(&self, lanes: &[String]) -> Result<Vec<Way>, SinkError> {
        let (lanes, now) = (lanes.to_vec(), self.clock.now());
        self.read(move |conn| {
            let sql = "SELECT scanned, owner IS NOT NULL AND coalesce(lease_until > ?2, 0)
                       FROM reconverge_checkpoint WHERE lane = ?1";
            let mut statement = conn.prepare_cached(sql)?;
            let mut ways = Vec::with_capacity(lanes.len());
            for lane in &lanes {
                let way = |r: &Row<'_>| Ok(Way { scanned: unsigned(r, 0)?, is_held: r.get(1)? });
                let found = statement.query_row((lane, now), way).optional()?;
                ways.push(found.unwrap_or(Way { scanned: 0, is_held: false }));
            }
            Ok(ways)
        })
        .await
    }

    async fn takeovers(&self, pipeline: &str, limit: u32) -> Result<Vec<Takeover>, SinkError> {
        let prefix = lanes_of(Some(pipeline));
        self.read(move |conn| {
            let sql = "SELECT lane, at, owner, epoch, sequence, previous, heartbeat_at, lease_until
                       FROM reconverge_takeover WHERE substr(lane, 1, length(?1)) = ?1 ORDER BY id DESC LIMIT ?2";
            let of_row = |r: &Row<'_>| {
                Ok(Takeover {
                    lane: r.get(0)?,
                    at: r.get(1)?,
                    owner: r.get(2)?,
                    epoch: r.get(3)?,
                    sequence: unsigned(r, 4)?,
                    previous: r.get(5)?,
                    heartbeat_at: r.get(6)?,
                    lease_until: r.get(7)?,
                })
            };
            conn.prepare_cached(sql)?.query_map((prefix, limit), of_row)?.collect()
        })
        .await
    }

    async fn remember_plan(&self, plan: PlanDigest, form: &str) -> Result<(), SinkError> {
        let (form, now) = (form.to_owned(), self.clock.now());
        self.in_turn(move |conn| remember(conn, plan, &form, now)).await
    }

    async fn plan_form(&self, plan: PlanDigest) -> Result<Option<String>, SinkError> {
        let sql = "SELECT form FROM reconverge_plan WHERE digest = ?1";
        self.read(move |conn| conn.query_row(sql, [&plan.0[..]], |r| r.get(0)).optional()).await
    }

    async fn switch(&self, asked: &Switch) -> Result<(), SinkError> {
        let (asked, now) = (asked.clone(), self.clock.now());
        self.in_turn(move |conn| {
            if let Some(refusal) = switch::refusal(conn, &asked, now)? {
                return Ok(Err(refusal));
            }
            switch::write(conn, &asked, now).map(Ok)
        })
        .await?
    }

    async fn moves(&self, pipeline: &str) -> Result<Vec<LaneMove>, SinkError> {
        let pipeline = pipeline.to_owned();
        self.read(move |conn| {
            let sql = "SELECT lane, at, by, sequence, delivered FROM reconverge_move
                       WHERE id IN (SELECT max(id) FROM reconverge_move WHERE pipeline = ?1 GROUP BY lane) ORDER BY lane";
            let of_row = |r: &Row<'_>| {
                Ok(LaneMove {
                    lane: r.get(0)?,
                    at: r.get(1)?,
                    by: r.get(2)?,
                    sequence: unsigned(r, 3)?,
                    delivered: unsigned(r, 4)?,
                })
            };
            conn.prepare_cached(sql)?.query_map([pipeline], of_row)?.collect()
        })
        .await
    }
}

fn attend(conn: &Connection, presence: &Presence, now: Micros) -> rusqlite::Result<()> {
    let until = now.saturating_add(micros(presence.lease));
    // One that had been taken for gone is there anew.
    let keep = "INSERT INTO reconverge_member (pipeline, name, since, until) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (pipeline, name) DO UPDATE SET until = excluded.until,
                since = CASE WHEN until > ?3 THEN since ELSE ?3 END";
    if presence.shares {
        conn.execute(keep, (&presence.pipeline, &presence.member, now, until))?;
    }
    let lane =
        "UPDATE reconverge_checkpoint SET lease_until = ?3, heartbeat_at = ?4 WHERE lane = ?1 AND owner = ?2";
    for name in &presence.lanes {
        conn.prepare_cached(lane)?.execute((name, &presence.member, until, now))?;
    }
    let forget = "DELETE FROM reconverge_member WHERE pipeline = ?1 AND until < ?2";
    conn.execute(forget, (&presence.pipeline, now.saturating_sub(FORGET_AFTER_MICROS))).map(drop)
}

pub(super) fn remember(conn: &Connection, plan: PlanDigest, form: &str, now: Micros) -> rusqlite::Result<()> {
    let sql = "INSERT INTO reconverge_plan (digest, form, since) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    conn.execute(sql, (&plan.0[..], form, now)).map(drop)
}
