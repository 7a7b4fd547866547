//! The sidecar for people, on the reading connection: no read here waits for a batch or keeps one waiting. The
//! writes, closing a dead letter and accepting a hole, take their turn like a batch.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};

use super::{
    SqliteSink, by_hand, checkpoint, ddl, epochs, errors, holes,
    lane::{Lane, Table},
    parked, shapes, standing, versions, waiting,
};
use crate::{
    by_hand::HandWord,
    canonical,
    checkpoint::Checkpoint,
    columns::Columns,
    hole::HoleRecord,
    logical::Logical,
    names::Names,
    records::{
        DeadLetterRecord, DecisionRecord, EpochRecord, EpochWord, GenerationRecord, KeyRecord, ParkedRecord,
        Query, Records, SeenRecord, SourceRecord, SuspicionRecord, TableRecord, VersionRecord,
    },
    sink::SinkError,
    standing::{StandingKind, Version},
    table::TableShape,
    text,
};

impl SqliteSink {
    /// Reads from the sidecar; `T::default()` where there is none yet.
    pub(super) async fn read<T: Default + Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SinkError> {
        let job = move |conn: &mut Connection| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Deferred)?;
            if ddl::layout(&tx)? == ddl::Layout::Missing { Ok(T::default()) } else { work(&tx) }
        };
        let done = self.reader().await?.run(job).await?;
        done.map_err(|e| errors::sink_error("the sidecar tables could not be read", &e))
    }
}

impl Records for SqliteSink {
    async fn checkpoints(&self, pipeline: Option<&str>) -> Result<Vec<Checkpoint>, SinkError> {
        let prefix = lanes_of(pipeline);
        self.read(move |conn| checkpoint::all(conn, &prefix)).await
    }

    async fn decisions(&self, query: &Query) -> Result<Vec<DecisionRecord>, SinkError> {
        let query = query.clone();
        self.read(move |conn| decisions(conn, &query)).await
    }

