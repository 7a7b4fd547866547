//! Rows that are kept beside until their parents stand: `reconverge.parked`, as far as it says what stands. Read
//! with what stands, under the locks of the versions; written with the batch. Who is kept is the host's to decide.

use tokio_postgres::Row;

use crate::{
    columns::Column,
    logical::Logical,
    standing::{Kept, StandingKind, StandingTable, WantedTable},
    text,
    writes::{KeptWrite, Writes},
};

use super::{
    cells::{self, Unlike},
    claim::Facts,
    params::Param,
    sidecar::{Batch, Outgoing, insert, ints, packed},
    standing,
    travel::Wire,
};

/// The kept rows of a table's keys, by place. Parameters: the table's number, the keys.
pub(super) const READ: &str = "SELECT u.ord, p.change, p.why, p.waits_target, p.waits_key, \
    coalesce(p.counted_by, p.lane) \
    FROM unnest($2::bytea[]) WITH ORDINALITY AS u(key, ord) \
    CROSS JOIN LATERAL (SELECT q.* FROM reconverge.parked q WHERE q.target = $1::smallint AND q.key = u.key \
    AND q.why IN ('parent', 'orphaned') OFFSET 0) p";

/// Takes what is kept of some keys out of `parked`.
const REMOVE: &str = "DELETE FROM reconverge.parked p USING unnest($1::int2[], $2::bytea[]) AS u(target, key) \
    WHERE p.target = u.target AND p.key = u.key AND p.why IN ('parent', 'orphaned')";

/// Whether the version of one of the keys says that its row is kept.
pub(super) fn any(standing: &StandingTable) -> bool {
    standing.keys.iter().any(|k| k.version.as_ref().is_some_and(|v| v.standing == StandingKind::Kept))
}

/// Puts the rows of [`READ`] to their keys, where the version says that they stand.
pub(super) fn read(
    facts: &Facts,
    asked: &WantedTable,
    rows: &[Row],
    standing: &mut StandingTable,
) -> Result<(), Unlike> {
    let shape = &facts.target(asked.table).shape;
    let columns: Vec<usize> = (0..shape.columns.len()).collect();
    for row in rows {
        let ord = cells::int(cells::raw(row, 0)?.ok_or(Unlike("place of a key"))?)?;
        let key = usize::try_from(ord - 1).ok().and_then(|at| standing.keys.get_mut(at));
        let key = key.ok_or(Unlike("place of a key"))?;
        let is_kept = key.version.as_ref().is_some_and(|v| v.standing == StandingKind::Kept);
        if !is_kept || key.kept.is_some() {
            continue;
        }
        let json = cells::utf8(cells::raw(row, 1)?.unwrap_or_default())?;
        let at = u32::try_from(standing.rows.rows()).map_err(|_| Unlike("number of rows"))?;
        // A row that does not read any more (a column changed its type) is as if it had not been kept.
        if text::from_json(shape, &columns, json, &mut standing.rows).is_err() {
            standing.rows.abandon_row();
            continue;
        }
        let parent = cells::raw(row, 3)?.map(cells::int).transpose()?;
        let parent = parent.and_then(|target| facts.table_of(target));
        let waits = parent.zip(cells::raw(row, 4)?.map(<[u8]>::to_vec));
        let counted_by = standing::elsewhere(cells::raw(row, 5)?, &facts.lane)?;
        let orphaned = cells::raw(row, 2)? == Some(b"orphaned");
        key.kept = Some(Kept { row: at, orphaned, waits, counted_by });
    }
    Ok(())
}

/// Takes out what goes, and keeps what stays away.
pub(super) fn statements<'a>(batch: &Batch<'a>) -> Vec<Outgoing<'a>> {
    let writes = batch.writes;
    if writes.unkept.is_empty() && writes.kept.is_empty() {
        return Vec::new();
    }
    let mut out = vec![remove(batch, writes)];
    if !writes.kept.is_empty() {
        out.push(keep(batch, &writes.kept));
    }
    out
}

fn remove<'a>(batch: &Batch<'a>, writes: &'a Writes) -> Outgoing<'a> {
    let (mut targets, mut keys) = (Column::new(Logical::Int), Column::new(Logical::Bytes));
    let replaced = writes.kept.iter().map(|kept| (kept.table, &kept.key));
    for (table, key) in writes.unkept.iter().map(|(table, key)| (*table, key)).chain(replaced) {
        targets.push_int(i64::from(batch.targets[table.index()].id));
        keys.push_bytes(key);
    }
    Outgoing {
        sql: REMOVE.into(),
        params: vec![Param::Own(targets, Wire::Int2), Param::Own(keys, Wire::Bytea)],
    }
}

fn keep<'a>(batch: &Batch<'a>, rows: &'a [KeptWrite]) -> Outgoing<'a> {
    let (ids, targets) = (batch.ids, batch.targets);
    let target = |table: crate::table::TableId| Some(i64::from(targets[table.index()].id));
    let why = |k: &'a KeptWrite| Some(if k.orphaned { &b"orphaned"[..] } else { b"parent" });
    insert(
        "parked",
        "lane",
        batch.lane,
        vec![
            ("target", ints(rows, |k| target(k.table)), Wire::Int2),
            ("key", packed(rows, Logical::Bytes, |k| Some(&k.key)), Wire::Bytea),
            ("source", ints(rows, |k| Some(i64::from(ids.number(k.source)))), Wire::Int2),
            ("epoch", ints(rows, |k| Some(i64::from(k.position.epoch))), Wire::Int4),
            ("commit_position", ints(rows, |k| Some(k.position.commit.cast_signed())), Wire::Int8),
            ("ordinal", ints(rows, |k| Some(k.position.ordinal.cast_signed())), Wire::Int8),
            ("sequence", ints(rows, |k| Some(k.sequence.cast_signed())), Wire::Int8),
            ("why", packed(rows, Logical::Text, why), Wire::Text),
            ("subject", packed(rows, Logical::Text, |k| k.subject.as_deref().map(str::as_bytes)), Wire::Text),
            ("waits_target", ints(rows, |k| target(k.waits.0)), Wire::Int2),
            ("waits_key", packed(rows, Logical::Bytes, |k| Some(&k.waits.1)), Wire::Bytea),
            (
                "counted_by",
                packed(rows, Logical::Text, |k| k.counted_by.as_deref().map(str::as_bytes)),
                Wire::Text,
            ),
            ("change", packed(rows, Logical::Bytes, |k| Some(k.row.as_bytes())), Wire::Bytea),
        ],
    )
}
