//! The JSON Schema of `pipeline.toml`, made from the raw form, so that editors complete the file.
//!
//! Stored as `docs/pipeline.schema.json`. An editor with a TOML language server finds it by a comment in
//! the first line of the file: `#:schema https://.../pipeline.schema.json`, or a path relative to the file.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw;

/// The schema, JSON Schema draft 2020-12.
pub fn json_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<raw::File>().to_value()
}
