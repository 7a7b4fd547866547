//! `laws = "required"`: a plugin that breaks the merge laws is refused before it decides anything. What was found lawful
//! once, on the same tables by the same host, is not looked at again.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use reconverge_streams::table::TableShape;
use sha2::{Digest, Sha256};

use super::{RunError, laws, plugins, reload::Artifacts};
use crate::{
    config::{Laws, Pipeline, Plugin, Problem, Stage},
    laws::{Broken, Effort, Finding, Law, check},
};

/// Raised where the laws, or how they are looked at, change: what was found before is then looked at again.
const EDITION: u32 = 1;

/// As much as a start can wait for; `reconverge plugin laws` tries more.
fn effort() -> Effort {
    Effort { cases: 60, at_most: Duration::from_secs(10), without: vec![Law::Monotone], ..Effort::default() }
}

/// What breaks the laws although it is required to keep them, at its place in the file. Slow work: not for a thread that
/// serves others.
///
/// # Errors
/// A plugin cannot run, or the laws could not be looked at.
pub(super) fn unlawful(
    pipeline: &Pipeline,
    shapes: &[Arc<TableShape>],
    artifacts: &Artifacts,
) -> Result<Vec<Problem>, RunError> {
    let mut problems = Vec::new();
    let required = |plugin: &&Plugin| plugin.laws == Laws::Required && plugin.stage == Stage::Merge;
    for plugin in pipeline.plugins.iter().filter(required) {
        problems.extend(problems_of(pipeline, plugin, shapes, artifacts.placed(&plugin.name))?);
        if let Some(split) = artifacts.split_of(&plugin.name) {
            problems.extend(problems_of(pipeline, plugin, shapes, Some(&split.artifact.path))?);
        }
    }
    Ok(problems)
}

/// `file` stands in place of the pipeline's own.
fn problems_of(
    pipeline: &Pipeline,
    plugin: &Plugin,
    shapes: &[Arc<TableShape>],
    file: Option<&Path>,
) -> Result<Vec<Problem>, RunError> {
    let proof = proof(pipeline, plugin, shapes, file)?;
    if proof.as_deref().is_some_and(Path::exists) {
        return Ok(Vec::new());
    }
    let mut problems = Vec::new();
    for mut case in laws::cases(pipeline, shapes, &plugin.name, file)? {
        let found = check(&mut case.subject, &effort(), &[], |_, _| ());
        let found = found.map_err(|cause| failed(&cause.to_string()))?;
        let broken = found.into_iter().find_map(|(_, finding)| match finding {
            Finding::Broken(broken) => Some(broken),
            _ => None,
        });
        problems.extend(broken.map(|broken| problem(pipeline, plugin, &case.table, &broken)));
    }
    if let (Some(proof), true) = (&proof, problems.is_empty()) {
        keep(proof);
    }
    Ok(problems)
}

fn problem(pipeline: &Pipeline, plugin: &Plugin, table: &str, broken: &Broken) -> Problem {
    let what = format!(
        "plugin `{}` breaks the law `{}` on table `{table}`: a merge rule has to be one that {}",
        plugin.name,
        broken.law,
        broken.law.promise()
    );
    let mut problem = pipeline.problem(plugin.path_span.clone(), what);
    problem.help(format!(
        "`reconverge plugin laws {} --pipeline {}` prints the histories that show it; {}",
        plugin.name,
        problem.file(),
        broken.law.hint()
    ));
    problem
}

/// The file that says that a plugin is lawful; none where there is no place for it. Its name holds everything that the
/// answer depends on: the plugin and its configuration, its tables, and how the laws are looked at.
fn proof(
    pipeline: &Pipeline,
    plugin: &Plugin,
    shapes: &[Arc<TableShape>],
    file: Option<&Path>,
) -> Result<Option<PathBuf>, RunError> {
    let Some(folder) = folder() else { return Ok(None) };
    let opened = plugins::open(&laws::alone(pipeline, &plugin.name, file), shapes)?;
    let mut all = Sha256::new();
    all.update(format!("{EDITION} {} {}", env!("CARGO_PKG_VERSION"), opened.generation_description()));
    for &table in &plugin.tables {
        let others = pipeline.plugins.iter().filter(|p| p.tables.contains(&table)).map(|p| p.stage);
        let (table, shape) = (&pipeline.tables[table], &shapes[table]);
        let stages: Vec<Stage> = others.collect();
        all.update(format!("{shape:?} {:?} {:?} {stages:?}", table.deletes, table.before_images));
    }
    let name: String = all.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(folder.join(name)))
}

fn folder() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    caches.map(|caches| caches.join("reconverge/lawful"))
}

/// Notes that a plugin is lawful. Without the note the next start looks again.
fn keep(proof: &Path) {
    let made = proof.parent().map_or(Ok(()), fs::create_dir_all);
    if let Err(error) = made.and_then(|()| fs::write(proof, b"")) {
        tracing::warn!(path = %proof.display(), %error, "laws.not_noted");
    }
}

pub(super) fn failed(what: &str) -> RunError {
    RunError::Environment {
        what: format!("the merge laws could not be looked at: {what}"),
        hint: "`reconverge plugin laws` shows more".to_owned(),
    }
}
