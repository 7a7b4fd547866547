//! `reconverge conflicts`: the history of decisions, as a list or one by one.

use reconverge_streams::records::{DecisionRecord, Query, Records};

use crate::{assemble::Sidecar, config::Pipeline};

use super::{
    arguments::{Conflicts, Global},
    connect,
    exit::Exit,
    failure::Failure,
    logging::{Bar, Loudness},
    output::{self, or_dash},
    story,
};

/// As many letters of an id as a list shows, and as `show` needs at most.
const ID_SHOWN: usize = 8;

pub(super) async fn conflicts(global: &Global, asked: Conflicts) -> Result<Exit, Failure> {
    let pipeline = connect::pipeline(global, Loudness::Error, &Bar::default())?;
    let records = connect::sidecar(&pipeline).await?;
    match asked {
        Conflicts::List { table, kind, limit } => {
            let query = Query { table, word: kind, ..connect::query(&pipeline, limit) };
            let found = records.decisions(&query).await?;
            output::show(global.json, &found, |found| list(found))?;
        }
        Conflicts::Show { id } => {
            let decision = the_one(&pipeline, &records, id).await?;
            let generations = records.generations(Some(&pipeline.name)).await?;
            let generation = generations
                .iter()
                .find(|generation| generation.id == decision.generation && generation.lane == decision.lane);
            output::show(global.json, &decision, |decision| {
                let head = format!("conflict {}, {} {}\n\n", decision.id, decision.table, decision.key);
                head + &story::told(decision, generation)
            })?;
        }
    }
    Ok(Exit::Done)
}

/// The decision whose id begins so.
async fn the_one(pipeline: &Pipeline, records: &Sidecar, id: String) -> Result<DecisionRecord, Failure> {
    let query = Query { id: Some(id.clone()), ..connect::query(pipeline, 2) };
    let mut found = records.decisions(&query).await?;
    match (found.pop(), found.is_empty()) {
        (Some(decision), true) => Ok(decision),
        (Some(_), false) => Err(Failure::new(Exit::Runtime, format!("several conflicts begin with {id}"))
            .hint("give more letters of the id")),
        (None, _) => Err(Failure::new(Exit::Runtime, format!("there is no conflict {id}"))
            .hint("`reconverge conflicts list` shows the newest; decisions are kept for 30 days")),
    }
}

fn list(found: &[DecisionRecord]) -> String {
    if found.is_empty() {
        return "no conflicts\n".to_owned();
    }
    let head = ["id", "at", "table", "key", "kind", "outcome", "decided by", "reason"];
    output::table(&head, found.iter().map(row))
}

fn row(decision: &DecisionRecord) -> Vec<String> {
    vec![
        decision.id.chars().take(ID_SHOWN).collect(),
        decision.at.clone(),
        decision.table.clone(),
        decision.key.clone(),
        decision.kind.clone(),
        decision.outcome.clone(),
        decision.decided_by.clone(),
        or_dash(decision.reason.as_ref()),
    ]
}
