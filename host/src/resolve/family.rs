//! Parents and children (SURFACE (g) 7): which of the rows that stand are in the sink.
//!
//! Tables are walked parents first. A child's row whose parent is not in the sink is hidden: kept beside as what stands.
//! A parent that comes brings in the rows that waited for it, one that leaves takes out those that name it; both are
//! children in a later table of the walk, so grandchildren follow by themselves. A table that names itself is gone
//! through again until nobody comes or leaves any more (`tree`).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use reconverge_streams::{
    by_hand::Hand,
    columns::{Columns, State},
    family::{ChildrenWanted, Family, FamilyWanted, Keys, Presence, Relatives},
    table::TableId,
};

use crate::{
    batch::{Batch, ItemKind, Refusal},
    plan::{Orphans, Parent, Plan},
    stages::{Arena, RowRef},
};

use super::{
    LeftOut, RowKey,
    naming::{keys, named, push_cells},
    orphans::Orphan,
    state::{Hidden, InSink, KeyState, Stands},
    table::{Fate, TableResolver},
    tree::{Leaving, Told},
};

/// Where the walk is.
#[derive(Debug, Default)]
pub(super) struct Walk<'a> {
    pub(super) table: usize,
    step: Step,
    asked: FamilyWanted,
    known: HashMap<RowKey, Presence>,
    /// Keys of changes that this batch makes dead letters: a parent that is nowhere is not to be waited for.
    dead: BTreeSet<RowKey>,
    /// Rows that the sink would not take in.
    unwritable: Option<&'a HashSet<RowKey>>,
    /// The row that goes in by hand, whatever its parents are.
    put_in: Option<&'a RowKey>,
    /// Rows that leave with their parents.
    pub(super) leaving: Leaving,
    /// Of a table that names itself: what was asked in an earlier round.
    pub(super) told: Told,
}

/// Per table: first as a child, then as a parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    AsChild,
    AsParent,
}

