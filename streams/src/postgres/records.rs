//! The sidecar for people: reads on the connection for reads, none of which waits for a batch or makes one wait.

use std::sync::Arc;

use tokio_postgres::{Row, types::ToSql};

use crate::{
    by_hand::HandWord,
    canonical,
    checkpoint::Checkpoint,
    columns::Columns,
    hole::HoleRecord,
    names::Names,
    position::Micros,
    records::{
        DeadLetterRecord, DecisionRecord, EpochRecord, EpochWord, GenerationRecord, KeyRecord, ParkedRecord,
        Query, Records, SeenRecord, SourceRecord, SuspicionRecord, TableRecord, VersionRecord,
    },
    sink::SinkError,
    standing::{StandingKind, WantedTable},
    table::{TableId, TableShape},
    text,
};

use super::{
    PostgresSink, catalog, fate,
    ids::Ids,
    lane, ledger,
    params::Param,
    standing::{self, Found},
    target::Target,
};

/// Microseconds since 1970 of a time column.
const MICROS: &str = "(extract(epoch FROM {}) * 1000000)::bigint";

pub(super) fn micros(column: &str) -> String {
    MICROS.replace("{}", column)
}

/// A table's name as the pipeline knows it: without the schema that it looks in first.
pub(super) const TABLE_NAME: &str =
    "CASE WHEN starts_with(t.name, $1 || '.') THEN substr(t.name, length($1) + 2) ELSE t.name END";

/// The conditions that the lists share: $1 the schema, $2 the lanes' prefix, $3 table, $4 key.
pub(super) const CONDITIONS: &str = "starts_with(d.lane, $2) AND ($3::text IS NULL OR t.name IN ($3, $1 || '.' || $3)) \
                          AND ($4::bytea IS NULL OR d.key = $4)";

impl PostgresSink {
    pub(super) async fn read(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, SinkError> {
        let client = self.shared.reads().await?;
        let there = "SELECT to_regclass('reconverge.failover') IS NOT NULL";
        let failed = |e| fate::sink_error(&e, "reading the sidecar tables");
        if !client.query_one(there, &[]).await.map_err(failed)?.get::<_, bool>(0) {
            return Ok(Vec::new());
        }
        client.query(sql, params).await.map_err(failed)
    }

    /// The rows of one of the lists, which have the same conditions.
    pub(super) async fn list(&self, sql: &str, query: &Query) -> Result<Vec<Row>, SinkError> {
        let (schema, lanes, limit) =
            (&self.shared.schema, lanes_of(query.pipeline.as_deref()), i64::from(query.limit));
        self.read(sql, &[schema, &lanes, &query.table, &query.key, &query.word, &query.id, &limit]).await
    }
}

impl Records for PostgresSink {
    async fn checkpoints(&self, pipeline: Option<&str>) -> Result<Vec<Checkpoint>, SinkError> {
        let rows = self.read(&ledger::all_with_moves(), &[&lanes_of(pipeline)]).await?;
        rows.iter().map(|row| ledger::with_moves(row).map_err(lane::unlike)).collect()
    }

    async fn decisions(&self, query: &Query) -> Result<Vec<DecisionRecord>, SinkError> {
        let sql = format!(
            "SELECT d.id::text, {}, d.lane, d.sequence, {TABLE_NAME}, t.key_columns, t.key_types, d.key, d.kind, \
             d.outcome, d.decided_by, d.generation, d.reason, s.name, d.commit_position, d.ordinal, d.incoming_at, \
             o.name, d.current_at, d.incoming, d.current, d.applied \
             FROM reconverge.decision d JOIN reconverge.target t ON t.id = d.target \
             JOIN reconverge.source s ON s.id = d.source LEFT JOIN reconverge.source o ON o.id = d.current_origin \
             WHERE {CONDITIONS} AND ($5::text IS NULL OR d.kind = $5) AND ($6::text IS NULL OR starts_with(d.id::text, $6)) \
             ORDER BY d.at DESC, d.sequence DESC, d.id LIMIT $7",
            micros("d.at")
        );
        Ok(self.list(&sql, query).await?.iter().map(decision).collect())
    }

