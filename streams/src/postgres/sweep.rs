//! The guarantee behind the wake-up that a parent's transaction gives: between batches, looks which kept rows of the
//! lane wait for a parent that stands by now, because the application wrote it. Reads only, without locks: the batch
//! that puts the rows in looks again under them.
//!
//! Goes through the parents that are waited for a page at a time, so that many that do not come cost each sweep no
//! more than a page.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use crate::{
    canonical,
    columns::{Columns, State},
    family::Swept,
    logical::Logical,
    table::TableId,
};

use super::{
    begin::NotBegun,
    cells::{self, Unlike},
    claim::PostgresClaim,
    fate::{self, Fate},
    params::Param,
    standing,
};

/// Parents that one sweep looks for.
const PAGE: usize = 10_000;

/// Parents that the lane's kept rows wait for, behind one. Parameters: the lane, that parent's table and key.
const WAITED_FOR: &str = "SELECT DISTINCT waits_target, waits_key FROM reconverge.parked \
    WHERE lane = $1::text AND why IN ('parent', 'orphaned') AND (waits_target, waits_key) > ($2::smallint, $3::bytea) \
    ORDER BY 1, 2 LIMIT 10000";

/// The lane's kept rows that wait for some parents of one table. Parameters: the lane, the table, the keys, how many.
const READY: &str = "SELECT p.target, p.key FROM unnest($3::bytea[]) AS u(key) \
    JOIN reconverge.parked p ON p.waits_target = $2::smallint AND p.waits_key = u.key \
    WHERE p.lane = $1::text AND p.why IN ('parent', 'orphaned') LIMIT $4::bigint";

impl PostgresClaim {
    /// See [`crate::sink::Claim::sweep`].
    pub(super) async fn find_ready(&mut self, limit: u32) -> Result<Swept, NotBegun> {
        let (after, key) = self.swept_up_to.take().unwrap_or((i16::MIN, Vec::new()));
        let lane = self.facts.lane.clone();
        let asked = vec![Param::Text(&lane), Param::Int2(after), Param::Bytea(&key)];
        let waited_for = self.session.query(WAITED_FOR, asked).await?;
        let mut by_table: BTreeMap<i16, Vec<Vec<u8>>> = BTreeMap::new();
        for row in &waited_for {
            let (number, key) = numbered_key(row)?;
            by_table.entry(number).or_default().push(key);
        }
        let mut found: BTreeMap<TableId, Vec<Vec<u8>>> = BTreeMap::new();
        let mut left = i64::from(limit);
        for (number, keys) in by_table {
            let there = self.standing_among(number, keys).await?;
            if there.is_empty() {
                continue;
            }
            let asked =
                vec![Param::Text(&lane), Param::Int2(number), Param::Byteas(&there), Param::Int8(left)];
            for row in self.session.query(READY, asked).await? {
                let (number, key) = numbered_key(&row)?;
                let table = self.facts.table_of(i64::from(number));
                if let Some(table) = table.filter(|table| !self.aside.contains(table)) {
                    found.entry(table).or_default().push(key);
                    left -= 1;
                }
            }
        }
        // What was found is asked for once more when it is put in, so the page is looked at again.
        if found.is_empty() && waited_for.len() == PAGE {
            self.swept_up_to = waited_for.last().map(numbered_key).transpose()?;
        }
        Ok(found.into_iter().collect())
    }

    /// Which of these parents stand. A key that the server cannot read cannot.
    async fn standing_among(&mut self, number: i16, keys: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, NotBegun> {
        let table = self.facts.table_of(i64::from(number)).filter(|table| !self.aside.contains(table));
        let Some(table) = table else { return Ok(Vec::new()) };
        let target = self.facts.target(table);
        let logicals: Vec<Logical> = target.shape.key_logicals().collect();
        let (mut cells, mut asked) = (Columns::new(logicals.iter().copied()), Vec::new());
        for key in keys {
            let row = canonical::key_cells(&logicals, &key);
            if let Some(row) = row.filter(|r| r.columns.iter().all(|c| c.state(0) == State::Value)) {
                cells.push_row_from(&row, 0);
                asked.push(key);
            }
        }
        let sql = target.stands();
        let rows = self.session.query(&sql, standing::key_params(target, &cells, None)).await;
        let (rows, picked) = match rows {
            Err(error) if fate::of(&error) == Fate::Data => {
                let picked = self.readable(self.facts.target(table), &cells).await?;
                let params = standing::key_params(self.facts.target(table), &cells, Some(&picked));
                (self.session.query(&sql, params).await?, Some(picked))
            }
            Err(error) if fate::of(&error) == Fate::Table => return Err(NotBegun::Table(table, error)),
            rows => (rows?, None),
        };
        let mut there = Vec::with_capacity(rows.len());
        for row in &rows {
            let ord = cells::int(cells::raw(row, 0)?.ok_or(Unlike("place of a key"))?)?;
            let place = usize::try_from(ord - 1).map_err(|_| Unlike("place of a key"))?;
            let at = picked.as_ref().map_or(Some(place), |p| p.get(place).map(|&p| p as usize));
            there.extend(at.and_then(|at| asked.get(at)).cloned());
        }
        Ok(there)
    }
}

fn numbered_key(row: &Row) -> Result<(i16, Vec<u8>), Unlike> {
    let number = cells::int(cells::raw(row, 0)?.ok_or(Unlike("number of a table"))?)?;
    let key = cells::raw(row, 1)?.ok_or(Unlike("key"))?.to_vec();
    Ok((i16::try_from(number).map_err(|_| Unlike("number of a table"))?, key))
}
