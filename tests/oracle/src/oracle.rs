//! One change after another.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    change::{Cell, Change, Deletes, Fate, Message, Op, Position, Row, Rule, Table},
    key::{Challenger, Seen, Stands, State, compare},
};

/// A table's number and a key of it.
pub type Key = (usize, i64);

/// All tables, as they must be after the messages taken so far.
#[derive(Clone, Debug)]
pub struct Oracle {
    pub(crate) tables: Vec<Table>,
    /// The region of the sink: where what its application writes began.
    region: String,
    pub(crate) keys: BTreeMap<Key, State>,
    /// Of tables with one writer: the newest position by lane, table and source.
    gates: BTreeMap<(usize, usize, String), Position>,
    /// The epochs that have begun, by lane and source.
    epochs: BTreeMap<(usize, String), i32>,
    /// Keys of which a change became a dead letter.
    pub(crate) dead: BTreeSet<Key>,
    fates: BTreeMap<Fate, u64>,
}

impl Oracle {
    /// Empty tables in a sink of `region`.
    #[must_use]
    pub fn new(tables: Vec<Table>, region: &str) -> Oracle {
        Oracle {
            tables,
            region: region.to_owned(),
            keys: BTreeMap::new(),
            gates: BTreeMap::new(),
            epochs: BTreeMap::new(),
            dead: BTreeSet::new(),
            fates: BTreeMap::new(),
        }
    }

    /// Takes the next message of a lane; one fate per change, or one for a message without any.
    pub fn take(&mut self, lane: usize, message: &Message) -> Vec<Fate> {
        let fates = match message {
            Message::Changes(changes) => self.take_changes(lane, changes),
            Message::Settled(fate) => vec![*fate],
            Message::Epoch(source, epoch) => {
                self.epochs.insert((lane, source.clone()), *epoch);
                vec![Fate::Control]
            }
            Message::Refused(key) => {
                self.dead.extend(key);
                vec![Fate::DeadLettered]
            }
        };
        for fate in &fates {
            *self.fates.entry(*fate).or_default() += 1;
        }
        fates
    }

    /// How many changes ended so.
    #[must_use]
    pub fn count(&self, fate: Fate) -> u64 {
        self.fates.get(&fate).copied().unwrap_or_default()
    }

    /// The application writes a row of its own in the sink.
    pub fn write_locally(&mut self, table: usize, row: Row) {
        let key = row[0].expect("a key is no null");
        let state = self.keys.entry((table, key)).or_default();
        if let Some(seen) = state.seen.get_mut(&self.region) {
            seen.deleted = false;
        }
        (state.stands, state.at, state.origin) = (Stands::Row(row), None, self.region.clone());
    }

    fn take_changes(&mut self, lane: usize, changes: &[Change]) -> Vec<Fate> {
        let mut fates = Vec::new();
        // The create half of a key change is filled from the row as it was before the delete half.
        let old = changes.first().and_then(|c| self.keys.get(&(c.table, c.key))?.row().cloned());
        for change in changes {
            let moved = old.as_ref().filter(|_| change.moved_from.is_some());
            let (epoch, commit, ordinal) = change.position;
            let begun = self.epochs.get(&(lane, change.source.clone())).copied().unwrap_or(0);
            let placed = Change { position: (epoch.max(begun), commit, ordinal), ..change.clone() };
            fates.push(self.take_change(lane, &placed, moved));
        }
        fates
    }

    fn take_change(&mut self, lane: usize, change: &Change, moved: Option<&Row>) -> Fate {
        let Some(passage) = self.pass(lane, change) else {
            let newest = self.newest(lane, change);
            let same = newest == Some(change.position);
            return if same { Fate::Duplicate } else { Fate::Regressed };
        };
        let key = (change.table, change.key);
        let table = &self.tables[change.table];
        let state = self.keys.entry(key).or_default();
        let decided = decide(table, change, &passage, state, moved);
        match decided {
            Decided::Stands(stands, fate) => {
                (state.stands, state.at, state.origin) = (stands, Some(passage.at), change.source.clone());
                fate
            }
            Decided::Nothing(fate) => {
                if fate == Fate::DeadLettered {
                    self.dead.insert(key);
                }
                fate
            }
        }
    }

    fn newest(&self, lane: usize, change: &Change) -> Option<Position> {
        if self.tables[change.table].rule == Rule::None {
            return self.gates.get(&(lane, change.table, change.source.clone())).copied();
        }
        let seen = &self.keys.get(&(change.table, change.key))?.seen;
        seen.get(&change.source).map(|seen| seen.position)
    }

