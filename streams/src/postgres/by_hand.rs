//! What an operator asked for of rows and changes that are kept beside: the columns `asked`, `asked_by` and `note` of
//! `reconverge.parked`. Written by the command, read and refused by the lane that keeps them; what was carried out goes
//! with the batch that did it.

use tokio_postgres::Row;

use crate::{
    by_hand::{Hand, HandWord, ORDERS_MAX, Order},
    position::Position,
    sink::SinkError,
};

use super::{
    PostgresSink,
    begin::NotBegun,
    cells::{self, Unlike},
    claim::{Facts, PostgresClaim},
    params::Param,
    records::{lanes_of, unsigned},
    standing,
};

impl PostgresClaim {
    /// See [`crate::sink::Claim::orders`].
    pub(super) async fn read_orders(&mut self) -> Result<Vec<Order>, NotBegun> {
        let sql = format!(
            "SELECT sequence, target, key, why, asked, asked_by, note, subject, source, epoch, commit_position, ordinal, \
             change, coalesce(counted_by, lane) FROM reconverge.parked WHERE lane = $1::text AND asked IS NOT NULL \
             ORDER BY sequence, target, key LIMIT {ORDERS_MAX}"
        );
        let lane = self.facts.lane.clone();
        let mut found = Vec::new();
        for row in &self.session.query(&sql, vec![Param::Text(&lane)]).await? {
            found.extend(order(&self.facts, row)?);
        }
        Ok(found)
    }

    /// See [`crate::sink::Claim::refuse`]; false where the lane is not ours any more.
    pub(super) async fn refuse_order(&mut self, order: &Order, why: &str) -> Result<bool, NotBegun> {
        let sql = "WITH ours AS (SELECT 1 FROM reconverge.checkpoint WHERE lane = $1::text AND epoch = $2::bigint), \
                   done AS (UPDATE reconverge.parked SET asked = NULL, note = $6::text WHERE lane = $1::text \
                   AND sequence = $3::bigint AND target = $4::smallint AND key = $5::bytea AND EXISTS (SELECT FROM ours)) \
                   SELECT * FROM ours";
        let lane = self.facts.lane.clone();
        let params = vec![
            Param::Text(&lane),
            Param::Int8(self.checkpoint.epoch),
            Param::Int8(order.sequence.cast_signed()),
            Param::Int2(self.facts.target(order.table).id),
            Param::Bytea(&order.key),
            Param::Text(why),
        ];
        Ok(!self.session.query(sql, params).await?.is_empty())
    }
}

/// An order; `None` for a table that the plan does not list any more.
fn order(facts: &Facts, row: &Row) -> Result<Option<Order>, Unlike> {
    let int = |at| Ok(cells::raw(row, at)?.map(cells::int).transpose()?.unwrap_or_default());
    let text = |at| cells::raw(row, at)?.map(|raw| cells::utf8(raw).map(String::from)).transpose();
    let hand = text(4)?.as_deref().and_then(Hand::of);
    let (Some(table), Some(hand)) = (facts.table_of(int(1)?), hand) else { return Ok(None) };
    let source = i16::try_from(int(8)?).map_err(|_| Unlike("number of a source"))?;
    Ok(Some(Order {
        table,
        key: cells::raw(row, 2)?.unwrap_or_default().to_vec(),
        sequence: int(0)?.cast_unsigned(),
        waits_on_time: text(3)?.is_some_and(|why| crate::waiting::Why::of(&why).is_some()),
        hand,
        by: text(5)?.unwrap_or_default(),
        note: text(6)?,
        subject: text(7)?,
        source: facts.ids.name(source),
        position: Position {
            epoch: i32::try_from(int(9)?).map_err(|_| Unlike("epoch"))?,
            commit: int(10)?.cast_unsigned(),
            ordinal: int(11)?.cast_unsigned(),
        },
        counted_by: standing::elsewhere(cells::raw(row, 13)?, &facts.lane)?,
        kept: cells::raw(row, 12)?.unwrap_or_default().to_vec(),
    }))
}

impl PostgresSink {
    /// Asks for what is kept under a key; how many rows and changes that are. Both halves of a key change are asked for
    /// together: they have one sequence.
    pub(super) async fn ask_for(&self, word: &HandWord) -> Result<u64, SinkError> {
        let sql = "WITH meant AS (SELECT d.lane, d.sequence, d.target, d.key, d.why IN ('paused', 'skew') AS on_time \
                     FROM reconverge.parked d JOIN reconverge.target t ON t.id = d.target \
                     WHERE starts_with(d.lane, $2) AND t.name IN ($3, $1 || '.' || $3) AND d.key = $4), \
                   done AS (UPDATE reconverge.parked p SET asked = $5, asked_by = $6, note = $7 FROM meant m \
                     WHERE p.lane = m.lane AND p.sequence = m.sequence AND p.target = m.target \
                     AND (p.key = m.key OR m.on_time AND p.why IN ('paused', 'skew')) RETURNING 1) \
                   SELECT count(*) FROM done";
        let (schema, lanes) = (&self.shared.schema, lanes_of(Some(&word.pipeline)));
        let hand = word.hand.word();
        let rows =
            self.read(sql, &[schema, &lanes, &word.table, &word.key, &hand, &word.by, &word.note]).await?;
        Ok(rows.first().map_or(0, |row| unsigned(row, 0)))
    }
}
