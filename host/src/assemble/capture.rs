//! Contests taken from a running pipeline, for `plugin test` and whoever else tries a plugin offline: changes of its
//! stream beside the rows that stand, or contests that were decided, as the history keeps them. It only reads, takes
//! no lane, and what residency has not passed is not in it.

use std::{path::Path, sync::Arc, time::Duration};

use reconverge_streams::{
    columns::{Columns, State},
    records::{DecisionRecord, KeyRecord, Query, Records},
    source::{Limits, Reader, Source as _, SourceError},
    table::TableShape,
    text,
};
use serde_json::{Map, Value, json};

use super::{RunError, Sidecar, ends, plan, plugins, sidecar::sidecar};
use crate::{
    batch::TableBatch,
    config::Pipeline,
    contests::{ContestFile, Current, Entry, Head, TableHead, file::VERSION},
    decode::Decoder,
    plan::{Plan, TablePlan},
    stages::{Passed, Stages},
};

/// Changes that are read, decoded and masked together.
const TOGETHER: usize = 500;

/// What to take.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// At most so many contests.
    pub events: usize,
    /// Only of this table, by its name in the source or the sink.
    pub table: Option<String>,
    /// Decided contests of the history in place of changes of the stream.
    pub decided: bool,
}

/// What was taken.
#[derive(Debug)]
pub struct Captured {
    /// The contests, to be written.
    pub file: ContestFile,
    /// Changes that were looked at and left out: no row change, suppressed, filtered, refused.
    pub left_out: u64,
}

/// Takes contests. `path` is where they are to be written.
///
/// # Errors
/// [`RunError`]: the sink, the stream or a plugin is not as the pipeline needs it.
pub async fn capture(pipeline: &Pipeline, wanted: &Wanted, path: &Path) -> Result<Captured, RunError> {
    let sidecar = sidecar(pipeline).await?;
    let shapes: Vec<Arc<TableShape>> = sidecar.shapes(pipeline).await?.into_iter().map(Arc::new).collect();
    let mut capture = Capture {
        pipeline,
        wanted,
        contests: Vec::new(),
        left_out: 0,
        head: head(pipeline, &shapes, wanted),
    };
    if wanted.decided {
        capture.decided(&sidecar).await?;
    } else {
        capture.streamed(&sidecar, &shapes).await?;
    }
    let Capture { contests, left_out, head, .. } = capture;
    Ok(Captured { file: ContestFile { path: path.into(), head, contests }, left_out })
}

struct Capture<'a> {
    pipeline: &'a Pipeline,
    wanted: &'a Wanted,
    contests: Vec<Entry>,
    left_out: u64,
    head: Head,
}

