//! Which of the rows that stand are in the sink: those of which every parent is. All others are kept beside.

use std::collections::BTreeMap;

use crate::{
    change::Row,
    key::Stands,
    oracle::{Key, Oracle},
};

impl Oracle {
    /// The rows in the sink.
    #[must_use]
    pub fn visible(&self) -> BTreeMap<Key, Row> {
        self.rows().filter(|(key, _)| self.is_in(**key)).map(|(key, row)| (*key, row.clone())).collect()
    }

    /// The rows that stand and are kept beside, since a parent is not in the sink.
    #[must_use]
    pub fn kept(&self) -> BTreeMap<Key, Row> {
        self.rows().filter(|(key, _)| !self.is_in(**key)).map(|(key, row)| (*key, row.clone())).collect()
    }

    /// The parents of a row that are not in the sink.
    #[must_use]
    pub fn missing(&self, key: Key) -> Vec<Key> {
        let Some(row) = self.keys.get(&key).and_then(|state| state.row()) else { return Vec::new() };
        let named = self.tables[key.0].parents.iter();
        let named = named.filter_map(|(column, table)| Some((*table, row[*column]?)));
        named.filter(|parent| !self.is_in(*parent)).collect()
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

    fn is_in(&self, key: Key) -> bool {
        self.keys.get(&key).is_some_and(|state| state.row().is_some()) && self.missing(key).is_empty()
    }

    fn rows(&self) -> impl Iterator<Item = (&Key, &Row)> {
        self.keys.iter().filter_map(|(key, state)| Some((key, state.row()?)))
    }
}
