//! Containment: whatever a plugin does wrong costs the guilty change, and nobody else's.

use std::time::Duration;

use proptest::prelude::*;
use reconverge::{
    batch::{Op, TableBatch},
    config::Stage,
    plugin::{PluginCounts, PluginEngine},
    stages::{Passed, Rulings, Stages, Verdict},
};
use reconverge_streams::logical::Logical;
use serde_json::{Value, json};

use crate::fixture::{Cell, Pipeline, Row, batch, call, contests, engine, spec, table, table_batch};

/// What a marked row says; it must be in no error text.
const MARKED: &str = "poison anna@example.com";

/// Ways to misbehave that `faulty` knows, each with the code of its dead letter.
const MODES: [(&str, &str); 18] = [
    ("trap", "trap"),
    ("loop", "fuel"),
    ("recurse", "trap"),
    ("error", "plugin-error"),
    ("verdict-short", "bad-answer"),
    ("verdict-long", "bad-answer"),
    ("verdict-unknown", "bad-answer"),
    ("verdict-failed", "plugin-failed"),
    ("reason-long", "bad-answer"),
    ("reason-out-of-range", "bad-answer"),
    ("reasons-many", "bad-answer"),
    ("write-undeclared", "bad-answer"),
    ("block-head", "bad-answer"),
    ("block-kind", "bad-answer"),
    ("block-bounds", "bad-answer"),
    ("block-offsets", "bad-answer"),
    ("block-state", "bad-answer"),
    ("block-text", "bad-answer"),
];

fn pipeline(engine: &PluginEngine, stage: Stage, config: Value) -> Pipeline {
    let table = table(0, "notes", &[("id", Logical::Int), ("note", Logical::Text)]);
    Pipeline::new(engine, &[spec("faulty", stage, &[0], config)], &[table])
}

