//! A table that names itself: employees and their managers, folders in folders. Which of its rows are in the sink is one
//! question for all of them: a row is in where the row above it is, and so on up to one that names nobody, or itself.
//! Rows that name each other in a ring have no such top, and none of them is in.
//!
//! Part of the walk of `family`, which goes through such a table again until nobody comes or leaves any more. The rows of
//! the sink that are not among the table's keys are as they were: their tops are there. Only a row that was in the sink
//! and now names another can close a ring with such rows, so the rows above it are looked at as well.

use std::collections::{BTreeSet, HashSet};

use reconverge_streams::{
    family::{ChildrenWanted, Presence, Relatives},
    table::TableId,
};

use super::{
    family::Walk,
    naming::{keys, named, parent_key},
    state::{Hidden, InSink},
    table::TableResolver,
};
use crate::{
    plan::Plan,
    stages::{Arena, RowRef},
};

/// How many levels of rows that come in one transaction takes: those below are found by the next sweep, as their parent
/// stands by then. Rows that leave go with all that is below them ([`Leaving`]).
pub(super) const LEVELS_MAX: u32 = 1000;

/// How many rows of the sink leave because their parents do. They cannot go in parts: from the top down a row would be there
/// without its parent, and from the bottom up the change that lets the top go would have to wait for transactions in
/// which rows are missing whose parents are there (ADR 0033). So there is a bound, past which nothing is written.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    rows: usize,
    too_many: Option<TableId>,
}

impl Leaving {
    /// Takes note of the rows that leave with rows of `parent`; false where that is more than the plan allows.
    pub(super) fn may(
        &mut self,
        tables: &[TableResolver<'_>],
        parent: TableId,
        children: &[Relatives],
        plan: &Plan,
    ) -> bool {
        let most = plan.leaving_max as usize;
        for of in children {
            let known = tables.iter().find(|table| table.table.id == of.table);
            let is_new = |key: &&[u8]| known.is_none_or(|table| table.place(key).is_none());
            self.rows += of.keys.iter().filter(is_new).count();
            // An answer that is so long was cut.
            if self.rows > most || of.keys.len() > most {
                self.too_many = Some(parent);
            }
        }
        self.too_many.is_none()
    }

    /// With rows of which table more leave than may.
    pub(super) fn too_many(&self) -> Option<TableId> {
        self.too_many
    }
}

/// What was asked of the table in earlier rounds.
#[derive(Debug, Default)]
pub(super) struct Told {
    waited_for: BTreeSet<Vec<u8>>,
    left: BTreeSet<Vec<u8>>,
    above: BTreeSet<Vec<u8>>,
    rounds: u32,
}

impl Told {
    /// Leaves out what was asked, and takes note of the rest.
    pub(super) fn only_new(&mut self, waited_for: &mut BTreeSet<Vec<u8>>, leaves: &mut BTreeSet<Vec<u8>>) {
        self.rounds += 1;
        waited_for.retain(|key| self.waited_for.insert(key.clone()));
        leaves.retain(|key| self.left.insert(key.clone()));
    }

    /// Whether so many levels came already that the rest is left to the next sweep.
    pub(super) fn is_deep(&self) -> bool {
        self.rounds >= LEVELS_MAX
    }

