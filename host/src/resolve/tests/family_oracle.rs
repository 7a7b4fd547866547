//! What rule 7 makes of one change after another: three tables, as `family` has them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

/// What a change does to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Write,
    Delete,
    /// A filter lets the row go.
    Filtered,
    /// The change is a dead letter.
    Refused,
}

/// One change: the row's columns are its id, the `a` and the `b` that it names (where no trees, `a` has neither, `b` no
/// `b`), and a mark by which its version is known.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) table: usize,
    pub(super) id: i64,
    pub(super) a: Option<i64>,
    pub(super) b: Option<i64>,
    pub(super) what: What,
}

/// The tables.
pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
pub(super) const C: usize = 2;

/// A change of a row that names none.
pub(super) fn change(table: usize, id: i64, what: What) -> Event {
    Event { table, id, a: None, b: None, what }
}

pub(super) fn events(trees: bool) -> impl Strategy<Value = Vec<Event>> {
    let ids = if trees { 5 } else { 3i64 };
    let named = move || prop::option::weighted(0.8, 0..ids);
    let what = prop_oneof![
        6 => Just(What::Write), 2 => Just(What::Delete), 1 => Just(What::Filtered), 1 => Just(What::Refused)
    ];
    let own = usize::from(trees);
    let event = (0..3usize, 0..ids, named(), named(), what).prop_map(move |(table, id, a, b, what)| Event {
        table,
        id,
        a: a.filter(|_| table + own > 0),
        b: b.filter(|_| table + own > 1),
        what,
    });
    prop::collection::vec(event, 1..if trees { 60 } else { 40 })
}

/// What stands for a key, by the serial rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    Row { a: Option<i64>, b: Option<i64>, mark: i64 },
    Gone,
}

#[derive(Default)]
pub(super) struct Oracle {
    keys: BTreeMap<(usize, i64), Stands>,
    dead: BTreeSet<(usize, i64)>,
}

impl Oracle {
    pub(super) fn take(&mut self, event: &Event, mark: i64) {
        let key = (event.table, event.id);
        match event.what {
            What::Write => drop(self.keys.insert(key, Stands::Row { a: event.a, b: event.b, mark })),
            What::Delete | What::Filtered => drop(self.keys.insert(key, Stands::Gone)),
            What::Refused => drop(self.dead.insert(key)),
        }
    }

    /// The other rows that `key` names.
    fn named(&self, key: (usize, i64)) -> Vec<(usize, i64)> {
        let Some(Stands::Row { a, b, .. }) = self.keys.get(&key) else { return Vec::new() };
        let named = [a.map(|a| (0, a)), b.map(|b| (1, b))].into_iter().flatten();
        named.filter(|parent| *parent != key).collect()
    }

    /// The rows that `key` names and that are not in the sink.
    pub(super) fn missing(&self, key: (usize, i64)) -> Vec<(usize, i64)> {
        let there = self.there();
        self.named(key).into_iter().filter(|parent| !there.contains(parent)).collect()
    }

    /// Those that name nobody else, those that name only such, and so on.
    fn there(&self) -> BTreeSet<(usize, i64)> {
        let mut there = BTreeSet::new();
        loop {
            let rows = self.keys.iter().filter(|(_, stands)| matches!(stands, Stands::Row { .. }));
            let is_next = |key: &(usize, i64)| {
                !there.contains(key) && self.named(*key).iter().all(|p| there.contains(p))
            };
            let next: Vec<_> = rows.map(|(key, _)| *key).filter(is_next).collect();
            if next.is_empty() {
                return there;
            }
            there.extend(next);
        }
    }

    /// Whether a parent is known not to come by itself.
    pub(super) fn is_gone(&self, key: (usize, i64)) -> bool {
        match self.keys.get(&key) {
            Some(Stands::Gone) => true,
            Some(Stands::Row { .. }) => false,
            None => self.dead.contains(&key),
        }
    }

    /// Marks of the rows in the sink, and of those that are kept.
    pub(super) fn marks(&self) -> [BTreeMap<(usize, i64), i64>; 2] {
        let (mut marks, there) = ([BTreeMap::new(), BTreeMap::new()], self.there());
        for (key, stands) in &self.keys {
            if let Stands::Row { mark, .. } = stands {
                marks[usize::from(!there.contains(key))].insert(*key, *mark);
            }
        }
        marks
    }
}
