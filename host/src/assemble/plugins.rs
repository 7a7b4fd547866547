//! The plugins of a pipeline: opened against the sink's tables, then one chain per lane.

use std::{path::PathBuf, sync::Arc};

use reconverge_streams::table::{TableId, TableShape};

use crate::{
    config::{Artifact, Pipeline, Problem},
    plan::Plan,
    plugin::{
        BoundTable, CompileCache, Limits, PluginEngine, PluginError, PluginSet, PluginSpec, Promises, Unfit,
    },
    stages::Stages,
};

use super::{
    RunError,
    lanes::slots,
    plan::Asked,
    reload::{Artifacts, Split},
};

/// Plugins that are fit to run, and what they ask of the plan.
pub(super) struct Opened {
    set: PluginSet,
    /// One entry per table of the pipeline.
    pub(super) asked: Vec<Asked>,
}

impl Opened {
    /// The generation's record.
    pub(super) fn generation_description(&self) -> String {
        self.set.generation_description()
    }

    /// What the merge plugin of a table promises of its columns, and whether it writes any.
    pub(super) fn merge_contract(&self, table: TableId) -> (Option<Promises>, bool) {
        let Some((merge, _)) = self.set.merge_of(table) else { return (None, false) };
        let found =
            self.set.contracts().find(|(plugin, contract)| *plugin == merge && contract.table == table);
        found.map_or((None, false), |(_, contract)| (contract.promises(), !contract.writes.is_empty()))
    }
}

/// Starts the engine that compiles and runs plugins, under the pipeline's limits.
///
/// # Errors
/// [`RunError::Environment`] where the machine cannot run it.
pub(super) fn engine(pipeline: &Pipeline) -> Result<PluginEngine, RunError> {
    PluginEngine::start(limits(pipeline), CompileCache::of_user())
        .map_err(|error| RunError::Environment { what: error.to_string(), hint: error.hint().to_owned() })
}

/// Compiles and opens all plugins from the pipeline's own files.
///
/// # Errors
/// As for [`open_with`].
pub(super) fn open(pipeline: &Pipeline, shapes: &[Arc<TableShape>]) -> Result<Opened, RunError> {
    open_with(&engine(pipeline)?, pipeline, shapes, &Artifacts::default())
}

/// Compiles and opens all plugins from these artifacts.
///
/// # Errors
/// [`RunError::Configuration`] with everything that is wrong with them, each at its place in the file.
pub(super) fn open_with(
    engine: &PluginEngine,
    pipeline: &Pipeline,
    shapes: &[Arc<TableShape>],
    artifacts: &Artifacts,
) -> Result<Opened, RunError> {
    let specs = specs(pipeline, artifacts);
    let set = PluginSet::open(engine, &specs, &tables(pipeline, shapes)).map_err(|errors| {
        RunError::Configuration(errors.iter().map(|error| problem(pipeline, error)).collect())
    })?;
    let mut asked = vec![Asked::default(); shapes.len()];
    for (table, name, logical) in set.source_columns() {
        asked[table.index()].source_columns.push((name, logical));
    }
    for (table, asked) in (0..).map(TableId).zip(&mut asked) {
        if let Some((_, columns)) = set.merge_of(table) {
            asked.order_columns = columns.into_iter().map(str::to_owned).collect();
        }
    }
    Ok(Opened { set, asked })
}

/// A chain with instances of its own.
pub(super) fn chain(opened: &Opened, plan: &Plan) -> Result<Box<dyn Stages>, RunError> {
    let chain = opened
        .set
        .chain(plan)
        .map_err(|error| RunError::Environment { what: error.to_string(), hint: error.hint() })?;
    Ok(Box::new(chain))
}

fn specs(pipeline: &Pipeline, artifacts: &Artifacts) -> Vec<PluginSpec> {
    pipeline.plugins.iter().flat_map(|plugin| specs_of(pipeline, plugin, artifacts)).collect()
}

