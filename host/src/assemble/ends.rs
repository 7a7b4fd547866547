//! Connects the two ends that a configuration names.

use std::sync::Arc;

use reconverge_streams::{
    jetstream::{ConnectOptions, FilterPattern, JetStreamSource, StreamDefinition},
    sink::{Sink, TableName},
    source::{Source as _, StreamFacts},
    table::TableShape,
};

use crate::config::{Pipeline, Problem, Source, nats::NatsOptions};

use super::RunError;

pub(super) fn nats(options: &NatsOptions, pipeline: &str) -> ConnectOptions {
    ConnectOptions {
        url: options.url.expose().to_owned(),
        name: Some(format!("reconverge {pipeline}")),
        creds: options.creds.clone(),
        user: options.user.clone(),
        password: options.password.clone(),
        token: options.token.clone(),
        nkey: options.nkey.clone(),
        cert: options.cert.clone(),
        key: options.key.clone(),
        ca: options.ca.clone(),
        tls_first: options.tls_first,
        inbox_prefix: options.inbox_prefix.clone(),
        jetstream_domain: options.jetstream_domain.clone(),
        jetstream_api_prefix: options.jetstream_api_prefix.clone(),
    }
}

/// Binds to the source's stream; with `ensure` creates it first where it is missing.
pub(super) async fn source(
    pipeline: &Pipeline,
    source: &Source,
    ensure: bool,
) -> Result<JetStreamSource, RunError> {
    let options = nats(&source.nats, &pipeline.name);
    let filters = FilterPattern::parse(&source.subjects.to_string())?;
    if ensure {
        StreamDefinition::new(&source.stream, filters.subjects()).ensure(&options).await?;
    }
    let bound = JetStreamSource::connect(&options, &source.stream, filters).await?;
    Ok(bound.named(&format!("{}-{}", pipeline.name, source.name)))
}

/// Binds to the streams that stand in for the source's.
pub(super) async fn mirrors(pipeline: &Pipeline, source: &Source) -> Result<Vec<JetStreamSource>, RunError> {
    let options = nats(&source.nats, &pipeline.name);
    let mut mirrors = Vec::new();
    for name in &source.mirrors {
        let filters = FilterPattern::parse(&source.subjects.to_string())?;
        let bound = JetStreamSource::connect(&options, name, filters).await?;
        mirrors.push(bound.named(&format!("{}-{}-mirror", pipeline.name, source.name)));
    }
    Ok(mirrors)
}

/// What the source's stream says of itself.
///
/// # Errors
/// [`RunError::Environment`] where the server, or the stream, cannot be reached.
pub async fn stream_facts(pipeline: &Pipeline, config: &Source) -> Result<StreamFacts, RunError> {
    Ok(source(pipeline, config, false).await?.inspect().await?)
}

/// The shapes of all tables, in the plan's order, or everything that is wrong with them, each at its place.
pub(super) async fn shapes<K: Sink>(pipeline: &Pipeline, sink: &K) -> Result<Vec<TableShape>, RunError> {
    let shapes = shapes_or(pipeline, sink, &[]).await?;
    Ok(shapes.into_iter().map(Arc::unwrap_or_clone).collect())
}

/// The same for a pipeline that ran already: a table that cannot be used now keeps the shape that it was planned with,
/// and is paused by the claim.
pub(super) async fn shapes_or<K: Sink>(
    pipeline: &Pipeline,
    sink: &K,
    planned: &[Arc<TableShape>],
) -> Result<Vec<Arc<TableShape>>, RunError> {
    let names: Vec<TableName> =
        pipeline.tables.iter().map(|t| TableName { name: t.target.clone(), key: t.key.clone() }).collect();
    let mut shapes = Vec::new();
    let mut problems = Vec::new();
    for (place, (table, found)) in pipeline.tables.iter().zip(sink.shapes(&names).await?).enumerate() {
        let wrong = match found {
            Ok(shape) => {
                let columns: Vec<&str> = shape.columns.iter().map(|c| c.name.as_str()).collect();
                let wrong: Vec<Problem> = pipeline.column_problems(table, &columns).into_iter().collect();
                shapes.push(Arc::new(shape));
                wrong
            }
            Err(wrong) => wrong.into_iter().map(|p| at(pipeline, table.span.clone(), p)).collect(),
        };
        match planned.get(place) {
            Some(planned) if !wrong.is_empty() => {
                shapes.truncate(place);
                shapes.push(Arc::clone(planned));
            }
            _ => problems.extend(wrong),
        }
    }
    if problems.is_empty() { Ok(shapes) } else { Err(RunError::Configuration(problems)) }
}

/// Everything that is wrong with one table.
pub(super) async fn problems_of<K: Sink>(
    pipeline: &Pipeline,
    sink: &K,
    target: &str,
) -> Result<Vec<Problem>, RunError> {
    let Some(table) = pipeline.tables.iter().find(|t| t.target == target) else { return Ok(Vec::new()) };
    let name = TableName { name: table.target.clone(), key: table.key.clone() };
    let mut problems = Vec::new();
    for found in sink.shapes(&[name]).await? {
        match found {
            Ok(shape) => {
                let columns: Vec<&str> = shape.columns.iter().map(|c| c.name.as_str()).collect();
                problems.extend(pipeline.column_problems(table, &columns));
            }
            Err(wrong) => problems.extend(wrong.into_iter().map(|p| at(pipeline, table.span.clone(), p))),
        }
    }
    Ok(problems)
}

/// A sink's problem at a place of the file.
pub(super) fn at(
    pipeline: &Pipeline,
    span: std::ops::Range<usize>,
    problem: reconverge_streams::sink::Problem,
) -> Problem {
    let mut placed = pipeline.problem(span, problem.what);
    placed.help(problem.hint);
    placed
}
