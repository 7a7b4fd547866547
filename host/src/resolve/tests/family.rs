//! Rule 7 beside a plain serial oracle: whatever the batches, a row is in the sink exactly if it stands and every row
//! that it names is in the sink, and everything else that stands is kept beside.
//!
//! Three tables in the memory sink: `a`, its child `b`, and `c`, which names an `a` and a `b`. As trees, an `a` names an
//! `a` too, and a `b` a `b`: then a row is in the sink if the rows above it are, up to one that names nobody else.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use reconverge_streams::{
    canonical,
    checkpoint::{LaneId, PlanDigest},
    columns::{Columns, State},
    disposition::{Counts, Disposition},
    family::FamilyWanted,
    headers::Headers,
    logical::Logical,
    memory::{
        database::MemoryDatabase,
        sink::{MemoryClaim, MemorySink},
    },
    names::Names,
    position::Position,
    records::{ParkedRecord, Query, Records},
    sink::{Claim, ClaimRequest, Sink},
    source::Delivery,
    table::{ColumnShape, TableId, TableShape},
};

use super::family_oracle::{Event, Oracle, What, events};
use crate::{
    batch::{Batch, Change, Item, ItemKind, Op, Refusal},
    plan::{Parent, Plan, Rule, TablePlan},
    resolve::{LeftOut, Resolved, decide, keys, tree::LEVELS_MAX},
    stages::{Contests, Passed, Prepared, PreparedTable, Ruling, Rulings, Stages, Verdict},
};

const TABLES: [&str; 3] = ["a", "b", "c"];

struct Marks;

impl Stages for Marks {
    fn prepare(&mut self, _: &mut Batch, _: &Plan) -> Prepared {
        Prepared::default()
    }

    /// Where a table asks: a mark of its own in place of the incoming one.
    fn merge(&mut self, contests: &Contests<'_>) -> Rulings {
        let mut written = Columns::new([Logical::Int]);
        let mut rulings = Vec::new();
        for row in 0..u32::try_from(contests.rows.len()).unwrap() {
            written.columns[0].push_int(-1);
            written.end_row();
            rulings.push(Ruling { verdict: Verdict::Write(row), archive: false, reason: None });
        }
        Rulings { rulings, reasons: Vec::new(), written, written_columns: vec![3] }
    }
}

fn shape(table: usize) -> Arc<TableShape> {
    let columns = ["id", "a", "b", "mark"].map(|name| ColumnShape::new(name, Logical::Int)).into();
    Arc::new(TableShape { name: TABLES[table].into(), columns, key: vec![0], has_other_unique: false })
}

fn plan(trees: bool) -> Plan {
    let names = Arc::new(Names::default());
    let parent = |table: u16| Parent { table: TableId(table), columns: vec![usize::from(table) + 1] };
    let table = |at: usize| TablePlan {
        depends_on: (0..u16::try_from(if trees { at.min(1) + 1 } else { at }).unwrap()).map(parent).collect(),
        full_before_images: false,
        ..TablePlan::new(TableId(u16::try_from(at).unwrap()), shape(at), Rule::TakeIncoming, "take-incoming")
    };
    Plan {
        tables: (0..3).map(table).collect(),
        by_source_name: HashMap::new(),
        region: names.intern("here").unwrap(),
        names,
        clock_skew_us: 0,
        value_bytes: 1 << 20,
        leaving_max: u32::MAX,
    }
}

async fn claim(database: &MemoryDatabase, plan: &Plan, lane: &str) -> MemoryClaim {
    let request = ClaimRequest {
        lane: LaneId { pipeline: "p".into(), source: "s".into(), lane: lane.into(), partition: 0 },
        owner: "one".into(),
        lease: Duration::from_secs(600),
        stream: "S".into(),
        stream_created: 0,
        plan: PlanDigest([0; 32]),
        tables: (0..3).map(shape).collect(),
        region: "here".into(),
        names: Arc::clone(&plan.names),
    };
    MemorySink::new(database.clone()).claim(request).await.unwrap()
}

