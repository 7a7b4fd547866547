//! A merge plugin on a table, made ready for [`crate::laws`]: the table of a pipeline, one that was described, or one
//! that is made of the plugin's own contract. Reads a sink's shapes at most; no stream, and nothing is written.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use reconverge_streams::table::{TableId, TableShape};
use serde_json::Value;

use super::{RunError, ends, plan, plugins, sidecar};
use crate::{
    config::{self, Artifact, Deletes, Environment, Pipeline, SinkTarget, Stage},
    decode::{Decoder, Options},
    laws::{
        Subject,
        ground::{Ground, Holds},
    },
    plan::TablePlan,
    plugin::{CompileCache, Limits, PluginEngine, Promises, bare},
};

/// The region that applies: none of those that histories come from.
const REGION: &str = "here";

/// A table as it was described, for a plugin that no pipeline names yet.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its columns and key.
    pub shape: TableShape,
    /// What columns hold, where that was said.
    pub holds: Vec<(String, Holds)>,
}

/// A plugin on one table, to be asked about the laws.
pub struct Case {
    /// The table's name.
    pub table: String,
    /// How its deletes take part.
    pub deletes: Deletes,
    /// What was taken for granted, for a person; empty where nothing was.
    pub assumed: Vec<String>,
    /// The plugin and the table.
    pub subject: Subject,
}

/// The plugin alone, once for each of `deletes`, on the table that was described or on one made of its contract.
///
/// # Errors
/// [`RunError::Environment`] where the plugin cannot run, or wants to see a real table.
pub fn law_cases(
    path: &Path,
    config: &Value,
    described: Option<&Described>,
    deletes: &[Deletes],
) -> Result<Vec<Case>, RunError> {
    let engine = PluginEngine::start(Limits::default(), CompileCache::of_user())
        .map_err(|error| RunError::Environment { what: error.to_string(), hint: error.hint().to_owned() })?;
    let (shape, holds, mut assumed) = match described {
        Some(described) => (described.shape.clone(), described.holds.clone(), Vec::new()),
        None => {
            let bare = bare(&engine, path, config).map_err(|error| RunError::Environment {
                what: error.to_string(),
                hint: format!(
                    "{}; where it needs the real table, name it: --table or --pipeline",
                    error.hint()
                ),
            })?;
            let mut assumed = vec![
                "the table is made of the plugin's contract; --table or --pipeline names the real one"
                    .to_owned(),
            ];
            let mut shape = bare.shape;
            if bare.writes {
                assumed.push("it has no column that the plugin does not see: such a column comes from whichever row comes".into());
            } else {
                let other = reconverge_streams::logical::Logical::Text;
                shape.columns.push(reconverge_streams::table::ColumnShape::new("other_column", other));
            }
            let promises = bare.promises.unwrap_or_default();
            not_null(&mut shape, &promises, &mut assumed);
            (shape, Vec::new(), assumed)
        }
    };
    let shape = Arc::new(shape);
    let each = deletes.iter().map(|&deletes| {
        let pipeline = pipeline_of(path, config, &shape, deletes)?;
        let found = subject(&pipeline, &[Arc::clone(&shape)], 0, None, &holds)?;
        Ok(Case { table: shape.name.clone(), deletes, assumed: std::mem::take(&mut assumed), subject: found })
    });
    each.collect()
}

fn not_null(shape: &mut TableShape, promises: &Promises, assumed: &mut Vec<String>) {
    for column in &mut shape.columns {
        column.not_null |= promises.not_null.contains(&column.name);
    }
    if !promises.not_null.is_empty() {
        assumed.push(format!(
            "never null, since the plugin takes no null there: {}",
            promises.not_null.join(", ")
        ));
    }
}

/// A merge plugin of a pipeline, by its name or its file, on every table that it decides; `file` may be another build of
/// it. The other plugins do not run: what a filter or a residency rule lets go is let go by chance.
///
/// # Errors
/// The pipeline has no such plugin, the sink cannot be read, or the plugin does not fit.
pub async fn law_cases_of(
    pipeline: &Pipeline,
    plugin: &str,
    file: Option<&Path>,
) -> Result<Vec<Case>, RunError> {
    let shapes = match &pipeline.sink.target {
        SinkTarget::Sqlite { path } if !path.exists() => {
            return Err(RunError::Environment {
                what: format!("there is no file {}", path.display()),
                hint:
                    "the tables are read from the sink: create it first, or describe the table with --table"
                        .into(),
            });
        }
        SinkTarget::Sqlite { path } => ends::shapes(pipeline, &sidecar::sqlite(path)?).await?,
        SinkTarget::Postgres { url, schema } => {
            ends::shapes(pipeline, &sidecar::postgres(url, schema).await?).await?
        }
        SinkTarget::Relay { .. } => return Err(RunError::Configuration(pipeline.unsupported())),
    };
    let shapes: Vec<_> = shapes.into_iter().map(Arc::new).collect();
    cases(pipeline, &shapes, plugin, file)
}

/// As [`law_cases_of`], with the sink's shapes at hand.
pub(super) fn cases(
    pipeline: &Pipeline,
    shapes: &[Arc<TableShape>],
    plugin: &str,
    file: Option<&Path>,
) -> Result<Vec<Case>, RunError> {
    let merges = || pipeline.plugins.iter().filter(|p| p.stage == Stage::Merge);
    let named = merges().find(|p| p.name == plugin).ok_or_else(|| RunError::NotFound {
        what: format!("the pipeline has no merge plugin `{plugin}`"),
        hint: format!(
            "its merge plugins are: {}",
            merges().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ")
        ),
    })?;
    let alone = alone(pipeline, &named.name, file);
    let each = named.tables.iter().map(|&table| {
        let before_merge = |p: &&config::Plugin| p.stage != Stage::Merge && p.tables.contains(&table);
        let lets_go = pipeline.plugins.iter().any(|p| before_merge(&p) && p.stage != Stage::Mapping);
        let found = subject(&alone, shapes, table, Some(lets_go), &[])?;
        let (name, deletes) = (pipeline.tables[table].target.clone(), pipeline.tables[table].deletes);
        Ok(Case { table: name, deletes, assumed: Vec::new(), subject: found })
    });
    each.collect()
}

