//! Tables with one writer: the gate is the lane's, and rounds must not turn it into one that refuses a key's second
//! change in a batch.

use std::{collections::HashMap, sync::Arc};

use reconverge_streams::{
    columns::{Column, Columns, State},
    disposition::Disposition,
    headers::Headers,
    keys::KeyList,
    logical::Logical,
    names::Names,
    position::{Position, Seen},
    source::Delivery,
    standing::{Standing, StandingKey, StandingTable},
    table::{ColumnShape, TableId, TableShape},
};

use crate::{
    batch::{Batch, Change, Item, ItemKind, Op, TableBatch},
    plan::{Plan, Rule, TablePlan},
    resolve::{LeftOut, Resolved, decide, keys},
    stages::{Contests, Prepared, Rulings, Stages},
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
        table.before.push_row_of(State::NoRow);
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
            headers: Headers::default(),
            payload: bytes::Bytes::new(),
            published_at: 1,
        });
    }
    batch.through = changes.len() as u64;
    batch.tables.push(table);
    batch
}

fn resolved(plan: &Plan, changes: &[(i64, u64, i64)], gate: Vec<Seen>) -> Resolved {
    decided(plan, &batch(plan, changes), StandingTable { gate, ..StandingTable::default() })
}

fn decided(plan: &Plan, batch: &Batch, standing: StandingTable) -> Resolved {
    let (keyed, _) = keys::keyed(batch, plan, 0, &[]);
    let standing = Standing { tables: vec![standing], ..Standing::default() };
    let prepared = Prepared::all(batch);
    decide(batch, &prepared, &keyed, &standing, &LeftOut::default(), &mut Nobody, plan, 1).close()
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

/// The batch without the value of some changes.
fn without_value(mut batch: Batch, rows: &[usize]) -> Batch {
    let values = &mut batch.tables[0].after.columns[1];
    let all = std::mem::replace(values, Column::new(Logical::Int));
    for row in 0..all.len() {
        if rows.contains(&row) { values.push_state(State::Unavailable) } else { values.push_from(&all, row) }
    }
    batch
}

/// Such a table is read only for the values that were not sent: from the row itself, or from the one under its old key.
#[test]
fn only_rows_that_lack_a_value_are_read() {
    let plan = plan();
    let mut batch =
        without_value(batch(&plan, &[(1, 10, 100), (2, 11, 0), (3, 12, 300), (4, 13, 0)]), &[1, 3]);
    let old = 9_i64.to_be_bytes().to_vec();
    batch.tables[0].changes[3].moved = Some(old.clone());
    let (_, wanted) = keys::keyed(&batch, &plan, 7, &[]);
    let [table] = &wanted.tables[..] else { panic!("one table") };
    let key = |key: i64| key.to_be_bytes().to_vec();
    assert_eq!((wanted.from, table.versions), (7, false));
    assert_eq!(table.keys, KeyList::from_iter([key(2), key(4), old]));
    assert_eq!([0, 1].map(|i| table.cells.columns[0].int(i)), [2, 4]);
    let mut rows = Columns::new([Logical::Int, Logical::Int]);
    for (key, value) in [(2, 77), (9, 88)] {
        rows.columns[0].push_int(key);
        rows.columns[1].push_int(value);
        rows.end_row();
    }
    let stands = |row| StandingKey { row, ..StandingKey::default() };
    let keys = vec![stands(Some(0)), stands(None), stands(Some(1))];
    let resolved = decided(&plan, &batch, StandingTable { rows, keys, ..StandingTable::default() });
    let written: Vec<_> =
        resolved.writes.tables[0].upserts.iter().map(|u| (&u.columns[..], u.rows.rows())).collect();
    assert_eq!(written, [(&[0, 1][..], 3), (&[0], 1)], "what the sink has is not written again");
    let whole = &resolved.writes.tables[0].upserts[0].rows;
    assert_eq!([0, 1, 2].map(|row| whole.columns[1].int(row)), [100, 300, 88]);
    assert_eq!(resolved.local_writes, 0, "rows without versions are nobody's");
}

/// No history, no versions, no tombstones; what a delete meets is not known.
#[test]
fn nothing_is_kept_besides_the_rows() {
    let plan = plan();
    let mut batch = batch(&plan, &[(1, 10, 100), (2, 11, 200)]);
    batch.tables[0].changes[1].op = Op::Delete;
    let standing = StandingTable { too_old_through: Some(1_000), ..StandingTable::default() };
    let resolved = decided(&plan, &batch, standing);
    let counts: Vec<_> = resolved.writes.counts.present().collect();
    assert_eq!(counts, [(Disposition::Applied, 1), (Disposition::Deleted, 1)]);
    assert!(resolved.conflicts.is_empty() && resolved.writes.decisions.is_empty());
    let table = &resolved.writes.tables[0];
    assert!(table.versions.is_empty());
    assert_eq!((table.deletes.keys.rows(), &table.deletes.changes[..]), (1, &[1][..]));
    let again = decided(
        &plan,
        &self::batch(&plan, &[]),
        StandingTable { gate: table.gate.clone(), ..StandingTable::default() },
    );
    assert!(again.writes.tables[0].gate.is_empty(), "a gate that did not move is not written");
}

/// Without versions, too, an event of a source without positions takes effect once.
#[test]
fn an_event_that_was_seen_is_a_duplicate() {
    let plan = plan();
    let mut batch = batch(&plan, &[(1, 10, 100), (1, 11, 200)]);
    for change in &mut batch.tables[0].changes {
        (change.position, change.event_id) = (None, Some("e".into()));
    }
    let resolved = decided(&plan, &batch, StandingTable::default());
    let counts: Vec<_> = resolved.writes.counts.present().collect();
    assert_eq!(counts, [(Disposition::Applied, 1), (Disposition::Duplicate, 1)]);
    assert_eq!(resolved.repeats_told_by_sink, 1);
}