/// The engine with the memory sink.
pub(super) struct World {
    trees: bool,
    pub(super) plan: Plan,
    database: MemoryDatabase,
    pub(super) claim: MemoryClaim,
    source: &'static str,
    /// What the last batch asked of parents and children.
    pub(super) asked: Vec<FamilyWanted>,
}

impl World {
    pub(super) async fn new(trees: bool) -> Self {
        let (plan, database) = (plan(trees), MemoryDatabase::default());
        for table in 0..3 {
            let mut defaults = Columns::new([Logical::Int; 4]);
            defaults.push_row_of(State::Null);
            database.create(TableShape::clone(&shape(table)), Vec::new(), defaults).await;
        }
        let claim = claim(&database, &plan, "main").await;
        World { trees, plan, database, claim, source: "east", asked: Vec::new() }
    }

    /// Another lane into the same sink, of the source by the lane's name.
    pub(super) async fn beside(&self, lane: &'static str) -> Self {
        let plan = plan(self.trees);
        let claim = claim(&self.database, &plan, lane).await;
        let database = self.database.clone();
        World { trees: self.trees, plan, database, claim, source: lane, asked: Vec::new() }
    }

    pub(super) fn batch(&self, events: &[Event]) -> (Batch, Prepared) {
        let first = self.claim.checkpoint().sequence;
        let mut batch = Batch { through: first + events.len() as u64, ..Batch::default() };
        let mut prepared = Prepared::default();
        (0..3).for_each(|table| batch.include(TableId(table), &self.plan));
        prepared.tables.resize_with(3, PreparedTable::default);
        let source = self.plan.names.intern(self.source).unwrap();
        for (item, event) in (0..).zip(events) {
            let sequence = first + u64::from(item) + 1;
            let table = &mut batch.tables[event.table];
            let mark = (event.what != What::Delete).then(|| i64::try_from(sequence).unwrap());
            for (c, cell) in [Some(event.id), event.a, event.b, mark].into_iter().enumerate() {
                match cell {
                    Some(cell) => table.after.columns[c].push_int(cell),
                    None if event.what == What::Delete => table.after.columns[c].push_state(State::NoRow),
                    None => table.after.columns[c].push_state(State::Null),
                }
            }
            table.after.end_row();
            table.before.push_row_of(State::NoRow);
            let (row, start) = (table.changes.len(), u32::try_from(table.keys.len()).unwrap());
            canonical::key(&[&table.after.columns[0]], row, &mut table.keys);
            let at = i64::try_from(sequence).unwrap();
            table.changes.push(Change {
                item,
                op: if event.what == What::Delete { Op::Delete } else { Op::Update },
                key: start..u32::try_from(table.keys.len()).unwrap(),
                source,
                position: Some(Position { epoch: 0, commit: sequence, ordinal: 0 }),
                origin: source,
                at,
                published_at: at,
                schema: 0,
                moved: None,
                event_id: None,
                transaction: None,
                clocks: Default::default(),
                redriven: None,
            });
            let row = u32::try_from(row).unwrap();
            batch.items.push(Item {
                delivery: item,
                kind: ItemKind::Change(u32::try_from(event.table).unwrap(), row),
            });
            batch.deliveries.push(Delivery {
                sequence,
                subject: "s".into(),
                headers: Headers::default(),
                payload: bytes::Bytes::new(),
                published_at: at,
            });
            let prepared = &mut prepared.tables[event.table];
            prepared.passed.push(passed(event));
            prepared.residency_passed.push(true);
        }
        (batch, prepared)
    }

    pub(super) async fn apply(&mut self, events: &[Event]) -> Resolved {
        self.apply_batch(self.batch(events), &[], &LeftOut::default()).await
    }

    /// Puts in what a sweep finds; false where that is nothing.
    pub(super) async fn sweep(&mut self) -> bool {
        let swept = self.claim.sweep(100).await.unwrap();
        self.apply_batch(self.batch(&[]), &swept, &LeftOut::default()).await;
        !swept.is_empty()
    }