/// `rows` rows, of which `marked` carry the marker.
fn rows(pipeline: &Pipeline, rows: usize, marked: &[usize]) -> TableBatch {
    let cells: Vec<[Cell<'_>; 2]> = (0..rows)
        .map(|i| [Cell::Int(i as i64), Cell::Text(if marked.contains(&i) { MARKED } else { "fine" })])
        .collect();
    let row = |after| Row { op: Op::Update, schema: 0, after, before: &[] };
    let made: Vec<Row<'_>> = cells.iter().map(|cells| row(&cells[..])).collect();
    table_batch(&pipeline.plan, 0, &made)
}

fn merged(pipeline: &mut Pipeline, batch: &TableBatch) -> Rulings {
    let met = contests(batch.changes.len(), &pipeline.plan, |_| false);
    pipeline.chain.merge(&call(&pipeline.plan, batch, &batch.after, &met))
}

/// The rows that were refused, each with its code and reason.
fn refused(rulings: &Rulings) -> Vec<(usize, &'static str, String)> {
    let refusal = |(i, ruling): (usize, &reconverge::stages::Ruling)| match &ruling.verdict {
        Verdict::Refuse(refusal) => Some((i, refusal.code, refusal.reason.clone())),
        verdict => {
            assert_eq!(*verdict, Verdict::Take, "row {i}");
            None
        }
    };
    rulings.rulings.iter().enumerate().filter_map(refusal).collect()
}

fn counts(pipeline: &Pipeline) -> PluginCounts {
    pipeline.chain.counts().next().unwrap()
}

#[test]
fn containment_in_merge_costs_the_guilty_changes_alone() {
    let engine = engine(|_| ());
    for (mode, code) in MODES {
        let mut pipeline = pipeline(&engine, Stage::Merge, json!({"mode": mode, "marker": "poison"}));
        let batch = rows(&pipeline, 40, &[3, 17]);
        let rulings = merged(&mut pipeline, &batch);
        assert_eq!(rulings.rulings.len(), 40, "{mode}");
        let guilty = refused(&rulings);
        let rows: Vec<usize> = guilty.iter().map(|refusal| refusal.0).collect();
        assert_eq!(rows, [3, 17], "{mode}");
        for (_, found, reason) in guilty {
            assert_eq!(found, code, "{mode}: {reason}");
            assert!(reason.starts_with("plugin `faulty` (") && !reason.contains("anna"), "{reason}");
        }
    }
}

#[test]
fn containment_before_merge_costs_the_guilty_changes_alone() {
    let engine = engine(|_| ());
    for (mode, code) in MODES {
        let mut pipeline = pipeline(&engine, Stage::Filter, json!({"mode": mode, "marker": "poison"}));
        let made = rows(&pipeline, 40, &[0, 39]);
        let mut batch = batch(vec![made]);
        let prepared = pipeline.chain.prepare(&mut batch, &pipeline.plan);
        for (i, passed) in prepared.tables[0].passed.iter().enumerate() {
            match passed {
                Passed::Refused(refusal) if i == 0 || i == 39 => {
                    assert_eq!((refusal.stage, refusal.code), ("filter", code), "{mode}: {}", refusal.reason);
                    assert_eq!(refusal.key.as_deref(), Some(format!("key {i}").as_bytes()));
                    assert!(!refusal.reason.contains("anna"), "{}", refusal.reason);
                }
                passed => assert_eq!((passed, i % 39 > 0), (&Passed::Keep, true), "{mode}: row {i}"),
            }
        }
        assert!(prepared.tables[0].residency_passed.iter().all(|passed| *passed), "no residency is bound");
    }
}

#[test]
fn a_plugin_that_always_fails_costs_all_of_its_rows_and_is_asked_again() {
    let mut pipeline = pipeline(&engine(|_| ()), Stage::Merge, json!({"mode": "trap"}));
    for _ in 0..2 {
        let batch = rows(&pipeline, 5, &[]);
        assert_eq!(refused(&merged(&mut pipeline, &batch)).len(), 5);
    }
    let counts = counts(&pipeline);
    assert_eq!((counts.rows, counts.guilty_rows), (10, 10));
    assert!(counts.faults >= 10, "{counts:?}");
}

#[test]
fn a_row_is_guilty_only_if_it_fails_alone_on_a_fresh_instance() {
    let mut pipeline = pipeline(&engine(|_| ()), Stage::Merge, json!({"mode": "trap", "marker": "poison"}));
    let (fine, poisoned) = (rows(&pipeline, 1, &[]), rows(&pipeline, 1, &[0]));
    assert!(refused(&merged(&mut pipeline, &fine)).is_empty());
    assert_eq!(refused(&merged(&mut pipeline, &poisoned)).len(), 1);
    let counts = counts(&pipeline);
    let told = (counts.calls, counts.faults, counts.guilty_rows);
    assert_eq!(told, (3, 2, 1), "asked on the used instance, then on a fresh one");
}

#[test]
fn a_fault_costs_neither_the_next_batch_nor_another_table() {
    let tables = [("a", 0), ("b", 1)]
        .map(|(name, id)| table(id, name, &[("id", Logical::Int), ("note", Logical::Text)]));
    let faulty = spec("faulty", Stage::Merge, &[0, 1], json!({"mode": "trap", "marker": "poison"}));
    let mut pipeline = Pipeline::new(&engine(|_| ()), &[faulty], &tables);
    let poisoned = rows(&pipeline, 3, &[0, 1, 2]);
    assert_eq!(refused(&merged(&mut pipeline, &poisoned)).len(), 3);
    let mut other = rows(&pipeline, 3, &[]);
    assert!(refused(&merged(&mut pipeline, &other)).is_empty());
    other.table = tables[1].id;
    assert!(refused(&merged(&mut pipeline, &other)).is_empty());
}

#[test]
fn a_call_that_has_fuel_left_is_stopped_at_its_deadline() {
    let engine = engine(|limits| {
        limits.fuel_base = u64::MAX / 2;
        limits.deadline = Duration::from_millis(30);
    });
    let mut pipeline = pipeline(&engine, Stage::Merge, json!({"mode": "loop", "marker": "poison"}));
    let batch = rows(&pipeline, 4, &[2]);
    let guilty = refused(&merged(&mut pipeline, &batch));
    assert_eq!((guilty.len(), guilty[0].0, guilty[0].1), (1, 2, "deadline"));
}

#[test]
fn a_call_that_takes_more_memory_than_it_may_have_costs_its_change() {
    // Filling memory costs fuel as well: enough of it that memory ends first.
    let engine = engine(|limits| limits.fuel_base = 10_000_000_000);
    let mut pipeline = pipeline(&engine, Stage::Merge, json!({"mode": "allocate", "marker": "poison"}));
    let batch = rows(&pipeline, 4, &[1]);
    let guilty = refused(&merged(&mut pipeline, &batch));
    assert_eq!((guilty.len(), guilty[0].0, guilty[0].1), (1, 1, "memory"));
}

#[test]
fn an_answer_far_over_its_size_is_not_copied() {
    let engine = engine(|limits| (limits.memory_bytes, limits.fuel_base) = (256 << 20, 10_000_000_000));
    let mut pipeline = pipeline(&engine, Stage::Merge, json!({"mode": "answer-huge", "marker": "poison"}));
    let batch = rows(&pipeline, 4, &[3]);
    let guilty = refused(&merged(&mut pipeline, &batch));
    assert_eq!((guilty.len(), guilty[0].0, guilty[0].1), (1, 3, "bad-answer"));
    assert!(guilty[0].2.contains("far too large"), "{}", guilty[0].2);
}

#[test]
fn a_flooded_log_is_cut_and_counted_and_the_answer_stands() {
    let engine = engine(|limits| limits.fuel_base = 10_000_000_000);
    let mut pipeline = pipeline(&engine, Stage::Filter, json!({"mode": "flood-log"}));
    let made = rows(&pipeline, 2, &[]);
    let mut batch = batch(vec![made]);
    let prepared = pipeline.chain.prepare(&mut batch, &pipeline.plan);
    assert_eq!(prepared.tables[0].passed, [Passed::Keep, Passed::Keep]);
    let counts = counts(&pipeline);
    assert_eq!(counts.log_lines + counts.log_lines_dropped, 100_000);
    // However slow the machine, a second has a hundred lines, and the call has five seconds.
    assert!(counts.log_lines >= 100 && counts.log_lines <= 700, "{counts:?}");
}

#[test]
fn fuel_of_a_batch_decides_nothing_and_a_row_alone_decides_the_same_in_any_batch() {
    // So little that a batch of good rows runs out, while each row alone does not.
    let engine = engine(|limits| (limits.fuel_base, limits.fuel_per_row) = (9_000, 1));
    let mut pipeline = pipeline(&engine, Stage::Merge, json!({}));
    let alone = rows(&pipeline, 1, &[]);
    assert!(refused(&merged(&mut pipeline, &alone)).is_empty(), "one row has fuel enough");
    let batch = rows(&pipeline, 500, &[]);
    assert!(refused(&merged(&mut pipeline, &batch)).is_empty());
    assert!(counts(&pipeline).faults > 0, "the batch as a whole had not");
    assert_eq!(counts(&pipeline).guilty_rows, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn exactly_the_marked_rows_are_guilty(rows_count in 1usize..60, marks in proptest::collection::btree_set(0usize..60, 0..8)) {
        let mut pipeline = pipeline(shared(), Stage::Merge, json!({"mode": "trap", "marker": "poison"}));
        let marked: Vec<usize> = marks.into_iter().filter(|mark| *mark < rows_count).collect();
        let batch = rows(&pipeline, rows_count, &marked);
        let rulings = merged(&mut pipeline, &batch);
        let guilty: Vec<usize> = refused(&rulings).into_iter().map(|refusal| refusal.0).collect();
        prop_assert_eq!(guilty, marked);
    }
}

fn shared() -> &'static PluginEngine {
    static ENGINE: std::sync::OnceLock<PluginEngine> = std::sync::OnceLock::new();
    ENGINE.get_or_init(|| engine(|_| ()))
}
