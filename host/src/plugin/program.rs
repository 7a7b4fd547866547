//! A compiled plugin: what its file becomes once per process and generation. Instances are made of it, one per
//! lane and after each fault; nothing here sees a row.

use std::{path::Path, sync::Arc};

use wasmtime::component::{HasSelf, InstancePre, Linker};

use super::{
    artifact::Artifact,
    bindings::{
        base::{BaseIndices, reconverge::plugin::log as log_import},
        filter::FilterPluginIndices,
        mapping::MappingPluginIndices,
        merge::MergePluginIndices,
        residency::ResidencyPluginIndices,
    },
    digest::Digest,
    engine::PluginEngine,
    instance::{Guest, Instance},
    log::PluginLog,
    unfit::{PluginError, Unfit},
    words,
};
use crate::config::Stage;

/// The interface of a stage, without package and version; also the word for it everywhere.
#[must_use]
pub fn interface(stage: Stage) -> &'static str {
    match stage {
        Stage::Residency => "residency",
        Stage::Filter => "filter",
        Stage::Mapping => "mapping",
        Stage::Merge => "merge",
    }
}

/// See the module.
pub(super) struct Program {
    pub(super) name: Arc<str>,
    pub(super) stage: Stage,
    pub(super) digest: Digest,
    /// The plugin and its generation, for a person.
    pub(super) label: String,
    pub(super) engine: PluginEngine,
    pub(super) pre: InstancePre<Guest>,
    pub(super) lifecycle: BaseIndices,
    pub(super) run: RunIndices,
    pub(super) log: Arc<PluginLog>,
}

/// Where the export of the stage is.
pub(super) enum RunIndices {
    Residency(ResidencyPluginIndices),
    Filter(FilterPluginIndices),
    Mapping(MappingPluginIndices),
    Merge(MergePluginIndices),
}

/// What a plugin says of itself.
#[derive(Clone, Debug)]
pub struct Description {
    /// SHA-256 of its file.
    pub digest: Digest,
    /// The stages that it exports, in the order of the chain.
    pub stages: Vec<Stage>,
    /// Its own name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// JSON Schema of its configuration; `None` where it takes none.
    pub config_schema: Option<serde_json::Value>,
    /// Claims, a JSON object; empty where it makes none.
    pub extensions: String,
}

/// Reads, checks and compiles a plugin file and asks it what it is: for `plugin inspect` and `check`.
///
/// # Errors
/// It cannot run, whatever the pipeline.
pub fn inspect(engine: &PluginEngine, path: &Path) -> Result<Description, PluginError> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let described = Artifact::read(path, engine.limits().artifact_bytes).and_then(|artifact| {
        let first = artifact.stages.first();
        let first =
            *first.ok_or(Unfit::NoStage { wanted: "residency, filter, mapping or merge", has: vec![] })?;
        let stages = artifact.stages.clone();
        let program = Program::compile(engine, &name, &artifact, first, false)?;
        Ok(Description { stages, ..program.describe()? })
    });
    described.map_err(|why| PluginError::new(&name, why))
}

impl Program {
    /// Compiles an artifact for one stage. `sees_unpassed_rows`: it is given rows that residency has not passed,
    /// so that its log is shut.
    ///
    /// # Errors
    /// It lacks the stage, does not compile, or does not fit the interface.
    pub(super) fn compile(
        engine: &PluginEngine,
        name: &str,
        artifact: &Artifact,
        stage: Stage,
        sees_unpassed_rows: bool,
    ) -> Result<Self, Unfit> {
        if !artifact.stages.contains(&stage) {
            let has = artifact.stages.iter().map(|has| interface(*has).to_owned()).collect();
            return Err(Unfit::NoStage { wanted: interface(stage), has });
        }
        let compiled = engine.cache().compile(engine.wasmtime(), &artifact.component);
        let component = compiled.map_err(|cause| Unfit::Compile(format!("{cause:#}")))?;
        let mut linker = Linker::new(engine.wasmtime());
        log_import::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest).map_err(shape)?;
        let pre = linker.instantiate_pre(&component).map_err(shape)?;
        let name: Arc<str> = name.into();
        Ok(Program {
            stage,
            digest: artifact.digest,
            label: format!("plugin `{name}` ({})", artifact.digest.short()),
            engine: engine.clone(),
            lifecycle: BaseIndices::new(&pre).map_err(shape)?,
            run: RunIndices::of(stage, &pre)?,
            pre,
            log: Arc::new(PluginLog::new(Arc::clone(&name), engine.limits(), sees_unpassed_rows)),
            name,
        })
    }

    /// Asks a fresh instance what the plugin is.
    ///
    /// # Errors
    /// It does not start or does not answer, or its schema is no JSON.
    pub(super) fn describe(&self) -> Result<Description, Unfit> {
        let mut instance = Instance::start(self).map_err(|fault| Unfit::Start(fault.at_start()))?;
        let said = instance.describe().map_err(|fault| Unfit::Describe(fault.at_start()))?;
        let limit = self.engine.limits().text_bytes;
        let schema =
            (!said.config_schema.trim().is_empty()).then(|| serde_json::from_str(&said.config_schema));
        Ok(Description {
            digest: self.digest,
            stages: vec![self.stage],
            name: words::tame(&said.name, limit),
            version: words::tame(&said.version, limit),
            config_schema: schema.transpose().map_err(|cause| Unfit::Schema(cause.to_string()))?,
            extensions: said.extensions,
        })
    }

    /// What the plugin says in words, fit to be shown.
    pub(super) fn tame(&self, text: &str) -> String {
        words::tame(text, self.engine.limits().text_bytes)
    }
}

impl RunIndices {
    fn of(stage: Stage, pre: &InstancePre<Guest>) -> Result<Self, Unfit> {
        let indices = match stage {
            Stage::Residency => ResidencyPluginIndices::new(pre).map(RunIndices::Residency),
            Stage::Filter => FilterPluginIndices::new(pre).map(RunIndices::Filter),
            Stage::Mapping => MappingPluginIndices::new(pre).map(RunIndices::Mapping),
            Stage::Merge => MergePluginIndices::new(pre).map(RunIndices::Merge),
        };
        indices.map_err(shape)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn shape(cause: wasmtime::Error) -> Unfit {
    Unfit::Shape(format!("{cause:#}"))
}
