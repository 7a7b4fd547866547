//! What a batch leaves beside its rows: decisions, the generations that made them, dead letters, suppressed keys and
//! redriven marks, written in the batch's transaction. Suppressed keys are stored as their HMAC only.

use hmac::{Hmac, KeyInit, Mac};
use rusqlite::{Connection, OptionalExtension};
use sha2::Sha256;
use uuid::Uuid;

use super::lane::Lane;
use crate::{
    position::Micros,
    standing::NewGeneration,
    writes::{DeadLetter, Decision, Writes},
};

const DECISION: &str = "INSERT INTO reconverge_decision (at, id, lane, sequence, target, key, kind, outcome,
    decided_by, generation, reason, source, commit_position, ordinal, incoming_at, current_origin, current_at,
    incoming, current, applied)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)";

/// The halves of a key change are one message: the second adds its reason to the first's letter.
const DEAD: &str =
    "INSERT INTO reconverge_dead_letter (lane, stream, sequence, subject, target, key, stage, code,
    reason, generation, headers, bytes, digest, at, state, closed_at, closed_by, note)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
    ON CONFLICT (stream, sequence) WHERE stage <> 'parked' DO UPDATE SET reason = reason || '; ' || excluded.reason";

const SUPPRESSED: &str =
    "INSERT INTO reconverge_suppressed (target, key_hash, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";

const REDRIVEN: &str =
    "UPDATE reconverge_dead_letter SET state = 'redriven', closed_at = ?3, closed_by = 'redrive'
    WHERE stream = ?1 AND sequence = ?2 AND state = 'open'";

/// Writes all of it.
pub(super) fn write(conn: &Connection, lane: &Lane, writes: &Writes, now: Micros) -> rusqlite::Result<()> {
    for decision in &writes.decisions {
        write_decision(conn, lane, decision, now)?;
    }
    for letter in &writes.dead {
        write_dead(conn, lane, letter, now)?;
    }
    if !writes.suppressed.is_empty() {
        let secret: Vec<u8> = conn.query_row("SELECT secret FROM reconverge_meta", [], |r| r.get(0))?;
        let mut statement = conn.prepare_cached(SUPPRESSED)?;
        for (table, key) in &writes.suppressed {
            statement.execute((lane.table(*table).target, hashed(&secret, key), now))?;
        }
    }
    let mut redriven = conn.prepare_cached(REDRIVEN)?;
    for (stream, sequence) in &writes.redriven {
        redriven.execute((stream, stored(*sequence), now))?;
    }
    Ok(())
}

/// The number of a generation that decides from `from_sequence` on: the newest one's where its plugins are the same, and
/// else that of a new record.
pub(super) fn number_generation(
    conn: &Connection,
    lane: &str,
    from_sequence: u64,
    new: &NewGeneration,
    now: Micros,
) -> rusqlite::Result<i64> {
    let newest = "SELECT id, plugins FROM reconverge_generation WHERE lane = ?1 ORDER BY id DESC LIMIT 1";
    let mut newest = conn.prepare_cached(newest)?;
    let newest: Option<(i64, String)> =
        newest.query_row([lane], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    if let Some((id, _)) = newest.filter(|(_, known)| *known == new.plugins) {
        return Ok(id);
    }
    let insert = "INSERT INTO reconverge_generation (lane, from_sequence, plugins, at, by)
                  VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id";
    let row = (lane, stored(from_sequence), &new.plugins, now, &new.by);
    conn.prepare_cached(insert)?.query_row(row, |row| row.get(0))
}

/// Drops decisions that were made before `oldest`.
pub(super) fn forget_old_decisions(conn: &Connection, oldest: Micros) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM reconverge_decision WHERE at < ?1")?.execute([oldest]).map(|_| ())
}

/// HMAC-SHA256 of a canonical key under the sidecar's secret.
fn hashed(secret: &[u8], key: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a secret of any length");
    mac.update(key);
    mac.finalize().into_bytes().into()
}

fn write_decision(conn: &Connection, lane: &Lane, d: &Decision, now: Micros) -> rusqlite::Result<()> {
    let source = lane.source_id(conn, d.source)?;
    let current_origin = d.current_origin.map(|o| lane.source_id(conn, o)).transpose()?;
    let mut s = conn.prepare_cached(DECISION)?;
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    s.raw_bind_parameter(1, now)?;
    s.raw_bind_parameter(2, &*Uuid::new_v4().as_hyphenated().encode_lower(&mut id))?;
    s.raw_bind_parameter(3, &lane.name)?;
    s.raw_bind_parameter(4, stored(d.sequence))?;
    s.raw_bind_parameter(5, lane.table(d.table).target)?;
    s.raw_bind_parameter(6, &d.key[..])?;
    s.raw_bind_parameter(7, d.kind)?;
    s.raw_bind_parameter(8, d.outcome.word())?;
    s.raw_bind_parameter(9, &*d.decided_by)?;
    s.raw_bind_parameter(10, d.generation)?;
    s.raw_bind_parameter(11, d.reason.as_deref())?;
    s.raw_bind_parameter(12, source)?;
    s.raw_bind_parameter(13, stored(d.position.commit))?;
    s.raw_bind_parameter(14, stored(d.position.ordinal))?;
    s.raw_bind_parameter(15, d.incoming_at)?;
    s.raw_bind_parameter(16, current_origin)?;
    s.raw_bind_parameter(17, d.current_at)?;
    s.raw_bind_parameter(18, d.incoming.as_deref())?;
    s.raw_bind_parameter(19, d.current.as_deref())?;
    s.raw_bind_parameter(20, d.applied.as_deref())?;
    s.raw_execute().map(|_| ())
}

fn write_dead(conn: &Connection, lane: &Lane, letter: &DeadLetter, now: Micros) -> rusqlite::Result<()> {
    let mut s = conn.prepare_cached(DEAD)?;
    s.raw_bind_parameter(1, &lane.name)?;
    s.raw_bind_parameter(2, &lane.stream)?;
    s.raw_bind_parameter(3, stored(letter.sequence))?;
    s.raw_bind_parameter(4, &letter.subject)?;
    s.raw_bind_parameter(5, letter.table.map(|t| lane.table(t).target))?;
    s.raw_bind_parameter(6, letter.key.as_deref())?;
    s.raw_bind_parameter(7, letter.stage)?;
    s.raw_bind_parameter(8, letter.code)?;
    s.raw_bind_parameter(9, &letter.reason)?;
    s.raw_bind_parameter(10, letter.generation)?;
    s.raw_bind_parameter(11, letter.headers.as_deref())?;
    s.raw_bind_parameter(12, letter.bytes.as_deref())?;
    s.raw_bind_parameter(13, &letter.digest[..])?;
    s.raw_bind_parameter(14, now)?;
    let discarded = letter.discarded.as_ref();
    s.raw_bind_parameter(15, if discarded.is_some() { "discarded" } else { "open" })?;
    s.raw_bind_parameter(16, discarded.map(|_| now))?;
    s.raw_bind_parameter(17, discarded.map(|by| &*by.by))?;
    s.raw_bind_parameter(18, discarded.and_then(|by| by.note.as_deref()))?;
    s.raw_execute().map(|_| ())
}

/// An unsigned number as SQLite's signed one of the same bits.
pub(super) fn stored(n: u64) -> i64 {
    n.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_hmac_sha256() {
        // RFC 4231, test case 2.
        let hex: String =
            hashed(b"Jefe", b"what do ya want for nothing?").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