    pub(super) async fn apply_batch(
        &mut self,
        batch: (Batch, Prepared),
        swept: &[(TableId, Vec<Vec<u8>>)],
        left_out: &LeftOut,
    ) -> Resolved {
        self.try_batch(batch, swept, left_out).await.expect("as many may leave as do")
    }

    /// The same; or of which table too many rows leave.
    pub(super) async fn try_batch(
        &mut self,
        (batch, prepared): (Batch, Prepared),
        swept: &[(TableId, Vec<Vec<u8>>)],
        left_out: &LeftOut,
    ) -> Result<Resolved, TableId> {
        let from = self.claim.checkpoint().sequence;
        let (keyed, wanted) = keys::keyed(&batch, &self.plan, from, swept);
        let standing = self.claim.begin(wanted).await.unwrap();
        let mut decided = decide(&batch, &prepared, &keyed, &standing, left_out, &mut Marks, &self.plan, 1);
        self.asked.clear();
        while let Some(asked) = decided.asks() {
            self.asked.push(asked.clone());
            decided.learn(self.claim.family(asked).await.unwrap());
        }
        if let Some(table) = decided.leaves_too_many() {
            self.claim.abandon().await;
            return Err(table);
        }
        let resolved = decided.close();
        self.claim.commit(resolved.writes.clone()).await.unwrap();
        Ok(resolved)
    }

    /// The cells of a row in the sink, by its table and id.
    pub(super) async fn row(&self, table: usize, id: i64) -> Option<[Option<i64>; 4]> {
        let rows = self.database.rows(TABLES[table]).await.unwrap();
        let at = (0..rows.rows()).find(|&row| rows.columns[0].int(row) == id)?;
        let cell = |c: usize| (rows.columns[c].state(at) == State::Value).then(|| rows.columns[c].int(at));
        Some([0, 1, 2, 3].map(cell))
    }

    /// What is kept beside.
    pub(super) async fn parked(&self) -> Vec<ParkedRecord> {
        let records = MemorySink::new(self.database.clone());
        records.parked(&Query { limit: 10_000, ..Query::default() }).await.unwrap()
    }

    pub(super) fn counts(&self) -> Counts {
        self.claim.checkpoint().counts
    }

    /// The application writes a row.
    pub(super) async fn write_locally(&self, table: usize, row: [i64; 4]) {
        let mut cells = Columns::new([Logical::Int; 4]);
        cells.columns.iter_mut().zip(row).for_each(|(column, cell)| column.push_int(cell));
        cells.end_row();
        self.database.write(TABLES[table], &[0, 1, 2, 3], &cells).await;
    }

    /// Marks of the rows in the sink, and of those that are kept with the reason and whom they wait for.
    pub(super) async fn found(
        &self,
    ) -> (BTreeMap<(usize, i64), i64>, BTreeMap<(usize, i64), (i64, String, String)>) {
        let mut there = BTreeMap::new();
        for (table, name) in TABLES.iter().enumerate() {
            let rows = self.database.rows(name).await.unwrap();
            there.extend((0..rows.rows()).map(|r| ((table, rows.columns[0].int(r)), rows.columns[3].int(r))));
        }
        let kept = self.parked().await.into_iter().map(|kept| {
            let number =
                |of: &serde_json::Value| of.as_str().map_or(of.as_i64(), |t| t.parse().ok()).unwrap();
            let row = kept.row.unwrap();
            let table = TABLES.iter().position(|t| *t == kept.table).unwrap();
            let waits = format!("{} {}", kept.waits_table.unwrap(), kept.waits_key.unwrap());
            ((table, number(&row["id"])), (number(&row["mark"]), kept.why, waits))
        });
        (there, kept.collect())
    }
}

fn passed(event: &Event) -> Passed {
    match event.what {
        What::Write | What::Delete => Passed::Keep,
        What::Filtered => Passed::Filtered,
        What::Refused => Passed::Refused(Refusal {
            stage: "mapping",
            code: "rejected",
            reason: "by the test".into(),
            table: Some(TableId(u16::try_from(event.table).unwrap())),
            key: Some(key_of(event.id)),
        }),
    }
}