    async fn conflict_counts(
        &self,
        pipeline: Option<&str>,
    ) -> Result<Vec<(String, String, String, u64)>, SinkError> {
        let prefix = lanes_of(pipeline);
        self.read(move |conn| {
            let sql = "SELECT t.name, d.kind, d.outcome, count(*) FROM reconverge_decision d
                       JOIN reconverge_target t ON t.id = d.target
                       WHERE substr(d.lane, 1, length(?1)) = ?1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
            let of_row =
                |r: &Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get::<_, i64>(3)?.cast_unsigned()));
            conn.prepare_cached(sql)?.query_map([prefix], of_row)?.collect()
        })
        .await
    }

    async fn dead_letters(&self, query: &Query) -> Result<Vec<DeadLetterRecord>, SinkError> {
        let query = query.clone();
        self.read(move |conn| dead_letters(conn, &query)).await
    }

    async fn parked(&self, query: &Query) -> Result<Vec<ParkedRecord>, SinkError> {
        let query = query.clone();
        self.read(move |conn| parked::list(conn, &query)).await
    }

    async fn ask(&self, word: &HandWord) -> Result<u64, SinkError> {
        let word = word.clone();
        let _turn = self.writer.turns.lock().await;
        let asked = self.writer.thread.run(move |conn: &mut Connection| by_hand::ask(conn, &word)).await?;
        asked.map_err(|e| errors::sink_error("what is asked for could not be written", &e))
    }

    async fn parked_counts(&self, pipeline: Option<&str>) -> Result<Vec<(String, String, u64)>, SinkError> {
        let prefix = lanes_of(pipeline);
        self.read(move |conn| parked::counts(conn, &prefix)).await
    }

    async fn tables(&self) -> Result<Vec<TableRecord>, SinkError> {
        self.read(waiting::tables).await
    }

    async fn set_paused(&self, table: &str, reason: Option<&str>) -> Result<bool, SinkError> {
        let (table, reason) = (table.to_owned(), reason.map(String::from));
        let _turn = self.writer.turns.lock().await;
        let job = move |conn: &mut Connection| waiting::set_paused(conn, &table, reason.as_deref());
        let changed = self.writer.thread.run(job).await?;
        changed.map_err(|e| errors::sink_error("the table could not be paused or let run", &e))
    }

    async fn suspicions(&self, pipeline: Option<&str>) -> Result<Vec<SuspicionRecord>, SinkError> {
        let prefix = lanes_of(pipeline);
        self.read(move |conn| epochs::open(conn, &prefix)).await
    }

    async fn say_epoch(&self, word: &EpochWord) -> Result<Option<EpochRecord>, SinkError> {
        let (word, now) = (word.clone(), self.clock.now());
        let _turn = self.writer.turns.lock().await;
        let said = self.writer.thread.run(move |conn: &mut Connection| epochs::say(conn, &word, now)).await?;
        said.map_err(|e| errors::sink_error("the source's epoch could not be written", &e))
    }

    async fn sources(&self) -> Result<Vec<SourceRecord>, SinkError> {
        self.read(|conn| {
            let sql = "SELECT name, epoch, grade FROM reconverge_source ORDER BY name";
            let of_row =
                |r: &Row<'_>| Ok(SourceRecord { name: r.get(0)?, epoch: r.get(1)?, grade: r.get(2)? });
            conn.prepare_cached(sql)?.query_map([], of_row)?.collect()
        })
        .await
    }

    async fn discard(&self, id: i64, by: &str, note: Option<&str>) -> Result<bool, SinkError> {
        let (by, note, now) = (by.to_owned(), note.map(String::from), self.clock.now());
        let _turn = self.writer.turns.lock().await;
        let job = move |conn: &mut Connection| {
            let sql = "UPDATE reconverge_dead_letter SET state = 'discarded', closed_at = ?2, closed_by = ?3, note = ?4
                       WHERE id = ?1 AND state = 'open'";
            conn.execute(sql, (id, now, by, note))
        };
        let changed = self.writer.thread.run(job).await?;
        let changed = changed.map_err(|e| errors::sink_error("the dead letter could not be closed", &e))?;
        Ok(changed == 1)
    }

    async fn holes(&self, query: &Query) -> Result<Vec<HoleRecord>, SinkError> {
        let query = query.clone();
        self.read(move |conn| holes::list(conn, &query)).await
    }

    async fn accept_hole(&self, id: i64, by: &str, note: Option<&str>) -> Result<bool, SinkError> {
        let (by, note, now) = (by.to_owned(), note.map(String::from), self.clock.now());
        let _turn = self.writer.turns.lock().await;
        let job = move |conn: &mut Connection| holes::accept(conn, id, &by, note.as_deref(), now);
        let accepted = self.writer.thread.run(job).await?;
        accepted.map_err(|e| errors::sink_error("the hole could not be accepted", &e))
    }

    async fn key(&self, shape: &TableShape, key: &[u8], cells: &Columns) -> Result<KeyRecord, SinkError> {
        let (shape, key, cells) = (shape.clone(), key.to_vec(), cells.clone());
        let found = self.read(move |conn| key_record(conn, &shape, &key, &cells).map(Some)).await?;
        Ok(found.unwrap_or(KeyRecord { row: None, version: None, local: false }))
    }

    async fn generations(&self, pipeline: Option<&str>) -> Result<Vec<GenerationRecord>, SinkError> {
        let prefix = lanes_of(pipeline);
        self.read(move |conn| {
            let sql = "SELECT id, lane, from_sequence, plugins, at, by FROM reconverge_generation
                       WHERE substr(lane, 1, length(?1)) = ?1 ORDER BY id DESC";
            let of_row = |r: &Row<'_>| {
                Ok(GenerationRecord {
                    id: r.get(0)?,
                    lane: r.get(1)?,
                    from_sequence: r.get::<_, i64>(2)?.cast_unsigned(),
                    plugins: json(Some(r.get(3)?)).unwrap_or_default(),
                    at: text::format_timestamp(r.get(4)?),
                    by: r.get(5)?,
                })
            };
            conn.prepare_cached(sql)?.query_map([prefix], of_row)?.collect()
        })
        .await
    }
}

/// How the lanes of a pipeline begin; of all pipelines: with anything.
pub(super) fn lanes_of(pipeline: Option<&str>) -> String {
    pipeline.map(|p| format!("{p}/")).unwrap_or_default()
}

pub(super) fn unsigned(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(i64::cast_unsigned)
}

pub(super) fn json(text: Option<String>) -> Option<serde_json::Value> {
    text.and_then(|t| serde_json::from_str(&t).ok())
}

