//! `reconverge explain`: gathers all that the sink remembers of one key. `story` puts it into words.

use reconverge_streams::{
    records::{DeadLetterRecord, DecisionRecord, GenerationRecord, KeyRecord, ParkedRecord, Query, Records},
    text,
};
use serde::Serialize;

use crate::{assemble, config::Deletes};

use super::{
    arguments::{Explain, Global},
    connect,
    exit::Exit,
    failure::Failure,
    logging::{Bar, Loudness},
    output, story,
};

/// All that is known of one key.
#[derive(Debug, Serialize)]
pub(super) struct Explained {
    /// The table's name in the sink.
    pub table: String,
    /// The key as a JSON object.
    pub key: serde_json::Value,
    /// The table's rule as the file has it.
    pub policy: String,
    /// How its deletes take part, where the rule orders changes.
    pub deletes: Option<String>,
    /// The row and its version.
    #[serde(flatten)]
    pub record: KeyRecord,
    /// The row that stands and is kept beside, and what it waits for.
    pub kept: Option<ParkedRecord>,
    /// The newest first.
    pub decisions: Vec<DecisionRecord>,
    /// Whether there are more decisions than were asked for.
    pub more_decisions: bool,
    /// Open ones, the newest first.
    pub dead_letters: Vec<DeadLetterRecord>,
    /// Those that decided.
    pub generations: Vec<GenerationRecord>,
}

pub(super) async fn explain(global: &Global, asked: &Explain) -> Result<Exit, Failure> {
    let pipeline = connect::pipeline(global, Loudness::Error, &Bar::default())?;
    let records = connect::sidecar(&pipeline).await?;
    let (shape, key, cells) = assemble::key(&pipeline, &records, &asked.table, &asked.key).await?;
    let of_key = |limit: u32, word: Option<&str>| Query {
        table: Some(shape.name.clone()),
        key: Some(key.clone()),
        word: word.map(str::to_owned),
        ..connect::query(&pipeline, limit)
    };
    let mut decisions = records.decisions(&of_key(asked.limit.saturating_add(1), None)).await?;
    let more_decisions = decisions.len() > asked.limit as usize;
    decisions.truncate(asked.limit as usize);
    let dead_letters = records.dead_letters(&of_key(asked.limit.max(1), Some("open"))).await?;
    let kept = records.parked(&of_key(1, None)).await?.pop();
    let mut generations = records.generations(Some(&pipeline.name)).await?;
    generations.retain(|generation| decisions.iter().any(|decision| decision.generation == generation.id));
    let table = connect::table(&pipeline, &asked.table);
    let names = shape.key.iter().map(|&column| shape.columns[column].name.as_str());
    let key_json = text::to_json(names.zip(&cells.columns), 0);
    let explained = Explained {
        table: shape.name.clone(),
        key: serde_json::from_str(&key_json).unwrap_or_default(),
        policy: table.map(|table| table.policy.to_string()).unwrap_or_default(),
        deletes: table.filter(|table| table.policy.is_ordering()).map(|table| deletes(table.deletes)),
        record: records.key(&shape, &key, &cells).await?,
        kept,
        decisions,
        more_decisions,
        dead_letters,
        generations,
    };
    output::show(global.json, &explained, story::story)?;
    Ok(Exit::Done)
}

fn deletes(deletes: Deletes) -> String {
    match deletes {
        Deletes::Ordered => "ordered",
        Deletes::Win => "win",
    }
    .to_owned()
}
