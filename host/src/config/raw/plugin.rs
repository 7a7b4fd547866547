//! `[[plugin]]` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::choices::{Laws, Stage};
use crate::config::located::At;

/// A WebAssembly plugin and what it is bound to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Plugin {
    /// Name of the plugin in this file. Letters, digits, `-` and `_`.
    #[schemars(required)]
    pub name: Option<At<String>>,
    /// The `.wasm` file, relative to this file's folder, or `name@sha256:...`.
    #[schemars(required)]
    pub path: Option<At<String>>,
    /// Where in the chain it runs.
    #[schemars(required)]
    pub stage: Option<At<Stage>>,
    /// The tables that it is given; `["*"]` is all. A merge plugin may leave it out: it is given the tables
    /// whose policy names it.
    pub tables: Option<At<Vec<At<String>>>>,
    /// The tables that it is given: those with one of these tags, on the table or on a column.
    pub tags: Option<At<Vec<At<String>>>>,
    /// The plugin's own configuration, checked with the JSON Schema that it brings.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub config: Option<At<toml::Table>>,
    /// Refuse a generation of a merge plugin that breaks the merge laws?
    #[schemars(extend("default" = "unchecked"))]
    pub laws: Option<At<Laws>>,
    /// Golden contests that every artifact of this plugin has to pass before it decides: a file or a folder of them
    /// (`*.jsonl`), relative to this file's folder.
    pub contests: Option<At<String>>,
}
