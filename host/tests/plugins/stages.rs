//! What residency, filter and mapping do to a batch, and that rows let go are not shown any further.

use reconverge::{
    batch::Op,
    config::Stage,
    plugin::BoundTable,
    stages::{Passed, Stages},
};
use reconverge_streams::{
    columns::{Column, State},
    logical::{Element, Logical},
    table::TableId,
};
use serde_json::json;

use crate::fixture::{Cell, NULL, Pipeline, Row, batch, engine, spec, table, table_batch};

const NO_ROW: Cell<'static> = Cell::Is(State::NoRow);

fn customers() -> BoundTable {
    let columns = [
        ("customer_id", Logical::Int),
        ("consent_regions", Logical::Array(Element::Text)),
        ("email", Logical::Text),
        ("note", Logical::Text),
    ];
    table(0, "customer_profiles", &columns)
}

fn told(column: &Column) -> Vec<String> {
    let cell = |i| match column.state(i) {
        State::Value => column.text(i).to_owned(),
        state => format!("{state:?}"),
    };
    (0..column.len()).map(cell).collect()
}

#[test]
fn residency_suppresses_redacts_and_tells_what_passed_whole() {
    let config = json!({
        "zone": "us",
        "tables": [{"table": "customer_profiles", "consent": "consent_regions", "redact": ["email"]}],
    });
    let mut pipeline =
        Pipeline::new(&engine(|_| ()), &[spec("residency", Stage::Residency, &[0], config)], &[customers()]);
    let consenting = [Cell::Int(1), Cell::Text(r#"["eu","us"]"#), Cell::Text("a@x"), Cell::Text("n")];
    let refusing = [Cell::Int(2), Cell::Text(r#"["eu"]"#), Cell::Text("b@x"), Cell::Text("n")];
    let rows = [
        Row { op: Op::Update, schema: 0, after: &consenting, before: &consenting },
        Row { op: Op::Update, schema: 0, after: &refusing, before: &refusing },
        Row { op: Op::Create, schema: 0, after: &refusing, before: &[NO_ROW; 4] },
    ];
    let mut batch = batch(vec![table_batch(&pipeline.plan, 0, &rows)]);
    let prepared = pipeline.chain.prepare(&mut batch, &pipeline.plan);
    assert_eq!(prepared.tables[0].passed, [Passed::Keep, Passed::Keep, Passed::Keep]);
    assert_eq!(
        prepared.tables[0].residency_passed,
        [true, false, false],
        "redacted rows have not passed whole"
    );
    assert_eq!(told(&batch.tables[0].after.columns[2]), ["a@x", "Null", "Null"]);
    assert_eq!(
        told(&batch.tables[0].before.columns[2]),
        ["a@x", "Unavailable", "NoRow"],
        "it cannot come back from before"
    );
    assert_eq!(told(&batch.tables[0].after.columns[3]), ["n", "n", "n"], "other columns stay");
}

#[test]
fn rows_that_residency_lets_go_are_shown_to_nobody() {
    let residency =
        json!({"zone": "us", "tables": [{"table": "customer_profiles", "consent": "consent_regions"}]});
    // The filter would trap if it saw the row.
    let filter = json!({"mode": "trap", "marker": "secret", "column": "note"});
    let specs =
        [spec("faulty", Stage::Filter, &[0], filter), spec("residency", Stage::Residency, &[0], residency)];
    let mut pipeline = Pipeline::new(&engine(|_| ()), &specs, &[customers()]);
    let row = |consent: Cell<'static>, note: &'static str| {
        [Cell::Int(1), consent, Cell::Text("a@x"), Cell::Text(note)]
    };
    let cells = [
        row(Cell::Text(r#"["eu"]"#), "secret"),
        row(NULL, "secret"),
        row(Cell::Text(r#"["us"]"#), "open"),
        row(Cell::Is(State::Unavailable), "secret"),
    ];
    let rows = cells.each_ref().map(|after| Row { op: Op::Create, schema: 0, after, before: &[NO_ROW; 4] });
    let mut batch = batch(vec![table_batch(&pipeline.plan, 0, &rows)]);
    let prepared = pipeline.chain.prepare(&mut batch, &pipeline.plan);
    let passed = &prepared.tables[0].passed;
    assert_eq!(passed[..3], [Passed::Suppressed, Passed::Suppressed, Passed::Keep]);
    let Passed::Refused(refusal) = &passed[3] else {
        panic!("an unknown consent is no consent: {:?}", passed[3])
    };
    assert_eq!((refusal.stage, refusal.code), ("residency", "plugin-failed"));
    assert!(
        refusal.reason.ends_with("failed the change"),
        "residency's words are not kept: {}",
        refusal.reason
    );
    assert_eq!(prepared.tables[0].residency_passed, [false, false, true, false]);
    assert!(pipeline.chain.counts().all(|counts| counts.faults == 0), "the filter saw none of them");
}

#[test]
fn of_a_deleted_row_that_residency_did_not_see_only_key_and_order_columns_go_on() {
    let mut columns =
        vec![("id", Logical::Int), ("modification_epoch", Logical::Int), ("region_source", Logical::Text)];
    columns.extend([("consent_regions", Logical::Array(Element::Text)), ("email", Logical::Text)]);
    let residency = json!({"zone": "us", "tables": [{"table": "*", "consent": "consent_regions"}]});
    let specs = [
        spec("schedule-merge", Stage::Merge, &[0], json!({})),
        spec("residency", Stage::Residency, &[0], residency),
    ];
    let mut pipeline = Pipeline::new(&engine(|_| ()), &specs, &[table(0, "schedules", &columns)]);
    let row = |before| Row {
        op: Op::Delete,
        schema: 0,
        after: &[Cell::Int(1), NO_ROW, NO_ROW, NO_ROW, NO_ROW],
        before,
    };
    let whole = [Cell::Int(1), Cell::Int(41), Cell::Text("eu"), Cell::Text(r#"["eu"]"#), Cell::Text("a@x")];
    let rows = [row(&whole), row(&whole[..1])];
    let mut batch = batch(vec![table_batch(&pipeline.plan, 0, &rows)]);
    let prepared = pipeline.chain.prepare(&mut batch, &pipeline.plan);
    assert_eq!(prepared.tables[0].passed, [Passed::Keep, Passed::Keep]);
    assert_eq!(prepared.tables[0].residency_passed, [false, true], "its bytes hold a row that nobody judged");
    let before = &batch.tables[0].before;
    assert_eq!((before.columns[0].int(0), before.columns[1].int(0)), (1, 41));
    assert_eq!(told(&before.columns[2]), ["eu", "Missing"]);
    assert_eq!(told(&before.columns[4]), ["Unavailable", "Missing"]);
}

#[test]
fn temporary_tables_are_filtered_deletes_too() {
    let session = table(0, "tmp_session_state", &[("session_id", Logical::Text), ("state", Logical::Text)]);
    let calls = table(1, "calls", &[("id", Logical::Int), ("note", Logical::Text)]);
    let specs = [spec("drop-temporary", Stage::Filter, &[0, 1], json!({}))];
    let mut pipeline = Pipeline::new(&engine(|_| ()), &specs, &[session, calls]);
    let of_session = [
        Row { op: Op::Create, schema: 0, after: &[Cell::Text("s"), Cell::Text("x")], before: &[NO_ROW; 2] },
        Row { op: Op::Delete, schema: 0, after: &[Cell::Text("s"), NO_ROW], before: &[Cell::Text("s")] },
    ];
    let of_calls =
        [Row { op: Op::Create, schema: 0, after: &[Cell::Int(1), Cell::Text("x")], before: &[NO_ROW; 2] }];
    let tables = vec![table_batch(&pipeline.plan, 1, &of_calls), table_batch(&pipeline.plan, 0, &of_session)];
    let prepared = pipeline.chain.prepare(&mut batch(tables), &pipeline.plan);
    assert_eq!(prepared.tables[0].passed, [Passed::Keep]);
    assert_eq!(prepared.tables[1].passed, [Passed::Filtered, Passed::Filtered]);
}

#[test]
fn mapping_fills_a_column_from_one_that_only_the_source_has() {
    let agents =
        table(0, "agents", &[("id", Logical::Int), ("full_name", Logical::Text), ("level", Logical::Int)]);
    let config = json!({"tables": [{"table": "agents", "versions": {
        "2": {},
        "1": {"columns": {"full_name": {"from": "name"}, "level": {"default": 3}}},
        "0": {"refuse": "names were split"},
    }}]});
    let mut pipeline =
        Pipeline::new(&engine(|_| ()), &[spec("schema-map", Stage::Mapping, &[0], config)], &[agents]);
    assert_eq!(pipeline.set.source_columns(), [(TableId(0), "name".to_owned(), Logical::Text)]);
    const MISSING: Cell<'static> = Cell::Is(State::Missing);
    let rows = [
        Row {
            op: Op::Update,
            schema: 1,
            after: &[Cell::Int(1), MISSING, MISSING, Cell::Text("Anna")],
            before: &[],
        },
        Row {
            op: Op::Update,
            schema: 2,
            after: &[Cell::Int(2), Cell::Text("Bo"), Cell::Int(7)],
            before: &[],
        },
        Row { op: Op::Update, schema: 9, after: &[Cell::Int(3), Cell::Text("Cy")], before: &[] },
        Row {
            op: Op::Delete,
            schema: 1,
            after: &[Cell::Int(4), NO_ROW, NO_ROW, NO_ROW],
            before: &[Cell::Int(4)],
        },
    ];
    let mut batch = batch(vec![table_batch(&pipeline.plan, 0, &rows)]);
    let prepared = pipeline.chain.prepare(&mut batch, &pipeline.plan);
    let passed = &prepared.tables[0].passed;
    assert_eq!((&passed[0], &passed[1], &passed[3]), (&Passed::Keep, &Passed::Keep, &Passed::Keep));
    let Passed::Refused(refusal) = &passed[2] else { panic!("version 9 is not known: {:?}", passed[2]) };
    assert_eq!((refusal.stage, refusal.code), ("mapping", "plugin-failed"));
    let after = &batch.tables[0].after;
    assert_eq!(told(&after.columns[1]), ["Anna", "Bo", "Cy", "NoRow"]);
    assert_eq!(
        (after.columns[2].int(0), after.columns[2].int(1), after.columns[2].state(3)),
        (3, 7, State::NoRow)
    );
}
