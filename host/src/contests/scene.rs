//! Contests through a plugin: decoded by the host's decoder, asked by the host's own stage, answered in the words of
//! a contests file. There is no stream, no sink and no resolve here: `plugin laws` is for that.

use std::{path::Path, sync::Arc};

use reconverge_streams::{
    columns::Columns,
    headers::Headers,
    source::{Delivery, Pulled},
    text,
};
use serde_json::{Map, Value, json};

use super::{
    decision::Decision,
    file::{ContestFile, ContestsError, Entry, Head},
    plan::plan,
};
use crate::{
    batch::{Batch, ItemKind, Refusal},
    config::Stage,
    decode::{Decoder, Options},
    plan::{Plan, TablePlan},
    plugin::{self, PluginChain, PluginEngine, PluginSet, PluginSpec},
    stages::{Passed, Stages},
};

/// Where a change began that does not say it.
const ORIGIN: &str = "east";
/// When a change was committed that does not say it.
const AT: i64 = 1_760_000_000_000_000;

/// A plugin opened on the tables of a contests file.
pub struct Scene {
    set: PluginSet,
    plan: Arc<Plan>,
    decoder: Decoder,
    stage: Stage,
    label: String,
}

/// What came of a contest.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Index of the contest in its file.
    pub contest: usize,
    /// Its table.
    pub table: String,
    /// What came of it.
    pub decision: Decision,
    /// What came of it where it was asked alone, if that is another thing: the plugin depends on its batch.
    pub alone: Option<Decision>,
}

impl Scene {
    /// Opens a plugin on the tables of `head`, with its configuration. `stage` goes before the head's.
    ///
    /// # Errors
    /// The plugin cannot run, or nobody says which of its stages is asked.
    pub fn open(
        engine: &PluginEngine,
        path: &Path,
        stage: Option<Stage>,
        head: &Head,
    ) -> Result<Self, ContestsError> {
        let described = plugin::inspect(engine, path)?;
        let stage = match (stage.or(head.stage), described.stages.as_slice()) {
            (Some(stage), _) | (None, &[stage]) => stage,
            (None, several) => {
                let words: Vec<&str> = several.iter().map(|stage| plugin::stage_word(*stage)).collect();
                return Err(ContestsError::Stage(words.join(", ")));
            }
        };
        let tables = head.bound().unwrap_or_default();
        let spec = PluginSpec {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            path: path.into(),
            stage,
            tables: tables.iter().map(|table| table.id).collect(),
            config: head.config.clone().unwrap_or_else(|| json!({})),
        };
        let label = format!("plugin `{}` ({}) ", spec.name, described.digest.short());
        let opened = PluginSet::open(engine, &[spec], &tables);
        let set = opened.map_err(|mut errors| ContestsError::Plugin(errors.swap_remove(0)))?;
        let plan = Arc::new(plan(head, &tables, &set));
        let decoder = Decoder::new(Arc::clone(&plan), Options::default());
        Ok(Scene { set, plan, decoder, stage, label })
    }

    /// The plan that the contests are decoded by: the tables of the head, the columns of the contract.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The stage that is asked.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The plugin, opened.
    #[must_use]
    pub fn plugins(&self) -> &PluginSet {
        &self.set
    }

    /// Asks about every contest of the file, all in one batch and each alone.
    ///
    /// # Errors
    /// A contest is no change that the tables can have.
    pub fn ask(&self, file: &ContestFile) -> Result<Vec<Outcome>, ContestsError> {
        let entries: Vec<&Entry> = file.contests.iter().collect();
        let mut outcomes = self.ask_batch(file, &entries)?;
        for (outcome, entry) in outcomes.iter_mut().zip(&file.contests) {
            let mut alone = self.ask_batch(file, &[entry])?;
            outcome.alone =
                alone.pop().map(|alone| alone.decision).filter(|alone| *alone != outcome.decision);
        }
        Ok(outcomes)
    }

