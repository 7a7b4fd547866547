//! All that would keep a pipeline from running, at once: the stream, the sink, its tables, the plugins and their
//! contracts, permissions. Changes nothing anywhere.

use std::sync::Arc;

use reconverge_streams::{sink::Sink, table::TableShape};

use crate::config::{Pipeline, Policy, Problem, ProcessEnvironment, SinkTarget};

use super::{RunError, ends, plan, plugins, sidecar};

/// Problems in the order of the file's parts; empty is good.
pub async fn check(pipeline: &Pipeline) -> Vec<Problem> {
    let mut problems = pipeline.unsupported();
    problems.extend(pipeline.missing_files(&ProcessEnvironment));
    for source in &pipeline.sources {
        if let Err(error) = ends::source(pipeline, source, false).await {
            problems.extend(placed(pipeline, source.span.clone(), error));
        }
    }
    match &pipeline.sink.target {
        SinkTarget::Sqlite { path } if !path.exists() => {
            let mut problem =
                pipeline.problem(pipeline.sink.span.clone(), format!("there is no file {}", path.display()));
            problem.help("create it with the tables that the pipeline writes");
            problems.push(problem);
        }
        SinkTarget::Sqlite { path } => match sidecar::sqlite(path) {
            Ok(sink) => problems.extend(check_sink(pipeline, &sink).await),
            Err(error) => problems.extend(placed(pipeline, pipeline.sink.span.clone(), error)),
        },
        SinkTarget::Postgres { url, schema } => match sidecar::postgres(url, schema).await {
            Ok(sink) => problems.extend(check_sink(pipeline, &sink).await),
            Err(error) => problems.extend(placed(pipeline, pipeline.sink.span.clone(), error)),
        },
        SinkTarget::Relay { .. } => {}
    }
    problems
}

async fn check_sink<K: Sink>(pipeline: &Pipeline, sink: &K) -> Vec<Problem> {
    let span = || pipeline.sink.span.clone();
    let mut problems = match sink.check().await {
        Ok(found) => found.into_iter().map(|p| ends::at(pipeline, span(), p)).collect(),
        Err(error) => placed(pipeline, span(), error.into()),
    };
    match ends::shapes(pipeline, sink).await {
        Err(error) => problems.extend(placed(pipeline, span(), error)),
        Ok(shapes) => {
            let shapes: Vec<_> = shapes.into_iter().map(Arc::new).collect();
            problems.extend(check_plugins(pipeline, &shapes));
            problems.extend(check_rules(pipeline, &shapes));
        }
    }
    problems
}

fn check_plugins(pipeline: &Pipeline, shapes: &[Arc<TableShape>]) -> Vec<Problem> {
    let span = || pipeline.sink.span.clone();
    match plugins::open(pipeline, shapes) {
        Err(error) => placed(pipeline, span(), error),
        Ok(opened) => match plan::plan(pipeline, shapes, &opened.asked) {
            Err(error) => placed(pipeline, span(), error),
            Ok(_) => Vec::new(),
        },
    }
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

fn placed(pipeline: &Pipeline, span: std::ops::Range<usize>, error: RunError) -> Vec<Problem> {
    let hint = error.hint().map(str::to_owned);
    match error {
        RunError::Configuration(problems) => problems,
        other => {
            let mut problem = pipeline.problem(span, other.to_string());
            if let Some(hint) = hint {
                problem.help(hint);
            }
            vec![problem]
        }
    }
}
