//! Version rows: what the sidecar remembers of a key, read and written one prepared statement at a time inside
//! the batch's transaction. Arrays are JSON text, as in all of the sidecar.

use std::fmt::Write;

use rusqlite::{CachedStatement, Connection, Row, types::Null};
use smallvec::SmallVec;

use super::{cells::Digest, lane::Lane};
use crate::{
    position::{Position, Seen},
    standing::{StandingKind, Version},
    writes::{Counted, VersionWrite},
};

/// The letter of a lane's gate over a table without versions.
const GATE: char = 'g';

const READ: &str = "SELECT standing, origin, committed_at, seen_source, seen_epoch, seen_commit, seen_ordinal,
    seen_deleted, seen_at, row_digest, clock, ordered_by, counted_by FROM reconverge_version WHERE target = ?1 AND key = ?2";

/// A key that is gone has no row to be known by; else what the sink remembers stays where nothing was written.
const WRITE: &str = "INSERT INTO reconverge_version (target, key, standing, origin, committed_at, seen_source,
    seen_epoch, seen_commit, seen_ordinal, seen_deleted, seen_at, row_digest, clock, ordered_by, counted_by)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
    ON CONFLICT (target, key) DO UPDATE SET standing = excluded.standing, origin = excluded.origin,
    committed_at = excluded.committed_at, seen_source = excluded.seen_source, seen_epoch = excluded.seen_epoch,
    seen_commit = excluded.seen_commit, seen_ordinal = excluded.seen_ordinal,
    seen_deleted = excluded.seen_deleted, seen_at = excluded.seen_at,
    row_digest = CASE WHEN excluded.standing <> 'r' THEN NULL
                      ELSE coalesce(excluded.row_digest, row_digest) END,
    clock = excluded.clock, ordered_by = excluded.ordered_by, counted_by = coalesce(excluded.counted_by, counted_by)";

/// A version row as it is stored.
#[derive(Debug)]
pub(super) struct Remembered {
    /// The version, for the host.
    pub version: Version,
    /// How the row was when we wrote it.
    pub digest: Option<Vec<u8>>,
    /// The order columns of a tombstone or an absence.
    pub ordered_by: Option<String>,
    /// Who counts the change which stands.
    pub counted: Counted,
}

/// Reads version rows.
pub(super) struct Reader<'c> {
    conn: &'c Connection,
    statement: CachedStatement<'c>,
}

impl<'c> Reader<'c> {
    pub(super) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Reader { conn, statement: conn.prepare_cached(READ)? })
    }

    /// The version of a key, if there is one that can be read.
    pub(super) fn read(
        &mut self,
        lane: &Lane,
        target: i64,
        key: &[u8],
    ) -> rusqlite::Result<Option<Remembered>> {
        let mut rows = self.statement.query((target, key))?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let letter = row.get_ref(0)?.as_str()?.chars().next();
        let Some(standing) = letter.and_then(StandingKind::of) else { return Ok(None) };
        let origin = lane.source_name(self.conn, row.get(1)?)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        Ok(Some(Remembered {
            version: Version {
                standing,
                origin,
                committed_at: row.get(2)?,
                seen: seen(self.conn, lane, row)?,
                clock: row.get(10)?,
            },
            digest: row.get(9)?,
            ordered_by: row.get(11)?,
            counted: match row.get_ref(12)?.as_str_or_null().map_err(rusqlite::Error::from)? {
                Some(text) => Counted::read(text, &lane.name),
                None => Counted::default(),
            },
        }))
    }

    /// The gate of a lane over a table without versions.
    pub(super) fn gate(&mut self, lane: &Lane, target: i64) -> rusqlite::Result<Vec<Seen>> {
        let mut rows = self.statement.query((target, gate_key(&lane.name)))?;
        match rows.next()? {
            Some(row) => Ok(seen(self.conn, lane, row)?.into_vec()),
            None => Ok(Vec::new()),
        }
    }
}

/// The key of a gate: no canonical key begins with this byte.
pub(super) fn gate_key(lane: &str) -> Vec<u8> {
    let mut key = vec![0xFF];
    key.extend_from_slice(lane.as_bytes());
    key
}

