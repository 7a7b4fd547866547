//! The sidecar tables in SQLite's form: made once, in one transaction, and recognised afterwards by their layout
//! number. Never touches the user's own tables.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::errors;
use crate::sink::{Problem, SinkError};

/// The layout that this version reads and writes.
const LAYOUT: i64 = 2;

/// From layout 1 on: who counted a row's change (ADR 0032). No row is written.
const FROM_1: &str = "
ALTER TABLE reconverge_version ADD COLUMN counted_by TEXT;
ALTER TABLE reconverge_parked ADD COLUMN counted_by TEXT;
UPDATE reconverge_meta SET layout = 2;
";
/// Moves in a lane's ledger by batches of other lanes, until it takes them over.
const RECLASSIFIED: &str = "
CREATE TABLE reconverge_reclassified (
  id INTEGER PRIMARY KEY AUTOINCREMENT, lane TEXT NOT NULL, was INTEGER NOT NULL, becomes INTEGER NOT NULL,
  n INTEGER NOT NULL);
CREATE INDEX reconverge_reclassified_lane ON reconverge_reclassified (lane, id);
";

/// Arrays and documents are JSON text; times are integers of microseconds since 1970 UTC.
const TABLES: &str = "
CREATE TABLE reconverge_meta (
  one INTEGER PRIMARY KEY CHECK (one = 1), layout INTEGER NOT NULL, secret BLOB NOT NULL);
CREATE TABLE reconverge_source (
  id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, region TEXT NOT NULL,
  epoch INTEGER NOT NULL DEFAULT 0, grade TEXT NOT NULL);
CREATE TABLE reconverge_target (
  id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, key_columns TEXT NOT NULL,
  since_sequence TEXT NOT NULL DEFAULT '{}', baseline_source INTEGER REFERENCES reconverge_source,
  baseline_position INTEGER, baseline_at INTEGER, too_old_through INTEGER, paused TEXT);
CREATE TABLE reconverge_checkpoint (
  lane TEXT PRIMARY KEY, stream TEXT NOT NULL, stream_created INTEGER NOT NULL,
  sequence INTEGER NOT NULL DEFAULT 0, scanned INTEGER NOT NULL DEFAULT 0,
  owner TEXT, epoch INTEGER NOT NULL DEFAULT 0, lease_until INTEGER, heartbeat_at INTEGER,
  generation INTEGER NOT NULL, plan BLOB NOT NULL, delivered INTEGER NOT NULL DEFAULT 0,
  counts TEXT NOT NULL DEFAULT '[]', committed_at INTEGER);
CREATE TABLE reconverge_frontier (
  lane TEXT NOT NULL, source INTEGER NOT NULL, passed INTEGER NOT NULL, PRIMARY KEY (lane, source)) WITHOUT ROWID;
CREATE TABLE reconverge_version (
  target INTEGER NOT NULL, key BLOB NOT NULL, standing TEXT NOT NULL,
  origin INTEGER NOT NULL, committed_at INTEGER NOT NULL,
  seen_source TEXT NOT NULL, seen_epoch TEXT NOT NULL, seen_commit TEXT NOT NULL, seen_ordinal TEXT NOT NULL,
  seen_deleted TEXT NOT NULL, seen_at TEXT NOT NULL,
  row_digest BLOB, clock TEXT, ordered_by TEXT, counted_by TEXT, PRIMARY KEY (target, key)) WITHOUT ROWID;
CREATE INDEX reconverge_version_tombstones ON reconverge_version (committed_at) WHERE standing IN ('d', 'a');
CREATE TABLE reconverge_parked (
  target INTEGER NOT NULL, key BLOB NOT NULL, source INTEGER NOT NULL, epoch INTEGER NOT NULL,
  commit_position INTEGER NOT NULL, ordinal INTEGER NOT NULL, lane TEXT NOT NULL, sequence INTEGER NOT NULL,
  why TEXT NOT NULL CHECK (why IN ('parent', 'orphaned', 'paused', 'skew')),
  waits_target INTEGER, waits_key BLOB, ready INTEGER NOT NULL DEFAULT 0, change BLOB NOT NULL,
  parked_at INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, until_at INTEGER, subject TEXT,
  asked TEXT CHECK (asked IN ('release', 'discard')), asked_by TEXT, note TEXT,
  counted_by TEXT,
  PRIMARY KEY (target, key, source, epoch, commit_position, ordinal, sequence));
CREATE INDEX reconverge_parked_lane ON reconverge_parked (lane, waits_target, waits_key);
CREATE INDEX reconverge_parked_waits ON reconverge_parked (waits_target, waits_key);
CREATE INDEX reconverge_parked_ready ON reconverge_parked (lane, sequence) WHERE ready;
CREATE INDEX reconverge_parked_time ON reconverge_parked (lane, sequence) WHERE why IN ('paused', 'skew');
CREATE INDEX reconverge_parked_asked ON reconverge_parked (lane) WHERE asked IS NOT NULL;
CREATE TABLE reconverge_suppressed (
  target INTEGER NOT NULL, key_hash BLOB NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (target, key_hash)) WITHOUT ROWID;
