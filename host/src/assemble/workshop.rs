//! Makes generations: plugins from their artifacts, the plan that follows from their contracts, and for each lane
//! its rules. Used at the start and, away from the lanes, for each reload.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use reconverge_streams::{names::Names, table::TableShape};

use crate::{
    config::{Pipeline, Problem},
    contests::{self, ContestFile},
    generation::{Generation, Rules, Trial},
    plugin::PluginEngine,
};

use super::{RunError, golden, lanes, lawful, plan, plugins, reload::Artifacts};

/// See the module.
pub(super) struct Workshop {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) shapes: Vec<Arc<TableShape>>,
    /// The same for all generations: what is interned in a claim has to mean the same under the next one.
    pub(super) names: Arc<Names>,
    engine: PluginEngine,
    next: AtomicU64,
}

/// Plugins that decide golden contests of the pipeline otherwise, and merge plugins that break required laws. Slow work.
///
/// # Errors
/// A plugin cannot run, or the laws could not be looked at.
pub(super) fn refused(
    engine: &PluginEngine,
    pipeline: &Pipeline,
    shapes: &[Arc<TableShape>],
    artifacts: &Artifacts,
) -> Result<Vec<Problem>, RunError> {
    let mut problems = golden::differing(engine, pipeline, artifacts);
    problems.extend(lawful::unlawful(pipeline, shapes, artifacts)?);
    Ok(problems)
}

impl Workshop {
    pub(super) fn new(pipeline: &Pipeline, shapes: Vec<Arc<TableShape>>) -> Result<Self, RunError> {
        Ok(Workshop {
            pipeline: Arc::new(pipeline.clone()),
            shapes,
            names: Arc::default(),
            engine: plugins::engine(pipeline)?,
            next: AtomicU64::new(1),
        })
    }

    /// The generation to begin with, made on a thread for slow work.
    ///
    /// # Errors
    /// As for [`Self::generation`].
    pub(super) async fn first(self: &Arc<Self>, artifacts: &Artifacts) -> Result<Generation, RunError> {
        let (workshop, artifacts) = (Arc::clone(self), artifacts.clone());
        let made = tokio::task::spawn_blocking(move || workshop.generation(&artifacts, None));
        made.await.unwrap_or_else(|cause| {
            Err(RunError::Environment {
                what: format!("the plugins could not be made ready: {cause}"),
                hint: "this is a fault of Reconverge: please report it".to_owned(),
            })
        })
    }

    /// What an artifact of a plugin decides otherwise than contests that came with it say.
    ///
    /// # Errors
    /// What that is, or why it cannot be told.
    pub(super) fn decides_as(
        &self,
        plugin: &str,
        artifact: &Path,
        contests: &[ContestFile],
    ) -> Result<(), String> {
        let Some(plugin) = self.pipeline.plugin(plugin) else { return Ok(()) };
        match contests::golden::difference(&self.engine, artifact, plugin.stage, contests) {
            Ok(None) => Ok(()),
            Ok(Some(difference)) => Err(difference),
            Err(error) => Err(format!("its golden contests cannot be asked: {error}")),
        }
    }

    /// A generation of these artifacts: compiled, described, opened, its contracts checked against the tables, the
    /// pipeline's golden contests asked, and the laws tried where they are required. Slow work: not for a thread that serves others.
    ///
    /// # Errors
    /// [`RunError::Configuration`] with all that is wrong.
    pub(super) fn generation(
        &self,
        artifacts: &Artifacts,
        trial: Option<Trial>,
    ) -> Result<Generation, RunError> {
        let opened = plugins::open_with(&self.engine, &self.pipeline, &self.shapes, artifacts)?;
        let plan = plan::plan(&self.pipeline, &self.shapes, &opened.asked, Arc::clone(&self.names))?;
        let refused = refused(&self.engine, &self.pipeline, &self.shapes, artifacts)?;
        if !refused.is_empty() {
            return Err(RunError::Configuration(refused));
        }
        let plan = Arc::new(plan);
        let description = opened.generation_description();
        let pipeline = Arc::clone(&self.pipeline);
        let rules = move |lane: &str| {
            let decoder = lanes::decoder(&pipeline, lane, &plan)?;
            let stages = plugins::chain(&opened, &plan).map_err(|error| error.to_string())?;
            Ok(Rules { plan: Arc::clone(&plan), decoder, stages })
        };
        Ok(Generation::new(self.next.fetch_add(1, Ordering::Relaxed), description, trial, rules))
    }
}
