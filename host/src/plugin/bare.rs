//! What a merge plugin asks for by itself, before any table is known: it is opened with a table of one column. From the
//! answer `plugin laws` makes a table that has all that the contract names.

use std::path::Path;

use reconverge_streams::{
    logical::Logical,
    table::{ColumnShape, TableShape},
};
use serde_json::Value;

use super::{
    PluginEngine, PluginError, PluginSpec, Unfit,
    artifact::Artifact,
    contract::Promises,
    instance::{Instance, Table},
    program::{Description, Program},
    words,
};
use crate::config::Stage;

/// The key of a table that nobody has named.
const KEY: &str = "id";

/// What a plugin is and asks for.
#[derive(Clone, Debug)]
pub struct Bare {
    /// What it says of itself.
    pub description: Description,
    /// A table with a key and every column that the contract names.
    pub shape: TableShape,
    /// What it promises of them, where it does.
    pub promises: Option<Promises>,
    /// Whether it writes columns.
    pub writes: bool,
}

/// Opens a merge plugin with a table that has nothing but a key.
///
/// # Errors
/// It cannot run, or wants to see the real table first.
pub fn bare(engine: &PluginEngine, path: &Path, config: &Value) -> Result<Bare, PluginError> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    ask(engine, &name, path, config).map_err(|why| PluginError::new(&name, why))
}

fn ask(engine: &PluginEngine, name: &str, path: &Path, config: &Value) -> Result<Bare, Unfit> {
    let artifact = Artifact::read(path, engine.limits().artifact_bytes)?;
    let program = Program::compile(engine, name, &artifact, Stage::Merge, false)?;
    let description = Description { stages: artifact.stages.clone(), ..program.describe()? };
    let config = PluginSpec::checked_config(config, description.config_schema.as_ref())?;
    let table = Table {
        name: "rows".into(),
        key: vec![KEY.into()],
        columns: vec![(KEY.into(), Logical::Int.to_string())],
        extensions: String::new(),
    };
    let mut instance = Instance::start(&program).map_err(|fault| Unfit::Start(fault.to_string()))?;
    let opened = instance.open(&config, std::slice::from_ref(&table));
    let asked = opened.map_err(|fault| Unfit::Open(fault.to_string()))?;
    let asked = asked.map_err(|text| Unfit::Refused(words::tame(&text, engine.limits().text_bytes)))?;
    let asked = asked.first().ok_or_else(|| Unfit::NoContract(table.name.clone()))?;
    let mut shape = TableShape {
        name: table.name,
        columns: vec![ColumnShape::new(KEY, Logical::Int)],
        key: vec![0],
        has_other_unique: false,
    };
    let of_rows =
        asked.reads.iter().filter(|spec| matches!(spec.side.as_str(), "after" | "before" | "current"));
    for spec in of_rows.chain(&asked.writes) {
        let logical = spec.logical.parse().map_err(|cause| Unfit::Contract {
            table: shape.name.clone(),
            why: super::contract::BadContract::Logical { column: spec.name.clone(), cause },
        })?;
        match shape.column(&spec.name) {
            None => shape.columns.push(ColumnShape::new(spec.name.clone(), logical)),
            // A contract that names the key says of what type it is.
            Some(0) => shape.columns[0] = ColumnShape::new(KEY, logical),
            Some(_) => {}
        }
    }
    shape.columns[0].not_null = true;
    let promises = serde_json::from_str(&asked.extensions).ok();
    Ok(Bare { description, shape, promises, writes: !asked.writes.is_empty() })
}