    /// The rows above those that were in the sink and name another row now, as far as they are not known.
    pub(super) fn ancestors(&mut self, tree: &TableResolver<'_>) -> Option<ChildrenWanted> {
        if !tree.table.names_itself() {
            return None;
        }
        let mut open: Vec<usize> = (0..tree.keys.len()).filter(|&place| is_moved(tree, place)).collect();
        let mut seen: HashSet<usize> = open.iter().copied().collect();
        let mut wanted = BTreeSet::new();
        while let Some(place) = open.pop() {
            let Some(row) = tree.keys[place].stands.live() else { continue };
            for key in above(tree, place, row) {
                match tree.place(&key) {
                    Some(at) if seen.insert(at) => open.push(at),
                    Some(_) => {}
                    None if self.above.insert(key.clone()) => _ = wanted.insert(key),
                    None => {}
                }
            }
        }
        let (id, columns) = (tree.table.id, tree.table.shape.key.clone());
        let parents = keys(tree, wanted);
        (!parents.keys.is_empty()).then_some(ChildrenWanted { child: id, columns, parent: id, parents })
    }
}

/// The keys of the rows of its own table that a row names.
fn above(tree: &TableResolver<'_>, place: usize, row: RowRef) -> impl Iterator<Item = Vec<u8>> {
    let own = tree.table.depends_on.iter().filter(|parent| parent.table == tree.table.id);
    own.filter_map(move |parent| named(tree, place, row, parent))
}

/// Whether the row was in the sink and names another row of its table now.
fn is_moved(tree: &TableResolver<'_>, place: usize) -> bool {
    let state = &tree.keys[place];
    let (Some(now), Some(_), InSink::Yes) = (state.stands.live(), state.set_by, state.in_sink) else {
        return false;
    };
    let asked = tree.keyed.asked.get(place).copied().flatten();
    let Some(row) = asked.and_then(|at| tree.standing.keys[at as usize].row) else { return true };
    let before = RowRef { arena: Arena::Standing, row };
    let mut own = tree.table.depends_on.iter().filter(|parent| parent.table == tree.table.id);
    own.any(|parent| parent_key(tree, now, &parent.columns) != parent_key(tree, before, &parent.columns))
}

impl Walk<'_> {
    /// Hides the rows that are not in the sink, from the tops down; why each is hidden is said afterwards.
    pub(super) fn hide_tree(&self, tables: &mut [TableResolver<'_>]) {
        let tree = &tables[self.table];
        let count = tree.keys.len();
        // By place: the rows that it waits for, and those that wait for it.
        let (mut waits, mut below) = (vec![0_u32; count], vec![Vec::new(); count]);
        let mut ready = Vec::new();
        for (place, waits) in waits.iter_mut().enumerate() {
            match self.rows_above(tables, tree, place) {
                Some(above) if above.is_empty() => ready.push(place),
                Some(above) => {
                    *waits = u32::try_from(above.len()).expect("a table has few parents");
                    above.into_iter().for_each(|at| below[at].push(place));
                }
                // It does not stand, or waits for a row that is not among these: nobody counts down for it.
                None => {}
            }
        }
        let mut is_in = vec![false; count];
        while let Some(place) = ready.pop() {
            is_in[place] = true;
            for &at in &below[place] {
                waits[at] -= 1;
                if waits[at] == 0 {
                    ready.push(at);
                }
            }
        }
        let id = tree.table.id;
        let hidden = |place| Hidden { orphaned: false, waits: (id, tree.key_at(place).to_vec()) };
        let hidden: Vec<Option<Hidden>> =
            (0..count).map(|place| (!is_in[place]).then(|| hidden(place))).collect();
        for (state, hidden) in tables[self.table].keys.iter_mut().zip(hidden) {
            state.hidden = hidden.filter(|_| state.stands.live().is_some());
        }
    }

    /// The rows among the table's keys that have to be in the sink for this one to be; `None` where it cannot be.
    fn rows_above(
        &self,
        tables: &[TableResolver<'_>],
        tree: &TableResolver<'_>,
        place: usize,
    ) -> Option<Vec<usize>> {
        let row = tree.keys[place].stands.live()?;
        let mut above = Vec::new();
        if self.goes_in_by_hand(tree, place) {
            return Some(above);
        }
        let is_unwritable = self.is_unwritable(tree, place);
        for parent in &tree.table.depends_on {
            let Some(key) = named(tree, place, row, parent) else { continue };
            let among = (parent.table == tree.table.id).then(|| tree.place(&key)).flatten();
            match among.filter(|&at| tree.keys[at].stands.live().is_some()) {
                _ if is_unwritable => return None,
                Some(at) => above.push(at),
                None if self.presence(tables, &(parent.table, key), &tree.keys[place]) == Presence::In => {}
                None => return None,
            }
        }
        Some(above)
    }
}
