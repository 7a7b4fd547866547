//! How well a source's changes can be told apart, from the newest of them that its stream holds: what `check` warns
//! of before the first run. Afterwards the sink knows it of every change.

use std::sync::Arc;

use reconverge_streams::{
    event::Grade,
    source::{Pulled, Source as _},
};

use crate::{
    config::{Pipeline, Problem, Source},
    decode::Decoder,
    plan::Plan,
    resolve::repeats,
};

use super::ends;

/// How many messages to look at, the newest first, until one is a change.
const LOOK_AT_MAX: u64 = 16;

/// Warnings about sources whose changes cannot be told apart by position.
pub(super) async fn warnings(pipeline: &Pipeline, plan: &Arc<Plan>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in &pipeline.sources {
        if let Some((what, hint)) = newest(pipeline, source, plan).await.and_then(words) {
            let mut problem =
                pipeline.problem(source.span.clone(), format!("source `{}` {what}", source.name));
            problem.help(hint);
            problem.warn();
            problems.push(problem);
        }
    }
    problems
}

/// What a grade means for the operator; nothing to say of the best.
fn words(grade: Grade) -> Option<(&'static str, &'static str)> {
    match grade {
        Grade::A => None,
        Grade::B => Some((
            "sends no positions (grade B): a change that is published again is told by its event id for 24 hours, and \
             takes effect again after that",
            "send `pos` in the envelope; from Debezium for PostgreSQL it is `source.sequence`",
        )),
        Grade::C => Some((
            "sends neither positions nor event ids (grade C): a change that is published again takes effect again",
            "send `pos`, or `event_id`, or at least the header `Nats-Msg-Id`",
        )),
    }
}

/// The grade of the newest change; `None` where there is none to see, or the stream cannot be asked (that is told
/// elsewhere).
async fn newest(pipeline: &Pipeline, config: &Source, plan: &Arc<Plan>) -> Option<Grade> {
    let source = ends::source(pipeline, config, false).await.ok()?;
    let facts = source.inspect().await.ok()?;
    let decoder = Decoder::new(Arc::clone(plan), config);
    let oldest = facts.first.max(facts.last.saturating_sub(LOOK_AT_MAX - 1)).max(1);
    for sequence in (oldest..=facts.last).rev() {
        let Some(delivery) = source.fetch(sequence).await.ok()? else { continue };
        let batch = decoder.decode(Pulled { deliveries: vec![delivery], scanned: sequence });
        if let Some(grade) = repeats::grades(&batch).into_values().max() {
            return Some(grade);
        }
    }
    None
}
