//! All plugins of a pipeline, opened against the sink's tables: the first of the two steps. What they ask for by
//! name goes into the plan; then [`PluginSet::chain`] gives each lane its own instances.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use reconverge_streams::{
    logical::Logical,
    table::{TableId, TableShape},
    text,
};
use serde_json::{Value, json};

use super::{
    artifact::Artifact,
    contain::Opening,
    contract::{self, Contract},
    digest::Digest,
    engine::PluginEngine,
    instance::{Instance, Table},
    program::{Description, Program, interface},
    unfit::{PluginError, Unfit},
    words,
};
use crate::config::Stage;

/// A plugin as the pipeline wants it.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// Its name in the pipeline.
    pub name: String,
    /// Its file: a component, or a core module built with wit-bindgen.
    pub path: PathBuf,
    /// Where in the chain it runs.
    pub stage: Stage,
    /// The tables that it is bound to.
    pub tables: Vec<TableId>,
    /// Its configuration, a JSON object; `{}` for none.
    pub config: Value,
}

impl PluginSpec {
    /// A configuration as its plugin is given it.
    ///
    /// # Errors
    /// It breaks the plugin's schema.
    pub(super) fn checked_config(config: &Value, schema: Option<&Value>) -> Result<String, Unfit> {
        check_config(config, schema)?;
        text::canonical_json(&config.to_string()).map_err(|cause| Unfit::Config(vec![cause.to_string()]))
    }
}

/// A table that a plugin may be bound to.
#[derive(Clone, Debug)]
pub struct BoundTable {
    /// Its number in the plan.
    pub id: TableId,
    /// Its name in the pipeline: what plugins know it by.
    pub name: String,
    /// Its shape in the sink.
    pub shape: Arc<TableShape>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Tags of columns, by name.
    pub column_tags: Vec<(String, Vec<String>)>,
}

/// See the module. Immutable; plugins of one set and their contracts are one generation.
pub struct PluginSet {
    /// In the order of the chain; within a stage in the order of the pipeline.
    pub(super) plugins: Vec<Opened>,
}

/// A plugin that is fit to run.
pub(super) struct Opened {
    pub(super) opening: Arc<Opening>,
    /// By the plugin's own number of the table.
    pub(super) contracts: Vec<(u32, Contract)>,
    description: Description,
    config_digest: Digest,
    table_names: Vec<String>,
}

impl PluginSet {
    /// Reads, checks, compiles, describes and opens all plugins. `tables` are all tables of the pipeline.
    ///
    /// # Errors
    /// One for each plugin that is not fit to run, all at once.
    pub fn open(
        engine: &PluginEngine,
        specs: &[PluginSpec],
        tables: &[BoundTable],
    ) -> Result<Self, Vec<PluginError>> {
        let guarded: Vec<TableId> = specs
            .iter()
            .filter(|spec| spec.stage == Stage::Residency)
            .flat_map(|spec| spec.tables.clone())
            .collect();
        let (mut plugins, mut errors) = (Vec::new(), Vec::new());
        for spec in specs {
            match open(engine, spec, tables, &guarded) {
                Ok(opened) => plugins.push(opened),
                Err(why) => errors.push(PluginError::new(&spec.name, why)),
            }
        }
        plugins.sort_by_key(|opened| opened.opening.program.stage);
        let set = PluginSet { plugins };
        errors.extend(set.quarrels(tables));
        if errors.is_empty() { Ok(set) } else { Err(errors) }
    }

