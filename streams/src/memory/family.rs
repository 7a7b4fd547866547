//! Parents and children of a batch's rows in memory: the plainest form of the contract, by looking at every row.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    database::Contents,
    sink::{MemoryClaim, cause},
};
use crate::{
    canonical,
    columns::{Columns, State},
    family::{ChildrenWanted, Family, FamilyWanted, Presence, Relatives, Swept},
    keys::KeyList,
    sink::SinkError,
    standing::{StandingKind, WantedTable},
    table::TableId,
};

/// Keys of relatives, by table.
type Found = BTreeMap<TableId, BTreeSet<Vec<u8>>>;

impl MemoryClaim {
    /// See [`crate::sink::Claim::family`].
    pub(super) fn family_in(&self, state: &Contents, asked: &FamilyWanted) -> Result<Family, SinkError> {
        let presences = |(table, keys): &(TableId, crate::family::Keys)| {
            keys.keys.iter().map(|key| self.presence(state, *table, key)).collect()
        };
        let looked_at = asked.parents.iter().map(|(table, _)| table);
        for table in looked_at.chain(asked.children.iter().map(|c| &c.child)) {
            if !state.tables.contains_key(self.name_of(*table)) {
                let text = format!("no such table: {}", self.name_of(*table));
                return Err(SinkError::Table(*table, cause("no-table", text)));
            }
        }
        let (mut waiting, mut children) = (Found::new(), Found::new());
        for (parent, keys) in &asked.waiting {
            let parent = self.name_of(*parent);
            for ((child, key), _) in
                state.kept.iter().filter(|(_, k)| k.waits.0 == parent && keys.keys.find(&k.waits.1).is_some())
            {
                // A row of a table that the plan does not list is another pipeline's to put in.
                if let Some(child) = self.table_of(child) {
                    waiting.entry(child).or_default().insert(key.clone());
                }
            }
        }
        for wanted in &asked.children {
            let most = asked.children_max.map_or(usize::MAX, |most| most as usize + 1);
            let found = self.children_of(state, wanted).into_iter().take(most);
            children.entry(wanted.child).or_default().extend(found);
        }
        Ok(Family {
            parents: asked.parents.iter().map(presences).collect(),
            waiting: self.relatives(state, waiting)?,
            children: self.relatives(state, children)?,
        })
    }

    /// See [`crate::sink::Claim::sweep`].
    pub(super) fn ready(&self, state: &Contents, limit: u32) -> Swept {
        let mut found: BTreeMap<TableId, Vec<Vec<u8>>> = BTreeMap::new();
        let stands = |(table, key): &(String, Vec<u8>)| {
            state.tables.get(table).is_some_and(|table| table.rows.contains_key(key))
        };
        let aside = |name: &str| self.table_of(name).is_some_and(|table| self.aside.contains(&table));
        let ours = state
            .kept
            .iter()
            .filter(|((table, _), k)| k.lane == self.checkpoint.lane && !aside(table) && stands(&k.waits));
        for ((table, key), _) in ours.take(limit as usize) {
            if let Some(table) = self.table_of(table) {
                found.entry(table).or_default().push(key.clone());
            }
        }
        found.into_iter().collect()
    }

    /// The number of a table; `None` where the plan does not list it.
    pub(super) fn table_of(&self, name: &str) -> Option<TableId> {
        let at = self.request.tables.iter().position(|t| t.name == name)?;
        u16::try_from(at).ok().map(TableId)
    }

    fn name_of(&self, table: TableId) -> &str {
        &self.request.tables[table.index()].name
    }

    fn presence(&self, state: &Contents, table: TableId, key: &[u8]) -> Presence {
        let name = self.name_of(table);
        if state.tables.get(name).is_some_and(|table| table.rows.contains_key(key)) {
            return Presence::In;
        }
        let version = state.versions.get(&(name.to_owned(), key.to_vec())).map(|v| v.standing);
        let dead = state.dead.iter().any(|(of, letter)| {
            letter.table.as_deref() == Some(name) && letter.state == "open" && of.as_deref() == Some(key)
        });
        match version {
            Some(StandingKind::Tombstone | StandingKind::Absence) => Presence::Gone,
            Some(StandingKind::Kept) => Presence::Unknown,
            _ if dead => Presence::Gone,
            _ => Presence::Unknown,
        }
    }

    fn children_of(&self, state: &Contents, wanted: &ChildrenWanted) -> Vec<Vec<u8>> {
        let Some(table) = state.tables.get(self.name_of(wanted.child)) else { return Vec::new() };
        let names_one = |cells: &Columns| {
            let named: Vec<_> = wanted.columns.iter().map(|&c| &cells.columns[c]).collect();
            let mut key = Vec::new();
            canonical::key(&named, 0, &mut key);
            named.iter().all(|c| c.state(0) == State::Value) && wanted.parents.keys.find(&key).is_some()
        };
        table.rows.iter().filter(|(_, row)| names_one(&row.cells)).map(|(key, _)| key.clone()).collect()
    }

    fn relatives(&self, state: &Contents, found: Found) -> Result<Vec<Relatives>, SinkError> {
        let mut all = Vec::new();
        for (table, keys) in found.into_iter().filter(|(_, keys)| !keys.is_empty()) {
            let keys: KeyList = keys.into_iter().collect();
            let wanted = WantedTable {
                table,
                keys: keys.clone(),
                cells: Columns::default(),
                versions: true,
                order_columns: Vec::new(),
            };
            all.push(Relatives { table, keys, standing: self.stands(state, &wanted)? });
        }
        Ok(all)
    }
}
