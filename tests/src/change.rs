//! Changes in Reconverge's own envelope, as a publisher would write them.

use async_nats::HeaderMap;
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// When everything in these tests begins: in the past of any machine that runs them.
const BEGIN: i64 = 1_760_000_000_000_000;

/// The commit time of a position, in microseconds since 1970.
#[must_use]
pub fn micros(commit: u64) -> i64 {
    BEGIN + i64::try_from(commit).unwrap() * 1000
}

/// One change. Its fields are the envelope's.
#[derive(Clone, Debug)]
pub struct Change {
    source: String,
    table: String,
    partition: u32,
    fields: Map<String, Value>,
}

impl Change {
    fn new(op: &str, source: &str, commit: u64, table: &str, key: Value) -> Change {
        let fields = json!({
            "v": 1, "op": op, "table": format!("public.{table}"), "key": key,
            "pos": {"source": source, "epoch": 0, "commit": commit.to_string(), "ordinal": 0},
            "origin": source, "at": micros(commit),
        });
        let Value::Object(fields) = fields else { unreachable!("an object was written") };
        Change { source: source.to_owned(), table: table.to_owned(), partition: 0, fields }
    }

    /// The row is now so. `row` holds the key too.
    #[must_use]
    pub fn write(source: &str, commit: u64, table: &str, key: Value, row: Value) -> Change {
        Change::new("u", source, commit, table, key).with("after", row)
    }

    /// The row is gone; `before` is what it was, null where the source does not say.
    #[must_use]
    pub fn delete(source: &str, commit: u64, table: &str, key: Value, before: Value) -> Change {
        Change::new("d", source, commit, table, key).with("before", before)
    }

    /// Sets a field of the envelope.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Change {
        self.fields.insert(field.to_owned(), value);
        self
    }

    /// Takes a field out of the envelope.
    #[must_use]
    pub fn without(mut self, field: &str) -> Change {
        self.fields.remove(field);
        self
    }

    /// The source that sends it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// A field of the envelope; null where there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> Value {
        self.fields.get(name).cloned().unwrap_or_default()
    }

    /// The table, without schema.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The same in another partition than 0.
    #[must_use]
    pub fn in_partition(self, partition: u32) -> Change {
        Change { partition, ..self }
    }

    /// The subject below `prefix`.
    #[must_use]
    pub fn subject(&self, prefix: &str) -> String {
        format!("{prefix}.{}.{}.public.{}", self.source, self.partition, self.table)
    }

    /// The body.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        serde_json::to_vec(&self.fields).unwrap().into()
    }

    /// The headers that every native change has.
    #[must_use]
    pub fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("Reconverge-Version", "1");
        headers
    }
}
