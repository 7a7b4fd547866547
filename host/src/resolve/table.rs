//! One table of a batch, round by round: each change passes the gate, then meets what stands for its key.
//!
//! Read [`TableResolver::run`] downwards: that is the life of one change. Sections named in comments are those
//! of SURFACE (g).

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use reconverge_streams::{
    columns::{Columns, State},
    disposition::Disposition,
    position::{Micros, Seen},
    standing::StandingTable,
    writes::{ChangeIndex, Decision},
};

use crate::{
    batch::{Batch, Op, Refusal, TableBatch},
    plan::{Deletes, Plan, Rule, TablePlan},
    stages::{Arena, Arenas, Contest, Passed, PreparedTable, RowRef, Rulings, Stages},
};

use super::{
    Suspected,
    gate::Passage,
    history::Said,
    keys::KeyedTable,
    levels, order,
    state::{KeyState, Stands},
};

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Done(Disposition),
    Refused(Refusal),
}

pub(super) struct TableResolver<'a> {
    pub(super) plan: &'a Plan,
    pub(super) table: &'a TablePlan,
    pub(super) batch: &'a TableBatch,
    pub(super) prepared: &'a PreparedTable,
    pub(super) keyed: &'a KeyedTable,
    pub(super) standing: &'a StandingTable,
    pub(super) refused: &'a HashMap<ChangeIndex, Refusal>,
    pub(super) generation: i64,
    /// Rows put together here: partial rows filled, merged rows.
    pub(super) composed: Columns,
    /// Per change: whether `after` has a value or null in every column of the sink's table.
    pub(super) whole: Vec<bool>,
    /// The batch's keys, then those of relatives.
    pub(super) keys: Vec<KeyState>,
    /// The canonical keys of relatives: those behind the batch's.
    pub(super) relatives: Vec<Vec<u8>>,
    /// Their places among `keys`.
    relative_places: HashMap<Vec<u8>, usize>,
    /// Per change.
    pub(super) fates: Vec<Fate>,
    pub(super) decisions: Vec<(u32, Decision)>,
    /// Conflicts by kind and outcome.
    pub(super) conflicts: BTreeMap<(&'static str, Disposition), u64>,
    pub(super) gate: Vec<Seen>,
    /// Under policy `none`, one per change: what the gate said, in stream order. The gate is the lane's, not the
    /// key's, so a change of a later round has to pass it before its neighbours of an earlier round behind it.
    pub(super) passages: Vec<Passage>,
    /// Changes whose event was seen before.
    pub(super) repeated: Arc<HashSet<ChangeIndex>>,
    /// The newest commit time that the lane has applied.
    pub(super) newest_at: Option<Micros>,
    /// Changes that look as if their source's positions began anew.
    pub(super) suspicions: Vec<Suspected>,
    pub(super) rule_name: Arc<str>,
    /// The sink's columns by name, for ties.
    by_name: Vec<usize>,
    pub(super) merged: Rulings,
}

/// A change that passed the gate.
#[derive(Clone, Copy)]
pub(super) struct Incoming {
    pub(super) row: u32,
    pub(super) key: usize,
    pub(super) at: Micros,
    pub(super) later: bool,
    /// Set where residency or a filter let it go.
    pub(super) let_go: Option<Disposition>,
    pub(super) delete: bool,
    /// The row that its order value is of.
    pub(super) order: RowRef,
}

/// What comes next for a change.
enum Step {
    Settled(Fate),
    Ask(Incoming, RowRef),
}