/// One, or two where a plugin runs another artifact for some of its tables.
fn specs_of(pipeline: &Pipeline, plugin: &crate::config::Plugin, artifacts: &Artifacts) -> Vec<PluginSpec> {
    let id = |&table: &usize| TableId(u16::try_from(table).unwrap_or(u16::MAX));
    let spec = |path: PathBuf, tables: Vec<TableId>| PluginSpec {
        name: plugin.name.clone(),
        path,
        stage: plugin.stage,
        tables,
        config: plugin.config.clone(),
    };
    let path = match (artifacts.placed(&plugin.name), &plugin.artifact) {
        (Some(placed), _) => placed.to_owned(),
        (None, Artifact::File(path)) => path.clone(),
        (None, Artifact::Digest { name, sha256 }) => PathBuf::from(format!("{name}@sha256:{sha256}")),
    };
    let split = artifacts.split_of(&plugin.name);
    let is_split =
        |table: &&usize| split.is_some_and(|split| split.tables.contains(&pipeline.tables[**table].name));
    let (others, own): (Vec<&usize>, Vec<&usize>) = plugin.tables.iter().partition(is_split);
    let ids = |tables: Vec<&usize>| tables.into_iter().map(id).collect::<Vec<_>>();
    let parts = [
        (path, ids(own)),
        (split.map(|Split { artifact, .. }| artifact.path.clone()).unwrap_or_default(), ids(others)),
    ];
    parts
        .into_iter()
        .filter(|(_, tables)| !tables.is_empty())
        .map(|(path, tables)| spec(path, tables))
        .collect()
}

fn tables(pipeline: &Pipeline, shapes: &[Arc<TableShape>]) -> Vec<BoundTable> {
    let bound = |(id, (table, shape)): (u16, (&crate::config::Table, &Arc<TableShape>))| BoundTable {
        id: TableId(id),
        name: table.name.clone(),
        shape: Arc::clone(shape),
        tags: table.tags.clone(),
        column_tags: table.column_tags.iter().map(|(c, tags)| (c.clone(), tags.clone())).collect(),
    };
    (0..).zip(pipeline.tables.iter().zip(shapes)).map(bound).collect()
}

fn limits(pipeline: &Pipeline) -> Limits {
    let configured = &pipeline.limits.plugin;
    Limits {
        memory_bytes: usize::try_from(configured.memory_bytes).unwrap_or(usize::MAX),
        fuel_base: configured.fuel_base,
        fuel_per_row: configured.fuel_per_row,
        answer_bytes: usize::try_from(configured.output_bytes).unwrap_or(usize::MAX),
        deadline: configured.deadline,
        instances: instances(pipeline),
        ..Limits::default()
    }
}

/// Instances of a lane and plugin that may be alive at the same time: the one at work, one made ready for the next
/// generation, a pair for the shadow run of a candidate, and one made ready for a canary that this lane does not decide by.
const PER_LANE_AND_PLUGIN: u32 = 5;
/// Instances that no lane has: those that are opened to look at a plugin, to try its laws and contests.
const BESIDE: u32 = 16;

/// Most instances at a time, all lanes of the pipeline in this process.
fn instances(pipeline: &Pipeline) -> u32 {
    let lanes = u32::try_from(slots(pipeline).len()).unwrap_or(u32::MAX);
    // One plugin more than there are: one of them may run two artifacts, split by tables.
    let plugins = u32::try_from(pipeline.plugins.len()).unwrap_or(u32::MAX).saturating_add(1);
    let of_lanes = lanes.saturating_mul(plugins).saturating_mul(PER_LANE_AND_PLUGIN);
    of_lanes.saturating_add(BESIDE).max(Limits::default().instances)
}

/// A plugin's error at its place in the file.
fn problem(pipeline: &Pipeline, error: &PluginError) -> Problem {
    let span = pipeline.plugin(&error.plugin).map_or(0..0, |plugin| match *error.why {
        Unfit::Config(_) | Unfit::TakesNoConfig => plugin.config_span.clone(),
        _ => plugin.path_span.clone(),
    });
    let mut problem = pipeline.problem(span, error.to_string());
    problem.help(error.hint());
    problem
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    #[test]
    fn the_more_lanes_and_plugins_the_more_instances() {
        let of = |partitions: u32, plugins: usize| {
            let plugin = |n: usize| {
                format!("[[plugin]]\nname = 'p{n}'\npath = 'p.wasm'\nstage = 'filter'\ntables = ['*']\n")
            };
            let text = format!(
                "[pipeline]\nname = 'p'\nregion = 'here'\n[source]\nurl = 'nats://127.0.0.1:1'\nstream = 'S'\n\
                 subjects = 'cdc.x.{{partition}}.>'\npartitions = {partitions}\n[sink]\nurl = 'sqlite://sink.db'\n\
                 [[table]]\nname = 't'\nkey = ['id']\npolicy = 'lww:commit-time'\n{}",
                (0..plugins).map(plugin).collect::<String>()
            );
            let path = Path::new("pipeline.toml");
            instances(&config::parse(&text, path, &config::ProcessEnvironment).unwrap())
        };
        assert_eq!(of(1, 1), 64, "small pipelines have the usual number");
        // Every lane of every plugin five times, as in a canary with a shadow run beside it.
        assert!(of(16, 3) >= 16 * 3 * 5, "{}", of(16, 3));
        assert!(of(64, 8) >= 64 * 8 * 5, "{}", of(64, 8));
    }
}