    /// The gate; `None` where the change is no news.
    fn pass(&mut self, lane: usize, change: &Change) -> Option<Passage> {
        let newest = self.newest(lane, change);
        if self.tables[change.table].rule == Rule::None {
            // Rows of one COPY share a position.
            if newest.is_some_and(|newest| change.position < newest) {
                return None;
            }
            self.gates.insert((lane, change.table, change.source.clone()), change.position);
            return Some(Passage { at: change.at, came_back: false, later: true });
        }
        if newest.is_some_and(|newest| change.position <= newest) {
            return None;
        }
        let state = self.keys.entry((change.table, change.key)).or_default();
        let before = state.seen.get(&change.source);
        let at = match (change.op, before) {
            (Op::Snapshot, before) => before.map_or(i64::MIN, |seen| seen.live_at),
            _ => change.at,
        };
        let came_back = before.is_some_and(|seen| seen.deleted);
        let seen = Seen { position: change.position, deleted: change.op == Op::Delete, live_at: at };
        state.seen.insert(change.source.clone(), seen);
        Some(Passage { at, came_back, later: newest.is_some() })
    }
}

/// A change that is news.
struct Passage {
    at: i64,
    /// The newest change of its source before it was a delete.
    came_back: bool,
    /// Its source has changed the key before.
    later: bool,
}

/// What a change comes to.
enum Decided {
    /// From now on this stands.
    Stands(Stands, Fate),
    /// What stands stays.
    Nothing(Fate),
}

fn decide(table: &Table, change: &Change, passage: &Passage, state: &State, moved: Option<&Row>) -> Decided {
    let delete = change.op == Op::Delete;
    let unordered = matches!(table.rule, Rule::None | Rule::TakeIncoming);
    let ordered = !unordered && table.deletes == Deletes::Ordered;
    let after = sent_row(change);
    let row = if delete { change.before.as_ref() } else { Some(&after) };
    if (!delete || ordered) && lacks_order(table, change) {
        return Decided::Nothing(Fate::DeadLettered);
    }
    let challenger = Challenger { row, delete, at: passage.at, origin: &change.source, later: passage.later };
    let wins = match (unordered, ordered, delete) {
        (true, ..) | (false, false, true) => Ordering::Greater,
        (false, true, _) => compare(&table.rule, &challenger, state),
        (false, false, false) if state.is_gone_elsewhere(&change.source) => Ordering::Less,
        (false, false, false) if passage.came_back || matches!(state.stands, Stands::Tombstone(_)) => {
            Ordering::Greater
        }
        (false, false, false) => compare(&table.rule, &challenger, state),
    };
    match wins {
        Ordering::Less => Decided::Nothing(change.let_go.unwrap_or(Fate::KeptCurrent)),
        Ordering::Equal => Decided::Nothing(change.let_go.unwrap_or(Fate::NoOp)),
        Ordering::Greater if delete => {
            let fate = if state.row().is_some() { Fate::Deleted } else { Fate::NoOp };
            Decided::Stands(Stands::Tombstone(change.before.clone().filter(|_| ordered)), fate)
        }
        Ordering::Greater => match (change.let_go, filled(change, state, moved)) {
            (Some(fate), _) => Decided::Stands(Stands::Absence(after), fate),
            (None, Some(row)) => Decided::Stands(Stands::Row(row), Fate::Applied),
            (None, None) => Decided::Nothing(Fate::DeadLettered),
        },
    }
}

/// Whether a column that orders the table was not sent.
fn lacks_order(table: &Table, change: &Change) -> bool {
    let Rule::Greatest(columns) = &table.rule else { return false };
    match change.op {
        Op::Delete => change.before.is_none(),
        _ => columns.iter().any(|&c| change.after[c] == Cell::Unavailable),
    }
}

/// The cells that were sent; null for the others.
fn sent_row(change: &Change) -> Row {
    let sent = |cell: &Cell| if let Cell::Sent(value) = cell { *value } else { None };
    change.after.iter().map(sent).collect()
}

/// The row that would stand; `None` where a column has no value anywhere.
fn filled(change: &Change, state: &State, moved: Option<&Row>) -> Option<Row> {
    let fill = |(c, cell): (usize, &Cell)| match cell {
        Cell::Sent(value) => Some(*value),
        Cell::Unavailable => {
            let places = [change.before.as_ref(), moved, state.row()];
            places.into_iter().flatten().next().map(|row| row[c])
        }
    };
    change.after.iter().enumerate().map(fill).collect()
}
