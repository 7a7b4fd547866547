//! What an operator asked for of rows and changes that are kept beside: the columns `asked`, `asked_by` and `note` of
//! `reconverge_parked`. Written by the command, read and refused by the lane that keeps them; what was carried out goes
//! with the batch that did it.

use rusqlite::{Connection, Row};

use super::{history::stored, lane::Lane, records::unsigned};
use crate::{
    by_hand::{Hand, HandWord, ORDERS_MAX, Order},
    position::Position,
    table::TableId,
    waiting::Why,
};

/// What is asked for of the lane's.
pub(super) fn read(conn: &Connection, lane: &Lane) -> rusqlite::Result<Vec<Order>> {
    let sql = "SELECT sequence, target, key, why, asked, asked_by, note, subject, source, epoch, commit_position, ordinal,
               change, coalesce(counted_by, lane) FROM reconverge_parked WHERE lane = ?1 AND asked IS NOT NULL ORDER BY sequence, target, key LIMIT ?2";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query((&lane.name, ORDERS_MAX))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        // What is kept of a table that the plan does not list any more stays.
        if let (Some(table), Some(hand)) = (lane.table_of(row.get(1)?), Hand::of(&row.get::<_, String>(4)?)) {
            found.push(order(conn, lane, row, table, hand)?);
        }
    }
    Ok(found)
}

fn order(
    conn: &Connection,
    lane: &Lane,
    row: &Row<'_>,
    table: TableId,
    hand: Hand,
) -> rusqlite::Result<Order> {
    Ok(Order {
        table,
        key: row.get(2)?,
        sequence: unsigned(row, 0)?,
        waits_on_time: Why::of(&row.get::<_, String>(3)?).is_some(),
        hand,
        by: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
        note: row.get(6)?,
        subject: row.get(7)?,
        source: lane.source_name(conn, row.get(8)?)?,
        position: Position { epoch: row.get(9)?, commit: unsigned(row, 10)?, ordinal: unsigned(row, 11)? },
        counted_by: lane.elsewhere(Some(row.get_ref(13)?.as_str()?)),
        kept: row.get(12)?,
    })
}

/// Takes an order back.
pub(super) fn refuse(conn: &Connection, lane: &Lane, order: &Order, why: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE reconverge_parked SET asked = NULL, note = ?5
               WHERE lane = ?1 AND sequence = ?2 AND target = ?3 AND key = ?4";
    let target = lane.table(order.table).target;
    conn.execute(sql, (&lane.name, stored(order.sequence), target, &order.key, why)).map(|_| ())
}

/// Asks for what is kept under a key; how many rows and changes that are. Both halves of a key change are asked for
/// together: they have one sequence.
pub(super) fn ask(conn: &Connection, word: &HandWord) -> rusqlite::Result<u64> {
    let sql = "UPDATE reconverge_parked AS p SET asked = ?4, asked_by = ?5, note = ?6
               WHERE EXISTS (SELECT 1 FROM reconverge_parked m JOIN reconverge_target t ON t.id = m.target
                 WHERE substr(m.lane, 1, length(?1)) = ?1 AND t.name = ?2 AND m.key = ?3
                 AND m.lane = p.lane AND m.sequence = p.sequence AND m.target = p.target
                 AND (m.key = p.key OR m.why IN ('paused', 'skew') AND p.why IN ('paused', 'skew')))";
    let lanes = format!("{}/", word.pipeline);
    let asked =
        conn.execute(sql, (&lanes, &word.table, &word.key, word.hand.word(), &word.by, &word.note))?;
    Ok(asked as u64)
}
