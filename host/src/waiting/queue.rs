//! What waits on a lane, in stream order, and what of it is due. The sink has the truth; this is the lane's index of it,
//! read when the lane is claimed and moved on by each commit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use reconverge_streams::{
    names::NameId,
    position::{Micros, Position},
    table::TableId,
    waiting::{Aside, Paused, Waiting, WaitingId, WaitingWrite, Why},
};

use crate::{
    plan::{Plan, Rule},
    resolve::RowKey,
};

/// A key of a table; empty for a table whose order is the lane's and not the key's (`policy = "none"`).
type Line = (TableId, Vec<u8>);

/// See the module.
#[derive(Debug, Default)]
pub struct Queue {
    entries: BTreeMap<WaitingId, Entry>,
    /// The waiting changes of each key, in order.
    lines: HashMap<Line, BTreeSet<WaitingId>>,
    paused: BTreeMap<TableId, String>,
    aside: Aside,
    /// Rows whose parents are in the sink and that it would not take in. Known to this process only: the next one
    /// tries them once more.
    pub(crate) unwritable: HashSet<RowKey>,
}

#[derive(Clone, Debug)]
struct Entry {
    why: Why,
    until: Option<Micros>,
    source: Option<NameId>,
    position: Position,
    moved: Option<Vec<u8>>,
    attempts: u32,
    /// Not to be tried again before.
    retry_at: Micros,
}

/// The line that a change of a key stands in.
fn line(plan: &Plan, table: TableId, key: &[u8]) -> Line {
    let whole_table = plan.table(table).rule == Rule::None;
    (table, if whole_table { Vec::new() } else { key.to_vec() })
}

impl Queue {
    /// What the sink says that waits on the lane.
    #[must_use]
    pub fn of(waiting: Vec<Waiting>, plan: &Plan) -> Self {
        let mut queue = Queue::default();
        for w in waiting {
            let (why, until, source, position, moved) = (w.why, w.until, w.source, w.position, w.moved);
            let attempts = w.attempts;
            queue.put(w.id, Entry { why, until, source, position, moved, attempts, retry_at: 0 }, plan);
        }
        queue
    }

    /// A change begins to wait.
    pub fn add(&mut self, write: &WaitingWrite, plan: &Plan) {
        let entry = Entry {
            why: write.why,
            until: write.until,
            source: Some(write.source),
            position: write.position,
            moved: write.moved.clone(),
            attempts: 0,
            retry_at: 0,
        };
        self.put(write.id.clone(), entry, plan);
    }

    fn put(&mut self, id: WaitingId, entry: Entry, plan: &Plan) {
        self.lines.entry(line(plan, id.table, &id.key)).or_default().insert(id.clone());
        self.entries.insert(id, entry);
    }

    /// A change waits no longer.
    pub fn remove(&mut self, id: &WaitingId, plan: &Plan) {
        self.entries.remove(id);
        let line = line(plan, id.table, &id.key);
        if let Some(waiting) = self.lines.get_mut(&line) {
            waiting.remove(id);
            if waiting.is_empty() {
                self.lines.remove(&line);
            }
        }
    }

