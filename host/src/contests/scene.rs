//! Contests through a plugin: decoded by the host's decoder, asked by the host's own stage, answered in the words of
//! a contests file. There is no stream, no sink and no resolve here: `plugin laws` is for that.

use std::{collections::HashMap, path::Path, sync::Arc};

use reconverge_streams::{
    columns::{Columns, State},
    names::Names,
    source::{Delivery, Pulled},
    table::ColumnShape,
    text,
};
use serde_json::{Map, Value, json};

use super::{
    decision::Decision,
    file::{ContestFile, ContestsError, Entry, Head},
};
use crate::{
    batch::{Batch, ItemKind, Op, Refusal, TableBatch},
    config::{self, Stage},
    decode::{Decoder, Options},
    plan::{Deletes, Plan, Rule, TablePlan},
    plugin::{self, BoundTable, PluginChain, PluginEngine, PluginSet, PluginSpec},
    resolve::order,
    stages::{Arena, Arenas, Contest, Contests, Passed, RowRef, Rulings, Stages, Verdict},
};

/// Where a change began that does not say it.
const ORIGIN: &str = "east";
/// Where what stands was written, where that is not said.
const CURRENT_ORIGIN: &str = "west";
/// The region of the plan: one that no contest names, so that none of them is our own write come back.
const REGION: &str = "contests";
/// When a change was committed that does not say it.
const AT: i64 = 1_760_000_000_000_000;
/// Greatest size of a value.
const VALUE_BYTES: usize = 16 << 20;

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
    fn decode(&self, file: &ContestFile, entries: &[&Entry]) -> Result<Batch, ContestsError> {
        let delivery = |(sequence, entry): (u64, &&Entry)| Delivery {
            sequence,
            subject: "cdc.contests.0.public.table".into(),
            headers: Vec::new(),
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

    fn merge(
        &self,
        file: &ContestFile,
        batch: &Batch,
        table: &TableBatch,
        entries: &[&Entry],
        chain: &mut PluginChain,
    ) -> Result<Vec<Decision>, ContestsError> {
        let plan = self.plan.table(table.table);
        let mut standing = Columns::new(plan.shape.logicals());
        let composed = Columns::new(plan.columns.iter().map(|column| column.logical));
        let mut decisions: Vec<Option<Decision>> = Vec::new();
        let mut contests: Vec<Contest> = Vec::new();
        for (row, change) in (0..).zip(&table.changes) {
            let entry = entries[batch.items[change.item as usize].delivery as usize];
            let Some(current) = &entry.current else {
                decisions.push(Some(Decision::of_host("take", "nothing stands")));
                continue;
            };
            let at = u32::try_from(standing.rows()).expect("a file is bounded far below 2^32 lines");
            push_standing(plan, current, &mut standing).map_err(|what| ContestsError::Line {
                path: file.path.clone(),
                line: entry.line,
                what,
            })?;
            let is_delete = change.op == Op::Delete;
            let arena =
                if is_delete && plan.deletes == Deletes::Ordered { Arena::Before } else { Arena::After };
            let origin = current.origin.as_deref().unwrap_or(CURRENT_ORIGIN);
            let contest = Contest {
                change: row,
                incoming: RowRef { arena, row },
                current: RowRef { arena: Arena::Standing, row: at },
                current_live: current.live,
                current_origin: self.plan.names.intern(origin).unwrap_or(change.origin),
                current_at: current.at,
            };
            if plan.deletes == Deletes::Win && (is_delete || !current.live) {
                decisions.push(Some(Decision::of_host(
                    "delete",
                    "deletes win; write `\"deletes\":\"ordered\"` to let the plugin decide",
                )));
                continue;
            }
            let arenas = Arenas {
                after: &table.after,
                before: &table.before,
                standing: &standing,
                composed: &composed,
            };
            if order::equal_and_sent(plan.rule.order_columns(), &arenas, contest.incoming, contest.current) {
                decisions.push(Some(Decision::of_host("tie", "the contract's columns are equal")));
                continue;
            }
            decisions.push(None);
            contests.push(contest);
        }
        let arenas =
            Arenas { after: &table.after, before: &table.before, standing: &standing, composed: &composed };
        let call = Contests {
            table: plan,
            changes: &table.changes,
            arenas,
            rows: &contests,
            names: &self.plan.names,
        };
        let mut rulings = Rulings::default();
        if !contests.is_empty() {
            rulings = chain.merge(&call);
        }
        let mut ruled = (0..rulings.rulings.len()).map(|at| self.ruling(plan, &rulings, at));
        let ruled = |decision: Option<Decision>| {
            decision.unwrap_or_else(|| ruled.next().expect("one ruling per contest"))
        };
        Ok(decisions.into_iter().map(ruled).collect())
    }

    fn ruling(&self, plan: &TablePlan, rulings: &Rulings, at: usize) -> Decision {
        let ruling = &rulings.rulings[at];
        let mut decision = match &ruling.verdict {
            Verdict::Keep => Decision::of_plugin("keep"),
            Verdict::Take => Decision::of_plugin("take"),
            Verdict::Delete => Decision::of_plugin("delete"),
            Verdict::Refuse(refusal) => self.refused(refusal),
            Verdict::Write(row) => {
                let mut decision = Decision::of_plugin("write");
                for (column, cells) in rulings.written_columns.iter().zip(&rulings.written.columns) {
                    if cells.state(*row as usize) != State::Unavailable {
                        decision
                            .written
                            .insert(plan.columns[*column].name.clone(), cell(cells, *row as usize));
                    }
                }
                decision
            }
        };
        decision.archive = ruling.archive;
        decision.reason = decision.reason.or_else(|| ruling.reason.as_deref().map(str::to_owned));
        decision
    }

    fn refused(&self, refusal: &Refusal) -> Decision {
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

fn cell(column: &reconverge_streams::columns::Column, row: usize) -> Value {
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

/// Appends what stands. A column of a row that is left out is null, as a database would have it.
fn push_standing(plan: &TablePlan, current: &super::file::Current, into: &mut Columns) -> Result<(), String> {
    let known = |name: &String| plan.shape.column(name).is_some();
    if let Some(unknown) = current.row.keys().find(|name| !known(name)) {
        return Err(format!("`current.row` has column `{unknown}`, which the table does not have"));
    }
    let mut row = current.row.clone();
    if current.live {
        for column in &plan.shape.columns {
            row.entry(&column.name).or_insert(Value::Null);
        }
    }
    let columns: Vec<usize> = (0..plan.shape.columns.len()).collect();
    text::from_json(&plan.shape, &columns, &Value::Object(row).to_string(), into)
        .map_err(|cause| format!("`current.row` does not read: {cause}"))
}

fn plan(head: &Head, tables: &[BoundTable], set: &PluginSet) -> Plan {
    let names = Names::default();
    let region = names.intern(REGION).expect("it is the first name");
    let sources = set.source_columns();
    let planned = |(head, bound): (&super::file::TableHead, &BoundTable)| {
        let of_source = sources.iter().filter(|source| source.0 == bound.id);
        let mut columns = bound.shape.columns.clone();
        columns.extend(of_source.map(|(_, name, logical)| ColumnShape::new(name, *logical)));
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        let order = set.merge_of(bound.id).map(|(_, order)| order.into_iter().filter_map(place).collect());
        let column_tags: HashMap<usize, Vec<String>> =
            bound.column_tags.iter().filter_map(|(name, tags)| Some((place(name)?, tags.clone()))).collect();
        TablePlan {
            id: bound.id,
            source_name: bound.name.clone(),
            shape: Arc::clone(&bound.shape),
            key_from: Vec::new(),
            priority: 0,
            rule: order.map_or(Rule::TakeIncoming, Rule::Plugin),
            depends_on: Vec::new(),
            rule_name: "contests".into(),
            deletes: match head.deletes {
                config::Deletes::Ordered => Deletes::Ordered,
                config::Deletes::Win => Deletes::Win,
            },
            full_before_images: true,
            archive_losers: true,
            leaves_delete: true,
            origin_column: None,
            accept: Vec::new(),
            tags: bound.tags.clone(),
            column_tags,
            residency: set.has_residency(bound.id),
            payload_schema: None,
            columns,
        }
    };
    Plan {
        tables: head.tables.iter().zip(tables).map(planned).collect(),
        by_source_name: tables.iter().map(|table| (table.name.clone(), table.id)).collect(),
        region,
        names: Arc::new(names),
        clock_skew_us: 0,
        value_bytes: VALUE_BYTES,
    }
}
