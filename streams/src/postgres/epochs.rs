//! Source epochs and suspicions: read when the lane asks, written with a batch, and the operator's word about them.

use tokio_postgres::{Client, Error, Row};

use crate::{
    epoch::{EpochStart, SourceEpochs},
    logical::Logical,
    records::{EpochRecord, EpochWord, SuspicionRecord},
    sink::SinkError,
    text,
    writes::Writes,
};

use super::{
    PostgresSink,
    claim::Facts,
    fate,
    params::Param,
    records::{TABLE_NAME, key_json, lanes_of, micros, unsigned},
    session::Session,
    sidecar::{Batch, Outgoing, ints, packed},
    travel::Wire,
};

/// What holds for a lane.
pub(super) async fn of_lane(session: &mut Session, facts: &mut Facts) -> Result<SourceEpochs, Error> {
    // The operator may have spoken of a source that this process has not met.
    facts.ids.load(&session.client).await?;
    let mut epochs = SourceEpochs::default();
    let starts = "SELECT source, from_sequence, epoch, dismissed FROM reconverge.source_epoch \
                  WHERE stream = $1::text AND lane IN ('', $2::text)";
    let of = vec![Param::Text(&facts.request.stream), Param::Text(&facts.lane)];
    for row in session.query(starts, of).await? {
        let Some(source) = facts.ids.name(row.get(0)) else { continue };
        let from_sequence = unsigned(&row, 1);
        if row.get(3) {
            epochs.dismissed.push((source, from_sequence.saturating_sub(1)));
        } else {
            epochs.starts.push(EpochStart { source, from_sequence, epoch: row.get(2) });
        }
    }
    let open = "SELECT DISTINCT source, target, key FROM reconverge.suspicion WHERE stream = $1::text AND closed_at IS NULL";
    for row in session.query(open, vec![Param::Text(&facts.request.stream)]).await? {
        let target: i16 = row.get(1);
        if let (Some(source), Some(table)) = (facts.ids.name(row.get(0)), facts.table_of(i64::from(target))) {
            epochs.suspected.push((source, table, row.get(2)));
        }
    }
    Ok(epochs)
}

/// Names that the statements below will need numbers for.
pub(super) fn names(writes: &Writes) -> impl Iterator<Item = crate::names::NameId> {
    writes.epochs.iter().map(|e| e.source).chain(writes.suspicions.iter().map(|s| s.source))
}

/// The statements of a batch: none in ordinary times.
pub(super) fn statements<'a>(batch: &Batch<'a>) -> Vec<Outgoing<'a>> {
    let mut out = Vec::new();
    for start in &batch.writes.epochs {
        let source = Param::Int2(batch.ids.number(start.source));
        let add = "INSERT INTO reconverge.source_epoch (source, stream, lane, from_sequence, epoch, dismissed, by) \
                   VALUES ($1::smallint, $2::text, $3::text, $4::bigint, $5::bigint::int, false, 'control message') \
                   ON CONFLICT DO NOTHING";
        let from = Param::Int8(start.from_sequence.cast_signed());
        let epoch = || Param::Int8(i64::from(start.epoch));
        let params = vec![source, Param::Text(batch.stream), Param::Text(batch.lane), from, epoch()];
        out.push(Outgoing { sql: add.into(), params });
        let raise =
            "UPDATE reconverge.source SET epoch = greatest(epoch, $2::bigint::int) WHERE id = $1::smallint";
        let source = Param::Int2(batch.ids.number(start.source));
        out.push(Outgoing { sql: raise.into(), params: vec![source, epoch()] });
    }
    out.extend(suspicions(batch));
    out
}

fn suspicions<'a>(batch: &Batch<'a>) -> Option<Outgoing<'a>> {
    let rows = &batch.writes.suspicions;
    if rows.is_empty() {
        return None;
    }
    let sql = "INSERT INTO reconverge.suspicion (stream, lane, sequence, target, key, source, epoch, commit_position, ordinal, \
               committed_at, newest_epoch, newest_commit, newest_ordinal) \
               SELECT $1::text, $2::text, u.* FROM unnest($3::int8[], $4::int2[], $5::bytea[], $6::int2[], $7::int4[], \
               $8::int8[], $9::int8[], $10::int8[], $11::int4[], $12::int8[], $13::int8[]) AS u ON CONFLICT DO NOTHING";
    let (ids, targets) = (batch.ids, batch.targets);
    let own = |column, wire| Param::Own(column, wire);
    let params = vec![
        Param::Text(batch.stream),
        Param::Text(batch.lane),
        own(ints(rows, |s| Some(s.sequence.cast_signed())), Wire::Int8),
        own(ints(rows, |s| Some(i64::from(targets[s.table.index()].id))), Wire::Int2),
        own(packed(rows, Logical::Bytes, |s| Some(&s.key)), Wire::Bytea),
        own(ints(rows, |s| Some(i64::from(ids.number(s.source)))), Wire::Int2),
        own(ints(rows, |s| Some(i64::from(s.position.epoch))), Wire::Int4),
        own(ints(rows, |s| Some(s.position.commit.cast_signed())), Wire::Int8),
        own(ints(rows, |s| Some(s.position.ordinal.cast_signed())), Wire::Int8),
        own(ints(rows, |s| Some(s.at)), Wire::Int8),
        own(ints(rows, |s| Some(i64::from(s.newest.epoch))), Wire::Int4),
        own(ints(rows, |s| Some(s.newest.commit.cast_signed())), Wire::Int8),
        own(ints(rows, |s| Some(s.newest.ordinal.cast_signed())), Wire::Int8),
    ];
    Some(Outgoing { sql: sql.into(), params })
}