    /// A change is not to wait for its time; nor do those of its line that stand behind it.
    pub fn hurry(&mut self, id: &WaitingId) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.until = None;
        }
    }

    /// A change could not be written when it was released: not again before `retry_at`.
    pub fn tried(&mut self, id: &WaitingId, retry_at: Micros) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.attempts += 1;
            entry.retry_at = retry_at;
        }
    }

    /// How often a change was released in vain.
    #[must_use]
    pub fn attempts(&self, id: &WaitingId) -> u32 {
        self.entries.get(id).map_or(0, |entry| entry.attempts)
    }

    /// How many changes wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether nothing waits and no table is left alone: every change of a batch is decided with it.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.entries.is_empty() && self.aside.is_empty()
    }

    /// Why the last change of a key's line waits; `None` where none does.
    pub(super) fn behind(&self, table: TableId, key: &[u8], plan: &Plan) -> Option<Why> {
        if self.lines.is_empty() {
            return None;
        }
        let last = self.lines.get(&line(plan, table, key))?.last()?;
        self.entries.get(last).map(|entry| entry.why)
    }

    /// The newest position of a source among a key's waiting changes.
    pub(super) fn newest(&self, table: TableId, key: &[u8], source: NameId, plan: &Plan) -> Option<Position> {
        let waiting = self.lines.get(&line(plan, table, key))?;
        let of_source = waiting.iter().filter_map(|id| self.entries.get(id));
        of_source.filter(|e| e.source == Some(source)).map(|e| e.position).max()
    }

    /// The tables that are paused, and those that are bound to one by `depends_on`: all that must be left alone.
    #[must_use]
    pub fn aside(&self) -> &Aside {
        &self.aside
    }

    /// Why a table is paused; `None` where it is not, or only its family is.
    #[must_use]
    pub fn why_paused(&self, table: TableId) -> Option<&str> {
        self.paused.get(&table).map(String::as_str)
    }

    /// Pauses a table.
    pub fn pause(&mut self, table: TableId, reason: String, plan: &Plan) {
        self.paused.entry(table).or_insert(reason);
        self.aside = families(plan, self.paused.keys().copied());
    }

    /// Takes over which tables the sink says are paused; gives those that run again.
    pub fn paused_are(&mut self, paused: Vec<Paused>, plan: &Plan) -> Vec<TableId> {
        let now: BTreeMap<TableId, String> = paused.into_iter().map(|p| (p.table, p.reason)).collect();
        let again = self.paused.keys().filter(|table| !now.contains_key(table)).copied().collect();
        self.paused = now;
        self.aside = families(plan, self.paused.keys().copied());
        again
    }

    /// The changes that may be released at `now`, in stream order, about `max` of them: their time has come, their table
    /// runs, and nothing that waits longer stands before them in their line. The halves of a key change stay together.
    #[must_use]
    pub fn due(&self, now: Micros, max: usize, plan: &Plan) -> Vec<WaitingId> {
        let mut due: Vec<WaitingId> = Vec::new();
        let mut blocked: HashSet<Line> = HashSet::new();
        for (id, entry) in self.entries.iter().filter(|(id, _)| !self.aside.contains(&id.table)) {
            let own = line(plan, id.table, &id.key);
            let other = entry.moved.as_ref().map(|key| line(plan, id.table, key));
            let is_ready = entry.until.is_none_or(|until| until <= now) && entry.retry_at <= now;
            if !is_ready || blocked.contains(&own) || other.as_ref().is_some_and(|o| blocked.contains(o)) {
                blocked.extend(other);
                blocked.insert(own);
                continue;
            }
            let completes = due.last().is_some_and(|last| {
                last.table == id.table && entry.moved.as_deref() == Some(last.key.as_slice())
            });
            if due.len() >= max && !completes {
                break;
            }
            due.push(id.clone());
        }
        due
    }

    /// Leaves out of a release what has to wait with `guilty`: all of their lines.
    pub fn without(&self, ids: &mut Vec<WaitingId>, guilty: &[WaitingId], plan: &Plan) {
        let mut blocked: HashSet<Line> = HashSet::new();
        for id in guilty {
            blocked.insert(line(plan, id.table, &id.key));
        }
        ids.retain(|id| {
            let own = line(plan, id.table, &id.key);
            let moved = self.entries.get(id).and_then(|entry| entry.moved.as_ref());
            let other = moved.map(|key| line(plan, id.table, key));
            let stays = blocked.contains(&own) || other.as_ref().is_some_and(|o| blocked.contains(o));
            if stays {
                blocked.extend(other);
                blocked.insert(own);
            }
            !stays
        });
    }
}

/// Tables with everything that is bound to them by `depends_on`, in either direction: a parent that is not there tells
/// nothing about its children, and a child that is not there cannot be taken out before its parent.
fn families(plan: &Plan, tables: impl Iterator<Item = TableId>) -> Aside {
    let mut aside: Aside = tables.collect();
    loop {
        let before = aside.len();
        for child in &plan.tables {
            for parent in &child.depends_on {
                if aside.contains(&child.id) || aside.contains(&parent.table) {
                    aside.extend([child.id, parent.table]);
                }
            }
        }
        if aside.len() == before {
            return aside;
        }
    }
}