impl<'a> Walk<'a> {
    /// At the beginning of a decided batch.
    pub(super) fn new(batch: &Batch, tables: &[TableResolver<'_>], left_out: &'a LeftOut) -> Self {
        let put_in = left_out.by_hand.as_ref().filter(|said| said.hand == Hand::Release);
        let mut walk = Walk {
            unwritable: Some(&left_out.rows).filter(|rows| !rows.is_empty()),
            put_in: put_in.map(|said| &said.row),
            ..Walk::default()
        };
        if tables.iter().all(|t| t.table.depends_on.is_empty()) {
            // Nobody has a parent: there is no way to go.
            walk.table = tables.len();
            return walk;
        }
        for item in &batch.items {
            if let ItemKind::Refused(Refusal { table: Some(table), key: Some(key), .. }) = &item.kind {
                walk.dead.insert((*table, key.clone()));
            }
        }
        for table in tables {
            let refused = table.fates.iter().zip(0..).filter(|(fate, _)| matches!(fate, Fate::Refused(_)));
            walk.dead.extend(refused.map(|(_, row)| (table.table.id, table.batch.key(row).to_vec())));
        }
        walk
    }

    /// What has to be asked next; `None` when all is known.
    pub(super) fn next(&mut self, plan: &Plan, tables: &mut [TableResolver<'_>]) -> Option<FamilyWanted> {
        while self.table < tables.len() && self.leaving.too_many().is_none() {
            let asked = match self.step {
                Step::AsChild => FamilyWanted {
                    parents: self.parents(tables),
                    children: self.told.ancestors(&tables[self.table]).into_iter().collect(),
                    ..FamilyWanted::default()
                },
                Step::AsParent => self.kin(plan, &tables[self.table]),
            };
            if !asked.is_empty() {
                self.asked = asked.clone();
                return Some(asked);
            }
            self.advance(tables);
        }
        None
    }

    /// Takes the answer to what [`Self::next`] asked.
    pub(super) fn learn(&mut self, family: Family, plan: &Plan, tables: &mut [TableResolver<'_>]) {
        let asked = std::mem::take(&mut self.asked);
        for ((table, keys), presences) in asked.parents.into_iter().zip(family.parents) {
            self.known.extend(keys.keys.iter().map(|key| (table, key.to_vec())).zip(presences));
        }
        let id = tables[self.table].table.id;
        if self.step == Step::AsParent && !self.leaving.may(tables, id, &family.children, plan) {
            return;
        }
        for relatives in family.waiting.into_iter().chain(family.children) {
            if let Some(table) = tables.iter_mut().find(|t| t.table.id == relatives.table) {
                adopt(table, &relatives, plan);
            }
        }
        match self.step {
            _ if !tables[self.table].table.names_itself() => self.advance(tables),
            // Ancestors of ancestors, and the parents of all of them.
            Step::AsChild => {}
            // Those who came with it may have parents and children in the same table.
            Step::AsParent => self.step = Step::AsChild,
        }
    }

    fn advance(&mut self, tables: &mut [TableResolver<'_>]) {
        if self.step == Step::AsChild {
            self.hide(tables);
            self.step = Step::AsParent;
        } else {
            self.step = Step::AsChild;
            self.table += 1;
            self.told = Told::default();
        }
    }

    /// The parents that neither the batch nor an earlier answer tells of.
    fn parents(&self, tables: &[TableResolver<'_>]) -> Vec<(TableId, Keys)> {
        let child = &tables[self.table];
        let mut asked = Vec::new();
        for parent in &child.table.depends_on {
            let mut wanted: BTreeMap<Vec<u8>, (RowRef, usize)> = BTreeMap::new();
            for (place, state) in child.keys.iter().enumerate() {
                let Some(row) = state.stands.live().filter(|_| is_open(state)) else { continue };
                let Some(key) = named(child, place, row, parent) else { continue };
                let known = self.known.contains_key(&(parent.table, key.clone()));
                if !known && told_by_batch(tables, parent.table, &key).is_none() {
                    wanted.insert(key, (row, place));
                }
            }
            if !wanted.is_empty() {
                let mut cells = Columns::new(parent.columns.iter().map(|&c| child.table.columns[c].logical));
                for (row, _) in wanted.values() {
                    push_cells(child, *row, &parent.columns, &mut cells);
                }
                asked.push((parent.table, Keys { keys: wanted.into_keys().collect(), cells }));
            }
        }
        asked
    }

    /// Decides for each row of the table whether it is in the sink at the end.
    fn hide(&self, tables: &mut [TableResolver<'_>]) {
        let child = &tables[self.table];
        if child.table.depends_on.is_empty() {
            return;
        }
        let names_itself = child.table.names_itself();
        loop {
            if names_itself {
                self.hide_tree(tables);
            }
            let child = &tables[self.table];
            let orphans: Vec<(usize, Orphan)> = if child.table.orphans == Orphans::Keep {
                Vec::new()
            } else {
                let orphan = |place| Some((place, child.orphan(&self.presences(tables, child, place))?));
                (0..child.keys.len()).filter_map(orphan).collect()
            };
            let is_settled = orphans.is_empty();
            for (place, orphan) in orphans {
                tables[self.table].settle_orphan(place, orphan);
            }
            // What became of an orphan may make others of its children.
            if is_settled || !names_itself {
                break;
            }
        }
        let child = &tables[self.table];
        let decided = (0..child.keys.len()).map(|place| self.hidden(tables, child, place));
        let decided: Vec<Option<Hidden>> = decided.collect();
        for (state, hidden) in tables[self.table].keys.iter_mut().zip(decided) {
            let is_in = state.stands.live().is_some() && hidden.is_none();
            let was_kept = state.was_kept.is_some();
            state.touched |=
                was_kept && is_in || !was_kept && state.in_sink == InSink::Yes && hidden.is_some();
            state.hidden = hidden;
        }
    }

    fn hidden(
        &self,
        tables: &[TableResolver<'_>],
        child: &TableResolver<'_>,
        place: usize,
    ) -> Option<Hidden> {
        let state = &child.keys[place];
        let row = state.stands.live()?;
        if self.goes_in_by_hand(child, place) {
            return None;
        }
        let mut missing: Option<Hidden> = None;
        let stays_beside = self.is_unwritable(child, place);
        let goes_without = child.table.orphans == Orphans::WithoutReference;
        for parent in &child.table.depends_on {
            let Some(key) = named(child, place, row, parent) else { continue };
            let parent_key = (parent.table, key);
            match self.presence(tables, &parent_key, state) {
                Presence::In if !stays_beside => {}
                gone_or_unknown => {
                    let next = Hidden { orphaned: gone_or_unknown != Presence::Unknown, waits: parent_key };
                    missing = Some(match missing {
                        // It may stand without a parent that is gone: it waits for one that may come.
                        Some(first) if goes_without && first.orphaned => next,
                        Some(first) if goes_without => first,
                        Some(first) => Hidden { orphaned: first.orphaned || next.orphaned, ..first },
                        None => next,
                    });
                }
            }
        }
        missing
    }

    /// Whether an operator lets it in, whatever its parents are.
    pub(super) fn goes_in_by_hand(&self, child: &TableResolver<'_>, place: usize) -> bool {
        let is_meant = |row: &RowKey| (row.0, &*row.1) == (child.table.id, child.key_at(place));
        self.put_in.is_some_and(is_meant) && child.keys[place].set_by.is_none()
    }

    /// Where a row's parent is at the end of the batch.
    pub(super) fn presence(
        &self,
        tables: &[TableResolver<'_>],
        parent: &RowKey,
        child: &KeyState,
    ) -> Presence {
        // A row that is in the sink has its parents there, unless the batch says otherwise.
        let unasked = if is_open(child) { Presence::Unknown } else { Presence::In };
        let asked = match self.known.get(parent) {
            Some(Presence::Unknown) if self.dead.contains(parent) => Presence::Gone,
            known => known.copied().unwrap_or(unasked),
        };
        told_by_batch(tables, parent.0, &parent.1).unwrap_or(asked)
    }

    /// Where the parents of a row that stands are, one by one; `None` for one that it does not name.
    fn presences(
        &self,
        tables: &[TableResolver<'_>],
        child: &TableResolver<'_>,
        place: usize,
    ) -> Vec<Option<Presence>> {
        let state = &child.keys[place];
        let by_hand =
            self.put_in.is_some_and(|row| (row.0, &*row.1) == (child.table.id, child.key_at(place)));
        let Some(row) = state.stands.live().filter(|_| !by_hand) else { return Vec::new() };
        let of = |parent: &Parent| {
            let key = named(child, place, row, parent)?;
            Some(self.presence(tables, &(parent.table, key), state))
        };
        child.table.depends_on.iter().map(of).collect()
    }

    /// Whether the sink would not take the row in, and no change of its own has come since.
    pub(super) fn is_unwritable(&self, child: &TableResolver<'_>, place: usize) -> bool {
        let (state, Some(rows)) = (&child.keys[place], self.unwritable) else { return false };
        let is_kept = state.set_by.is_none() && state.was_kept.is_some();
        is_kept && rows.contains(&(child.table.id, child.key_at(place).to_vec()))
    }

    /// What a parent has to ask: who waited for rows that come or now stand as gone, and who names rows that leave.
    fn kin(&mut self, plan: &Plan, parent: &TableResolver<'_>) -> FamilyWanted {
        let (mut asked, id) = (FamilyWanted::default(), parent.table.id);
        if plan.children(id).next().is_none() {
            return asked;
        }
        let is_in = |state: &KeyState| state.stands.live().is_some() && state.hidden.is_none();
        let comes = |state: &KeyState| is_in(state) && state.in_sink != InSink::Yes;
        let is_settled = |state: &KeyState| state.set_by.is_some() || state.discarded;
        let settled_away =
            |state: &KeyState| !is_in(state) && is_settled(state) && state.in_sink != InSink::Yes;
        // Deep below what came the next sweep goes on.
        let is_deep = self.told.is_deep();
        let mut waited_for = keys_where(parent, |state| !is_deep && comes(state) || settled_away(state));
        waited_for.extend(self.dead.iter().filter(|(table, _)| *table == id).map(|(_, key)| key.clone()));
        let mut leaves = keys_where(parent, |state| !is_in(state) && state.in_sink != InSink::No);
        if parent.table.names_itself() {
            self.told.only_new(&mut waited_for, &mut leaves);
        }
        let (waited_for, leaves) = (keys(parent, waited_for), keys(parent, leaves));
        if !waited_for.keys.is_empty() {
            asked.waiting.push((id, waited_for));
        }
        if !leaves.keys.is_empty() {
            asked.children_max = Some(plan.leaving_max);
            for (child, columns) in plan.children(id) {
                let (columns, parents) = (columns.to_vec(), leaves.clone());
                asked.children.push(ChildrenWanted { child, columns, parent: id, parents });
            }
        }
        asked
    }
}

/// Whether the row's parents are not known to be in the sink: it was set by this batch, or kept beside.
fn is_open(state: &KeyState) -> bool {
    state.set_by.is_some() || state.was_kept.is_some()
}

/// What the batch itself knows of a parent: only where it is one of its keys and something is known to stand.
fn told_by_batch(tables: &[TableResolver<'_>], parent: TableId, key: &[u8]) -> Option<Presence> {
    let table = tables.iter().find(|t| t.table.id == parent)?;
    let state = &table.keys[table.place(key)?];
    match state.stands {
        Stands::Live(_) if state.hidden.is_none() => Some(Presence::In),
        Stands::Live(_) => Some(Presence::Unknown),
        Stands::Tombstone(_) | Stands::Absence(_) => Some(Presence::Gone),
        Stands::Nothing => None,
    }
}

/// The keys of a table in a state.
fn keys_where(table: &TableResolver<'_>, wanted: impl Fn(&KeyState) -> bool) -> BTreeSet<Vec<u8>> {
    let places = (0..table.keys.len()).filter(|&place| wanted(&table.keys[place]));
    places.map(|place| table.key_at(place).to_vec()).collect()
}

/// Takes relatives among a table's keys. One that is a key of the batch is known better already.
fn adopt(table: &mut TableResolver<'_>, relatives: &Relatives, plan: &Plan) {
    for (key, standing) in relatives.keys.iter().zip(&relatives.standing.keys) {
        if table.place(key).is_some() {
            continue;
        }
        let mut state = KeyState::load(standing, plan.region, table.table.deletes);
        let Stands::Live(row) = state.stands else { continue };
        for (c, to) in table.composed.columns.iter_mut().enumerate() {
            match relatives.standing.rows.columns.get(c) {
                Some(from) => to.push_from(from, row.row as usize),
                None => to.push_state(State::Missing),
            }
        }
        table.composed.end_row();
        let row = u32::try_from(table.composed.rows() - 1).expect("a batch has fewer rows than 2^32");
        state.stands = Stands::Live(RowRef { arena: Arena::Composed, row });
        table.add_relative(key, state);
    }
}
