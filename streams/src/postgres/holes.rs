//! Holes in PostgreSQL's sidecar: what a stream lost before a lane had applied it. Recorded and passed by the lane,
//! each in a transaction that holds the checkpoint's lock; listed and accepted by people.

use tokio_postgres::{Error, Row};

use super::{
    PostgresSink,
    claim::PostgresClaim,
    lane,
    params::Param,
    records::{lanes_of, micros, unsigned},
};
use crate::{
    checkpoint::Checkpoint,
    hole::{Hole, HoleRecord, Passed, Resume},
    position::Micros,
    records::Query,
    sink::SinkError,
    text,
};

/// Takes the lane's lock, where it still is ours.
const OURS: &str = "SELECT 1 FROM reconverge.checkpoint \
                    WHERE lane = $1::text AND epoch = $2::bigint AND sequence = $3::bigint FOR UPDATE";

/// Microseconds since 1970 as a time.
const TIME: &str = "(timestamptz '1970-01-01 00:00:00Z' + make_interval(secs => {} / 1e6))";

fn time(micros: &str) -> String {
    TIME.replace("{}", micros)
}

fn columns() -> String {
    format!(
        "id, lane, stream, first, last, kind, state, {}, {}, {}, by, note",
        micros("at"),
        micros("passed_at"),
        micros("closed_at")
    )
}

impl PostgresClaim {
    /// Records a hole, or finds it; none where the lane is not ours.
    pub(super) async fn note_hole(&mut self, hole: &Hole) -> Result<Option<HoleRecord>, Error> {
        let note = format!(
            "INSERT INTO reconverge.hole AS h (lane, stream, stream_created, first, last, kind) \
             VALUES ($1::text, $2::text, {}, $4::bigint, $5::bigint, $6::text) \
             ON CONFLICT (lane, kind, stream_created) WHERE passed_at IS NULL DO UPDATE SET \
             first = CASE h.state WHEN 'open' THEN least(h.first, excluded.first) ELSE h.first END, \
             last = CASE h.state WHEN 'open' THEN excluded.last ELSE h.last END RETURNING {}",
            time("$3::bigint"),
            columns()
        );
        if !self.lock_ours().await? {
            return Ok(None);
        }
        let params = vec![
            Param::Text(&self.facts.lane),
            Param::Text(&self.checkpoint.stream),
            Param::Int8(self.checkpoint.stream_created),
            Param::Int8(hole.first.cast_signed()),
            Param::int8(hole.last.map(u64::cast_signed)),
            Param::Text(hole.kind.word()),
        ];
        let rows = self.session.query(&note, params).await?;
        self.session.say("COMMIT").await?;
        self.in_transaction = false;
        Ok(rows.first().map(record))
    }

    /// Moves the checkpoint behind a hole; none where the lane is not ours.
    pub(super) async fn go_behind(
        &mut self,
        id: i64,
        how: &Passed,
        resume: Resume,
    ) -> Result<Option<Checkpoint>, Error> {
        if !self.lock_ours().await? {
            return Ok(None);
        }
        let pass = "UPDATE reconverge.hole SET passed_at = now() WHERE id = $1::bigint";
        self.session.query(pass, vec![Param::Int8(id)]).await?;
        if let Passed::Filled { mirror } = how {
            let fill = "UPDATE reconverge.hole SET state = 'filled', closed_at = now(), by = $2::text \
                        WHERE id = $1::bigint AND state = 'open'";
            self.session.query(fill, vec![Param::Int8(id), Param::Text(mirror)]).await?;
        }
        let ours = &self.checkpoint;
        if matches!(resume, Resume::Anew { .. }) {
            let old = format!("{}@{id}", ours.stream);
            let letters = "UPDATE reconverge.dead_letter SET stream = $3::text \
                           WHERE lane = $1::text AND stream = $2::text";
            let params = vec![Param::Text(&self.facts.lane), Param::Text(&ours.stream), Param::Text(&old)];
            self.session.query(letters, params).await?;
        }
        let behind = ours.behind_hole(resume);
        let moved = format!(
            "UPDATE reconverge.checkpoint SET stream_created = {}, sequence = $3::bigint, scanned = $4::bigint, \
             heartbeat_at = clock_timestamp() WHERE lane = $1::text RETURNING {}",
            time("$2::bigint"),
            lane::COLUMNS
        );
        let [created, sequence, scanned] =
            [behind.stream_created, behind.sequence.cast_signed(), behind.scanned.cast_signed()]
                .map(Param::Int8);
        let params = vec![Param::Text(&self.facts.lane), created, sequence, scanned];
        let rows = self.session.query(&moved, params).await?;
        self.session.say("COMMIT").await?;
        self.in_transaction = false;
        Ok(rows.first().and_then(|row| lane::read(row).ok()))
    }

    /// Begins a transaction and locks the checkpoint; false where the lane is not ours.
    async fn lock_ours(&mut self) -> Result<bool, Error> {
        self.in_transaction = true;
        self.session.say("BEGIN").await?;
        let [epoch, sequence] =
            [self.checkpoint.epoch, self.checkpoint.sequence.cast_signed()].map(Param::Int8);
        let params = vec![Param::Text(&self.facts.lane), epoch, sequence];
        Ok(!self.session.query(OURS, params).await?.is_empty())
    }
}

impl PostgresSink {
    /// Holes, newest first.
    pub(super) async fn hole_rows(&self, query: &Query) -> Result<Vec<HoleRecord>, SinkError> {
        let sql = format!(
            "SELECT {} FROM reconverge.hole WHERE starts_with(lane, $1) AND ($2::text IS NULL OR state = $2) \
             AND ($3::text IS NULL OR id::text = $3) ORDER BY id DESC LIMIT $4",
            columns()
        );
        let (lanes, limit) = (lanes_of(query.pipeline.as_deref()), i64::from(query.limit));
        let rows = self.read(&sql, &[&lanes, &query.word, &query.id, &limit]).await?;
        Ok(rows.iter().map(record).collect())
    }

    /// Accepts an open hole; false where it was not open.
    pub(super) async fn take_loss(&self, id: i64, by: &str, note: Option<&str>) -> Result<bool, SinkError> {
        let sql = "UPDATE reconverge.hole SET state = 'accepted', closed_at = now(), by = $2, note = $3 \
                   WHERE id = $1 AND state = 'open' RETURNING id";
        Ok(!self.read(sql, &[&id, &by, &note]).await?.is_empty())
    }
}

fn record(row: &Row) -> HoleRecord {
    let time = |at: usize| row.get::<_, Option<Micros>>(at).map(text::format_timestamp);
    HoleRecord {
        id: row.get(0),
        lane: row.get(1),
        stream: row.get(2),
        first: unsigned(row, 3),
        last: row.get::<_, Option<i64>>(4).map(i64::cast_unsigned),
        kind: row.get(5),
        state: row.get(6),
        at: time(7).unwrap_or_default(),
        passed_at: time(8),
        closed_at: time(9),
        by: row.get(10),
        note: row.get(11),
    }
}
