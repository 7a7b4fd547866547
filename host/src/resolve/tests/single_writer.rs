//! Tables with one writer: the gate is the lane's, and rounds must not turn it into one that refuses a key's second
//! change in a batch.

use std::{collections::HashMap, sync::Arc};

use reconverge_streams::{
    columns::Columns,
    disposition::Disposition,
    logical::Logical,
    names::Names,
    position::{Position, Seen},
    source::Delivery,
    standing::{Standing, StandingTable},
    table::{ColumnShape, TableId, TableShape},
};

use crate::{
    batch::{Batch, Change, Item, ItemKind, Op, TableBatch},
    plan::{Plan, Rule, TablePlan},
    resolve::{LeftOut, Resolved, decide, keys},
    stages::{Contests, Passed, Prepared, PreparedTable, Rulings, Stages},
};

/// Nobody is asked under this policy.
struct Nobody;

impl Stages for Nobody {
    fn prepare(&mut self, _: &mut Batch, _: &Plan) -> Prepared {
        Prepared::default()
    }

    fn merge(&mut self, _: &Contests<'_>) -> Rulings {
        unreachable!("no plugin is asked about a table with one writer")
    }
}

fn plan() -> Plan {
    let columns: Vec<ColumnShape> = ["id", "value"].map(|name| ColumnShape::new(name, Logical::Int)).into();
    let shape = TableShape { name: "t".into(), columns, key: vec![0], has_other_unique: false };
    let names = Arc::new(Names::default());
    let region = names.intern("here").unwrap();
    let table = TablePlan {
        full_before_images: false,
        ..TablePlan::new(TableId(0), Arc::new(shape), Rule::None, "none")
    };
    let tables = vec![table];
    Plan {
        tables,
        by_source_name: HashMap::new(),
        region,
        names,
        clock_skew_us: 0,
        value_bytes: 1 << 20,
        leaving_max: u32::MAX,
    }
}

/// Changes of one source: key, commit position, value.
fn batch(plan: &Plan, changes: &[(i64, u64, i64)]) -> Batch {
    let columns = || Columns::new([Logical::Int, Logical::Int]);
    let mut table =
        TableBatch { table: TableId(0), changes: vec![], after: columns(), before: columns(), keys: vec![] };
    let mut batch = Batch::default();
    let source = plan.names.intern("east").unwrap();
    for (i, &(key, commit, value)) in (0..).zip(changes) {
        table.after.columns[0].push_int(key);
        table.after.columns[1].push_int(value);
        table.after.end_row();
        table.before.push_row_of(reconverge_streams::columns::State::NoRow);
        let begin = u32::try_from(table.keys.len()).unwrap();
        table.keys.extend_from_slice(&key.to_be_bytes());
        table.changes.push(Change {
            item: i,
            op: Op::Update,
            key: begin..begin + 8,
            source,
            position: Some(Position { epoch: 0, commit, ordinal: 0 }),
            origin: source,
            at: 1,
            published_at: 1,
            schema: 0,
            moved: None,
            event_id: None,
            transaction: None,
            clocks: Default::default(),
            redriven: None,
        });
        batch.items.push(Item { delivery: i, kind: ItemKind::Change(0, i) });
        batch.deliveries.push(Delivery {
            sequence: u64::from(i) + 1,
            subject: "s".into(),
            headers: vec![],
            payload: bytes::Bytes::new(),
            published_at: 1,
        });
    }
    batch.through = changes.len() as u64;
    batch.tables.push(table);
    batch
}

fn resolved(plan: &Plan, changes: &[(i64, u64, i64)], gate: Vec<Seen>) -> Resolved {
    let batch = batch(plan, changes);
    let (keyed, _) = keys::keyed(&batch, plan, 0, &[]);
    let standing =
        Standing { tables: vec![StandingTable { gate, ..StandingTable::default() }], ..Standing::default() };
    let passed = PreparedTable {
        passed: vec![Passed::Keep; changes.len()],
        residency_passed: vec![true; changes.len()],
    };
    let prepared = Prepared { tables: vec![passed] };
    decide(&batch, &prepared, &keyed, &standing, &LeftOut::default(), &mut Nobody, plan, 1).close()
}

#[test]
fn the_second_change_of_a_key_in_a_batch_takes_effect_although_other_keys_come_between() {
    let plan = plan();
    let resolved = resolved(&plan, &[(1, 10, 100), (2, 11, 200), (1, 12, 101), (3, 13, 300)], Vec::new());
    assert_eq!(resolved.writes.counts.present().collect::<Vec<_>>(), [(Disposition::Applied, 4)]);
    let rows = &resolved.writes.tables[0].upserts[0].rows;
    let values: Vec<(i64, i64)> =
        (0..rows.rows()).map(|row| (rows.columns[0].int(row), rows.columns[1].int(row))).collect();
    assert_eq!(values, [(1, 101), (2, 200), (3, 300)]);
    assert_eq!(resolved.writes.tables[0].gate[0].position.commit, 13);
}

#[test]
fn what_is_before_the_gate_is_refused_and_what_shares_its_position_passes() {
    let plan = plan();
    let source = plan.names.intern("east").unwrap();
    let position = Position { epoch: 0, commit: 11, ordinal: 0 };
    let gate = vec![Seen { source, position, deleted: false, live_at: 1 }];
    let resolved = resolved(&plan, &[(1, 10, 100), (2, 11, 200), (1, 12, 101), (2, 11, 201)], gate);
    let counts: Vec<_> = resolved.writes.counts.present().collect();
    assert_eq!(counts, [(Disposition::Applied, 2), (Disposition::Regressed, 2)]);
}
