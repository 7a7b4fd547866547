//! Kept rows for people: what `parked`, `status` and `explain` show of `reconverge.parked`. Reads only.

use tokio_postgres::Row;

use super::{
    PostgresSink,
    records::{CONDITIONS, TABLE_NAME, json, key_json, lanes_of, micros, unsigned},
};
use crate::{
    records::{ParkedRecord, Query},
    sink::SinkError,
    text,
};

impl PostgresSink {
    /// Rows that wait for their parents and changes that wait on time, newest first.
    pub(super) async fn parked_rows(&self, query: &Query) -> Result<Vec<ParkedRecord>, SinkError> {
        let sql = format!(
            "SELECT {TABLE_NAME}, t.key_columns, t.key_types, d.key, d.why, {}, w.key_columns, w.key_types, d.waits_key, \
             d.lane, d.sequence, s.name, d.epoch, d.commit_position, d.ordinal, {}, d.until_at, d.attempts, d.asked, d.asked_by, d.note, \
             CASE WHEN d.why IN ('parent', 'orphaned') THEN convert_from(d.change, 'UTF8') END, coalesce(d.counted_by, d.lane) \
             FROM reconverge.parked d JOIN reconverge.target t ON t.id = d.target \
             JOIN reconverge.source s ON s.id = d.source LEFT JOIN reconverge.target w ON w.id = d.waits_target \
             WHERE {CONDITIONS} AND ($5::text IS NULL OR d.why = $5) AND $6::text IS NULL \
             ORDER BY d.parked_at DESC, d.sequence DESC, d.key LIMIT $7",
            TABLE_NAME.replace("t.name", "w.name"),
            micros("d.parked_at")
        );
        Ok(self.list(&sql, query).await?.iter().map(record).collect())
    }

    /// How many rows wait, by table and reason.
    pub(super) async fn parked_sums(
        &self,
        pipeline: Option<&str>,
    ) -> Result<Vec<(String, String, u64)>, SinkError> {
        let sql = format!(
            "SELECT {TABLE_NAME}, d.why, count(*) FROM reconverge.parked d JOIN reconverge.target t ON t.id = d.target \
             WHERE starts_with(d.lane, $2) GROUP BY 1, 2 ORDER BY 1, 2"
        );
        let rows = self.read(&sql, &[&self.shared.schema, &lanes_of(pipeline)]).await?;
        Ok(rows.iter().map(|r| (r.get(0), r.get(1), unsigned(r, 2))).collect())
    }
}

fn record(row: &Row) -> ParkedRecord {
    let key = |at: usize| {
        let (names, types): (Option<Vec<String>>, Option<Vec<String>>) = (row.get(at), row.get(at + 1));
        let key: Option<&[u8]> = row.get(at + 2);
        Some(key_json(&names?, &types?, key?))
    };
    ParkedRecord {
        table: row.get(0),
        key: key(1).unwrap_or_default(),
        why: row.get(4),
        waits_table: row.get(5),
        waits_key: key(6),
        lane: row.get(9),
        counted_by: row.get(22),
        sequence: unsigned(row, 10),
        source: row.get(11),
        epoch: row.get(12),
        commit_position: unsigned(row, 13),
        ordinal: unsigned(row, 14),
        parked_at: text::format_timestamp(row.get(15)),
        until: row.get::<_, Option<i64>>(16).map(text::format_timestamp),
        attempts: u32::try_from(row.get::<_, i32>(17)).unwrap_or_default(),
        asked: row.get(18),
        asked_by: row.get(19),
        note: row.get(20),
        row: json(row.get(21)),
    }
}