    async fn conflict_counts(
        &self,
        pipeline: Option<&str>,
    ) -> Result<Vec<(String, String, String, u64)>, SinkError> {
        let sql = format!(
            "SELECT {TABLE_NAME}, d.kind, d.outcome, count(*) FROM reconverge.decision d \
             JOIN reconverge.target t ON t.id = d.target WHERE starts_with(d.lane, $2) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        );
        let rows = self.read(&sql, &[&self.shared.schema, &lanes_of(pipeline)]).await?;
        Ok(rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), unsigned(r, 3))).collect())
    }

    async fn dead_letters(&self, query: &Query) -> Result<Vec<DeadLetterRecord>, SinkError> {
        let sql = format!(
            "SELECT d.id, d.lane, d.stream, d.sequence, d.subject, {TABLE_NAME}, t.key_columns, t.key_types, d.key, \
             d.stage, d.code, d.reason, d.generation, d.headers, d.bytes, encode(d.digest, 'hex'), d.state, {}, {}, \
             d.closed_by, d.note \
             FROM reconverge.dead_letter d LEFT JOIN reconverge.target t ON t.id = d.target \
             WHERE {CONDITIONS} AND ($5::text IS NULL OR d.state = $5) AND ($6::text IS NULL OR d.id::text = $6) \
             ORDER BY d.id DESC LIMIT $7",
            micros("d.at"),
            micros("d.closed_at")
        );
        Ok(self.list(&sql, query).await?.iter().map(dead_letter).collect())
    }

    async fn parked(&self, query: &Query) -> Result<Vec<ParkedRecord>, SinkError> {
        self.parked_rows(query).await
    }

    async fn ask(&self, word: &HandWord) -> Result<u64, SinkError> {
        self.ask_for(word).await
    }

    async fn parked_counts(&self, pipeline: Option<&str>) -> Result<Vec<(String, String, u64)>, SinkError> {
        self.parked_sums(pipeline).await
    }

    async fn tables(&self) -> Result<Vec<TableRecord>, SinkError> {
        self.target_rows().await
    }

    async fn set_paused(&self, table: &str, reason: Option<&str>) -> Result<bool, SinkError> {
        self.pause_by_name(table, reason).await
    }

    async fn suspicions(&self, pipeline: Option<&str>) -> Result<Vec<SuspicionRecord>, SinkError> {
        self.open_suspicions(pipeline).await
    }

    async fn say_epoch(&self, word: &EpochWord) -> Result<Option<EpochRecord>, SinkError> {
        self.write_epoch(word).await
    }

    async fn sources(&self) -> Result<Vec<SourceRecord>, SinkError> {
        let rows =
            self.read("SELECT name, epoch, grade::text FROM reconverge.source ORDER BY name", &[]).await?;
        Ok(rows.iter().map(|r| SourceRecord { name: r.get(0), epoch: r.get(1), grade: r.get(2) }).collect())
    }

    async fn discard(&self, id: i64, by: &str, note: Option<&str>) -> Result<bool, SinkError> {
        let sql = "UPDATE reconverge.dead_letter SET state = 'discarded', closed_at = now(), closed_by = $2, note = $3 \
                   WHERE id = $1 AND state = 'open' RETURNING id";
        Ok(!self.read(sql, &[&id, &by, &note]).await?.is_empty())
    }

    async fn holes(&self, query: &Query) -> Result<Vec<HoleRecord>, SinkError> {
        self.hole_rows(query).await
    }

    async fn accept_hole(&self, id: i64, by: &str, note: Option<&str>) -> Result<bool, SinkError> {
        self.take_loss(id, by, note).await
    }

    async fn key(&self, shape: &TableShape, key: &[u8], cells: &Columns) -> Result<KeyRecord, SinkError> {
        let client = self.shared.reads().await?;
        let failed = |e| fate::sink_error(&e, "reading a key");
        let gone = |what: String| SinkError::Setup { what, hint: "run `reconverge check`".into() };
        let table = catalog::find(&client, &self.shared.schema, &shape.name).await.map_err(failed)?;
        let table = table.ok_or_else(|| gone(format!("table {} is gone", shape.name)))?;
        let id = self.read("SELECT id FROM reconverge.target WHERE name = $1", &[&table.full_name()]).await?;
        let id = id.first().map_or(0, |row| row.get(0));
        let target = Target::new(id, Arc::new(shape.clone()), &table);
        let target =
            target.map_err(|column| gone(format!("column {column} of table {} is gone", shape.name)))?;
        let mut ids = Ids::new(Arc::default());
        let order_columns: Vec<usize> = (0..shape.columns.len()).collect();
        let wanted = WantedTable {
            table: TableId(0),
            keys: [key].into_iter().collect(),
            cells: cells.clone(),
            versions: true,
            order_columns,
        };
        let versions = if id == 0 {
            Vec::new()
        } else {
            ids.load(&client).await.map_err(failed)?;
            self.read(&unlocked(standing::VERSIONS), &[&Param::Int2(id), &Param::Keys(&wanted.keys)]).await?
        };
        let params = standing::key_params(&target, &wanted.cells, None);
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|p| p as _).collect();
        let rows = client.query(&unlocked(&target.select()), &params).await.map_err(failed)?;
        let found = Found { target: &target, wanted: &wanted, versions, rows, picked: None, lane: "" };
        let ordered_by =
            found.versions.first().and_then(|row| row.get::<_, Option<String>>(standing::ORDERED_BY));
        let (mut stands, _, _) = standing::read(&found, &ids).map_err(lane::unlike)?;
        let standing = stands.keys.pop().unwrap_or_default();
        let named = shape.columns.iter().map(|c| c.name.as_str()).zip(&stands.rows.columns);
        Ok(KeyRecord {
            row: standing.row.and_then(|row| json(Some(text::to_json(named, row as usize)))),
            version: standing.version.map(|v| version(ids.names(), &v, ordered_by)),
            local: standing.local.is_some(),
        })
    }

    async fn generations(&self, pipeline: Option<&str>) -> Result<Vec<GenerationRecord>, SinkError> {
        let sql = format!(
            "SELECT id, lane, from_sequence, plugins, {}, by FROM reconverge.generation \
             WHERE starts_with(lane, $1) ORDER BY id DESC",
            micros("at")
        );
        let rows = self.read(&sql, &[&lanes_of(pipeline)]).await?;
        let record = |row: &Row| GenerationRecord {
            id: row.get(0),
            lane: row.get(1),
            from_sequence: unsigned(row, 2),
            plugins: row.get(3),
            at: text::format_timestamp(row.get(4)),
            by: row.get(5),
        };
        Ok(rows.iter().map(record).collect())
    }
}

