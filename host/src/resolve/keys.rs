//! Which keys a batch touches: what the sink is asked to read and lock, and each change's place among them.

use std::collections::HashMap;

use reconverge_streams::{
    canonical,
    columns::{Columns, State},
    keys::KeyList,
    standing::{Wanted, WantedTable},
    table::TableId,
};

use crate::{
    batch::{Batch, TableBatch},
    plan::{Plan, Rule, TablePlan},
};

use super::repeats;

/// The distinct keys of a batch, table by table in its order.
#[derive(Debug, Default)]
pub struct Keyed {
    /// One per table of the batch.
    pub tables: Vec<KeyedTable>,
}

/// The distinct keys of one table of a batch.
#[derive(Debug, Default)]
pub struct KeyedTable {
    /// Per change: index of its key.
    pub of_change: Vec<u32>,
    /// Per change: index of the key that it moved from, for the create half of a key change.
    pub moved_from: HashMap<u32, u32>,
    /// Per key: a change that bears it, so that its cells can be written; `None` for a key that is only moved from.
    pub bearer: Vec<Option<u32>>,
    /// Canonical key bytes, ascending.
    pub keys: KeyList,
    /// Index into the sink's answer per key; `None` where the sink was not asked.
    pub asked: Vec<Option<u32>>,
}

/// Finds the distinct keys and makes of them what the sink is asked for, from checkpoint `from` on. `swept` are keys
/// of kept rows to look at besides, of tables that are in the batch.
#[must_use]
pub fn keyed(batch: &Batch, plan: &Plan, from: u64, swept: &[(TableId, Vec<Vec<u8>>)]) -> (Keyed, Wanted) {
    let mut keyed = Keyed::of(batch, swept);
    let wanted = keyed.ask(batch, plan, from);
    (keyed, wanted)
}

impl Keyed {
    /// The distinct keys of a batch, and of what is swept besides. They stay those of the batch whatever plugins write
    /// into its cells, as long as no change is taken out of it.
    #[must_use]
    pub fn of(batch: &Batch, swept: &[(TableId, Vec<Vec<u8>>)]) -> Keyed {
        let tables = batch.tables.iter().map(|table| {
            let swept = swept.iter().filter(|(swept, _)| *swept == table.table).flat_map(|(_, keys)| keys);
            distinct(table, swept)
        });
        Keyed { tables: tables.collect() }
    }

    /// Whether these are still the batch's keys: whether no change was taken out of it since.
    #[must_use]
    pub fn is_of(&self, batch: &Batch) -> bool {
        let tables = self.tables.iter().zip(&batch.tables);
        let mut same = tables.map(|(keys, table)| keys.of_change.len() == table.changes.len());
        self.tables.len() == batch.tables.len() && same.all(|same| same)
    }

    /// What the sink is asked for, from checkpoint `from` on, as the cells of the batch are now.
    pub fn ask(&mut self, batch: &Batch, plan: &Plan, from: u64) -> Wanted {
        let tables = batch.tables.iter().zip(&mut self.tables);
        let tables = tables.map(|(table, keys)| ask(keys, table, plan.table(table.table)));
        Wanted { from, tables: tables.collect(), events: repeats::asked(batch), generation: None }
    }
}

/// Why a key is among those of a batch.
enum Mention {
    /// This change is of it.
    Bears(u32),
    /// This change's key was it before.
    MovedFrom(u32),
    /// A kept row is looked at.
    Swept,
}

fn distinct<'a>(table: &'a TableBatch, swept: impl Iterator<Item = &'a Vec<u8>>) -> KeyedTable {
    let rows = (0..).take(table.changes.len());
    let bears = rows.clone().map(|row| (table.key(row as usize), Mention::Bears(row)));
    let moved = rows.filter_map(|row| Some((moved_from(table, row as usize)?, Mention::MovedFrom(row))));
    let swept = swept.map(|key| (key.as_slice(), Mention::Swept));
    let mut mentions: Vec<(&[u8], Mention)> = bears.chain(moved).chain(swept).collect();
    // Stable, so that of one key the changes that bear it come first, in stream order.
    mentions.sort_by_key(|(key, _)| *key);
    let mut keyed = KeyedTable { of_change: vec![0; table.changes.len()], ..KeyedTable::default() };
    for (place, same) in (0..).zip(mentions.chunk_by(|a, b| a.0 == b.0)) {
        keyed.keys.push(same[0].0);
        keyed.bearer.push(if let Mention::Bears(row) = same[0].1 { Some(row) } else { None });
        for (_, mention) in same {
            match *mention {
                Mention::Bears(row) => keyed.of_change[row as usize] = place,
                Mention::MovedFrom(row) => _ = keyed.moved_from.insert(row, place),
                Mention::Swept => {}
            }
        }
    }
    keyed
}

/// The key that the create half of a key change came from.
fn moved_from(table: &TableBatch, row: usize) -> Option<&[u8]> {
    let change = &table.changes[row];
    if change.op == crate::batch::Op::Delete { None } else { change.moved.as_deref() }
}

/// A table with one writer is not read, but for the keys whose rows lack a value that the sink may hold.
fn ask(keys: &mut KeyedTable, table: &TableBatch, rules: &TablePlan) -> WantedTable {
    let all = rules.rule.keeps_versions();
    let needed = if all { Vec::new() } else { lacking(keys, table, rules) };
    let is_needed = |place: usize| all || needed[place];
    let mut cells = Columns::new(rules.shape.key_logicals());
    let mut asked = if all { keys.keys.clone() } else { KeyList::default() };
    let mut places = 0..;
    let mut place_of = |needed: bool| if needed { places.next() } else { None };
    keys.asked = (0..keys.keys.len()).map(|place| place_of(is_needed(place))).collect();
    for (place, key) in keys.keys.iter().enumerate().filter(|(place, _)| is_needed(*place)) {
        push_key_cells(&mut cells, keys.bearer[place], key, table, rules);
        if !all {
            asked.push(key);
        }
    }
    WantedTable {
        table: table.table,
        keys: asked,
        cells,
        versions: rules.rule != Rule::None,
        order_columns: rules.rule.order_columns().to_vec(),
    }
}

fn lacking(keys: &KeyedTable, table: &TableBatch, rules: &TablePlan) -> Vec<bool> {
    let mut needed = vec![false; keys.keys.len()];
    for column in table.after.columns.iter().take(rules.shape.columns.len()) {
        for (row, state) in column.states().iter().enumerate() {
            if *state == State::Unavailable as u8 {
                needed[keys.of_change[row] as usize] = true;
                if let Some(old) = u32::try_from(row).ok().and_then(|row| keys.moved_from.get(&row)) {
                    needed[*old as usize] = true;
                }
            }
        }
    }
    needed
}

/// The cells of a key, from a change that bears it, else back from its canonical bytes.
fn push_key_cells(
    cells: &mut Columns,
    bearer: Option<u32>,
    key: &[u8],
    table: &TableBatch,
    rules: &TablePlan,
) {
    if let Some(row) = bearer {
        for (to, from) in cells.columns.iter_mut().zip(&rules.shape.key) {
            to.push_from(&table.after.columns[*from], row as usize);
        }
        cells.end_row();
        return;
    }
    let logicals: Vec<_> = rules.shape.key_logicals().collect();
    match canonical::key_cells(&logicals, key) {
        Some(old) => cells.push_row_from(&old, 0),
        None => cells.push_row_of(State::Null),
    }
}
