//! Runs histories through the engine and asks of each law whether it held. A counterexample is two arrivals that end
//! in different rows, or one contest.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use reconverge_streams::{source::Pulled, table::TableId};

use super::{
    generate,
    ground::Ground,
    history::{Arrival, Cell, Envelopes, History, SOURCES, one_by_one},
    law::Law,
    watch::{Caught, Depth, Heard, Watch},
};
use crate::{
    batch::Op,
    decode::Decoder,
    plan::{Deletes, Plan},
    scratch::{Scratch, ScratchError, Stood},
    stages::Stages,
};

/// Orders of one history that are tried; the counterexample's are all tried.
const ORDERS_MAX: usize = 24;

/// A rule on its table.
pub struct Subject {
    /// What to decide by; the table's rule is the plugin.
    pub plan: Arc<Plan>,
    /// For native envelopes.
    pub decoder: Arc<Decoder>,
    /// The table.
    pub table: TableId,
    /// The table's name at the source.
    pub source_name: String,
    /// What to fill its rows with.
    pub ground: Ground,
    /// The rule.
    pub main: Box<dyn Stages>,
    /// Another instance of it.
    pub twin: Box<dyn Stages>,
}

/// How an arrival ended.
struct Run {
    /// The rows that stand, by canonical key.
    rows: BTreeMap<Vec<u8>, Stood>,
    heard: Vec<Heard>,
    caught: Option<Caught>,
}

/// A law that did not hold, and where.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The law.
    pub law: Law,
    /// Index of the key.
    pub key: usize,
    /// The changes.
    pub history: History,
    /// One arrival, or two that differ; of indexes into the history.
    pub arrivals: Vec<Arrival>,
    /// How each ended: the row as JSON, or none.
    pub ends: Vec<Option<String>>,
    /// What happened, for a person.
    pub what: String,
}

impl Subject {
    /// How the table's deletes take part.
    #[must_use]
    pub fn deletes(&self) -> Deletes {
        self.plan.table(self.table).deletes
    }

    /// Whether a law does not hold on a history.
    ///
    /// # Errors
    /// The scratch sink fails.
    pub fn broken(&mut self, law: Law, history: &History) -> Result<Option<Broken>, ScratchError> {
        match law {
            Law::Total => {
                let caught = self.caught(law, history, Depth::Deep)?;
                if caught.is_some() { Ok(caught) } else { self.caught(law, history, Depth::Odd) }
            }
            Law::Deterministic => self.caught(law, history, Depth::Deep),
            Law::Batching => {
                let caught = self.caught(law, history, Depth::Deep)?;
                if caught.is_some() { Ok(caught) } else { self.batching(history) }
            }
            Law::Redelivery => self.redelivery(history),
            Law::Idempotent => self.idempotent(history),
            Law::Commutative | Law::Associative => self.orders(history),
            Law::Agreement => self.agreement(history),
            Law::Monotone => self.monotone(history),
        }
    }

    fn run(&mut self, history: &History, arrival: &Arrival, depth: Depth) -> Result<Run, ScratchError> {
        let table = self.plan.table(self.table);
        let envelopes = Envelopes::of(history, table, &self.source_name, &self.ground.keys);
        let let_go = history
            .steps
            .iter()
            .filter(|step| step.let_go)
            .filter_map(|step| Some((self.plan.names.intern(SOURCES[step.source]).ok()?, step.commit)));
        let let_go: HashSet<_> = let_go.collect();
        let mut scratch = Scratch::new(&self.plan, &self.decoder)?;
        let mut watch = Watch {
            main: self.main.as_mut(),
            twin: self.twin.as_mut(),
            depth,
            let_go,
            heard: Vec::new(),
            caught: None,
        };
        let mut next = 1;
        for batch in arrival.iter().filter(|batch| !batch.is_empty()) {
            scratch.apply(envelopes.deliveries(batch, next), &mut watch)?;
            next += batch.len() as u64;
        }
        let Watch { heard, caught, .. } = watch;
        Ok(Run { rows: scratch.rows(self.table), heard, caught })
    }

    /// The canonical bytes of the history's keys, by index; empty where no change of it decodes.
    fn keys(&self, history: &History) -> Vec<Vec<u8>> {
        let table = self.plan.table(self.table);
        let envelopes = Envelopes::of(history, table, &self.source_name, &self.ground.keys);
        let steps: Vec<usize> = (0..history.steps.len()).collect();
        let deliveries = envelopes.deliveries(&steps, 1);
        let batch = self.decoder.decode(Pulled { scanned: deliveries.len() as u64, deliveries });
        let mut keys = vec![Vec::new(); self.ground.keys.len()];
        for table in &batch.tables {
            for (row, change) in table.changes.iter().enumerate() {
                let delivery = batch.items[change.item as usize].delivery as usize;
                keys[history.steps[delivery].key] = table.key(row).to_vec();
            }
        }
        keys
    }