/// The merge plugin of a pipeline that stands in this file, or the only one.
#[must_use]
pub fn merge_plugin_of<'a>(pipeline: &'a Pipeline, file: &Path) -> Option<&'a str> {
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let merges: Vec<_> = pipeline.plugins.iter().filter(|p| p.stage == Stage::Merge).collect();
    let same =
        |artifact: &Artifact| matches!(artifact, Artifact::File(path) if canonical(path) == canonical(file));
    let found = merges.iter().find(|p| same(&p.artifact));
    let found = found.or(if let [only] = &merges[..] { Some(only) } else { None });
    found.map(|p| p.name.as_str())
}

/// The pipeline with this plugin alone, and tables that depend on nothing and refuse nothing before the merge.
/// `file` stands in place of the plugin's own.
pub(super) fn alone(pipeline: &Pipeline, plugin: &str, file: Option<&Path>) -> Pipeline {
    let mut alone = pipeline.clone();
    REGION.clone_into(&mut alone.region);
    alone.plugins.retain(|p| p.name == plugin);
    if let (Some(only), Some(file)) = (alone.plugins.first_mut(), file) {
        only.artifact = Artifact::File(file.to_owned());
    }
    for table in &mut alone.tables {
        table.depends_on.clear();
        table.origin_column = None;
        table.schema = config::PayloadSchema::default();
    }
    alone
}

fn subject(
    pipeline: &Pipeline,
    shapes: &[Arc<TableShape>],
    table: usize,
    lets_go: Option<bool>,
    holds: &[(String, Holds)],
) -> Result<Subject, RunError> {
    let opened = plugins::open(pipeline, shapes)?;
    let plan = Arc::new(plan::plan(pipeline, shapes, &opened.asked, Arc::default())?);
    let id = TableId(u16::try_from(table).unwrap_or(u16::MAX));
    let (promises, writes) = opened.merge_contract(id);
    let planned = plan.table(id);
    let contract = planned.rule.order_columns().to_vec();
    let ground = Ground::of(planned, &contract, lets_go.unwrap_or(!writes), |column| {
        let said = holds.iter().find(|(name, _)| name == column).map(|(_, holds)| *holds);
        said.or_else(|| promised(planned, column, promises.as_ref()))
    });
    Ok(Subject {
        decoder: Arc::new(Decoder::new(Arc::clone(&plan), Options::default())),
        table: id,
        source_name: pipeline.tables[table].name.clone(),
        ground,
        main: plugins::chain(&opened, &plan)?,
        twin: plugins::chain(&opened, &plan)?,
        plan,
    })
}

/// A column that the plugin takes unsent may be unsent; without a whole before image none can be filled again.
fn promised(table: &TablePlan, column: &str, promises: Option<&Promises>) -> Option<Holds> {
    let named = |c: &usize| table.columns[*c].name == column;
    let in_contract = table.rule.order_columns().iter().any(named);
    if !table.full_before_images {
        return Some(Holds { null: true, unsent: false });
    }
    let promises = promises.filter(|_| in_contract)?;
    Some(Holds { null: true, unsent: !promises.sent.iter().any(|sent| sent == column) })
}

/// Nothing but the text: no variable and no file.
struct Nowhere;

impl Environment for Nowhere {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        Err(io::Error::new(io::ErrorKind::NotFound, path.display().to_string()))
    }

    fn readable(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// A pipeline of one table and one plugin, as a file would say it: so that the plan is made as any other.
fn pipeline_of(
    path: &Path,
    config: &Value,
    shape: &TableShape,
    deletes: Deletes,
) -> Result<Pipeline, RunError> {
    let word = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name: String = stem.chars().map(word).collect();
    let file: PathBuf = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let key: Vec<&str> = shape.key.iter().map(|&k| shape.columns[k].name.as_str()).collect();
    let deletes = if deletes == Deletes::Ordered { "ordered" } else { "win" };
    // JSON's texts and lists are TOML's.
    let text = |value: Value| value.to_string();
    let whole = format!(
        "[pipeline]\nname = \"laws\"\nregion = {region}\n\
         [source]\nstream = \"LAWS\"\nsubjects = \"cdc.{{source}}.{{partition}}.>\"\n\
         [sink]\nurl = \"sqlite://laws.db\"\n\
         [[table]]\nname = {table}\nkey = {key}\npolicy = {{ plugin = {name} }}\ndeletes = \"{deletes}\"\n\
         before_images = \"full\"\n\
         [[plugin]]\nname = {name}\npath = {path}\nstage = \"merge\"\n",
        region = text(REGION.into()),
        table = text(shape.name.as_str().into()),
        key = text(key.into()),
        name = text(name.as_str().into()),
        path = text("plugin.wasm".into()),
    );
    let parsed = config::parse(&whole, Path::new("laws.toml"), &Nowhere);
    let mut pipeline = parsed.map_err(|cause| match cause {
        config::ConfigError::Invalid { problems, .. } => RunError::Configuration(problems),
        other @ config::ConfigError::Unreadable { .. } => {
            RunError::Environment { what: other.to_string(), hint: "name the table plainly".to_owned() }
        }
    })?;
    for plugin in &mut pipeline.plugins {
        plugin.config = config.clone();
        plugin.artifact = Artifact::File(file.clone());
    }
    Ok(pipeline)
}
