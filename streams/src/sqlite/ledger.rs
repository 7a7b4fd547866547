//! What batches of other lanes moved in a lane's ledger: `reconverge_reclassified`. Written with such a batch, and taken
//! over by the lane itself, which alone writes its checkpoint.

use rusqlite::Connection;

use super::history::stored;
use crate::{disposition::Disposition, writes::Writes};

/// From, to, how many.
pub(super) type Moves = Vec<(Disposition, Disposition, u64)>;

const READ: &str = "SELECT was, becomes, n FROM reconverge_reclassified WHERE lane = ?1 ORDER BY id";

/// What other lanes moved in a lane's ledger, in their order.
pub(super) fn moves_of(conn: &Connection, lane: &str) -> rusqlite::Result<Moves> {
    let mut statement = conn.prepare_cached(READ)?;
    let mut rows = statement.query([lane])?;
    let mut moves = Moves::new();
    while let Some(row) = rows.next()? {
        let (from, to) = (Disposition::of(row.get(0)?), Disposition::of(row.get(1)?));
        if let (Some(from), Some(to)) = (from, to) {
            moves.push((from, to, row.get::<_, i64>(2)?.cast_unsigned()));
        }
    }
    Ok(moves)
}

/// The same; from now on they are the lane's own to look after.
pub(super) fn take_moves_of(conn: &Connection, lane: &str) -> rusqlite::Result<Moves> {
    let moves = moves_of(conn, lane)?;
    if !moves.is_empty() {
        conn.prepare_cached("DELETE FROM reconverge_reclassified WHERE lane = ?1")?.execute([lane])?;
    }
    Ok(moves)
}

/// Keeps for other lanes what the batch moves in their ledgers.
pub(super) fn write(conn: &Connection, writes: &Writes) -> rusqlite::Result<()> {
    if writes.elsewhere.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO reconverge_reclassified (lane, was, becomes, n) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = conn.prepare_cached(sql)?;
    for (lane, from, to, n) in writes.moved_elsewhere() {
        insert.execute((lane, from as i64, to as i64, stored(n)))?;
    }
    Ok(())
}
