//! Makes a rehearsal ready: the pipeline's rules, the same with last-writer-wins, the same with another plugin; and the
//! recorded messages from files, streams or the history of conflicts. Reads the sink's shapes and history, writes nothing.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use reconverge_streams::{
    records::{DecisionRecord, Query, Records},
    source::{Delivery, Limits, Reader, Source as _},
    table::{TableId, TableShape},
    text,
};
use serde_json::Value;

use super::{
    RunError, ends, plan, plugins,
    sidecar::{self, Sidecar},
};
use crate::{
    config::{Artifact, Pipeline, Policy, Stage},
    contests::ContestsError,
    decode::Decoder,
    rehearse::{
        Rehearsal,
        play::Rules,
        recording::{self, RecordingError},
        sides::{self, Of, Side},
    },
};

/// How long a stream may be silent before its end.
const PATIENCE: Duration = Duration::from_millis(500);
/// What one pull brings.
const PULL: Limits = Limits { rows: 1000, bytes: 16 << 20, patience: PATIENCE, linger: Duration::ZERO };
/// Changes in a batch.
const BATCH_MAX: usize = 500;
/// Decisions of a history that are played.
const DECISIONS_MAX: u32 = 1_000_000;

/// What is played.
#[derive(Clone, Debug)]
pub enum Recorded {
    /// A file, or the stream of this name where there is no such file.
    Named(PathBuf),
    /// The history of conflicts of the pipeline's sink.
    Conflicts,
}

/// Reads everything that is named, up to sequence `through` of each, and makes the rules.
///
/// # Errors
/// A recording, a stream, the sink or a plugin is not as needed.
pub async fn rehearsal(
    pipeline: &Pipeline,
    recorded: &[Recorded],
    through: u64,
    against: Option<&Path>,
) -> Result<Rehearsal, RunError> {
    let sink = sidecar::read_only(pipeline).await?;
    let shapes: Vec<_> = sink.shapes(pipeline).await?.into_iter().map(Arc::new).collect();
    let mut messages = Vec::new();
    for one in recorded {
        match one {
            Recorded::Conflicts => messages.extend(history(pipeline, &sink).await?),
            Recorded::Named(path) if sides::are_contests(path) => {
                messages.extend(sides::deliveries(sides::of_contests(path)?));
            }
            Recorded::Named(path) if path.exists() => {
                let now = jiff::Timestamp::now().as_microsecond();
                messages.extend(recording::read(path, through, now)?);
            }
            Recorded::Named(name) => {
                messages.extend(stream(pipeline, &name.to_string_lossy(), through).await?)
            }
        }
    }
    if messages.is_empty() {
        return Err(RunError::NotFound {
            what: "nothing was recorded there".to_owned(),
            hint: "name recordings or streams with --a and --b, or --conflicts of a pipeline that has run"
                .to_owned(),
        });
    }
    let ours = rules(pipeline, &shapes)?;
    let rival = rules(&last_writer_wins(pipeline), &shapes)?;
    let against = match against {
        None => None,
        Some(file) => {
            let other = with_other(pipeline, file)?;
            Some((
                file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                rules(&other, &shapes)?,
            ))
        }
    };
    let is_decided = |(_, table): &(usize, &crate::config::Table)| matches!(table.policy, Policy::Plugin(_));
    let decided = pipeline.tables.iter().enumerate().filter(is_decided);
    Ok(Rehearsal {
        pipeline: pipeline.name.clone(),
        messages,
        ours,
        rival,
        decided: decided.filter_map(|(nth, _)| u16::try_from(nth).ok().map(TableId)).collect(),
        against,
        batch: pipeline.limits.batch_rows.min(BATCH_MAX),
    })
}

impl From<RecordingError> for RunError {
    fn from(error: RecordingError) -> Self {
        let hint = "a recording has a JSON object a line: {\"seq\", \"subject\", \"headers\", \"data\"}, plain or gzip";
        let what = match &error {
            RecordingError::File { source, .. } => format!("{error}: {source}"),
            RecordingError::Line { .. } => error.to_string(),
        };
        RunError::Environment { what, hint: hint.to_owned() }
    }
}

impl From<ContestsError> for RunError {
    fn from(error: ContestsError) -> Self {
        let what = match &error {
            ContestsError::File { source, .. } => format!("{error}: {source}"),
            _ => error.to_string(),
        };
        RunError::Environment { what, hint: "docs/plugins/contests.md has the format".to_owned() }
    }
}