CREATE TABLE reconverge_dead_letter (
  id INTEGER PRIMARY KEY, lane TEXT NOT NULL, stream TEXT NOT NULL, sequence INTEGER NOT NULL,
  subject TEXT NOT NULL, target INTEGER, key BLOB, stage TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL,
  generation INTEGER, headers TEXT, bytes BLOB, digest BLOB NOT NULL, holds_key INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'redriven', 'discarded')),
  at INTEGER NOT NULL, closed_at INTEGER, closed_by TEXT, note TEXT);
CREATE UNIQUE INDEX reconverge_dead_letter_message ON reconverge_dead_letter (stream, sequence) WHERE stage <> 'parked';
CREATE INDEX reconverge_dead_letter_open ON reconverge_dead_letter (target, key) WHERE state = 'open';
CREATE TABLE reconverge_hole (
  id INTEGER PRIMARY KEY, lane TEXT NOT NULL, stream TEXT NOT NULL, stream_created INTEGER NOT NULL,
  first INTEGER NOT NULL, last INTEGER,
  kind TEXT NOT NULL CHECK (kind IN ('trimmed', 'rolled-back', 'recreated')),
  state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'accepted', 'filled')),
  at INTEGER NOT NULL, passed_at INTEGER, closed_at INTEGER, by TEXT, note TEXT);
CREATE UNIQUE INDEX reconverge_hole_waits ON reconverge_hole (lane, kind, stream_created) WHERE passed_at IS NULL;
CREATE TABLE reconverge_decision (
  at INTEGER NOT NULL, id TEXT NOT NULL, lane TEXT NOT NULL, sequence INTEGER NOT NULL,
  target INTEGER NOT NULL, key BLOB NOT NULL, kind TEXT NOT NULL, outcome TEXT NOT NULL,
  decided_by TEXT NOT NULL, generation INTEGER NOT NULL, reason TEXT, source INTEGER NOT NULL,
  commit_position INTEGER NOT NULL, ordinal INTEGER NOT NULL, incoming_at INTEGER, current_origin INTEGER,
  current_at INTEGER, incoming TEXT, current TEXT, applied TEXT, PRIMARY KEY (at, id)) WITHOUT ROWID;
CREATE TABLE reconverge_seen_event (
  source INTEGER NOT NULL, event_id TEXT NOT NULL, at INTEGER NOT NULL, target INTEGER NOT NULL,
  PRIMARY KEY (target, source, event_id)) WITHOUT ROWID;
CREATE INDEX reconverge_seen_event_at ON reconverge_seen_event (at);
CREATE TABLE reconverge_source_epoch (
  source INTEGER NOT NULL, stream TEXT NOT NULL, lane TEXT NOT NULL, from_sequence INTEGER NOT NULL,
  epoch INTEGER NOT NULL, dismissed INTEGER NOT NULL, at INTEGER NOT NULL, by TEXT NOT NULL,
  PRIMARY KEY (source, stream, lane, from_sequence, dismissed)) WITHOUT ROWID;
CREATE TABLE reconverge_suspicion (
  stream TEXT NOT NULL, sequence INTEGER NOT NULL, target INTEGER NOT NULL, key BLOB NOT NULL,
  lane TEXT NOT NULL, source INTEGER NOT NULL, epoch INTEGER NOT NULL, commit_position INTEGER NOT NULL,
  ordinal INTEGER NOT NULL, committed_at INTEGER NOT NULL, newest_epoch INTEGER NOT NULL, newest_commit INTEGER NOT NULL,
  newest_ordinal INTEGER NOT NULL, at INTEGER NOT NULL, closed_at INTEGER, closed_by TEXT,
  PRIMARY KEY (stream, sequence, target, key)) WITHOUT ROWID;
CREATE INDEX reconverge_suspicion_open ON reconverge_suspicion (stream) WHERE closed_at IS NULL;
CREATE TABLE reconverge_generation (
  id INTEGER PRIMARY KEY, lane TEXT NOT NULL, from_sequence INTEGER NOT NULL,
  plugins TEXT NOT NULL, at INTEGER NOT NULL, by TEXT NOT NULL);
CREATE TABLE reconverge_member (
  pipeline TEXT NOT NULL, name TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL,
  PRIMARY KEY (pipeline, name)) WITHOUT ROWID;
CREATE TABLE reconverge_takeover (
  id INTEGER PRIMARY KEY, lane TEXT NOT NULL, at INTEGER NOT NULL, owner TEXT NOT NULL, epoch INTEGER NOT NULL,
  sequence INTEGER NOT NULL, previous TEXT NOT NULL, heartbeat_at INTEGER, lease_until INTEGER);