impl Capture<'_> {
    fn is_wanted(&self, table: &str, target: &str) -> bool {
        self.wanted.table.as_ref().is_none_or(|wanted| wanted == table || wanted == target)
    }

    fn is_full(&self) -> bool {
        self.contests.len() >= self.wanted.events
    }

    /// The newest changes of the stream; where a lane is behind, from its checkpoint on, since those have not met
    /// their rows yet.
    async fn streamed(&mut self, sidecar: &Sidecar, shapes: &[Arc<TableShape>]) -> Result<(), RunError> {
        let opened = plugins::open(self.pipeline, shapes)?;
        let plan = Arc::new(plan::plan(self.pipeline, shapes, &opened.asked, Arc::default())?);
        let mut chain = plugins::chain(&opened, &plan)?;
        let checkpoints = sidecar.checkpoints(Some(&self.pipeline.name)).await?;
        for config in &self.pipeline.sources {
            let source = ends::source(self.pipeline, config, false).await?;
            let facts = source.inspect().await?;
            let decoder = Decoder::new(Arc::clone(&plan), config);
            let applied = checkpoints.iter().filter(|checkpoint| checkpoint.stream == facts.name);
            let applied = applied.map(|checkpoint| checkpoint.sequence).min();
            let newest = facts.last.saturating_sub(self.wanted.events as u64);
            // A lane that is behind has changes that have not met their rows.
            let from = applied.filter(|sequence| *sequence < facts.last).unwrap_or(newest);
            for partition in 0..config.partitions {
                let mut reader = source.open(partition, from.max(facts.first.saturating_sub(1))).await?;
                let mut scanned = 0;
                while scanned < facts.last && !self.is_full() {
                    scanned =
                        self.pull(&mut reader, &decoder, &plan, &mut *chain, sidecar).await?.max(scanned);
                }
            }
        }
        Ok(())
    }

    async fn pull<R: Reader>(
        &mut self,
        reader: &mut R,
        decoder: &Decoder,
        plan: &Plan,
        chain: &mut dyn Stages,
        sidecar: &Sidecar,
    ) -> Result<u64, SourceOrSink> {
        let patience = Duration::from_millis(500);
        let limits = Limits { rows: TOGETHER, bytes: 64 << 20, patience, linger: Duration::from_millis(5) };
        let pulled = reader.next(&limits).await?;
        let scanned = pulled.scanned;
        let mut batch = decoder.decode(pulled);
        let prepared = chain.prepare(&mut batch, plan);
        let changes: usize = batch.tables.iter().map(|table| table.changes.len()).sum();
        self.left_out += (batch.items.len() - changes) as u64;
        for (table, prepared) in batch.tables.iter().zip(&prepared.tables) {
            let planned = plan.table(table.table);
            let named = &self.pipeline.tables[table.table.index()];
            if !self.is_wanted(&named.name, &named.target) {
                continue;
            }
            for (row, passed) in prepared.passed.iter().enumerate() {
                if self.is_full() {
                    return Ok(scanned);
                }
                if *passed != Passed::Keep {
                    self.left_out += 1;
                    continue;
                }
                let cells = key_cells(planned, table, row);
                let record = sidecar.key(&planned.shape, table.key(row), &cells).await?;
                self.contests.push(Entry {
                    name: None,
                    incoming: incoming(plan, planned, &named.name, table, row),
                    current: current(record),
                    expect: None,
                    line: 0,
                });
            }
        }
        Ok(scanned)
    }

    /// Contests that were decided, the newest first, with both rows as they stood then.
    async fn decided(&mut self, sidecar: &Sidecar) -> Result<(), RunError> {
        let limit = u32::try_from(self.wanted.events).unwrap_or(u32::MAX);
        for table in &self.pipeline.tables {
            if !self.is_wanted(&table.name, &table.target) {
                continue;
            }
            let query = Query {
                pipeline: Some(self.pipeline.name.clone()),
                table: Some(table.target.clone()),
                limit,
                ..Query::default()
            };
            for decision in sidecar.decisions(&query).await? {
                match contest_of(&decision, &table.name) {
                    Some(entry) if !self.is_full() => self.contests.push(entry),
                    _ => self.left_out += 1,
                }
            }
        }
        Ok(())
    }
}