pub(super) fn key_of(id: i64) -> Vec<u8> {
    let (mut cells, mut key) = (Columns::new([Logical::Int]), Vec::new());
    cells.columns[0].push_int(id);
    cells.end_row();
    canonical::key(&[&cells.columns[0]], 0, &mut key);
    key
}

fn name_of((table, id): (usize, i64)) -> String {
    let mut cells = Columns::new([Logical::Int]);
    cells.columns[0].push_int(id);
    cells.end_row();
    let key = reconverge_streams::text::to_json([("id", &cells.columns[0])], 0);
    format!("{} {key}", TABLES[table])
}

async fn check(history: &[Event], cuts: &[usize], trees: bool) -> Result<(), TestCaseError> {
    let (mut world, mut oracle, mut from) = (World::new(trees).await, Oracle::default(), 0);
    for to in cuts.iter().copied().chain([history.len()]).filter(|to| *to > 0) {
        let to = to.max(from);
        if to == from {
            continue;
        }
        for (at, event) in (from..to).zip(&history[from..to]) {
            oracle.take(event, i64::try_from(at + 1).unwrap());
        }
        world.apply(&history[from..to]).await;
        from = to;
        let (there, kept) = world.found().await;
        let [visible, beside] = oracle.marks();
        prop_assert_eq!(&there, &visible, "in the sink after {} changes", to);
        let marks: BTreeMap<_, _> = kept.iter().map(|(key, (mark, ..))| (*key, *mark)).collect();
        prop_assert_eq!(&marks, &beside, "kept beside after {} changes", to);
        for (key, (_, why, waits)) in &kept {
            let missing = oracle.missing(*key);
            prop_assert!(missing.iter().any(|m| name_of(*m) == *waits), "{key:?} waits for {waits}");
            // The reason is about the row that it is filed under; with two missing it may be about the other one.
            let has_one_parent = key.0 == usize::from(!world.trees);
            if let ([one], true) = (&missing[..], has_one_parent) {
                prop_assert_eq!(why == "orphaned", oracle.is_gone(*one), "{:?} waits for {}", key, waits);
            }
        }
        let counts = world.claim.checkpoint().counts;
        prop_assert_eq!(counts.sum(), to as u64);
        let waiting = counts.get(Disposition::Parked) + counts.get(Disposition::Orphaned);
        prop_assert_eq!(waiting, kept.len() as u64, "each kept row is one change: {:?}", counts);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Promise 5.
    #[test]
    fn dependency_order(history in events(false), mut cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        cuts.iter_mut().for_each(|c| *c %= history.len() + 1);
        cuts.sort_unstable();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(&history, &cuts, false))?;
    }

    /// Promise 5 of tables that name themselves, rings and rows that name themselves included.
    #[test]
    fn dependency_order_in_trees(history in events(true), mut cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        cuts.iter_mut().for_each(|c| *c %= history.len() + 1);
        cuts.sort_unstable();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(&history, &cuts, true))?;
    }
}

/// A tree that is deeper than one transaction brings in: sweeps bring in the rest. It leaves as a whole.
#[tokio::test]
async fn a_deep_tree_comes_in_by_sweeps_and_leaves_at_once() {
    let deep = i64::from(LEVELS_MAX) + 100;
    let event = |id: i64, what| Event { table: 0, id, a: (id > 0).then_some(id - 1), b: None, what };
    let mut world = World::new(true).await;
    let below: Vec<Event> = (1..deep).map(|id| event(id, What::Write)).collect();
    world.apply(&below).await;
    assert_eq!(world.found().await.0.len(), 0);
    world.apply(&[event(0, What::Write)]).await;
    let came = i64::try_from(world.found().await.0.len()).unwrap();
    assert!(came >= i64::from(LEVELS_MAX) && came < deep, "{came}");
    while world.sweep().await {}
    assert_eq!(i64::try_from(world.found().await.0.len()).unwrap(), deep);
    world.apply(&[event(0, What::Delete)]).await;
    let (there, kept) = world.found().await;
    assert_eq!((there.len(), i64::try_from(kept.len()).unwrap()), (0, deep - 1));
}
