//! Source epochs and suspicions: read when the lane asks, written with a batch, and the operator's word about them.

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};

use super::{history::stored, lane::Lane, records::key_json};
use crate::{
    epoch::{EpochStart, SourceEpochs},
    position::Micros,
    records::{EpochRecord, EpochWord, SuspicionRecord},
    text,
    writes::Writes,
};

/// What holds for a lane.
pub(super) fn of_lane(conn: &Connection, lane: &Lane) -> rusqlite::Result<SourceEpochs> {
    let mut epochs = SourceEpochs::default();
    let starts = "SELECT source, from_sequence, epoch, dismissed FROM reconverge_source_epoch
                  WHERE stream = ?1 AND lane IN ('', ?2)";
    let mut starts = conn.prepare_cached(starts)?;
    let mut rows = starts.query((&lane.stream, &lane.name))?;
    while let Some(row) = rows.next()? {
        let Some(source) = lane.source_name(conn, row.get(0)?)? else { continue };
        let from_sequence = row.get::<_, i64>(1)?.cast_unsigned();
        if row.get(3)? {
            epochs.dismissed.push((source, from_sequence.saturating_sub(1)));
        } else {
            epochs.starts.push(EpochStart { source, from_sequence, epoch: row.get(2)? });
        }
    }
    let open = "SELECT DISTINCT source, target, key FROM reconverge_suspicion WHERE stream = ?1 AND closed_at IS NULL";
    let mut open = conn.prepare_cached(open)?;
    let mut rows = open.query([&lane.stream])?;
    while let Some(row) = rows.next()? {
        let source = lane.source_name(conn, row.get(0)?)?;
        if let (Some(source), Some(table)) = (source, lane.table_of(row.get(1)?)) {
            epochs.suspected.push((source, table, row.get(2)?));
        }
    }
    Ok(epochs)
}

/// Adds what a batch found.
pub(super) fn write(conn: &Connection, lane: &Lane, writes: &Writes, now: Micros) -> rusqlite::Result<()> {
    for start in &writes.epochs {
        let source = lane.source_id(conn, start.source)?;
        let add = "INSERT INTO reconverge_source_epoch (source, stream, lane, from_sequence, epoch, dismissed, at, by)
                   VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, 'control message') ON CONFLICT DO NOTHING";
        let params = (source, &lane.stream, &lane.name, stored(start.from_sequence), start.epoch, now);
        conn.prepare_cached(add)?.execute(params)?;
        let raise = "UPDATE reconverge_source SET epoch = max(epoch, ?2) WHERE id = ?1";
        conn.prepare_cached(raise)?.execute((source, start.epoch))?;
    }
    for s in &writes.suspicions {
        let add = "INSERT INTO reconverge_suspicion (stream, sequence, target, key, lane, source, epoch, commit_position,
                   ordinal, committed_at, newest_epoch, newest_commit, newest_ordinal, at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT DO NOTHING";
        conn.prepare_cached(add)?.execute((
            &lane.stream,
            stored(s.sequence),
            lane.table(s.table).target,
            &s.key,
            &lane.name,
            lane.source_id(conn, s.source)?,
            s.position.epoch,
            stored(s.position.commit),
            stored(s.position.ordinal),
            s.at,
            s.newest.epoch,
            stored(s.newest.commit),
            stored(s.newest.ordinal),
            now,
        ))?;
    }
    Ok(())
}

/// Open suspicions of lanes whose name begins with `prefix`, by sequence.
pub(super) fn open(conn: &Connection, prefix: &str) -> rusqlite::Result<Vec<SuspicionRecord>> {
    let sql = "SELECT s.name, d.lane, d.stream, d.sequence, t.name, t.key_columns, d.key, d.epoch, d.commit_position,
               d.ordinal, d.committed_at, d.newest_epoch, d.newest_commit, d.newest_ordinal, d.at
               FROM reconverge_suspicion d JOIN reconverge_source s ON s.id = d.source
               JOIN reconverge_target t ON t.id = d.target
               WHERE d.closed_at IS NULL AND substr(d.lane, 1, length(?1)) = ?1 ORDER BY d.sequence, t.name";
    conn.prepare_cached(sql)?.query_map([prefix], record)?.collect()
}

fn record(row: &Row<'_>) -> rusqlite::Result<SuspicionRecord> {
    let unsigned = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    Ok(SuspicionRecord {
        source: row.get(0)?,
        lane: row.get(1)?,
        stream: row.get(2)?,
        sequence: unsigned(3)?,
        table: row.get(4)?,
        key: key_json(&row.get::<_, String>(5)?, &row.get::<_, Vec<u8>>(6)?),
        position: format!("{}/{}/{}", row.get::<_, i32>(7)?, unsigned(8)?, unsigned(9)?),
        committed_at: text::format_timestamp(row.get(10)?),
        newest: format!("{}/{}/{}", row.get::<_, i32>(11)?, unsigned(12)?, unsigned(13)?),
        noted_at: text::format_timestamp(row.get(14)?),
    })
}

/// Writes the operator's word; `None` where the source is not known.
pub(super) fn say(
    conn: &mut Connection,
    word: &EpochWord,
    now: Micros,
) -> rusqlite::Result<Option<EpochRecord>> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let find = "SELECT id, epoch FROM reconverge_source WHERE name = ?1";
    let found: Option<(i64, i32)> =
        tx.query_row(find, [&word.source], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
    let Some((source, stored_epoch)) = found else { return Ok(None) };
    let open = "SELECT count(*), min(sequence), max(newest_epoch) FROM reconverge_suspicion
                WHERE source = ?1 AND stream = ?2 AND closed_at IS NULL";
    let (count, first, newest): (i64, Option<i64>, Option<i32>) =
        tx.query_row(open, (source, &word.stream), |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    let present = stored_epoch.max(newest.unwrap_or(0));
    let epoch = if word.dismiss { present } else { present + 1 };
    let first = first.map(i64::cast_unsigned).filter(|_| !word.dismiss);
    let from_sequence = word.from_sequence.or(first).unwrap_or(word.otherwise);
    let add = "INSERT INTO reconverge_source_epoch (source, stream, lane, from_sequence, epoch, dismissed, at, by)
               VALUES (?1, ?2, '', ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT (source, stream, lane, from_sequence, dismissed) DO UPDATE SET epoch = excluded.epoch";
    tx.execute(add, (source, &word.stream, stored(from_sequence), epoch, word.dismiss, now, &word.by))?;
    tx.execute("UPDATE reconverge_source SET epoch = ?2 WHERE id = ?1", (source, epoch))?;
    let close = "UPDATE reconverge_suspicion SET closed_at = ?3, closed_by = ?4
                 WHERE source = ?1 AND stream = ?2 AND closed_at IS NULL";
    tx.execute(close, (source, &word.stream, now, &word.by))?;
    tx.commit()?;
    let (source, stream) = (word.source.clone(), word.stream.clone());
    Ok(Some(EpochRecord { source, stream, epoch, from_sequence, suspicions: count.cast_unsigned() }))
}
