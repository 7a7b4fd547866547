//! Swaps between generations with other contracts while batches lie decoded ahead: no batch is decided half by each, none
//! is decided by rules that did not decode it, and every decision names the generation that made it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use std::{
    cmp::Ordering,
    future::pending,
    sync::{Arc, Mutex},
};

use reconverge::{
    batch::Batch,
    decode::{Decoder, Options},
    generation::{Generation, Live, Rules},
    plan::Plan,
    resolve::order,
    stages::{Contest, Contests, Passed, Prepared, PreparedTable, Ruling, Rulings, Stages, Verdict},
};
use reconverge_oracle::{Deletes, Rule, Table};
use reconverge_simulator::{
    place::{InMemory, Place},
    process::{CREATED, plan},
    scenario::{COLUMNS, RANK, Scenario},
    single::{LANE, lane, publish},
    world::stopped_clock,
};
use reconverge_streams::{
    columns::State,
    logical::Logical,
    memory::source::MemorySource,
    names::Names,
    records::{DecisionRecord, GenerationRecord, Query, Records},
    table::ColumnShape,
};

/// Changes in the stream, and in a batch.
const CHANGES: u64 = 240;
const ROWS: usize = 4;

/// What all generations of a run share.
struct Shared {
    live: Arc<Live>,
    /// What is interned in a claim means the same under the next generation.
    names: Arc<Names>,
    /// A new generation is published in the middle of each so many batches.
    every: usize,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Batches, by the generation that let them in: its number, and their last sequence.
    batches: Vec<(u64, u64)>,
    /// What is not to be.
    wrong: Vec<String>,
}

/// A generation with a contract of its own: the wide ones read a column that the sink does not have, and let rows
/// go by it.
struct Model {
    number: u64,
    plan: Arc<Plan>,
    shared: Arc<Shared>,
}

/// So that it differs between a generation and the next in one way of skipping some, and in the other.
fn is_wide(number: u64) -> bool {
    matches!(number % 4, 1 | 2)
}

fn generation(number: u64, shared: &Arc<Shared>) -> Arc<Generation> {
    let shared = Arc::clone(shared);
    let scenario = Scenario { plugin: true, ..Scenario::plain(vec![table()], ROWS, Vec::new()) };
    let mut own = plan(&scenario, Arc::clone(&shared.names));
    if is_wide(number) {
        own.tables[0].columns.push(ColumnShape::new("extra", Logical::Int));
    }
    let plan = Arc::new(own);
    let decoder = Arc::new(Decoder::new(Arc::clone(&plan), Options::default()));
    let description = format!("[{{\"number\":{number}}}]");
    Arc::new(Generation::new(number, description, None, move |_: &str| {
        let stages = Model { number, plan: Arc::clone(&plan), shared: Arc::clone(&shared) };
        Ok(Rules { plan: Arc::clone(&plan), decoder: Arc::clone(&decoder), stages: Box::new(stages) })
    }))
}

impl Model {
    /// In the middle of a batch, another generation goes live.
    fn publish(&self, batches: usize) {
        if batches.is_multiple_of(self.shared.every) {
            let next = generation(self.shared.live.of(LANE).number() + 1, &self.shared);
            next.make_ready(LANE).unwrap();
            self.shared.live.publish(next);
        }
    }
}

impl Stages for Model {
    fn admit(&mut self, batch: &mut Batch, plan: &Plan, _: Prepared) -> Prepared {
        let columns = plan.tables[0].columns.len();
        let (mut wrong, mut tables) = (Vec::new(), Vec::new());
        if !std::ptr::eq(plan, Arc::as_ptr(&self.plan)) {
            wrong.push(format!("generation {} was given another one's plan", self.number));
        }
        for table in &batch.tables {
            let has = table.after.columns.len();
            if has != columns {
                wrong.push(format!(
                    "generation {} needs {columns} columns, and {has} were decoded up to {}",
                    self.number, batch.through
                ));
            }
            let passed = (0..table.changes.len()).map(|row| {
                let extra = table.after.columns.get(COLUMNS.len());
                let extra =
                    extra.filter(|extra| extra.state(row) == State::Value).map(|extra| extra.int(row));
                if is_wide(self.number) && extra == Some(0) { Passed::Filtered } else { Passed::Keep }
            });
            let passed: Vec<Passed> = passed.collect();
            tables.push(PreparedTable { residency_passed: vec![true; passed.len()], passed });
        }
        let mut seen = self.shared.seen.lock().unwrap();
        seen.batches.push((self.number, batch.through));
        seen.wrong.extend(wrong);
        let batches = seen.batches.len();
        drop(seen);
        self.publish(batches);
        Prepared { tables }
    }