fn seen(conn: &Connection, lane: &Lane, row: &Row<'_>) -> rusqlite::Result<SmallVec<[Seen; 2]>> {
    let list = |column: usize| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from).map(numbers);
    let (sources, epochs, commits) = (list(3)?, list(4)?, list(5)?);
    let (ordinals, deleted, at) = (list(6)?, list(7)?, list(8)?);
    let mut all = SmallVec::new();
    for (i, &source) in sources.iter().enumerate() {
        let of = |list: &SmallVec<[i128; 2]>| list.get(i).copied().unwrap_or_default();
        let Some(source) = lane.source_name(conn, narrow(source))? else { continue };
        let position = Position {
            epoch: narrow(of(&epochs)),
            commit: narrow(of(&commits)),
            ordinal: narrow(of(&ordinals)),
        };
        all.push(Seen { source, position, deleted: of(&deleted) != 0, live_at: narrow(of(&at)) });
    }
    Ok(all)
}

/// The integers of a JSON array of integers, as `WRITE` is given them.
fn numbers(json: &str) -> SmallVec<[i128; 2]> {
    let inner = json.trim().trim_start_matches('[').trim_end_matches(']');
    inner.split(',').filter_map(|n| n.trim().parse().ok()).collect()
}

fn narrow<T: TryFrom<i128> + Default>(n: i128) -> T {
    T::try_from(n).unwrap_or_default()
}

/// Writes version rows.
pub(super) struct Writer<'c> {
    conn: &'c Connection,
    statement: CachedStatement<'c>,
    lists: [String; 6],
}

impl<'c> Writer<'c> {
    pub(super) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Writer { conn, statement: conn.prepare_cached(WRITE)?, lists: Default::default() })
    }

    /// Writes one version; `digest` where the batch wrote its row.
    pub(super) fn write(
        &mut self,
        lane: &Lane,
        target: i64,
        write: &VersionWrite,
        digest: Option<&Digest>,
    ) -> rusqlite::Result<()> {
        let version = &write.version;
        let origin = lane.source_id(self.conn, version.origin)?;
        self.bind_seen(lane, &version.seen)?;
        let mut letter = [0; 4];
        let s = &mut self.statement;
        s.raw_bind_parameter(1, target)?;
        s.raw_bind_parameter(2, &write.key[..])?;
        s.raw_bind_parameter(3, &*version.standing.letter().encode_utf8(&mut letter))?;
        s.raw_bind_parameter(4, origin)?;
        s.raw_bind_parameter(5, version.committed_at)?;
        s.raw_bind_parameter(12, digest.map(|d| &d[..]))?;
        s.raw_bind_parameter(13, version.clock.as_deref())?;
        s.raw_bind_parameter(14, write.ordered_by.as_deref())?;
        let counted = write.counted.as_ref().map(|of| format!("{}{}", of.lane(&lane.name), of.mark()));
        s.raw_bind_parameter(15, counted)?;
        s.raw_execute().map(|_| ())
    }

    /// Writes the gate of a lane over a table without versions.
    pub(super) fn write_gate(&mut self, lane: &Lane, target: i64, gate: &[Seen]) -> rusqlite::Result<()> {
        let Some(first) = gate.first() else { return Ok(()) };
        let origin = lane.source_id(self.conn, first.source)?;
        self.bind_seen(lane, gate)?;
        let s = &mut self.statement;
        s.raw_bind_parameter(1, target)?;
        s.raw_bind_parameter(2, gate_key(&lane.name))?;
        s.raw_bind_parameter(3, GATE.to_string())?;
        s.raw_bind_parameter(4, origin)?;
        s.raw_bind_parameter(5, first.live_at)?;
        for empty in [12, 13, 14, 15] {
            s.raw_bind_parameter(empty, Null)?;
        }
        s.raw_execute().map(|_| ())
    }

    fn bind_seen(&mut self, lane: &Lane, seen: &[Seen]) -> rusqlite::Result<()> {
        for list in &mut self.lists {
            list.clear();
            list.push('[');
        }
        for (i, s) in seen.iter().enumerate() {
            let source = lane.source_id(self.conn, s.source)?;
            let comma = if i == 0 { "" } else { "," };
            let [sources, epochs, commits, ordinals, deleted, at] = &mut self.lists;
            let p = s.position;
            // Writing to a string does not fail.
            let _ = write!(sources, "{comma}{source}");
            let _ = write!(epochs, "{comma}{}", p.epoch);
            let _ = write!(commits, "{comma}{}", p.commit);
            let _ = write!(ordinals, "{comma}{}", p.ordinal);
            let _ = write!(deleted, "{comma}{}", u8::from(s.deleted));
            let _ = write!(at, "{comma}{}", s.live_at);
        }
        for (i, list) in self.lists.iter_mut().enumerate() {
            list.push(']');
            self.statement.raw_bind_parameter(6 + i, &**list)?;
        }
        Ok(())
    }
}