    /// What the contests of one batch show.
    fn caught(&mut self, law: Law, history: &History, depth: Depth) -> Result<Option<Broken>, ScratchError> {
        let order: Vec<usize> = (0..history.steps.len()).collect();
        let arrival = vec![order];
        let Some(caught) = self.run(history, &arrival, depth)?.caught.filter(|caught| caught.law == law)
        else {
            return Ok(None);
        };
        let key = self.keys(history).iter().position(|key| *key == caught.key).unwrap_or_default();
        let (incoming, current) = caught.rows;
        let what = format!("incoming {incoming} meets current {current}: {}", caught.what);
        Ok(Some(Broken {
            law,
            key,
            history: history.clone(),
            arrivals: vec![arrival],
            ends: Vec::new(),
            what,
        }))
    }

    /// Compares how two arrivals end.
    fn differ(
        &mut self,
        law: Law,
        history: &History,
        (one, other): (&Arrival, &Arrival),
        what: &str,
    ) -> Result<Option<Broken>, ScratchError> {
        let first = self.run(history, one, Depth::Light)?.rows;
        let second = self.run(history, other, Depth::Light)?.rows;
        Ok(self.difference(law, history, [(one, &first), (other, &second)], what))
    }

    fn difference(
        &self,
        law: Law,
        history: &History,
        [one, other]: [(&Arrival, &BTreeMap<Vec<u8>, Stood>); 2],
        what: &str,
    ) -> Option<Broken> {
        if one.1.len() == other.1.len()
            && one.1.iter().all(|(k, v)| other.1.get(k).is_some_and(|o| o.bytes == v.bytes))
        {
            return None;
        }
        let bytes = |stood: Option<&Stood>| stood.map(|s| s.bytes.clone());
        let keys = self.keys(history);
        let key = keys.iter().position(|key| bytes(one.1.get(key)) != bytes(other.1.get(key)))?;
        let json = |rows: &BTreeMap<Vec<u8>, Stood>| rows.get(&keys[key]).map(|stood| stood.json.clone());
        Some(Broken {
            law,
            key,
            history: history.clone(),
            arrivals: vec![one.0.clone(), other.0.clone()],
            ends: vec![json(one.1), json(other.1)],
            what: what.to_owned(),
        })
    }