    fn ask_batch(&self, file: &ContestFile, entries: &[&Entry]) -> Result<Vec<Outcome>, ContestsError> {
        let mut batch = self.decode(file, entries)?;
        let mut chain = self.set.chain(&self.plan)?;
        let mut outcomes: Vec<Option<Outcome>> = entries.iter().map(|_| None).collect();
        let decided: Vec<Vec<Decision>> = match self.stage {
            Stage::Merge => {
                let tables = batch.tables.iter();
                tables
                    .map(|table| self.merge(file, &batch, table, entries, &mut chain))
                    .collect::<Result<_, _>>()?
            }
            _ => self.prepare(&mut batch, &mut chain),
        };
        for (table, decisions) in batch.tables.iter().zip(decided) {
            for (change, decision) in table.changes.iter().zip(decisions) {
                let contest = batch.items[change.item as usize].delivery as usize;
                let table = self.plan.table(table.table).source_name.clone();
                outcomes[contest] = Some(Outcome { contest, table, decision, alone: None });
            }
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// The contests' changes, as a stream would have brought them.
    pub(super) fn decode(&self, file: &ContestFile, entries: &[&Entry]) -> Result<Batch, ContestsError> {
        let delivery = |(sequence, entry): (u64, &&Entry)| Delivery {
            sequence,
            subject: "cdc.contests.0.public.table".into(),
            headers: Headers::default(),
            payload: envelope(entry, &file.head).to_string().into(),
            published_at: AT,
        };
        let deliveries: Vec<Delivery> = (1..).zip(entries).map(delivery).collect();
        let batch = self.decoder.decode(Pulled { scanned: deliveries.len() as u64, deliveries });
        for (item, next) in batch.items.iter().zip(batch.items.iter().skip(1).map(Some).chain([None])) {
            let entry = entries[item.delivery as usize];
            let broken =
                |what: String| ContestsError::Line { path: file.path.clone(), line: entry.line, what };
            match &item.kind {
                ItemKind::Change(..) if next.is_some_and(|next| next.delivery == item.delivery) => {
                    return Err(broken("it changes the key: write its delete and its create as two".into()));
                }
                ItemKind::Change(..) => {}
                ItemKind::Settled(_) | ItemKind::Held(..) => {
                    return Err(broken("`incoming` is a change of no table of the first line".into()));
                }
                ItemKind::Refused(Refusal { code, reason, .. }) => {
                    return Err(broken(format!("`incoming` does not decode ({code}): {reason}")));
                }
            }
        }
        Ok(batch)
    }

    pub(super) fn refused(&self, refusal: &Refusal) -> Decision {
        // Without the digest, so that an expectation outlives a build.
        let reason = refusal.reason.strip_prefix(&self.label).unwrap_or(&refusal.reason);
        Decision {
            code: Some(refusal.code.into()),
            reason: Some(reason.into()),
            ..Decision::of_plugin("refuse")
        }
    }

    fn prepare(&self, batch: &mut Batch, chain: &mut PluginChain) -> Vec<Vec<Decision>> {
        let rows = |batch: &Batch| -> Vec<Columns> {
            batch.tables.iter().map(|table| table.after.clone()).collect()
        };
        let before = rows(batch);
        let prepared = chain.prepare(batch, &self.plan);
        let mut decided = Vec::new();
        for ((table, was), prepared) in batch.tables.iter().zip(&before).zip(&prepared.tables) {
            let plan = self.plan.table(table.table);
            let decision = |(row, passed): (usize, &Passed)| match passed {
                Passed::Keep => {
                    Decision { written: changed(plan, was, &table.after, row), ..Decision::of_plugin("keep") }
                }
                Passed::Suppressed => Decision::of_plugin("suppress"),
                Passed::Filtered => Decision::of_plugin("drop"),
                Passed::Refused(refusal) => self.refused(refusal),
            };
            decided.push(prepared.passed.iter().enumerate().map(decision).collect());
        }
        decided
    }
}

/// The cells of a row that a stage put in place.
fn changed(plan: &TablePlan, was: &Columns, is: &Columns, row: usize) -> Map<String, Value> {
    let mut written = Map::new();
    for ((shape, was), is) in plan.columns.iter().zip(&was.columns).zip(&is.columns) {
        let is_same = was.state(row) == is.state(row) && cell(was, row) == cell(is, row);
        if !is_same {
            written.insert(shape.name.clone(), cell(is, row));
        }
    }
    written
}

pub(super) fn cell(column: &reconverge_streams::columns::Column, row: usize) -> Value {
    let mut json = String::new();
    text::write_json_cell(column, row, &mut json);
    serde_json::from_str(&json).unwrap_or(Value::Null)
}

/// The envelope of a contest, with what it left out.
fn envelope(entry: &Entry, head: &Head) -> Value {
    let mut envelope = entry.incoming.clone();
    let mut or = |name: &str, value: Value| {
        envelope.entry(name).or_insert(value);
    };
    or("v", json!(1));
    or("op", json!("u"));
    or("origin", json!(ORIGIN));
    or("at", json!(AT));
    if let [table] = head.tables.as_slice() {
        or("table", json!(table.name));
    }
    let table = head.tables.iter().find(|table| envelope.get("table") == Some(&json!(table.name)));
    if let (Some(table), false) = (table, envelope.contains_key("key")) {
        let image = |name: &str| envelope.get(name).and_then(Value::as_object);
        let cell = |column: &String| {
            let given = image("after").and_then(|row| row.get(column));
            given.or_else(|| image("before").and_then(|row| row.get(column))).cloned()
        };
        let key: Map<String, Value> =
            table.key.iter().filter_map(|column| Some((column.clone(), cell(column)?))).collect();
        envelope.insert("key".into(), key.into());
    }
    Value::Object(envelope)
}