fn rules(pipeline: &Pipeline, shapes: &[Arc<TableShape>]) -> Result<Rules, RunError> {
    let opened = plugins::open(pipeline, shapes)?;
    let plan = Arc::new(plan::plan(pipeline, shapes, &opened.asked, Arc::default())?);
    let decoder = Arc::new(Decoder::new(Arc::clone(&plan), &pipeline.sources[0]));
    Ok(Rules { stages: plugins::chain(&opened, &plan)?, plan, decoder })
}

/// The pipeline without merge plugins: where one decides, the later commit wins.
fn last_writer_wins(pipeline: &Pipeline) -> Pipeline {
    let mut rival = pipeline.clone();
    rival.plugins.retain(|plugin| plugin.stage != Stage::Merge);
    for table in &mut rival.tables {
        if matches!(table.policy, Policy::Plugin(_)) {
            table.policy = Policy::LwwCommitTime;
        }
    }
    rival
}

fn with_other(pipeline: &Pipeline, file: &Path) -> Result<Pipeline, RunError> {
    let mut other = pipeline.clone();
    let mut merges: Vec<_> = other.plugins.iter_mut().filter(|plugin| plugin.stage == Stage::Merge).collect();
    let [only] = &mut merges[..] else {
        return Err(RunError::NotFound {
            what: format!(
                "--against takes the place of the merge plugin, and the pipeline has {}",
                merges.len()
            ),
            hint: "rehearse with a pipeline file that has one".to_owned(),
        });
    };
    only.artifact = Artifact::File(file.to_owned());
    Ok(other)
}

/// What a stream holds, up to a sequence.
async fn stream(pipeline: &Pipeline, name: &str, through: u64) -> Result<Vec<Delivery>, RunError> {
    let mut config = pipeline.sources[0].clone();
    name.clone_into(&mut config.stream);
    let source = ends::source(pipeline, &config, false).await?;
    let facts = source.inspect().await?;
    let last = facts.last.min(through);
    let mut messages = Vec::new();
    for partition in 0..config.partitions {
        let mut reader = source.open(partition, facts.first.saturating_sub(1)).await?;
        loop {
            let pulled = reader.next(&PULL).await?;
            let is_done = pulled.deliveries.is_empty() || pulled.scanned >= last;
            messages.extend(pulled.deliveries.into_iter().filter(|message| message.sequence <= last));
            if is_done {
                break;
            }
        }
    }
    messages.sort_by_key(|message| message.sequence);
    Ok(messages)
}

/// The history of conflicts as changes: each decision's two sides, where their rows were archived, at their times.
async fn history(pipeline: &Pipeline, sink: &Sidecar) -> Result<Vec<Delivery>, RunError> {
    if !sink.is_prepared().await? {
        return Err(RunError::NotFound {
            what: "the sink has no history: no pipeline has run into it".to_owned(),
            hint: "rehearse recordings or streams with --a and --b".to_owned(),
        });
    }
    let query = Query { pipeline: Some(pipeline.name.clone()), limit: DECISIONS_MAX, ..Query::default() };
    let decisions = sink.decisions(&query).await?;
    let mut found = Vec::new();
    for decision in &decisions {
        let table = pipeline.tables.iter().find(|table| table.target == decision.table);
        let Some(table) = table else { continue };
        found.extend(side(decision, &table.name, true));
        found.extend(side(decision, &table.name, false));
    }
    Ok(sides::deliveries(found))
}

/// One side of a decision; none where its row was not archived, or its time is not known.
fn side(decision: &DecisionRecord, table: &str, is_incoming: bool) -> Option<Side> {
    let (row, at, source) = if is_incoming {
        (decision.incoming.as_ref()?, decision.incoming_at.as_deref()?, decision.source.as_str())
    } else {
        (decision.current.as_ref()?, decision.current_at.as_deref()?, decision.current_origin.as_deref()?)
    };
    let at = text::read_timestamp(at).ok().filter(|at| *at > 0)?;
    let is_delete =
        if is_incoming { decision.kind.starts_with("delete") } else { decision.kind == "update_deleted" };
    let key: Value = serde_json::from_str(&decision.key).ok()?;
    Some(Side::of_row(Of { table, key: &key }, row, is_delete, at, source))
}
