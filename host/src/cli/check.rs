//! `reconverge check`: everything that would keep the pipeline from running, told at once.

use serde::Serialize;

use crate::{assemble, config::Problem};

use super::{
    arguments::Global,
    connect,
    exit::Exit,
    failure::{Drawing, Failure},
    logging::{Bar, Loudness},
    output,
};

/// What `--json` prints.
#[derive(Serialize)]
struct Checked<'a> {
    /// Whether the pipeline would run.
    ok: bool,
    problems: Vec<Found<'a>>,
}

#[derive(Serialize)]
struct Found<'a> {
    severity: &'static str,
    file: &'a str,
    line: usize,
    column: usize,
    message: &'a str,
    hint: Option<&'a str>,
}

impl<'a> Found<'a> {
    fn of(problem: &'a Problem) -> Found<'a> {
        let (line, column) = problem.position();
        let severity = if problem.is_warning() { "warning" } else { "error" };
        let (file, message, hint) = (problem.file(), problem.message(), problem.hint());
        Found { severity, file, line, column, message, hint }
    }
}

pub(super) async fn check(global: &Global) -> Result<Exit, Failure> {
    let bar = Bar::default();
    let pipeline = match connect::pipeline(global, Loudness::Error, &bar) {
        Ok(pipeline) => pipeline,
        Err(failure) if global.json && !failure.problems().is_empty() => {
            show(&failure.problems().iter().collect::<Vec<_>>())?;
            return Ok(failure.exit());
        }
        Err(failure) => return Err(failure),
    };
    connect::tell_warnings(&pipeline, global, &bar);
    let found = assemble::check(&pipeline).await;
    let is_error = |problem: &&Problem| !problem.is_warning();
    let errors = found.all().filter(is_error).count();
    let exit = match (errors, found.configuration.iter().any(|problem| !problem.is_warning())) {
        (0, _) => Exit::Done,
        (_, true) => Exit::Configuration,
        (_, false) => Exit::Environment,
    };
    if global.json {
        return show(&pipeline.warnings.iter().chain(found.all()).collect::<Vec<_>>()).map(|()| exit);
    }
    let problems = found.configuration.into_iter().chain(found.environment).collect::<Vec<_>>();
    if errors > 0 {
        let noun = if errors == 1 { "problem" } else { "problems" };
        let what = format!("{} cannot run: {errors} {noun}", global.pipeline.display());
        return Err(Failure::new(exit, what).at(problems));
    }
    bar.talk(&Drawing::of_stderr().problems(&problems));
    let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let parts = [
        counted(pipeline.sources.len(), "source"),
        counted(pipeline.tables.len(), "table"),
        counted(pipeline.plugins.len(), "plugin"),
    ];
    let ready = format!("{} would run: {}\n", global.pipeline.display(), parts.join(", "));
    output::write(ready.as_bytes()).map(|()| exit)
}

fn show(problems: &[&Problem]) -> Result<(), Failure> {
    let ok = problems.iter().all(|problem| problem.is_warning());
    let problems = problems.iter().map(|problem| Found::of(problem)).collect();
    output::show(true, &Checked { ok, problems }, |_| String::new())
}
