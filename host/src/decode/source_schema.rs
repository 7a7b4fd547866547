//! What Debezium's `schema` says about the columns of a message, where there is one: the scale of a decimal
//! and the unit of a time, which the values do not show.
//!
//! The same schema comes with every message, so each table keeps the last few it has seen and compares texts.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

/// Schemas that a table remembers: one per source and version.
const REMEMBERED: usize = 8;

/// Facts by column of the table; `None` where the schema does not name it.
pub(super) type SourceSchema = Vec<Option<Fact>>;

/// What the source's schema says of a column, or of the elements of an array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fact {
    /// Digits after the point of a decimal as bytes.
    pub(super) scale: Option<i32>,
    /// What an integer counts.
    pub(super) unit: Option<Unit>,
    /// The value is text, whatever it looks like.
    pub(super) text: bool,
}

/// What the integer of a time type counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// The schemas that a table has met.
#[derive(Debug, Default)]
pub(super) struct Schemas(Mutex<Vec<(Box<str>, Arc<SourceSchema>)>>);

impl Schemas {
    /// The facts of a schema's text; none where it is no schema of an envelope. `column` finds a column of the
    /// table by its source name.
    pub(super) fn facts(
        &self,
        schema: &str,
        columns: usize,
        column: impl Fn(&str) -> Option<usize>,
    ) -> Option<Arc<SourceSchema>> {
        // A panic elsewhere leaves nothing half done here: entries are whole.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, facts)) = known.iter().find(|(text, _)| **text == *schema) {
            return Some(Arc::clone(facts));
        }
        let facts = Arc::new(read(schema, columns, column)?);
        if known.len() == REMEMBERED {
            known.remove(0);
        }
        known.push((schema.into(), Arc::clone(&facts)));
        Some(facts)
    }
}

#[derive(Deserialize)]
struct Schema<'a> {
    #[serde(borrow, default)]
    fields: Vec<Schema<'a>>,
    #[serde(borrow)]
    field: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    parameters: Option<Parameters<'a>>,
    #[serde(borrow)]
    items: Option<Box<Schema<'a>>>,
}

#[derive(Deserialize)]
struct Parameters<'a> {
    #[serde(borrow)]
    scale: Option<Cow<'a, str>>,
}

fn read(schema: &str, columns: usize, column: impl Fn(&str) -> Option<usize>) -> Option<SourceSchema> {
    let schema: Schema<'_> = serde_json::from_str(schema).ok()?;
    let row = schema.fields.iter().find(|f| f.field.as_deref() == Some("after"))?;
    let mut facts = vec![None; columns];
    for field in &row.fields {
        if let Some(at) = field.field.as_deref().and_then(&column) {
            facts[at] = Some(fact(field.items.as_deref().unwrap_or(field)));
        }
    }
    Some(facts)
}

fn fact(field: &Schema<'_>) -> Fact {
    let scale = field.parameters.as_ref().and_then(|p| p.scale.as_deref()).and_then(|s| s.parse().ok());
    let unit = field.name.as_deref().and_then(|name| match name {
        "io.debezium.time.Timestamp" | "io.debezium.time.Time" => Some(Unit::Millis),
        "org.apache.kafka.connect.data.Timestamp" | "org.apache.kafka.connect.data.Time" => {
            Some(Unit::Millis)
        }
        "io.debezium.time.MicroTimestamp" | "io.debezium.time.MicroTime" => Some(Unit::Micros),
        "io.debezium.time.MicroDuration" => Some(Unit::Micros),
        "io.debezium.time.NanoTimestamp" | "io.debezium.time.NanoTime" | "io.debezium.time.NanoDuration" => {
            Some(Unit::Nanos)
        }
        _ => None,
    });
    Fact { scale, unit, text: field.kind == "string" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_and_units_are_found_by_column() {
        let schema = r#"{"type":"struct","fields":[{"type":"struct","field":"before","fields":[]},
            {"type":"struct","field":"after","fields":[
                {"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"3"},"field":"n"},
                {"type":"int64","name":"io.debezium.time.MicroTimestamp","field":"t"},
                {"type":"array","items":{"type":"string"},"field":"a"},
                {"type":"string","field":"elsewhere"}]}]}"#;
        let schemas = Schemas::default();
        let find = |name: &str| ["a", "n", "t", "u"].iter().position(|c| *c == name);
        let facts = schemas.facts(schema, 4, find).unwrap();
        assert_eq!(facts[0], Some(Fact { text: true, ..Fact::default() }));
        assert_eq!(facts[1], Some(Fact { scale: Some(3), ..Fact::default() }));
        assert_eq!(facts[2], Some(Fact { unit: Some(Unit::Micros), ..Fact::default() }));
        assert_eq!(facts[3], None);
        assert!(Arc::ptr_eq(&facts, &schemas.facts(schema, 4, find).unwrap()));
        assert!(schemas.facts("{}", 4, find).is_none());
        for n in 0..20 {
            let other = schema.replace("elsewhere", &format!("elsewhere{n}"));
            assert!(schemas.facts(&other, 4, find).is_some());
        }
        assert_eq!(schemas.0.lock().unwrap().len(), REMEMBERED);
    }
}
