//! Parents and children of a batch's rows, read inside its transaction, whose write lock on the file keeps anyone
//! else from bringing a parent or keeping a child back meanwhile. Reads only.
//!
//! Children are found by the columns that name the parent: an index on them spares a scan per parent that leaves.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension};

use super::{
    lane::{Lane, Table, quote},
    standing::{self, Unread},
};
use crate::{
    canonical,
    columns::{Column, Columns},
    family::{ChildrenWanted, Family, FamilyWanted, Keys, Presence, Relatives, Swept},
    keys::KeyList,
    standing::WantedTable,
    table::TableId,
};

/// Answers what a batch asks about other rows.
pub(super) fn read(conn: &Connection, lane: &Lane, asked: &FamilyWanted) -> Result<Family, Unread> {
    let mut family = Family::default();
    for (table, keys) in &asked.parents {
        family.parents.push(presences(conn, lane, *table, keys)?);
    }
    let mut waiting: BTreeMap<TableId, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for (parent, keys) in &asked.waiting {
        for (child, key) in waiting_for(conn, lane, *parent, &keys.keys).map_err(of_sidecar)? {
            waiting.entry(child).or_default().insert(key);
        }
    }
    family.waiting = relatives(conn, lane, waiting)?;
    let mut children: BTreeMap<TableId, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for wanted in &asked.children {
        let most = asked.children_max.map_or(usize::MAX, |most| most as usize + 1);
        let found = children_of(conn, lane, wanted, most).map_err(|e| of_table(wanted.child, e))?;
        children.entry(wanted.child).or_default().extend(found);
    }
    family.children = relatives(conn, lane, children)?;
    Ok(family)
}

fn of_sidecar(error: rusqlite::Error) -> Unread {
    Unread { table: None, error }
}

fn of_table(table: TableId, error: rusqlite::Error) -> Unread {
    Unread { table: Some(table), error }
}

fn presences(conn: &Connection, lane: &Lane, id: TableId, keys: &Keys) -> Result<Vec<Presence>, Unread> {
    let table = lane.table(id);
    let mut all = Vec::with_capacity(keys.keys.len());
    for (i, key) in keys.keys.iter().enumerate() {
        let stands = stands(conn, table, &keys.cells, i).map_err(|e| of_table(id, e))?;
        all.push(if stands { Presence::In } else { absence(conn, table, key).map_err(of_sidecar)? });
    }
    Ok(all)
}

fn stands(conn: &Connection, table: &Table, cells: &Columns, i: usize) -> rusqlite::Result<bool> {
    let mut select = conn.prepare_cached(&table.exists)?;
    standing::bind_key(&mut select, table, cells, i, &mut String::new())?;
    let mut rows = select.raw_query();
    rows.next().map(|row| row.is_some())
}

/// What is known of a row that is not in the sink. One that is kept waits itself, and may come.
fn absence(conn: &Connection, table: &Table, key: &[u8]) -> rusqlite::Result<Presence> {
    let version = "SELECT standing FROM reconverge_version WHERE target = ?1 AND key = ?2";
    let standing: Option<String> =
        conn.prepare_cached(version)?.query_row((table.target, key), |r| r.get(0)).optional()?;
    match standing.as_deref() {
        Some("d" | "a") => return Ok(Presence::Gone),
        Some("p") => return Ok(Presence::Unknown),
        _ => {}
    }
    let dead = "SELECT 1 FROM reconverge_dead_letter WHERE target = ?1 AND key = ?2 AND state = 'open'";
    let is_dead = conn.prepare_cached(dead)?.exists((table.target, key))?;
    Ok(if is_dead { Presence::Gone } else { Presence::Unknown })
}

fn waiting_for(
    conn: &Connection,
    lane: &Lane,
    parent: TableId,
    keys: &KeyList,
) -> rusqlite::Result<Vec<(TableId, Vec<u8>)>> {
    let sql = "SELECT target, key FROM reconverge_parked
               WHERE waits_target = ?1 AND waits_key = ?2 AND why IN ('parent', 'orphaned')";
    let mut statement = conn.prepare_cached(sql)?;
    let mut found = Vec::new();
    for key in keys.iter() {
        let mut rows = statement.query((lane.table(parent).target, key))?;
        while let Some(row) = rows.next()? {
            // A row of a table that the plan does not list is another pipeline's to put in.
            if let Some(child) = lane.table_of(row.get(0)?) {
                found.push((child, row.get(1)?));
            }
        }
    }
    Ok(found)
}

