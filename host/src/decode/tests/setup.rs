//! Plans, deliveries, and a line of text for what each item became.

use std::sync::Arc;

use reconverge_streams::{
    canonical,
    columns::{Columns, State},
    logical::Logical,
    names::Names,
    source::{Delivery, Pulled},
    table::{ColumnShape, TableId, TableShape},
    text,
};

use crate::{
    batch::{Batch, ItemKind, TableBatch},
    config::Format,
    decode::{Decoder, Options},
    plan::{Plan, Rule, TablePlan},
};

/// `name:logical`, then `=sql_type` with `_` for spaces, then `!` for not null.
pub(super) fn column(spelt: &str) -> ColumnShape {
    let (spelt, not_null) = spelt.strip_suffix('!').map_or((spelt, false), |s| (s, true));
    let (name, rest) = spelt.split_once(':').unwrap();
    let (logical, sql) = rest.split_once('=').unwrap_or((rest, ""));
    let mut shape = ColumnShape::new(name, logical.parse().unwrap());
    shape.not_null = not_null;
    if sql.is_empty() {
        return shape;
    }
    shape.sql_type = sql.replace('_', " ");
    let parameters: Vec<u32> = sql
        .split_once('(')
        .map(|(_, p)| p.split(')').next().unwrap().split(',').map(|n| n.parse().unwrap()).collect())
        .unwrap_or_default();
    let element = match shape.logical {
        Logical::Array(element) => element.logical(),
        logical => logical,
    };
    match element {
        Logical::Decimal => shape.scale = parameters.get(1).map(|s| u8::try_from(*s).unwrap()),
        Logical::Timestamp | Logical::Time => {
            shape.precision = parameters.first().map(|p| u8::try_from(*p).unwrap());
        }
        Logical::Text => shape.length = parameters.first().copied(),
        Logical::Float => shape.length = (sql == "real").then_some(24),
        Logical::Int if sql == "smallint" => shape.int_range = (i64::from(i16::MIN), i64::from(i16::MAX)),
        Logical::Int if sql == "integer" => shape.int_range = (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => {}
    }
    shape
}

pub(super) fn table(name: &str, key: &str, columns: &str) -> TablePlan {
    let columns: Vec<ColumnShape> = columns.split_whitespace().map(column).collect();
    let place = |name: &str| columns.iter().position(|c| c.name == name).unwrap();
    let key = key.split_whitespace().map(place).collect();
    let shape = TableShape { name: name.into(), columns, key, has_other_unique: false };
    TablePlan::new(TableId(0), Arc::new(shape), Rule::TakeIncoming, "take-incoming")
}

pub(super) fn decoder(tables: Vec<TablePlan>, options: Options) -> Decoder {
    let names = Arc::new(Names::default());
    let region = names.intern("home").unwrap();
    let by_source_name = (0..).zip(&tables).map(|(i, t)| (t.source_name.clone(), TableId(i))).collect();
    let tables = (0..).zip(tables).map(|(i, t)| TablePlan { id: TableId(i), ..t }).collect();
    Decoder::new(
        Arc::new(Plan {
            tables,
            by_source_name,
            region,
            names,
            clock_skew_us: 0,
            value_bytes: 1 << 20,
            leaving_max: u32::MAX,
        }),
        options,
    )
}

pub(super) fn debezium() -> Options {
    Options { format: Format::DebeziumJson, ..Options::default() }
}

pub(super) fn delivery(subject: &str, headers: &[(&str, &str)], payload: impl Into<Vec<u8>>) -> Delivery {
    Delivery {
        sequence: 1,
        subject: subject.into(),
        headers: headers.iter().copied().collect(),
        payload: payload.into().into(),
        published_at: 77,
    }
}

pub(super) fn pulled(deliveries: Vec<Delivery>) -> Pulled {
    let scanned = deliveries.last().map_or(0, |d| d.sequence);
    Pulled { deliveries, scanned }
}

/// One line for each item.
pub(super) fn told(decoder: &Decoder, deliveries: Vec<Delivery>) -> Vec<String> {
    let count = deliveries.len();
    let batch = decoder.decode(pulled(deliveries));
    rectangular(&batch, count);
    batch.items.iter().map(|item| tell(decoder, &batch, &item.kind)).collect()
}

/// The invariants of any batch.
pub(super) fn rectangular(batch: &Batch, deliveries: usize) {
    assert_eq!(batch.deliveries.len(), deliveries);
    let mut seen = vec![false; deliveries];
    for (i, item) in batch.items.iter().enumerate() {
        seen[item.delivery as usize] = true;
        if let ItemKind::Change(table, row) = item.kind {
            assert_eq!(batch.tables[table as usize].changes[row as usize].item as usize, i);
        }
    }
    assert!(seen.into_iter().all(|s| s), "every delivery has an item");
    assert!(batch.items.is_sorted_by_key(|item| item.delivery));
    for table in &batch.tables {
        for columns in [&table.after, &table.before] {
            assert_eq!(columns.rows(), table.changes.len());
            assert!(columns.columns.iter().all(|c| c.len() == table.changes.len()));
        }
        let mut end = 0;
        for change in &table.changes {
            assert!(change.key.start == end && change.key.end > end, "keys lie end to end");
            end = change.key.end;
        }
        assert_eq!(end as usize, table.keys.len());
    }
}

fn tell(decoder: &Decoder, batch: &Batch, kind: &ItemKind) -> String {
    match kind {
        ItemKind::Settled(disposition) | ItemKind::Held(_, disposition) => disposition.to_string(),
        ItemKind::Refused(refusal) => {
            let key = if refusal.key.is_some() { " (with key)" } else { "" };
            format!("{}: {}{key}", refusal.code, refusal.reason)
        }
        ItemKind::Change(table, row) => {
            let table = &batch.tables[*table as usize];
            let plan = decoder.plan().table(table.table);
            let change = &table.changes[*row as usize];
            let row = *row as usize;
            let mut line = format!(
                "{} {} {} before {}",
                change.op.letter(),
                key(plan, table.key(row)),
                cells(plan, &table.after, row),
                cells(plan, &table.before, row)
            );
            if let Some(moved) = &change.moved {
                line += &format!(" moved {}", key(plan, moved));
            }
            line
        }
    }
}

fn key(plan: &TablePlan, key: &[u8]) -> String {
    let logicals: Vec<Logical> = plan.shape.key_logicals().collect();
    let cells = canonical::key_cells(&logicals, key).unwrap();
    let mut words = Vec::new();
    for column in &cells.columns {
        let mut word = String::new();
        text::write(column, 0, &mut word);
        words.push(word);
    }
    words.join("/")
}

/// Sent cells as JSON; `-` no row, `?` unavailable, `!` missing.
fn cells(plan: &TablePlan, columns: &Columns, row: usize) -> String {
    let mut out = text::to_json(plan.columns.iter().map(|c| c.name.as_str()).zip(&columns.columns), row);
    for (mark, state) in [('-', State::NoRow), ('?', State::Unavailable), ('!', State::Missing)] {
        let named: Vec<&str> = plan
            .columns
            .iter()
            .zip(&columns.columns)
            .filter(|(_, cells)| cells.state(row) == state)
            .map(|(c, _)| c.name.as_str())
            .collect();
        if named.len() == plan.columns.len() {
            return mark.into();
        }
        if !named.is_empty() {
            out += &format!("{mark}{}", named.join(","));
        }
    }
    out
}

/// The batch of one change.
pub(super) fn only(decoder: &Decoder, delivery: Delivery) -> TableBatch {
    let mut batch = decoder.decode(pulled(vec![delivery]));
    rectangular(&batch, 1);
    assert_eq!(batch.tables.len(), 1, "{:?}", batch.items);
    batch.tables.remove(0)
}