impl PostgresSink {
    /// Open suspicions, by sequence.
    pub(super) async fn open_suspicions(
        &self,
        pipeline: Option<&str>,
    ) -> Result<Vec<SuspicionRecord>, SinkError> {
        let sql = format!(
            "SELECT s.name, d.lane, d.stream, d.sequence, {TABLE_NAME}, t.key_columns, t.key_types, d.key, d.epoch, \
             d.commit_position, d.ordinal, d.committed_at, d.newest_epoch, d.newest_commit, d.newest_ordinal, {} \
             FROM reconverge.suspicion d JOIN reconverge.source s ON s.id = d.source \
             JOIN reconverge.target t ON t.id = d.target \
             WHERE d.closed_at IS NULL AND starts_with(d.lane, $2) ORDER BY d.sequence, t.name",
            micros("d.at")
        );
        let rows = self.read(&sql, &[&self.shared.schema, &lanes_of(pipeline)]).await?;
        Ok(rows.iter().map(record).collect())
    }

    /// Writes the operator's word; `None` where the source is not known.
    pub(super) async fn write_epoch(&self, word: &EpochWord) -> Result<Option<EpochRecord>, SinkError> {
        let client = self.shared.server.connect().await?;
        let failed = |e: Error| fate::sink_error(&e, "writing a source's epoch");
        client.batch_execute("BEGIN").await.map_err(failed)?;
        let said = say(&client, word).await;
        let end = if said.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let said = said.map_err(failed)?;
        client.batch_execute(end).await.map_err(failed)?;
        Ok(said)
    }
}

async fn say(client: &Client, word: &EpochWord) -> Result<Option<EpochRecord>, Error> {
    let find = "SELECT id, epoch FROM reconverge.source WHERE name = $1 FOR UPDATE";
    let Some(found) = client.query_opt(find, &[&word.source]).await? else { return Ok(None) };
    let (id, stored): (i16, i32) = (found.get(0), found.get(1));
    let open = "SELECT count(*), min(sequence), max(newest_epoch) FROM reconverge.suspicion \
                    WHERE source = $1 AND stream = $2 AND closed_at IS NULL";
    let open = client.query_one(open, &[&id, &word.stream]).await?;
    let (first, newest): (Option<i64>, Option<i32>) = (open.get(1), open.get(2));
    let present = stored.max(newest.unwrap_or(0));
    let epoch = if word.dismiss { present } else { present + 1 };
    let first = first.map(i64::cast_unsigned).filter(|_| !word.dismiss);
    let from_sequence = word.from_sequence.or(first).unwrap_or(word.otherwise);
    let add = "INSERT INTO reconverge.source_epoch (source, stream, lane, from_sequence, epoch, dismissed, by) \
                   VALUES ($1, $2, '', $3, $4, $5, $6) \
                   ON CONFLICT (source, stream, lane, from_sequence, dismissed) DO UPDATE SET epoch = EXCLUDED.epoch";
    let from = from_sequence.cast_signed();
    client.execute(add, &[&id, &word.stream, &from, &epoch, &word.dismiss, &word.by]).await?;
    client.execute("UPDATE reconverge.source SET epoch = $2 WHERE id = $1", &[&id, &epoch]).await?;
    let close = "UPDATE reconverge.suspicion SET closed_at = now(), closed_by = $3 \
                     WHERE source = $1 AND stream = $2 AND closed_at IS NULL";
    client.execute(close, &[&id, &word.stream, &word.by]).await?;
    let (source, stream) = (word.source.clone(), word.stream.clone());
    Ok(Some(EpochRecord { source, stream, epoch, from_sequence, suspicions: unsigned(&open, 0) }))
}

fn record(row: &Row) -> SuspicionRecord {
    let position = |at: usize| {
        let epoch: i32 = row.get(at);
        format!("{epoch}/{}/{}", unsigned(row, at + 1), unsigned(row, at + 2))
    };
    SuspicionRecord {
        source: row.get(0),
        lane: row.get(1),
        stream: row.get(2),
        sequence: unsigned(row, 3),
        table: row.get(4),
        key: key_json(&row.get::<_, Vec<String>>(5), &row.get::<_, Vec<String>>(6), row.get(7)),
        position: position(8),
        committed_at: text::format_timestamp(row.get(11)),
        newest: position(12),
        noted_at: text::format_timestamp(row.get(15)),
    }
}
