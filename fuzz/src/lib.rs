//! What is fuzzed: bytes from the stream to a batch, and bytes from a plugin to an answer. Whatever they are, nothing
//! panics, and what is promised of every batch holds. The targets call these functions, and so does a test.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use reconverge::{
    batch::{Batch, ItemKind},
    config::Format,
    decode::{Decoder, Options},
    plan::{Plan, Rule, TablePlan},
    plugin::answer_holds,
};
use reconverge_streams::{
    headers::Headers,
    logical::Logical,
    names::Names,
    source::{Delivery, Pulled},
    table::{ColumnShape, TableId, TableShape},
};

/// Bytes before the payload that say which headers it has.
const HEAD: usize = 1;

/// A message in Reconverge's envelope. Its first byte says whether it claims to be MessagePack.
pub fn decode_native(bytes: &[u8]) {
    let Some((head, payload)) = bytes.split_at_checked(HEAD) else { return };
    let kind = if head[0] & 1 == 0 { "application/json" } else { "application/msgpack" };
    let headers = [("Content-Type", kind), ("Reconverge-Version", "1")];
    decode(Format::Native, &headers, payload);
}

/// A message of Debezium's. Its first byte says whether it is MessagePack, and whether its key changed.
pub fn decode_debezium(bytes: &[u8]) {
    let Some((head, payload)) = bytes.split_at_checked(HEAD) else { return };
    let format = if head[0] & 1 == 0 { Format::DebeziumJson } else { Format::DebeziumMsgpack };
    let text = String::from_utf8_lossy(payload);
    let headers = [("__debezium.newkey", &*text)];
    decode(format, if head[0] & 2 == 0 { &[] } else { &headers }, payload);
}

/// An answer: rows, verdicts, reason numbers, reasons, then the block.
pub fn answer_block(bytes: &[u8]) {
    let mut rest = bytes;
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at(count.min(rest.len()));
        rest = left;
        taken.to_vec()
    };
    let head = take(4);
    let [rows, verdicts, numbers, reasons] = [0, 1, 2, 3].map(|at| head.get(at).copied().unwrap_or(0));
    let (verdict, reason) = (take(usize::from(verdicts)), take(usize::from(numbers)));
    let reasons = (0..reasons).map(|number| format!("reason {number}")).collect();
    let block = take(usize::MAX);
    let writes = [Logical::Bool, Logical::Int, Logical::Float, Logical::Text, Logical::Bytes];
    // As many columns as the block says that it has, so that more than the count is looked at.
    let columns = block.first().map_or(0, |count| usize::from(*count) % (writes.len() + 1));
    let _ = answer_holds(usize::from(rows), &writes[..columns], verdict, reason, reasons, block);
}

fn decode(format: Format, headers: &[(&str, &str)], payload: &[u8]) {
    let plan = Arc::new(plan());
    let options = Options { format, origin: Some("east".into()), ..Options::default() };
    let decoder = Decoder::new(Arc::clone(&plan), options);
    let headers: Headers = headers.iter().copied().collect();
    let delivery = |sequence, payload: &[u8]| Delivery {
        sequence,
        subject: "cdc.east.0.public.t".into(),
        headers: headers.clone(),
        payload: Bytes::copy_from_slice(payload),
        published_at: 0,
    };
    // Twice, so that what the first leaves behind in the columns meets a second.
    let deliveries = vec![delivery(1, payload), delivery(2, payload)];
    holds(&decoder.decode(Pulled { deliveries, scanned: 2 }));
}

/// What is promised of every batch.
fn holds(batch: &Batch) {
    for at in 0..2 {
        assert!(batch.items.iter().any(|item| item.delivery == at), "a message has no disposition");
    }
    for (place, item) in batch.items.iter().enumerate() {
        if let ItemKind::Change(table, row) = item.kind {
            let change = &batch.tables[table as usize].changes[row as usize];
            assert_eq!(change.item as usize, place, "a change and its item do not know each other");
        }
    }
    for table in &batch.tables {
        let rows = table.changes.len();
        assert_eq!((table.after.rows(), table.before.rows()), (rows, rows));
        for column in table.after.columns.iter().chain(&table.before.columns) {
            assert_eq!(column.len(), rows, "columns of different lengths");
            if column.logical().is_utf8() {
                (0..rows).for_each(|row| assert!(std::str::from_utf8(column.bytes(row)).is_ok()));
            }
        }
        for row in 0..rows {
            assert!(!table.key(row).is_empty(), "a change without a key");
        }
    }
}

/// One table with a column of every type.
fn plan() -> Plan {
    let names = Arc::new(Names::default());
    let region = names.intern("here").expect("the first name of all");
    let scalars = [
        ("id", Logical::Int),
        ("flag", Logical::Bool),
        ("float", Logical::Float),
        ("text", Logical::Text),
        ("bytes", Logical::Bytes),
        ("decimal", Logical::Decimal),
        ("timestamp", Logical::Timestamp),
        ("date", Logical::Date),
        ("time", Logical::Time),
        ("uuid", Logical::Uuid),
        ("json", Logical::Json),
    ];
    let mut columns: Vec<ColumnShape> =
        scalars.iter().map(|(name, logical)| ColumnShape::new(*name, *logical)).collect();
    let arrays = scalars.iter().filter_map(|(name, logical)| Some((name, logical.array_of()?)));
    columns.extend(arrays.map(|(name, logical)| ColumnShape::new(format!("{name}s"), logical)));
    let shape = TableShape { name: "t".into(), columns, key: vec![0], has_other_unique: false };
    let table = TablePlan::new(TableId(0), Arc::new(shape), Rule::CommitTime, "lww:commit-time");
    Plan {
        tables: vec![table],
        by_source_name: HashMap::from([("t".to_owned(), TableId(0))]),
        region,
        names,
        clock_skew_us: 0,
        value_bytes: 1 << 20,
        leaving_max: u32::MAX,
    }
}