    fn batching(&mut self, history: &History) -> Result<Option<Broken>, ScratchError> {
        let order: Vec<usize> = (0..history.steps.len()).collect();
        let single = one_by_one(&order);
        let halves: Arrival = order.chunks(order.len().div_ceil(2).max(1)).map(<[usize]>::to_vec).collect();
        for other in [vec![order.clone()], halves] {
            let found = self.differ(
                Law::Batching,
                history,
                (&single, &other),
                "the same order, cut into other batches",
            )?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn redelivery(&mut self, history: &History) -> Result<Option<Broken>, ScratchError> {
        let order: Vec<usize> = (0..history.steps.len()).collect();
        // Each batch comes once more with the one before it, as after a claim that was lost.
        let mut again = Arrival::new();
        for (i, &step) in order.iter().enumerate() {
            again.push(vec![step]);
            again.push(order[i.saturating_sub(2)..=i].to_vec());
        }
        let once = one_by_one(&order);
        self.differ(
            Law::Redelivery,
            history,
            (&once, &again),
            "the second time, changes were delivered again",
        )
    }

    fn idempotent(&mut self, history: &History) -> Result<Option<Broken>, ScratchError> {
        let twice = history.sent_twice();
        let order: Vec<usize> = (0..twice.steps.len()).collect();
        let once: Vec<usize> = order.iter().copied().step_by(2).collect();
        let (once, all) = (one_by_one(&once), one_by_one(&order));
        self.differ(
            Law::Idempotent,
            &twice,
            (&once, &all),
            "the second time, sources sent their changes once more",
        )
    }

    fn orders(&mut self, history: &History) -> Result<Option<Broken>, ScratchError> {
        let mut orders = history.orders(ORDERS_MAX);
        // The first of many orders are alike; the sources one behind the other, backwards, is far from them.
        let backwards: Vec<usize> = history.by_source().into_iter().rev().flatten().collect();
        orders.push(backwards);
        orders.push((0..history.steps.len()).collect());
        orders.dedup();
        let Some(base) = orders.first().map(|order| one_by_one(order)) else { return Ok(None) };
        let first = self.run(history, &base, Depth::Light)?.rows;
        for order in &orders[1..] {
            let arrival = one_by_one(order);
            let second = self.run(history, &arrival, Depth::Light)?.rows;
            let law = if history.steps.len() > 2 { Law::Associative } else { Law::Commutative };
            let sides = [(&base, &first), (&arrival, &second)];
            let found = self.difference(law, history, sides, "the same changes in another order");
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Two arrivals of duels: the sources one behind the other, and the other way round.
    fn both_sides(&self, history: &History) -> [Arrival; 2] {
        let sides: Vec<Vec<usize>> =
            history.by_source().into_iter().filter(|side| !side.is_empty()).collect();
        let back = sides.iter().rev().cloned().collect();
        [sides, back]
    }

    fn agreement(&mut self, history: &History) -> Result<Option<Broken>, ScratchError> {
        let arrivals = self.both_sides(history);
        let one = self.run(history, &arrivals[0], Depth::Light)?;
        let other = self.run(history, &arrivals[1], Depth::Light)?;
        let keys = self.keys(history);
        for heard in &one.heard {
            let Some(back) = other.heard.iter().find(|back| back.key == heard.key) else { continue };
            let both_write = heard.said.written.is_some() && back.said.written.is_some();
            let is_same = heard.said.archive == back.said.archive
                && (!both_write || heard.said.written == back.said.written);
            let is_answer = |heard: &Heard| !heard.said.verdict.starts_with("refused");
            if is_same || !is_answer(heard) || !is_answer(back) {
                continue;
            }
            let key = keys.iter().position(|key| *key == heard.key).unwrap_or_default();
            let what = format!("one side said {}; the other said {}", heard.said, back.said);
            let end = |run: &Run| run.rows.get(&heard.key).map(|stood| stood.json.clone());
            let ends = vec![end(&one), end(&other)];
            let (history, arrivals) = (history.clone(), arrivals.to_vec());
            return Ok(Some(Broken { law: Law::Agreement, key, history, arrivals, ends, what }));
        }
        Ok(None)
    }

    /// Of duels in which one measure differs: whether the greater wins in all, or in none.
    fn monotone(&mut self, history: &History) -> Result<Option<Broken>, ScratchError> {
        let [arrival, back] = self.both_sides(history);
        let one = self.run(history, &arrival, Depth::Light)?.rows;
        let other = self.run(history, &back, Depth::Light)?.rows;
        let keys = self.keys(history);
        let mut before: Option<(usize, bool)> = None;
        for (key, bytes) in keys.iter().enumerate() {
            let steps: Vec<usize> =
                (0..history.steps.len()).filter(|&i| history.steps[i].key == key).collect();
            let (&[a, b], Some(stood), Some(same)) = (&steps[..], one.get(bytes), other.get(bytes)) else {
                continue;
            };
            if stood.bytes != same.bytes || history.steps[a].op == Op::Delete {
                continue;
            }
            let Some(greater_won) = self.greater_won(history, (a, b), stood) else { continue };
            match before {
                None => before = Some((key, greater_won)),
                Some((_, won)) if won == greater_won => {}
                Some((first, won)) => {
                    let word = |won| if won { "greater" } else { "lesser" };
                    let what = format!(
                        "where one number or time differs, the {} value won on key {} and the {} on key {}",
                        word(won),
                        first + 1,
                        word(greater_won),
                        key + 1
                    );
                    let json = |key: usize| one.get(&keys[key]).map(|stood| stood.json.clone());
                    let kept = history.steps.iter().filter(|step| step.key == first || step.key == key);
                    let history = History { steps: kept.cloned().collect() };
                    let arrivals = vec![self.both_sides(&history)[0].clone()];
                    let ends = vec![json(first), json(key)];
                    return Ok(Some(Broken { law: Law::Monotone, key, history, arrivals, ends, what }));
                }
            }
        }
        Ok(None)
    }

    /// Whether the greater of two rows that differ in one measure stands; `None` where neither of them does.
    fn greater_won(&self, history: &History, (a, b): (usize, usize), stood: &Stood) -> Option<bool> {
        let (a, b) = (&history.steps[a].row, &history.steps[b].row);
        let column = (0..a.len()).find(|&c| a[c] != b[c])?;
        let (Cell::Is(a), Cell::Is(b)) = (&a[column], &b[column]) else { return None };
        let shape = &self.plan.table(self.table).columns[column];
        let stood: serde_json::Value = serde_json::from_str(&stood.json).ok()?;
        let mut cells = reconverge_streams::columns::Column::new(shape.logical);
        for value in [a, b, stood.get(&shape.name)?] {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            reconverge_streams::text::parse(shape, &text, &mut cells).ok()?;
        }
        let compare = |i, j| reconverge_streams::canonical::compare(&cells, i, &cells, j);
        let (greater, lesser) = if compare(0, 1).is_gt() { (0, 1) } else { (1, 0) };
        match (compare(2, greater).is_eq(), compare(2, lesser).is_eq()) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }

    /// A history that may break a law: what is made by chance for it.
    #[must_use]
    pub fn history_for(&self, law: Law, dice: &mut super::dice::Dice) -> Option<History> {
        match law {
            Law::Total => Some(generate::history(&self.ground, self.deletes(), dice.once_in(2), dice)),
            Law::Commutative | Law::Agreement => Some(generate::duels(&self.ground, dice)),
            Law::Monotone => generate::measures(&self.ground, dice),
            _ => Some(generate::history(&self.ground, self.deletes(), false, dice)),
        }
    }
}
