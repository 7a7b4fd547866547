//! Changes that wait on time, and paused tables: `reconverge.parked`, as far as it holds what is not decided yet, and
//! `reconverge.target.paused`. Written with the batch or between batches; nothing is decided here.

use tokio_postgres::Row;

use crate::{
    columns::Column,
    logical::Logical,
    position::Position,
    records::TableRecord,
    sink::SinkError,
    table::TableId,
    waiting::{Depth, Paused, Waiting, WaitingId, WaitingWanted, WaitingWrite, Why},
};

use super::{
    PostgresSink,
    begin::NotBegun,
    cells::{self, Unlike},
    claim::{Facts, PostgresClaim},
    params::Param,
    records::TABLE_NAME,
    sidecar::{Batch, Outgoing, insert, ints, packed},
    standing,
    travel::Wire,
};

/// The waiting changes of a batch's list, in `parked`.
const WHICH: &str = "p.lane = $1::text AND p.sequence = u.sequence AND p.target = u.target AND p.key = u.key \
    AND p.why IN ('paused', 'skew')";

/// The statements of a batch: takes out what was released, counts what was tried in vain, keeps what begins to wait.
pub(super) fn statements<'a>(batch: &Batch<'a>) -> Vec<Outgoing<'a>> {
    let writes = batch.writes;
    let mut out = Vec::new();
    let from = "unnest($2::int8[], $3::int2[], $4::bytea[]) AS u(sequence, target, key)";
    if !writes.released.is_empty() {
        let sql = format!("DELETE FROM reconverge.parked p USING {from} WHERE {WHICH}");
        out.push(Outgoing { sql, params: named(batch, &writes.released) });
    }
    if !writes.tried.is_empty() {
        let sql =
            format!("UPDATE reconverge.parked p SET attempts = p.attempts + 1 FROM {from} WHERE {WHICH}");
        out.push(Outgoing { sql, params: named(batch, &writes.tried) });
    }
    if !writes.waiting.is_empty() {
        out.push(keep(batch, &writes.waiting));
    }
    out
}

fn named<'a>(batch: &Batch<'a>, ids: &'a [WaitingId]) -> Vec<Param<'a>> {
    let target = |id: &WaitingId| Some(i64::from(batch.targets[id.table.index()].id));
    vec![
        Param::Text(batch.lane),
        Param::Own(ints(ids, |id| Some(id.sequence.cast_signed())), Wire::Int8),
        Param::Own(ints(ids, target), Wire::Int2),
        Param::Own(packed(ids, Logical::Bytes, |id| Some(&id.key)), Wire::Bytea),
    ]
}

fn keep<'a>(batch: &Batch<'a>, rows: &'a [WaitingWrite]) -> Outgoing<'a> {
    let (ids, targets) = (batch.ids, batch.targets);
    let other = |w: &WaitingWrite| w.moved.as_ref().map(|_| i64::from(targets[w.id.table.index()].id));
    insert(
        "parked",
        "lane",
        batch.lane,
        vec![
            ("target", ints(rows, |w| Some(i64::from(targets[w.id.table.index()].id))), Wire::Int2),
            ("key", packed(rows, Logical::Bytes, |w| Some(&w.id.key)), Wire::Bytea),
            ("source", ints(rows, |w| Some(i64::from(ids.number(w.source)))), Wire::Int2),
            ("epoch", ints(rows, |w| Some(i64::from(w.position.epoch))), Wire::Int4),
            ("commit_position", ints(rows, |w| Some(w.position.commit.cast_signed())), Wire::Int8),
            ("ordinal", ints(rows, |w| Some(w.position.ordinal.cast_signed())), Wire::Int8),
            ("sequence", ints(rows, |w| Some(w.id.sequence.cast_signed())), Wire::Int8),
            ("why", packed(rows, Logical::Text, |w| Some(w.why.word().as_bytes())), Wire::Text),
            ("until_at", ints(rows, |w| w.until), Wire::Int8),
            ("change", packed(rows, Logical::Bytes, |w| Some(&w.change)), Wire::Bytea),
            // A half of a key change is filed under the other key.
            ("waits_target", ints(rows, other), Wire::Int2),
            ("waits_key", packed(rows, Logical::Bytes, |w| w.moved.as_deref()), Wire::Bytea),
        ],
    )
}

