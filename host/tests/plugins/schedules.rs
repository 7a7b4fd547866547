//! The merge plugin of the README against the same rule as native code, on odd contests, in batches of any size.

use reconverge::{
    batch::{Op, TableBatch},
    config::Stage,
    stages::{Ruling, Rulings, Stages, Verdict},
};
use reconverge_streams::{
    columns::{Columns, State},
    logical::Logical,
};
use serde_json::json;

use crate::fixture::{Cell, NULL, Pipeline, Row, call, contests, engine, spec, table, table_batch};

const UNSENT: Cell<'static> = Cell::Is(State::Unavailable);
const MISSING: Cell<'static> = Cell::Is(State::Missing);
const NO_ROW: Cell<'static> = Cell::Is(State::NoRow);

/// Integers that floats, 32 bits or signs would get wrong.
const EPOCHS: [i64; 9] =
    [i64::MIN, -1, 0, 1, 4_294_967_296, 9_007_199_254_740_992, 9_007_199_254_740_993, i64::MAX - 1, i64::MAX];
/// Texts that UTF-16 would order otherwise than UTF-8, and some without any length.
const REGIONS: [&str; 7] = ["", "a", "eu", "us-east", "\u{e000}", "\u{10ffff}", "\u{1f600} smile"];

/// A row's two contract columns.
type Shift = [Cell<'static>; 2];

/// Shifts in an order that is fixed and looks like none, so that every size of batch meets every kind.
fn shifts(seed: u64, count: usize) -> Vec<Shift> {
    let mut state = seed;
    let mut next = |below: usize| {
        // The step of Knuth's MMIX generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut shift = || match next(16) {
        0 => [NULL, Cell::Text("eu")],
        1 => [Cell::Int(5), NULL],
        2 => [UNSENT, Cell::Text("eu")],
        3 => [Cell::Int(5), MISSING],
        4 => [NO_ROW, NO_ROW],
        _ => [Cell::Int(EPOCHS[next(EPOCHS.len())]), Cell::Text(REGIONS[next(REGIONS.len())])],
    };
    (0..count).map(|_| shift()).collect()
}

/// The rule in native code: verdict, archive, reason.
fn native(incoming: &Shift, current: &Shift) -> (Verdict, bool, Option<String>) {
    let is_none = |shift: &Shift| matches!(shift[0], Cell::Is(State::NoRow));
    if is_none(current) {
        return (Verdict::Take, false, None);
    }
    if is_none(incoming) {
        return (Verdict::Delete, true, None);
    }
    let (Some(new), Some(old)) = (value(incoming), value(current)) else {
        return (Verdict::Keep, false, Some("refused".into()));
    };
    if new > old {
        (Verdict::Take, true, None)
    } else {
        (Verdict::Keep, true, Some("older modification_epoch".into()))
    }
}

fn value(shift: &Shift) -> Option<(i64, &'static str)> {
    match *shift {
        [Cell::Int(epoch), Cell::Text(region)] => Some((epoch, region)),
        _ => None,
    }
}

fn said(rulings: &Rulings, ruling: &Ruling) -> (Verdict, bool, Option<String>) {
    match &ruling.verdict {
        Verdict::Refuse(refusal) => {
            assert_eq!((refusal.stage, refusal.code), ("merge", "plugin-failed"));
            (Verdict::Keep, ruling.archive, Some("refused".into()))
        }
        verdict => {
            (verdict.clone(), ruling.archive, rulings.reason(ruling).map(|reason| (**reason).to_owned()))
        }
    }
}

fn after(pipeline: &Pipeline, shifts: &[Shift]) -> TableBatch {
    let cells: Vec<[Cell<'_>; 3]> = shifts.iter().map(|shift| [Cell::Int(1), shift[0], shift[1]]).collect();
    let row = |cells| Row { op: Op::Update, schema: 0, after: cells, before: &[] };
    let rows: Vec<Row<'_>> = cells.iter().map(|cells| row(&cells[..])).collect();
    table_batch(&pipeline.plan, 0, &rows)
}

fn pipeline() -> Pipeline {
    let columns =
        [("id", Logical::Int), ("modification_epoch", Logical::Int), ("region_source", Logical::Text)];
    let specs = [spec("schedule-merge", Stage::Merge, &[0], json!({}))];
    Pipeline::new(&engine(|_| ()), &specs, &[table(0, "schedules", &columns)])
}

#[test]
fn decisions_equal_the_native_rule_in_batches_of_any_size() {
    let mut pipeline = pipeline();
    let (incoming, current) = (shifts(1, 2000), shifts(2, 2000));
    let wanted: Vec<_> = incoming.iter().zip(&current).map(|(new, old)| native(new, old)).collect();
    for size in [1, 7, 100, 2000] {
        // What stands lies in one arena for the first half, in two for the second.
        let mut found = Vec::new();
        for (k, (new, old)) in incoming.chunks(size).zip(current.chunks(size)).enumerate() {
            let (batch, standing) = (after(&pipeline, new), after(&pipeline, old).after);
            let is_mixed = k * size >= 1000 || size == 2000;
            let met = contests(new.len(), &pipeline.plan, |i| is_mixed && i % 3 == 0);
            let rulings = pipeline.chain.merge(&call(&pipeline.plan, &batch, &standing, &met));
            assert_eq!(rulings.written_columns, Vec::<usize>::new());
            found.extend(rulings.rulings.iter().map(|ruling| said(&rulings, ruling)));
        }
        for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            assert_eq!(found, wanted, "batches of {size}, row {i}: {:?} meets {:?}", incoming[i], current[i]);
        }
        assert_eq!(found.len(), 2000);
    }
    assert!(
        wanted.iter().filter(|wanted| wanted.0 == Verdict::Take).count() > 300,
        "the contests are not all alike"
    );
}

#[test]
fn what_stands_may_lack_the_columns_that_only_the_source_has() {
    let mut pipeline = pipeline();
    let batch = after(&pipeline, &shifts(3, 4));
    let standing = Columns::new([Logical::Int]);
    let met = contests(4, &pipeline.plan, |_| false);
    let rulings = pipeline.chain.merge(&call(&pipeline.plan, &batch, &standing, &met));
    assert_eq!(rulings.rulings.len(), 4, "its cells arrive as not sent");
}

#[test]
fn rows_of_one_reason_share_it() {
    let mut pipeline = pipeline();
    let old = [[Cell::Int(1), Cell::Text("eu")]; 3];
    let batch = after(&pipeline, &old);
    let met = contests(3, &pipeline.plan, |_| false);
    let rulings = pipeline.chain.merge(&call(&pipeline.plan, &batch, &batch.after, &met));
    assert_eq!(rulings.reasons.len(), 1);
    assert!(rulings.rulings.iter().all(|ruling| ruling.reason == Some(0)));
}