/// Canonical keys of the rows that name one of the parents, at most so many.
fn children_of(
    conn: &Connection,
    lane: &Lane,
    wanted: &ChildrenWanted,
    most: usize,
) -> rusqlite::Result<Vec<Vec<u8>>> {
    let (child, parent) = (lane.table(wanted.child), lane.table(wanted.parent));
    let term = |(i, &c): (usize, &usize)| format!("{} = ?{}", quote(&child.shape.columns[c].name), i + 1);
    let terms: Vec<String> = wanted.columns.iter().enumerate().map(term).collect();
    let sql = format!("{} WHERE {}", child.select_all, terms.join(" AND "));
    let mut statement = conn.prepare_cached(&sql)?;
    let mut scratch = String::new();
    let mut found = Columns::new(child.shape.logicals());
    for i in 0..wanted.parents.keys.len() {
        standing::bind_key(&mut statement, parent, &wanted.parents.cells, i, &mut scratch)?;
        let mut rows = statement.raw_query();
        while found.rows() < most
            && let Some(row) = rows.next()?
        {
            standing::push_row(row, child, &mut found)?;
        }
    }
    let keys: Vec<&Column> = child.shape.key.iter().map(|&k| &found.columns[k]).collect();
    let of_row = |row| {
        let mut key = Vec::new();
        canonical::key(&keys, row, &mut key);
        key
    };
    Ok((0..found.rows()).map(of_row).collect())
}

fn relatives(
    conn: &Connection,
    lane: &Lane,
    found: BTreeMap<TableId, BTreeSet<Vec<u8>>>,
) -> Result<Vec<Relatives>, Unread> {
    let mut all = Vec::new();
    for (id, keys) in found.into_iter().filter(|(_, keys)| !keys.is_empty()) {
        let logicals: Vec<_> = lane.table(id).shape.key_logicals().collect();
        let mut cells = Columns::new(logicals.iter().copied());
        let mut readable = KeyList::default();
        for key in keys {
            // A key of another shape of the table is no row of this one.
            if let Some(row) = canonical::key_cells(&logicals, &key) {
                cells.push_row_from(&row, 0);
                readable.push(&key);
            }
        }
        let wanted = WantedTable {
            table: id,
            keys: readable.clone(),
            cells,
            versions: true,
            order_columns: Vec::new(),
        };
        let standing = standing::read_table(conn, lane, &wanted)?;
        all.push(Relatives { table: id, keys: readable, standing });
    }
    Ok(all)
}

/// Keys of rows that this lane keeps back and whose missing parent stands by now, at most `limit`, by table.
pub(super) fn sweep(conn: &Connection, lane: &Lane, limit: u32) -> rusqlite::Result<Swept> {
    let sql = "SELECT target, key, waits_target, waits_key FROM reconverge_parked
               WHERE lane = ?1 AND why IN ('parent', 'orphaned') ORDER BY waits_target, waits_key";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([&lane.name])?;
    let aside = lane.aside();
    let mut found: BTreeMap<TableId, Vec<Vec<u8>>> = BTreeMap::new();
    let (mut last, mut left) = (None, limit);
    while let Some(row) = rows.next()? {
        if left == 0 {
            break;
        }
        let child = lane.table_of(row.get(0)?).filter(|child| !aside.contains(child));
        let Some(child) = child else { continue };
        let parent: (i64, Vec<u8>) = (row.get(2)?, row.get(3)?);
        let stands = match last.take() {
            Some((known, stands)) if known == parent => stands,
            _ => parent_stands(conn, lane, &parent)?,
        };
        last = Some((parent, stands));
        if stands {
            found.entry(child).or_default().push(row.get(1)?);
            left -= 1;
        }
    }
    Ok(found.into_iter().collect())
}

fn parent_stands(conn: &Connection, lane: &Lane, (target, key): &(i64, Vec<u8>)) -> rusqlite::Result<bool> {
    let Some(id) = lane.table_of(*target) else { return Ok(false) };
    let table = lane.table(id);
    let logicals: Vec<_> = table.shape.key_logicals().collect();
    match canonical::key_cells(&logicals, key) {
        Some(cells) => stands(conn, table, &cells, 0),
        None => Ok(false),
    }
}
