//! Typed configuration: a struct whose JSON Schema goes into the descriptor, and which `open` reads.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Deserialize;

/// The JSON Schema (2020-12) of a configuration type, for a descriptor's `config-schema`.
#[must_use]
pub fn schema<C: JsonSchema>() -> String {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<C>().as_value().to_string()
}

/// Reads a configuration. No text counts as an empty object.
///
/// # Errors
/// What is wrong, and where, in words for the operator.
pub fn read<'a, C: Deserialize<'a>>(config: &'a str) -> Result<C, String> {
    let text = if config.trim().is_empty() { "{}" } else { config };
    serde_json::from_str(text).map_err(|e| format!("configuration: {e}"))
}
