//! All that would keep a pipeline from running, at once: the stream, the sink, its tables, the plugins and their
//! contracts, permissions. Changes nothing anywhere.

use std::sync::Arc;

use reconverge_streams::{sink::Sink, source::Source as _, table::TableShape};

use crate::config::{Pipeline, Policy, Problem, ProcessEnvironment, SinkTarget, Source};

use super::{RunError, ends, grade, lawful, plan, plugins, reload::Artifacts, sidecar, workshop};

/// What a check found. Both empty is good.
#[derive(Debug, Default)]
pub struct Findings {
    /// The pipeline does not fit its tables, its plugins or this version.
    pub configuration: Vec<Problem>,
    /// A server, a database, a file or a right is not as the pipeline needs it.
    pub environment: Vec<Problem>,
}

impl Findings {
    /// All of them, the configuration's first.
    pub fn all(&self) -> impl Iterator<Item = &Problem> {
        self.configuration.iter().chain(&self.environment)
    }

    fn add(&mut self, pipeline: &Pipeline, span: std::ops::Range<usize>, error: RunError) {
        let hint = error.hint().map(str::to_owned);
        match error {
            RunError::Configuration(problems) => self.configuration.extend(problems),
            other => {
                let mut problem = pipeline.problem(span, other.to_string());
                if let Some(hint) = hint {
                    problem.help(hint);
                }
                self.environment.push(problem);
            }
        }
    }
}

/// Looks at everything, in the order of the file's parts.
pub async fn check(pipeline: &Pipeline) -> Findings {
    let mut found = Findings { configuration: pipeline.unsupported(), ..Findings::default() };
    found.environment.extend(pipeline.missing_files(&ProcessEnvironment));
    for source in &pipeline.sources {
        match check_source(pipeline, source).await {
            Ok(doubts) => found.configuration.extend(doubts),
            Err(error) => found.add(pipeline, source.span.clone(), error),
        }
    }
    let span = || pipeline.sink.span.clone();
    match &pipeline.sink.target {
        SinkTarget::Sqlite { path } if !path.exists() => {
            let mut problem = pipeline.problem(span(), format!("there is no file {}", path.display()));
            problem.help("create it with the tables that the pipeline writes");
            found.environment.push(problem);
        }
        SinkTarget::Sqlite { path } => match sidecar::sqlite(path) {
            Ok(sink) => check_sink(pipeline, &sink, &mut found).await,
            Err(error) => found.add(pipeline, span(), error),
        },
        SinkTarget::Postgres { url, schema } => match sidecar::postgres(url, schema).await {
            Ok(sink) => check_sink(pipeline, &sink, &mut found).await,
            Err(error) => found.add(pipeline, span(), error),
        },
        SinkTarget::Relay { .. } => {}
    }
    found
}

/// What is doubtful about a stream that can be bound to.
async fn check_source(pipeline: &Pipeline, source: &Source) -> Result<Vec<Problem>, RunError> {
    let stream = ends::source(pipeline, source, false).await?;
    let bounds = stream.inspect().await?.bounds;
    let unread = stream.unread(source.partitions).await?;
    ends::mirrors(pipeline, source).await?;
    let doubt = |max: u64| {
        let what = format!(
            "stream {} keeps {max} messages of a subject: over that it lets older changes go, and nobody is told",
            source.stream
        );
        let mut problem = pipeline.problem(source.span.clone(), what);
        problem.help("`nats stream edit --max-msgs-per-subject=-1`: its other limits are told before they take what is not applied");
        problem.warn();
        problem
    };
    let beyond = |unread: u64| {
        let what = format!(
            "stream {} holds {unread} messages of partitions that are not below {}: no lane reads them",
            source.stream, source.partitions
        );
        let mut problem = pipeline.problem(source.span.clone(), what);
        problem.help("raise `partitions` to what the subjects are dealt out to, or leave those subjects out of the stream");
        problem.warn();
        problem
    };
    let beyond = (unread > 0).then(|| beyond(unread));
    Ok(bounds.per_subject_max.map(doubt).into_iter().chain(beyond).collect())
}

async fn check_sink<K: Sink>(pipeline: &Pipeline, sink: &K, found: &mut Findings) {
    let span = || pipeline.sink.span.clone();
    match sink.check().await {
        Ok(wrong) => found.environment.extend(wrong.into_iter().map(|p| ends::at(pipeline, span(), p))),
        Err(error) => found.add(pipeline, span(), error.into()),
    }
    match ends::shapes(pipeline, sink).await {
        Err(error) => found.add(pipeline, span(), error),
        Ok(shapes) => {
            let shapes: Vec<_> = shapes.into_iter().map(Arc::new).collect();
            let planned = plugins::open(pipeline, &shapes)
                .and_then(|opened| plan::plan(pipeline, &shapes, &opened.asked, Arc::default()));
            match planned {
                Err(error) => found.add(pipeline, span(), error),
                Ok(plan) => {
                    found.configuration.extend(grade::warnings(pipeline, &Arc::new(plan)).await);
                    match refused(pipeline, &shapes).await {
                        Ok(problems) => found.configuration.extend(problems),
                        Err(error) => found.add(pipeline, span(), error),
                    }
                }
            }
            found.configuration.extend(check_rules(pipeline, &shapes));
        }
    }
}

/// [`workshop::refused`] of the pipeline's own artifacts, on a thread for slow work.
async fn refused(pipeline: &Pipeline, shapes: &[Arc<TableShape>]) -> Result<Vec<Problem>, RunError> {
    let (pipeline, shapes) = (pipeline.clone(), shapes.to_vec());
    let looked = tokio::task::spawn_blocking(move || {
        workshop::refused(&plugins::engine(&pipeline)?, &pipeline, &shapes, &Artifacts::default())
    });
    looked.await.unwrap_or_else(|cause| Err(lawful::failed(&cause.to_string())))
}

/// Rules that are lawful and do not converge with the tables as they are. Warnings.
fn check_rules(pipeline: &Pipeline, shapes: &[Arc<TableShape>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (table, shape) in pipeline.tables.iter().zip(shapes) {
        if shape.has_other_unique && !matches!(table.policy, Policy::None) {
            let what = format!(
                "`{}` has a unique constraint besides its key: a row that clashes on it becomes a dead letter",
                table.target
            );
            let mut problem = pipeline.problem(table.span.clone(), what);
            problem.help("two regions may dead-letter different rows; prefer a plain index in the sink");
            problem.warn();
            problems.push(problem);
        }
    }
    problems
}