    fn merge(&mut self, contests: &Contests<'_>) -> Rulings {
        let mut seen = self.shared.seen.lock().unwrap();
        let (admitted, through) = *seen.batches.last().unwrap();
        if admitted != self.number {
            let number = self.number;
            seen.wrong
                .push(format!("the batch up to {through} was let in by {admitted} and decided by {number}"));
        }
        let rule = |contest: &Contest| {
            let ordering = order::by_columns(&[RANK], &contests.arenas, contest.incoming, contest.current);
            let verdict = if ordering == Ordering::Greater { Verdict::Take } else { Verdict::Keep };
            Ruling { verdict, archive: true, reason: Some(0) }
        };
        let reasons = vec![self.number.to_string().into()];
        Rulings { rulings: contests.rows.iter().map(rule).collect(), reasons, ..Rulings::default() }
    }
}

fn table() -> Table {
    Table { rule: Rule::Greatest(vec![RANK]), deletes: Deletes::Ordered, parents: Vec::new() }
}

/// Runs a lane over the stream; gives what was seen, and what the sink has on record.
fn run(every: usize) -> (Seen, Vec<GenerationRecord>, Vec<DecisionRecord>) {
    stopped_clock(async {
        let place = InMemory::new(1).await;
        let (sink, source) = (place.sink().await, MemorySource::new("CDC", CREATED, |_, _| true));
        publish(&source, CHANGES);
        let nothing = Generation::new(0, "[]".into(), None, |_: &str| Err("it is never asked".into()));
        let shared = Arc::new(Shared {
            live: Arc::new(Live::new(Arc::new(nothing))),
            names: Arc::default(),
            every,
            seen: Mutex::default(),
        });
        shared.live.publish(generation(1, &shared));
        lane(&source, &sink, &shared.live, CHANGES, ROWS).run(pending()).await.unwrap();
        let generations = sink.generations(None).await.unwrap();
        let decisions = sink.decisions(&Query { limit: 10_000, ..Query::default() }).await.unwrap();
        let seen = std::mem::take(&mut *shared.seen.lock().unwrap());
        (seen, generations, decisions)
    })
}

fn swapped(every: usize) {
    let (seen, generations, decisions) = run(every);
    assert_eq!(seen.wrong, Vec::<String>::new());
    let numbers: Vec<u64> = seen.batches.iter().map(|(number, _)| *number).collect();
    let swaps = numbers.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(swaps >= 15, "{swaps} swaps in {} batches: {numbers:?}", numbers.len());
    assert!(numbers.is_sorted(), "no generation comes again: {numbers:?}");
    let both = [false, true].map(|wide| numbers.iter().any(|number| is_wide(*number) == wide));
    assert_eq!(both, [true, true], "both contracts decided");
    assert!(decisions.len() > 100, "{} conflicts", decisions.len());
    let number = |record: &GenerationRecord| record.plugins[0]["number"].as_u64().unwrap();
    for decision in &decisions {
        let record = generations.iter().find(|record| record.id == decision.generation).unwrap();
        assert_eq!(decision.reason.as_deref(), Some(number(record).to_string().as_str()), "{decision:?}");
        assert!(record.from_sequence < decision.sequence);
        let later = generations.iter().filter(|g| g.from_sequence < decision.sequence).map(|g| g.id).max();
        assert_eq!(later, Some(record.id), "a decision's generation is the newest that began before it");
    }
}

/// A batch lies decoded by the old rules each time: it is committed by them, and the next one is decoded by the new.
#[test]
fn a_batch_is_decoded_let_in_and_decided_by_one_generation() {
    swapped(3);
}

/// Generations come faster than batches: what lies decoded by the old rules has to be decoded again.
#[test]
fn a_generation_that_cannot_wait_for_the_batch_that_lies_decoded_has_it_decoded_again() {
    swapped(1);
}