CREATE TABLE reconverge_plan (digest BLOB PRIMARY KEY, form TEXT NOT NULL, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE reconverge_move (
  id INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, at INTEGER NOT NULL, by TEXT NOT NULL, plan BLOB NOT NULL,
  lane TEXT NOT NULL, sequence INTEGER NOT NULL, delivered INTEGER NOT NULL);
CREATE TABLE reconverge_failover (
  version INTEGER PRIMARY KEY, from_region TEXT, to_region TEXT NOT NULL, reason TEXT NOT NULL,
  votes TEXT NOT NULL, forced_by TEXT, high_water TEXT NOT NULL, started_at INTEGER NOT NULL, completed_at INTEGER);
";

/// What the database says of its sidecar.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// There is none.
    Missing,
    /// It is the one that we know.
    Known,
    /// It is layout 1, which `prepare` brings to ours.
    First,
    /// It is not.
    Other(String),
}

/// Reads the layout, without a write.
pub(super) fn layout(conn: &Connection) -> rusqlite::Result<Layout> {
    let has = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'reconverge_meta'";
    if conn.query_row(has, [], |r| r.get::<_, i64>(0))? == 0 {
        return Ok(Layout::Missing);
    }
    let stored: Option<i64> =
        conn.query_row("SELECT layout FROM reconverge_meta", [], |r| r.get(0)).optional()?;
    let triggers = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name LIKE 'reconverge\\_%' ESCAPE '\\'";
    let triggers: i64 = conn.query_row(triggers, [], |r| r.get(0))?;
    Ok(match stored {
        Some(LAYOUT) if triggers == 0 => Layout::Known,
        Some(1) if triggers == 0 => Layout::First,
        Some(LAYOUT | 1) => Layout::Other("the reconverge_ tables have triggers".into()),
        Some(other) => {
            Layout::Other(format!("the reconverge_ tables have layout {other}, this version knows {LAYOUT}"))
        }
        None => Layout::Other("reconverge_meta is empty".into()),
    })
}

/// Makes the tables where there are none, and brings those of layout 1 to ours.
pub(super) fn prepare(conn: &mut Connection) -> Result<(), SinkError> {
    let failed = |e: rusqlite::Error| errors::sink_error("the sidecar tables could not be made", &e);
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    match layout(&tx).map_err(failed)? {
        Layout::Known => return Ok(()),
        Layout::Other(what) => return Err(SinkError::Setup { what, hint: HINT.into() }),
        Layout::First => {
            tx.execute_batch(&format!("{FROM_1}{RECLASSIFIED}")).map_err(failed)?;
            return tx.commit().map_err(failed);
        }
        Layout::Missing => tx.execute_batch(&format!("{TABLES}{RECLASSIFIED}")).map_err(failed)?,
    }
    tx.execute("INSERT INTO reconverge_meta VALUES (1, ?1, randomblob(32))", [LAYOUT]).map_err(failed)?;
    tx.commit().map_err(failed)
}

const HINT: &str =
    "use the version of Reconverge that made the reconverge_ tables, or a fresh copy of the database";

/// What is wrong with the sidecar; a missing one is no problem, `prepare` makes it.
pub(super) fn problems(conn: &Connection) -> rusqlite::Result<Vec<Problem>> {
    Ok(match layout(conn)? {
        Layout::Missing | Layout::Known | Layout::First => Vec::new(),
        Layout::Other(what) => vec![Problem { table: None, what, hint: HINT.into() }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns of a sidecar, by table.
    fn columns(conn: &Connection) -> Vec<String> {
        let sql = "SELECT m.name || '.' || c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c \
                   WHERE m.type = 'table' ORDER BY 1";
        let mut told = conn.prepare(sql).unwrap();
        told.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn layout_1_is_brought_to_ours() {
        let mut conn = Connection::open_in_memory().unwrap();
        prepare(&mut conn).unwrap();
        let ours = columns(&conn);
        conn.execute_batch(
            "ALTER TABLE reconverge_version DROP COLUMN counted_by; ALTER TABLE reconverge_parked DROP COLUMN counted_by; \
             DROP TABLE reconverge_reclassified; UPDATE reconverge_meta SET layout = 1",
        )
        .unwrap();
        assert_ne!(columns(&conn), ours);
        assert!(problems(&conn).unwrap().is_empty(), "the next start brings it up");
        prepare(&mut conn).unwrap();
        assert_eq!((layout(&conn).unwrap(), columns(&conn)), (Layout::Known, ours));
    }

    #[test]
    fn prepared_once_and_refused_where_it_is_not_ours() {
        let mut conn = Connection::open_in_memory().unwrap();
        assert_eq!(layout(&conn).unwrap(), Layout::Missing);
        prepare(&mut conn).unwrap();
        prepare(&mut conn).unwrap();
        assert_eq!(layout(&conn).unwrap(), Layout::Known);
        assert!(problems(&conn).unwrap().is_empty());
        conn.execute_batch("CREATE TRIGGER t AFTER INSERT ON reconverge_version BEGIN SELECT 1; END")
            .unwrap();
        assert!(matches!(prepare(&mut conn), Err(SinkError::Setup { .. })));
        conn.execute_batch("DROP TRIGGER t; UPDATE reconverge_meta SET layout = 99").unwrap();
        assert!(problems(&conn).unwrap()[0].what.contains("layout 99"));
    }
}