/// What reading a stream beside a sink can end with.
#[derive(Debug, thiserror::Error)]
enum SourceOrSink {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Sink(#[from] reconverge_streams::sink::SinkError),
}

impl From<SourceOrSink> for RunError {
    fn from(error: SourceOrSink) -> RunError {
        match error {
            SourceOrSink::Source(error) => error.into(),
            SourceOrSink::Sink(error) => error.into(),
        }
    }
}

fn head(pipeline: &Pipeline, shapes: &[Arc<TableShape>], wanted: &Wanted) -> Head {
    let tables = pipeline.tables.iter().zip(shapes).filter(|(table, _)| {
        wanted.table.as_ref().is_none_or(|name| *name == table.name || *name == table.target)
    });
    let table = |(table, shape): (&crate::config::Table, &Arc<TableShape>)| TableHead {
        name: table.name.clone(),
        key: shape.key.iter().map(|&k| shape.columns[k].name.clone()).collect(),
        columns: shape
            .columns
            .iter()
            .map(|column| (column.name.clone(), json!(column.logical.to_string())))
            .collect(),
        deletes: table.deletes,
        tags: table.tags.clone(),
        column_tags: table.column_tags.iter().map(|(name, tags)| (name.clone(), json!(tags))).collect(),
    };
    let streams: Vec<&str> = pipeline.sources.iter().map(|source| source.stream.as_str()).collect();
    let from = if wanted.decided { "history" } else { "stream" };
    Head {
        contests: VERSION,
        stage: None,
        tables: tables.map(table).collect(),
        config: None,
        captured: Some(json!({ "pipeline": pipeline.name, "streams": streams, "from": from })),
    }
}

fn key_cells(planned: &TablePlan, table: &TableBatch, row: usize) -> Columns {
    let mut cells = Columns::new(planned.shape.key_logicals());
    for (to, &k) in cells.columns.iter_mut().zip(&planned.shape.key) {
        to.push_from(&table.after.columns[k], row);
    }
    cells.end_row();
    cells
}

/// The change as an envelope, as it is after residency, filter and mapping.
fn incoming(
    plan: &Plan,
    planned: &TablePlan,
    name: &str,
    table: &TableBatch,
    row: usize,
) -> Map<String, Value> {
    let change = &table.changes[row];
    let object = |columns: &Columns, only: Option<&[usize]>| {
        let named = planned.columns.iter().zip(&columns.columns).enumerate();
        let named = named.filter(|(k, _)| only.is_none_or(|only| only.contains(k)));
        let json = text::to_json(named.map(|(_, (shape, column))| (shape.name.as_str(), column)), row);
        serde_json::from_str::<Value>(&json).unwrap_or_default()
    };
    let absent = planned.columns.iter().zip(&table.after.columns);
    let absent = absent.filter(|(_, column)| column.state(row) == State::Unavailable);
    let absent: Vec<&str> = absent.map(|(shape, _)| shape.name.as_str()).collect();
    let mut envelope = Map::new();
    let mut put = |name: &str, value: Value| {
        envelope.insert(name.into(), value);
    };
    put("op", json!(change.op.letter()));
    put("table", json!(name));
    put("key", object(&table.after, Some(&planned.shape.key)));
    if change.op != crate::batch::Op::Delete {
        put("after", object(&table.after, None));
    }
    // Residency judges the row after a change: what it was before may be of a row that may not be here.
    let is_sealed = planned.residency && change.op != crate::batch::Op::Delete;
    let before = if is_sealed { Value::Null } else { object(&table.before, None) };
    if before.as_object().is_some_and(|row| !row.is_empty()) {
        put("before", before);
    }
    if !absent.is_empty() {
        put("absent", json!(absent));
    }
    if let Some(at) = change.position {
        let source = plan.names.get(change.source);
        put(
            "pos",
            json!({ "source": &*source, "epoch": at.epoch, "commit": at.commit.to_string(), "ordinal": at.ordinal }),
        );
    }
    put("origin", json!(&*plan.names.get(change.origin)));
    put("at", json!(change.at));
    if change.schema != 0 {
        put("schema", json!(change.schema));
    }
    envelope
}

/// What stands for a key; nothing where nothing does.
fn current(record: KeyRecord) -> Option<Current> {
    let version = record.version;
    let origin = version.as_ref().map(|version| version.origin.clone()).filter(|_| !record.local);
    let at = version.as_ref().filter(|_| !record.local);
    let at = at.and_then(|version| text::read_timestamp(&version.committed_at).ok());
    let kept = version.and_then(|version| version.ordered_by);
    match (record.row, kept) {
        (Some(Value::Object(row)), _) => Some(Current { row, live: true, origin, at }),
        (None, Some(Value::Object(row))) => Some(Current { row, live: false, origin, at }),
        _ => None,
    }
}

/// A decided contest; none where the history has not kept both rows.
fn contest_of(decision: &DecisionRecord, table: &str) -> Option<Entry> {
    let row = |value: &Option<Value>| value.as_ref().and_then(Value::as_object).cloned();
    let (incoming, standing) = (row(&decision.incoming)?, row(&decision.current)?);
    let at = |words: &Option<String>| words.as_deref().and_then(|words| text::read_timestamp(words).ok());
    let mut envelope = Map::new();
    envelope.insert("table".into(), json!(table));
    envelope.insert("key".into(), serde_json::from_str(&decision.key).ok()?);
    envelope.insert("after".into(), Value::Object(incoming));
    envelope.insert("origin".into(), json!(decision.source));
    if let Some(at) = at(&decision.incoming_at) {
        envelope.insert("at".into(), json!(at));
    }
    let pos = json!({ "source": decision.source, "commit": decision.commit_position.to_string(), "ordinal": decision.ordinal });
    envelope.insert("pos".into(), pos);
    let current = Current {
        row: standing,
        live: true,
        origin: decision.current_origin.clone(),
        at: at(&decision.current_at),
    };
    Some(Entry {
        name: Some(format!("{} {}", decision.kind, decision.id)),
        incoming: envelope,
        current: Some(current),
        expect: None,
        line: 0,
    })
}