impl<'a> TableResolver<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        batch: &'a TableBatch,
        prepared: &'a PreparedTable,
        keyed: &'a KeyedTable,
        standing: &'a StandingTable,
        refused: &'a HashMap<ChangeIndex, Refusal>,
        generation: i64,
    ) -> Self {
        let table = plan.table(batch.table);
        let load = |asked: &Option<u32>| match asked {
            Some(i) => KeyState::load(&standing.keys[*i as usize], plan.region, table.deletes),
            None => KeyState::unknown(plan.region),
        };
        TableResolver {
            plan,
            table,
            batch,
            prepared,
            keyed,
            standing,
            refused,
            generation,
            composed: Columns::new(table.columns.iter().map(|c| c.logical)),
            whole: whole_rows(&batch.after, table.shape.columns.len()),
            keys: keyed.asked.iter().map(load).collect(),
            relatives: Vec::new(),
            relative_places: HashMap::new(),
            fates: vec![Fate::Done(Disposition::NoOp); batch.changes.len()],
            decisions: Vec::new(),
            conflicts: BTreeMap::new(),
            gate: standing.gate.clone(),
            passages: Vec::new(),
            repeated: Arc::default(),
            newest_at: None,
            suspicions: Vec::new(),
            rule_name: Arc::clone(&table.rule_name),
            by_name: order::by_name(table),
            merged: Rulings::default(),
        }
    }

    /// The place of a key among the batch's and its relatives'.
    pub(super) fn place(&self, key: &[u8]) -> Option<usize> {
        let among = self.keyed.keys.find(key);
        among.or_else(|| self.relative_places.get(key).copied())
    }

    /// Takes a relative among the keys.
    pub(super) fn add_relative(&mut self, key: &[u8], state: KeyState) {
        self.relative_places.insert(key.to_vec(), self.keys.len());
        self.relatives.push(key.to_vec());
        self.keys.push(state);
    }

    /// The canonical bytes of a key by its place.
    pub(super) fn key_at(&self, place: usize) -> &[u8] {
        let own = self.keyed.keys.get(place);
        own.unwrap_or_else(|| &self.relatives[place - self.keyed.keys.len()])
    }

    /// A kept row does not stand any more, where no change has replaced it: its key keeps the order value.
    pub(super) fn discard(&mut self, key: &[u8]) {
        if let Some(place) = self.place(key) {
            self.keys[place].discard();
        }
    }

    pub(super) fn run(&mut self, batch: &Batch, stages: &mut dyn Stages) {
        self.pass_single_writer();
        for round in levels::rounds(self.keyed) {
            let mut asked = Vec::new();
            let mut contests = Vec::new();
            for row in round {
                match self.arrive(row) {
                    Step::Settled(fate) => self.fates[row as usize] = fate,
                    Step::Ask(incoming, current) => {
                        contests.push(self.contest(&incoming, current));
                        asked.push(incoming);
                    }
                }
            }
            if !contests.is_empty() {
                self.merge(&asked, &contests, stages);
            }
        }
        for (row, decision) in &mut self.decisions {
            let item = &batch.items[self.batch.changes[*row as usize].item as usize];
            decision.sequence = batch.deliveries[item.delivery as usize].sequence;
        }
    }

    /// 1. Gate, then what the stages and the sink said of the change, then 2. to 4.
    fn arrive(&mut self, row: u32) -> Step {
        let change = &self.batch.changes[row as usize];
        let key = self.keyed.of_change[row as usize] as usize;
        if self.keys[key].seen.is_empty() && self.is_too_old(change, key) {
            return Step::Settled(Fate::Refused(self.too_old(row)));
        }
        if change.op == Op::Delete && change.moved.is_some() {
            self.keys[key].moved_away = Some(self.keys[key].stands.live());
        }
        let (at, came_back, later) = match self.pass(row, key) {
            Passage::Duplicate => return Step::Settled(Fate::Done(Disposition::Duplicate)),
            Passage::Regressed => return Step::Settled(Fate::Done(Disposition::Regressed)),
            Passage::Suspicious(newest) => return Step::Settled(self.suspect(row, newest)),
            Passage::Pass { at, came_back, later } => (at, came_back, later),
        };
        if self.is_too_old(change, key) {
            return Step::Settled(Fate::Refused(self.too_old(row)));
        }
        if let Some(refusal) = self.refused.get(&change.item) {
            return Step::Settled(Fate::Refused(refusal.clone()));
        }
        let let_go = match &self.prepared.passed[row as usize] {
            Passed::Keep => None,
            Passed::Suppressed => Some(Disposition::Suppressed),
            Passed::Filtered => Some(Disposition::Filtered),
            Passed::Refused(refusal) => return Step::Settled(Fate::Refused(refusal.clone())),
        };
        if let (Some(let_go), false) = (let_go, self.table.leaves_delete) {
            return Step::Settled(Fate::Done(let_go));
        }
        let delete = change.op == Op::Delete;
        let ordered_delete = delete && self.table.deletes == Deletes::Ordered;
        let arena = if ordered_delete { Arena::Before } else { Arena::After };
        let incoming = Incoming { row, key, at, later, let_go, delete, order: RowRef { arena, row } };
        if delete { self.delete(&incoming) } else { self.write(&incoming, came_back) }
    }

    /// A delete: where deletes win it always takes; where they are ordered it takes part like a write.
    fn delete(&mut self, incoming: &Incoming) -> Step {
        let unordered = matches!(self.table.rule, Rule::None | Rule::TakeIncoming);
        if unordered || self.table.deletes == Deletes::Win {
            let said = self.said("delete", None, true);
            return Step::Settled(self.conclude(incoming, Ordering::Greater, said));
        }
        self.meet(incoming)
    }

    /// A write, of a row that belongs here or does not.
    fn write(&mut self, incoming: &Incoming, came_back: bool) -> Step {
        let change = &self.batch.changes[incoming.row as usize];
        let state = &self.keys[incoming.key];
        if matches!(self.table.rule, Rule::None | Rule::TakeIncoming) {
            let said = self.said(&self.rule_name, None, true);
            return Step::Settled(self.conclude(incoming, Ordering::Greater, said));
        }
        if self.table.deletes == Deletes::Win {
            if state.gone_elsewhere(change.source) {
                let said = self.said("delete", None, true);
                return Step::Settled(self.conclude(incoming, Ordering::Less, said));
            }
            if came_back || matches!(state.stands, Stands::Tombstone(_)) {
                let said = self.said("came-back", None, true);
                return Step::Settled(self.conclude(incoming, Ordering::Greater, said));
            }
        }
        self.meet(incoming)
    }

    /// 3. and 4.: the order value of what comes beside that of what stands.
    fn meet(&mut self, incoming: &Incoming) -> Step {
        if let Some(field) = self.unsent_clock(incoming) {
            let why =
                format!("this table goes by the envelope's `{field}`, and the change does not carry it");
            return Step::Settled(Fate::Refused(self.refusal(incoming, "clock-unavailable", why)));
        }
        if let Some(column) = self.unsent_order_column(incoming) {
            return Step::Settled(Fate::Refused(self.refusal(
                incoming,
                "order-column-unavailable",
                format!("column `{column}` orders this table, and the change does not carry it"),
            )));
        }
        let state = &self.keys[incoming.key];
        let Some(current) = state.stands.row() else {
            return Step::Settled(self.meet_without_row(incoming));
        };
        let by_rule = match self.table.rule.order() {
            Rule::Plugin(columns) => {
                if !order::equal_and_sent(columns, &self.arenas(), incoming.order, current) {
                    return Step::Ask(*incoming, current);
                }
                Ordering::Equal
            }
            Rule::Vector(by) => {
                let concurrent = || by.as_deref().map(|by| self.by_order(by, incoming, Some(current)));
                self.by_vector(incoming, concurrent)
            }
            rule => self.by_order(rule, incoming, Some(current)),
        };
        Step::Settled(self.settle_or_tie(incoming, by_rule))
    }

    /// What stands has no row to compare: nothing at all, or a tombstone or absence of a rule without order columns.
    fn meet_without_row(&mut self, incoming: &Incoming) -> Fate {
        let by_rule = match (self.keys[incoming.key].stands, self.table.rule.order()) {
            (Stands::Nothing, _) | (_, Rule::Plugin(_)) => Ordering::Greater,
            (_, Rule::Vector(by)) => {
                let concurrent = || by.as_deref().map(|by| self.by_order(by, incoming, None));
                self.by_vector(incoming, concurrent)
            }
            (_, rule) => self.by_order(rule, incoming, None),
        };
        self.settle_or_tie(incoming, by_rule)
    }

    fn settle_or_tie(&mut self, incoming: &Incoming, by_rule: Ordering) -> Fate {
        if by_rule != Ordering::Equal {
            let said = self.said(&self.rule_name, None, true);
            return self.conclude(incoming, by_rule, said);
        }
        let state = &self.keys[incoming.key];
        let change = &self.batch.changes[incoming.row as usize];
        // Only rows have bytes: of what is gone or does not belong here no more is kept than its order columns.
        let current = order::Side {
            row: state.stands.live(),
            delete: matches!(state.stands, Stands::Tombstone(_)),
            at: state.at,
            origin: state.origin,
        };
        let side = order::Side {
            row: Some(incoming.order).filter(|_| !incoming.delete && incoming.let_go.is_none()),
            delete: incoming.delete,
            at: Some(incoming.at),
            origin: change.origin,
        };
        let later = incoming.later && !state.local;
        let tie = order::tie(&side, &current, later, &self.by_name, &self.arenas(), &self.plan.names);
        let said = self.said(tie.step, None, true);
        self.conclude(incoming, tie.ordering, said)
    }

    fn contest(&self, incoming: &Incoming, current: RowRef) -> Contest {
        let state = &self.keys[incoming.key];
        Contest {
            change: incoming.row,
            incoming: incoming.order,
            current,
            current_live: state.stands.live().is_some(),
            current_origin: state.origin,
            current_at: state.at,
        }
    }

    fn said(&self, by: &str, reason: Option<Arc<str>>, archive: bool) -> Said {
        let by = if *by == *self.rule_name { Arc::clone(&self.rule_name) } else { Arc::from(by) };
        Said { by, reason, archive }
    }

    pub(super) fn refusal(&self, incoming: &Incoming, code: &'static str, reason: String) -> Refusal {
        let (table, key) = (Some(self.table.id), Some(self.batch.key(incoming.row as usize).to_vec()));
        Refusal { stage: "resolve", code, reason, table, key }
    }

    pub(super) fn arenas(&self) -> Arenas<'_> {
        Arenas {
            after: &self.batch.after,
            before: &self.batch.before,
            standing: &self.standing.rows,
            composed: &self.composed,
        }
    }
}

/// Which rows have a value or null in each of the first `columns` columns.
fn whole_rows(after: &Columns, columns: usize) -> Vec<bool> {
    let mut whole = vec![true; after.rows()];
    for column in after.columns.iter().take(columns) {
        for (whole, state) in whole.iter_mut().zip(column.states()) {
            *whole &= *state <= State::Value as u8;
        }
    }
    whole
}
