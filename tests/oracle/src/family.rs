//! Which of the rows that stand are in the sink: those of which every parent is. All others are kept beside.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    change::Row,
    key::Stands,
    oracle::{Key, Oracle},
};

impl Oracle {
    /// The rows in the sink.
    #[must_use]
    pub fn visible(&self) -> BTreeMap<Key, Row> {
        let there = self.there();
        self.rows().filter(|(key, _)| there.contains(key)).map(|(key, row)| (*key, row.clone())).collect()
    }

    /// The rows that stand and are kept beside, since a parent is not in the sink.
    #[must_use]
    pub fn kept(&self) -> BTreeMap<Key, Row> {
        let there = self.there();
        self.rows().filter(|(key, _)| !there.contains(key)).map(|(key, row)| (*key, row.clone())).collect()
    }

    /// The parents of a row that are not in the sink.
    #[must_use]
    pub fn missing(&self, key: Key) -> Vec<Key> {
        let there = self.there();
        self.named(key).into_iter().filter(|parent| !there.contains(parent)).collect()
    }

    /// Whether a parent that is not in the sink is known not to come by itself: it was deleted, does not belong here,
    /// or is known by dead letters alone.
    #[must_use]
    pub fn is_gone(&self, key: Key) -> bool {
        match self.keys.get(&key).map(|state| &state.stands) {
            Some(Stands::Tombstone(_) | Stands::Absence(_)) => true,
            Some(Stands::Row(_)) => false,
            Some(Stands::Nothing) | None => self.dead.contains(&key),
        }
    }

    /// The other rows that a row names.
    fn named(&self, key: Key) -> Vec<Key> {
        let Some(row) = self.keys.get(&key).and_then(|state| state.row()) else { return Vec::new() };
        let named = self.tables[key.0].parents.iter();
        let named = named.filter_map(|(column, table)| Some((*table, row[*column]?)));
        named.filter(|parent| *parent != key).collect()
    }

    /// The rows in the sink: those that name nobody else, those that name only such, and so on.
    fn there(&self) -> BTreeSet<Key> {
        let mut there = BTreeSet::new();
        loop {
            let is_next =
                |key: &Key| !there.contains(key) && self.named(*key).iter().all(|p| there.contains(p));
            let next: Vec<Key> = self.rows().map(|(key, _)| *key).filter(is_next).collect();
            if next.is_empty() {
                return there;
            }
            there.extend(next);
        }
    }

    fn rows(&self) -> impl Iterator<Item = (&Key, &Row)> {
        self.keys.iter().filter_map(|(key, state)| Some((key, state.row()?)))
    }
}