    /// Columns that the sink's table lacks and that a contract names: (table, name, the type to decode them as).
    /// Each once. They go behind the sink's columns in [`crate::plan::TablePlan::columns`].
    #[must_use]
    pub fn source_columns(&self) -> Vec<(TableId, String, Logical)> {
        let mut columns: Vec<(TableId, String, Logical)> = Vec::new();
        for contract in self.contracts().map(|(_, contract)| contract) {
            for (name, logical) in contract.source_columns() {
                let column = (contract.table, name.to_owned(), logical);
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
        }
        columns
    }

    /// The merge plugin of a table, and the names of its order columns: what [`crate::plan::Rule::Plugin`] is
    /// made of.
    #[must_use]
    pub fn merge_of(&self, table: TableId) -> Option<(&str, Vec<&str>)> {
        let merges = self.plugins.iter().filter(|opened| opened.opening.program.stage == Stage::Merge);
        let mut bound =
            merges.flat_map(|opened| opened.contracts.iter().map(move |(_, contract)| (opened, contract)));
        let (opened, contract) = bound.find(|(_, contract)| contract.table == table)?;
        Some((&*opened.opening.program.name, contract.order_columns()))
    }

    /// Whether a residency plugin is bound to the table: what [`crate::plan::TablePlan::residency`] says.
    #[must_use]
    pub fn has_residency(&self, table: TableId) -> bool {
        let residencies =
            self.plugins.iter().filter(|opened| opened.opening.program.stage == Stage::Residency);
        residencies.flat_map(|opened| &opened.contracts).any(|(_, contract)| contract.table == table)
    }

    /// All contracts, each with the name of its plugin.
    pub fn contracts(&self) -> impl Iterator<Item = (&str, &Contract)> {
        self.plugins.iter().flat_map(|opened| {
            let name = &*opened.opening.program.name;
            opened.contracts.iter().map(move |(_, contract)| (name, contract))
        })
    }

    /// What each plugin says of itself, with its name and stage in the pipeline.
    pub fn descriptions(&self) -> impl Iterator<Item = (&str, Stage, &Description)> {
        self.plugins.iter().map(|opened| {
            let program = &opened.opening.program;
            (&*program.name, program.stage, &opened.description)
        })
    }

    /// The generation as a JSON array, for the sink's record of generations: name, version, digest, config_digest,
    /// stage and tables of each plugin, in the order of the chain. Equal texts are equal generations.
    #[must_use]
    pub fn generation_description(&self) -> String {
        let plugin = |opened: &Opened| {
            let program = &opened.opening.program;
            json!({
                "name": &*program.name,
                "version": opened.description.version,
                "digest": program.digest.to_string(),
                "config_digest": opened.config_digest.to_string(),
                "stage": interface(program.stage),
                "tables": opened.table_names,
            })
        };
        Value::Array(self.plugins.iter().map(plugin).collect()).to_string()
    }

    /// What two plugins of the set cannot both have.
    fn quarrels(&self, tables: &[BoundTable]) -> Vec<PluginError> {
        let name_of = |id: TableId| {
            tables.iter().find(|table| table.id == id).map_or_else(String::new, |table| table.name.clone())
        };
        let mut merges: HashMap<TableId, &str> = HashMap::new();
        let mut columns: HashMap<(TableId, &str), (&str, Logical)> = HashMap::new();
        let mut errors = Vec::new();
        for opened in &self.plugins {
            let plugin = &*opened.opening.program.name;
            for (_, contract) in &opened.contracts {
                let table = || name_of(contract.table);
                if opened.opening.program.stage == Stage::Merge
                    && let Some(other) = merges.insert(contract.table, plugin)
                {
                    let why = Unfit::SecondMerge { table: table(), other: other.into() };
                    errors.push(PluginError::new(plugin, why));
                }
                for (column, asked) in contract.source_columns() {
                    let (other, before) = *columns.entry((contract.table, column)).or_insert((plugin, asked));
                    if before != asked {
                        let (asked, before) = (asked.to_string(), before.to_string());
                        let why = Unfit::Disagree {
                            table: table(),
                            column: column.into(),
                            asked,
                            before,
                            other: other.into(),
                        };
                        errors.push(PluginError::new(plugin, why));
                    }
                }
            }
        }
        errors
    }
}

fn open(
    engine: &PluginEngine,
    spec: &PluginSpec,
    tables: &[BoundTable],
    guarded: &[TableId],
) -> Result<Opened, Unfit> {
    let bound: Vec<&BoundTable> = tables.iter().filter(|table| spec.tables.contains(&table.id)).collect();
    if bound.is_empty() {
        return Err(Unfit::NoTables);
    }
    let artifact = Artifact::read(&spec.path, engine.limits().artifact_bytes)?;
    let sees_unpassed_rows = match spec.stage {
        Stage::Residency => true,
        // A change that residency lets go takes part in the order all the same.
        Stage::Merge => spec.tables.iter().any(|table| guarded.contains(table)),
        Stage::Filter | Stage::Mapping => false,
    };
    let program = Program::compile(engine, &spec.name, &artifact, spec.stage, sees_unpassed_rows)?;
    let description = program.describe()?;
    let config = PluginSpec::checked_config(&spec.config, description.config_schema.as_ref())?;
    let given: Vec<Table> = bound.iter().map(|table| given(table)).collect();
    let mut instance = Instance::start(&program).map_err(|fault| Unfit::Start(fault.at_start()))?;
    let asked = instance.open(&config, &given).map_err(|fault| Unfit::Open(fault.at_start()))?;
    let asked = asked.map_err(|text| Unfit::Refused(words::tame(&text, engine.limits().text_bytes)))?;
    let mut contracts = Vec::new();
    for asked in &asked {
        let table = bound.get(asked.table as usize).copied();
        let table =
            table.ok_or_else(|| Unfit::NoContract(format!("number {}, of {}", asked.table, bound.len())))?;
        let broken = |why| Unfit::Contract { table: table.name.clone(), why };
        if contracts.iter().any(|(number, _)| *number == asked.table) {
            return Err(broken(contract::BadContract::Twice));
        }
        contracts.push((
            asked.table,
            contract::check(asked, spec.stage, artifact.stages.len() > 1, table).map_err(broken)?,
        ));
    }
    if let Some(without) = bound.iter().find(|table| !contracts.iter().any(|(_, c)| c.table == table.id)) {
        return Err(Unfit::NoContract(without.name.clone()));
    }
    let config_digest = Digest::of(config.as_bytes());
    let table_names = bound.iter().map(|table| table.name.clone()).collect();
    let opening = Opening { program, config, tables: given, contracts: asked };
    Ok(Opened { opening: Arc::new(opening), contracts, description, config_digest, table_names })
}

/// The table as a plugin is told of it.
fn given(table: &BoundTable) -> Table {
    let shape = &table.shape;
    let columns: serde_json::Map<String, Value> =
        table.column_tags.iter().map(|(column, tags)| (column.clone(), json!({ "tags": tags }))).collect();
    Table {
        name: table.name.clone(),
        key: shape.key.iter().map(|&k| shape.columns[k].name.clone()).collect(),
        columns: shape
            .columns
            .iter()
            .map(|column| (column.name.clone(), column.logical.to_string()))
            .collect(),
        extensions: json!({ "tags": table.tags, "columns": columns }).to_string(),
    }
}

fn check_config(config: &Value, schema: Option<&Value>) -> Result<(), Unfit> {
    let Some(schema) = schema else {
        let is_none = config.is_null() || config.as_object().is_some_and(serde_json::Map::is_empty);
        return if is_none { Ok(()) } else { Err(Unfit::TakesNoConfig) };
    };
    let validator = jsonschema::validator_for(schema).map_err(|cause| Unfit::Schema(cause.to_string()))?;
    let broken = |cause: jsonschema::ValidationError<'_>| match cause.instance_path().as_str() {
        "" => cause.to_string(),
        path => format!("{path}: {cause}"),
    };
    let problems: Vec<String> = validator.iter_errors(config).map(broken).collect();
    if problems.is_empty() { Ok(()) } else { Err(Unfit::Config(problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_checked_with_the_plugins_schema() {
        let schema = json!({"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"], "additionalProperties": false});
        assert!(check_config(&json!({"zone": "eu"}), Some(&schema)).is_ok());
        let Err(Unfit::Config(problems)) = check_config(&json!({"zone": 7, "zoen": "eu"}), Some(&schema))
        else {
            panic!("two problems")
        };
        assert_eq!(problems.len(), 2, "all at once: {problems:?}");
        assert!(problems.iter().any(|problem| problem.starts_with("/zone: ")), "{problems:?}");
        assert!(matches!(check_config(&json!({}), Some(&json!({"type": 7}))), Err(Unfit::Schema(_))));
    }

    #[test]
    fn without_a_schema_there_is_no_configuration() {
        assert!(check_config(&json!({}), None).is_ok());
        assert!(matches!(check_config(&json!({"a": 1}), None), Err(Unfit::TakesNoConfig)));
    }
}