/// A batch's statement as a read: without its lock clause, wherever that stands.
fn unlocked(sql: &str) -> String {
    sql.replace(" FOR UPDATE OF t", "").replace(" FOR UPDATE", "")
}

/// How the lanes of a pipeline begin; of all pipelines: with anything.
pub(super) fn lanes_of(pipeline: Option<&str>) -> String {
    pipeline.map(|p| format!("{p}/")).unwrap_or_default()
}

pub(super) fn unsigned(row: &Row, at: usize) -> u64 {
    row.get::<_, i64>(at).cast_unsigned()
}

fn time(row: &Row, at: usize) -> Option<String> {
    row.get::<_, Option<Micros>>(at).map(text::format_timestamp)
}

pub(super) fn json(document: Option<String>) -> Option<serde_json::Value> {
    document.and_then(|d| serde_json::from_str(&d).ok())
}

fn decision(row: &Row) -> DecisionRecord {
    DecisionRecord {
        id: row.get(0),
        at: text::format_timestamp(row.get(1)),
        lane: row.get(2),
        sequence: unsigned(row, 3),
        table: row.get(4),
        key: key_json(&row.get::<_, Vec<String>>(5), &row.get::<_, Vec<String>>(6), row.get(7)),
        kind: row.get(8),
        outcome: row.get(9),
        decided_by: row.get(10),
        generation: row.get(11),
        reason: row.get(12),
        source: row.get(13),
        commit_position: unsigned(row, 14),
        ordinal: unsigned(row, 15),
        incoming_at: time(row, 16),
        current_origin: row.get(17),
        current_at: time(row, 18),
        incoming: row.get(19),
        current: row.get(20),
        applied: row.get(21),
    }
}

fn dead_letter(row: &Row) -> DeadLetterRecord {
    let key: Option<&[u8]> = row.get(8);
    let (names, types): (Option<Vec<String>>, Option<Vec<String>>) = (row.get(6), row.get(7));
    DeadLetterRecord {
        id: row.get(0),
        lane: row.get(1),
        stream: row.get(2),
        sequence: unsigned(row, 3),
        subject: row.get(4),
        table: row.get(5),
        key: key.map(|key| key_json(&names.unwrap_or_default(), &types.unwrap_or_default(), key)),
        stage: row.get(9),
        code: row.get(10),
        reason: row.get(11),
        generation: row.get(12),
        headers: row.get(13),
        bytes: row.get::<_, Option<Vec<u8>>>(14).map(Into::into),
        digest: row.get(15),
        state: row.get(16),
        at: text::format_timestamp(row.get(17)),
        closed_at: time(row, 18),
        closed_by: row.get(19),
        note: row.get(20),
    }
}

fn version(names: &Names, version: &crate::standing::Version, ordered_by: Option<String>) -> VersionRecord {
    let seen = version.seen.iter().map(|s| SeenRecord {
        source: names.get(s.source).to_string(),
        epoch: s.position.epoch,
        commit: s.position.commit,
        ordinal: s.position.ordinal,
        deleted: s.deleted,
    });
    let standing = match version.standing {
        StandingKind::Row => "row",
        StandingKind::Tombstone => "tombstone",
        StandingKind::Absence => "absence",
        StandingKind::Kept => "kept",
        StandingKind::Nothing => "nothing",
    };
    VersionRecord {
        standing: standing.into(),
        origin: names.get(version.origin).to_string(),
        committed_at: text::format_timestamp(version.committed_at),
        seen: seen.collect(),
        ordered_by: json(ordered_by),
    }
}

/// A canonical key as a JSON object, by the names and types that the last claim registered.
pub(super) fn key_json(names: &[String], types: &[String], key: &[u8]) -> String {
    let logicals = types.iter().map(|t| t.parse().ok()).collect::<Option<Vec<_>>>();
    let cells = logicals.and_then(|logicals| canonical::key_cells(&logicals, key));
    let Some(cells) = cells.filter(|c| c.columns.len() == names.len()) else {
        // A key of another plan: its bytes, so that it can still be told apart.
        let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
        return serde_json::json!({ "key": hex }).to_string();
    };
    text::to_json(names.iter().map(String::as_str).zip(&cells.columns), 0)
}