fn decisions(conn: &Connection, query: &Query) -> rusqlite::Result<Vec<DecisionRecord>> {
    let sql = "SELECT d.id, d.at, d.lane, d.sequence, t.name, t.key_columns, d.key, d.kind, d.outcome, d.decided_by,
               d.generation, d.reason, s.name, d.commit_position, d.ordinal, d.incoming_at, o.name, d.current_at,
               d.incoming, d.current, d.applied
        FROM reconverge_decision d JOIN reconverge_target t ON t.id = d.target
        JOIN reconverge_source s ON s.id = d.source LEFT JOIN reconverge_source o ON o.id = d.current_origin
        WHERE substr(d.lane, 1, length(?1)) = ?1 AND (?2 IS NULL OR t.name = ?2) AND (?3 IS NULL OR d.key = ?3)
        AND (?4 IS NULL OR d.kind = ?4) AND (?5 IS NULL OR substr(d.id, 1, length(?5)) = ?5)
        ORDER BY d.at DESC, d.sequence DESC, d.id LIMIT ?6";
    let mut statement = conn.prepare_cached(sql)?;
    let of_row = |r: &Row<'_>| {
        let unsigned = |at: usize| r.get::<_, i64>(at).map(i64::cast_unsigned);
        Ok(DecisionRecord {
            id: r.get(0)?,
            at: text::format_timestamp(r.get(1)?),
            lane: r.get(2)?,
            sequence: unsigned(3)?,
            table: r.get(4)?,
            key: key_json(&r.get::<_, String>(5)?, &r.get::<_, Vec<u8>>(6)?),
            kind: r.get(7)?,
            outcome: r.get(8)?,
            decided_by: r.get(9)?,
            generation: r.get(10)?,
            reason: r.get(11)?,
            source: r.get(12)?,
            commit_position: unsigned(13)?,
            ordinal: unsigned(14)?,
            incoming_at: time(r.get(15)?),
            current_origin: r.get(16)?,
            current_at: time(r.get(17)?),
            incoming: json(r.get(18)?),
            current: json(r.get(19)?),
            applied: json(r.get(20)?),
        })
    };
    statement.query_map(bounds(query), of_row)?.collect()
}

fn dead_letters(conn: &Connection, query: &Query) -> rusqlite::Result<Vec<DeadLetterRecord>> {
    let sql = "SELECT d.id, d.lane, d.stream, d.sequence, d.subject, t.name, t.key_columns, d.key, d.stage, d.code,
               d.reason, d.generation, d.headers, d.bytes, d.digest, d.state, d.at, d.closed_at, d.closed_by, d.note
        FROM reconverge_dead_letter d LEFT JOIN reconverge_target t ON t.id = d.target
        WHERE substr(d.lane, 1, length(?1)) = ?1 AND (?2 IS NULL OR t.name = ?2) AND (?3 IS NULL OR d.key = ?3)
        AND (?4 IS NULL OR d.state = ?4) AND (?5 IS NULL OR d.id = ?5) ORDER BY d.id DESC LIMIT ?6";
    let mut statement = conn.prepare_cached(sql)?;
    let of_row = |r: &Row<'_>| {
        let key: Option<Vec<u8>> = r.get(7)?;
        let columns: Option<String> = r.get(6)?;
        let digest: Vec<u8> = r.get(14)?;
        Ok(DeadLetterRecord {
            id: r.get(0)?,
            lane: r.get(1)?,
            stream: r.get(2)?,
            sequence: r.get::<_, i64>(3)?.cast_unsigned(),
            subject: r.get(4)?,
            table: r.get(5)?,
            key: key.map(|k| key_json(&columns.unwrap_or_default(), &k)),
            stage: r.get(8)?,
            code: r.get(9)?,
            reason: r.get(10)?,
            generation: r.get(11)?,
            headers: json(r.get(12)?),
            bytes: r.get::<_, Option<Vec<u8>>>(13)?.map(Into::into),
            digest: digest.iter().map(|b| format!("{b:02x}")).collect(),
            state: r.get(15)?,
            at: text::format_timestamp(r.get(16)?),
            closed_at: time(r.get(17)?),
            closed_by: r.get(18)?,
            note: r.get(19)?,
        })
    };
    statement.query_map(bounds(query), of_row)?.collect()
}

pub(super) type Bounds = (String, Option<String>, Option<Vec<u8>>, Option<String>, Option<String>, u32);

pub(super) fn bounds(query: &Query) -> Bounds {
    let q = query.clone();
    (lanes_of(q.pipeline.as_deref()), q.table, q.key, q.word, q.id, q.limit)
}