impl PostgresClaim {
    /// See [`crate::sink::Claim::waiting`].
    pub(super) async fn read_waiting(&mut self, asked: &WaitingWanted) -> Result<Vec<Waiting>, NotBegun> {
        let (change, which) = match asked {
            WaitingWanted::All => ("''::bytea", ""),
            WaitingWanted::Sequences(_) => ("change", "AND sequence = ANY($2::int8[])"),
        };
        let sql = format!(
            "SELECT sequence, target, key, why, until_at, source, epoch, commit_position, ordinal, parked_at, attempts, \
             {change}, waits_key, coalesce(counted_by, lane) FROM reconverge.parked WHERE lane = $1::text AND why IN ('paused', 'skew') {which} \
             ORDER BY sequence, target, key"
        );
        let lane = self.facts.lane.clone();
        let mut params = vec![Param::Text(&lane)];
        if let WaitingWanted::Sequences(sequences) = asked {
            let mut column = Column::new(Logical::Int);
            sequences.iter().for_each(|s| column.push_int(s.cast_signed()));
            params.push(Param::Own(column, Wire::Int8));
        }
        let rows = self.session.query(&sql, params).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            found.extend(waiting(&self.facts, row)?);
        }
        Ok(found)
    }

    /// See [`crate::sink::Claim::depths`].
    pub(super) async fn read_depths(&mut self) -> Result<Vec<Depth>, NotBegun> {
        let sql = "SELECT target, why, count(*), min(parked_at) FROM reconverge.parked WHERE lane = $1::text GROUP BY 1, 2";
        let lane = self.facts.lane.clone();
        let mut found = Vec::new();
        for row in &self.session.query(sql, vec![Param::Text(&lane)]).await? {
            let number = |at| cells::raw(row, at)?.map(cells::int).transpose();
            let Some(table) = self.facts.table_of(number(0)?.unwrap_or_default()) else { continue };
            found.push(Depth {
                table,
                why: cells::utf8(cells::raw(row, 1)?.unwrap_or_default())?.to_owned(),
                rows: number(2)?.unwrap_or_default().cast_unsigned(),
                oldest_at: cells::raw(row, 3)?.map(cells::micros).transpose()?.unwrap_or_default(),
            });
        }
        Ok(found)
    }

    /// See [`crate::sink::Claim::paused`].
    pub(super) async fn read_paused(&mut self) -> Result<Vec<Paused>, NotBegun> {
        let sql = "SELECT id, paused FROM reconverge.target WHERE paused IS NOT NULL ORDER BY id";
        let mut found = Vec::new();
        for row in &self.session.query(sql, Vec::new()).await? {
            let number = cells::int(cells::raw(row, 0)?.ok_or(Unlike("number of a table"))?)?;
            let reason = cells::utf8(cells::raw(row, 1)?.unwrap_or_default())?.to_owned();
            found.extend(self.facts.table_of(number).map(|table| Paused { table, reason }));
        }
        Ok(found)
    }

    /// See [`crate::sink::Claim::pause`]; false where the lane is not ours any more.
    pub(super) async fn pause_table(&mut self, table: TableId, reason: &str) -> Result<bool, NotBegun> {
        let sql = "WITH ours AS (SELECT 1 FROM reconverge.checkpoint WHERE lane = $1::text AND epoch = $2::bigint), \
                   done AS (UPDATE reconverge.target SET paused = $4::text WHERE id = $3::smallint AND paused IS NULL \
                   AND EXISTS (SELECT FROM ours)) SELECT * FROM ours";
        let number = self.facts.target(table).id;
        let lane = self.facts.lane.clone();
        let epoch = Param::Int8(self.checkpoint.epoch);
        let params = vec![Param::Text(&lane), epoch, Param::Int2(number), Param::Text(reason)];
        Ok(!self.session.query(sql, params).await?.is_empty())
    }
}

/// A waiting change; `None` for a table that the plan does not list any more.
fn waiting(facts: &Facts, row: &Row) -> Result<Option<Waiting>, Unlike> {
    let int = |at| cells::raw(row, at)?.map(cells::int).transpose();
    let needed = |at| Ok(int(at)?.unwrap_or_default());
    let word = cells::utf8(cells::raw(row, 3)?.unwrap_or_default())?;
    let (Some(table), Some(why)) = (facts.table_of(needed(1)?), Why::of(word)) else { return Ok(None) };
    let source = i16::try_from(needed(5)?).map_err(|_| Unlike("number of a source"))?;
    Ok(Some(Waiting {
        id: WaitingId {
            sequence: needed(0)?.cast_unsigned(),
            table,
            key: cells::raw(row, 2)?.unwrap_or_default().to_vec(),
        },
        why,
        until: int(4)?,
        source: facts.ids.name(source),
        position: Position {
            epoch: i32::try_from(needed(6)?).map_err(|_| Unlike("epoch"))?,
            commit: needed(7)?.cast_unsigned(),
            ordinal: needed(8)?.cast_unsigned(),
        },
        parked_at: cells::raw(row, 9)?.map(cells::micros).transpose()?.unwrap_or_default(),
        attempts: u32::try_from(needed(10)?).unwrap_or_default(),
        change: cells::raw(row, 11)?.unwrap_or_default().to_vec(),
        moved: cells::raw(row, 12)?.map(<[u8]>::to_vec),
        counted_by: standing::elsewhere(cells::raw(row, 13)?, &facts.lane)?,
    }))
}

impl PostgresSink {
    /// All tables that a pipeline ever wrote to.
    pub(super) async fn target_rows(&self) -> Result<Vec<TableRecord>, SinkError> {
        let sql = format!("SELECT {TABLE_NAME}, t.paused FROM reconverge.target t ORDER BY 1");
        let rows = self.read(&sql, &[&self.shared.schema]).await?;
        Ok(rows.iter().map(|row| TableRecord { name: row.get(0), paused: row.get(1) }).collect())
    }

    /// Pauses a table by name or lets it run; whether that changed anything.
    pub(super) async fn pause_by_name(&self, table: &str, reason: Option<&str>) -> Result<bool, SinkError> {
        let sql = "UPDATE reconverge.target SET paused = $3 WHERE name IN ($2, $1 || '.' || $2) \
                   AND (paused IS NULL) = ($3::text IS NOT NULL) RETURNING id";
        Ok(!self.read(sql, &[&self.shared.schema, &table, &reason]).await?.is_empty())
    }
}
