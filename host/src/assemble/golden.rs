//! Golden contests of the pipeline file: a plugin whose artifact decides one of them otherwise is refused before it
//! decides anything, at the start as in a reload.

use std::path::Path;

use super::reload::Artifacts;
use crate::{
    config::{Artifact, Pipeline, Plugin, Problem},
    contests::{ContestFile, golden},
    plugin::PluginEngine,
};

/// What is decided otherwise than written down, at its place in the file. Slow work: not for a thread that serves others.
pub(super) fn differing(engine: &PluginEngine, pipeline: &Pipeline, artifacts: &Artifacts) -> Vec<Problem> {
    let mut problems = Vec::new();
    for plugin in &pipeline.plugins {
        let Some(contests) = &plugin.contests else { continue };
        let own = match &plugin.artifact {
            Artifact::File(path) => Some(path.as_path()),
            Artifact::Digest { .. } => None,
        };
        let split = artifacts.split_of(&plugin.name).map(|split| split.artifact.path.as_path());
        let both = [artifacts.placed(&plugin.name).or(own), split];
        for file in both.into_iter().flatten() {
            problems.extend(problem(engine, pipeline, plugin, contests, file));
        }
    }
    problems
}

fn problem(
    engine: &PluginEngine,
    pipeline: &Pipeline,
    plugin: &Plugin,
    contests: &Path,
    file: &Path,
) -> Option<Problem> {
    let found = ContestFile::read_all(contests)
        .and_then(|files| golden::difference(engine, file, plugin.stage, &files));
    let (what, hint) = match found {
        Ok(None) => return None,
        Ok(Some(difference)) => (
            difference,
            format!(
                "`reconverge plugin test FILE --golden {}` shows them in full; write what is meant",
                contests.display()
            ),
        ),
        Err(error) => (error.to_string(), error.hint()),
    };
    let what = format!("plugin `{}`: {what}", plugin.name);
    let mut problem = pipeline.problem(plugin.contests_span.clone(), what);
    problem.help(hint);
    Some(problem)
}