fn time(micros: Option<i64>) -> Option<String> {
    micros.map(text::format_timestamp)
}

fn key_record(
    conn: &Connection,
    shape: &TableShape,
    key: &[u8],
    cells: &Columns,
) -> rusqlite::Result<KeyRecord> {
    let target = "SELECT id FROM reconverge_target WHERE name = ?1";
    let target: Option<i64> = conn.query_row(target, [&shape.name], |r| r.get(0)).optional()?;
    let (affinities, triggers) = shapes::storage(conn, shape)?;
    let table = Table::new(shape.clone().into(), target.unwrap_or_default(), &affinities, triggers);
    let lane = Lane {
        name: String::new(),
        stream: String::new(),
        lease_micros: 0,
        tables: Vec::new(),
        names: Names::default().into(),
        sources: std::sync::Mutex::default(),
        aside: std::sync::Mutex::default(),
    };
    let mut select = conn.prepare_cached(&table.select)?;
    standing::bind_key(&mut select, &table, cells, 0, &mut String::new())?;
    let mut rows = select.raw_query();
    let mut found = Columns::new(shape.logicals());
    let digest = match rows.next()? {
        None => None,
        Some(row) => {
            standing::push_row(row, &table, &mut found)?;
            Some(standing::digest_of(row, &table, &mut Vec::new())?)
        }
    };
    let named = shape.columns.iter().map(|c| c.name.as_str()).zip(&found.columns);
    let row = digest.and_then(|_| json(Some(text::to_json(named, 0))));
    let remembered = match target {
        Some(target) => versions::Reader::new(conn)?.read(&lane, target, key)?,
        None => None,
    };
    let local = standing::is_local(digest.as_ref(), remembered.as_ref());
    let version = remembered.map(|r| version_record(&lane.names, &r.version, r.ordered_by));
    Ok(KeyRecord { row, version, local })
}

fn version_record(names: &Names, version: &Version, ordered_by: Option<String>) -> VersionRecord {
    let seen = version.seen.iter().map(|s| SeenRecord {
        source: names.get(s.source).to_string(),
        epoch: s.position.epoch,
        commit: s.position.commit,
        ordinal: s.position.ordinal,
        deleted: s.deleted,
    });
    VersionRecord {
        standing: match version.standing {
            StandingKind::Row => "row",
            StandingKind::Tombstone => "tombstone",
            StandingKind::Absence => "absence",
            StandingKind::Kept => "kept",
            StandingKind::Nothing => "nothing",
        }
        .into(),
        origin: names.get(version.origin).to_string(),
        committed_at: text::format_timestamp(version.committed_at),
        seen: seen.collect(),
        ordered_by: json(ordered_by),
    }
}

/// A canonical key as a JSON object; its columns' names are those that the last claim registered.
pub(super) fn key_json(columns: &str, key: &[u8]) -> String {
    let names: Vec<String> = serde_json::from_str(columns).unwrap_or_default();
    let cells = key_logicals(key).and_then(|logicals| canonical::key_cells(&logicals, key));
    let Some(cells) = cells.filter(|c| c.columns.len() == names.len()) else {
        // A key of another plan: its bytes, so that it can still be told apart.
        let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
        return serde_json::json!({ "key": hex }).to_string();
    };
    text::to_json(names.iter().map(String::as_str).zip(&cells.columns), 0)
}

/// The types of a canonical key's columns, from their type bytes.
fn key_logicals(key: &[u8]) -> Option<Vec<Logical>> {
    let types: HashMap<u8, Logical> = canonical_types();
    let (mut logicals, mut rest) = (Vec::new(), key);
    while let Some((&kind, tail)) = rest.split_first() {
        let (length, tail) = tail.split_first_chunk::<4>()?;
        rest = tail.get(u32::from_be_bytes(*length) as usize..)?;
        logicals.push(*types.get(&kind)?);
    }
    Some(logicals)
}

fn canonical_types() -> HashMap<u8, Logical> {
    use Logical::{Bool, Bytes, Date, Decimal, Float, Int, Json, Text, Time, Timestamp, Uuid};
    let types = [Bool, Int, Float, Text, Json, Logical::Array(crate::logical::Element::Text), Bytes, Decimal];
    let all = types.into_iter().chain([Timestamp, Time, Date, Uuid]);
    (1..).zip(all).collect()
}
