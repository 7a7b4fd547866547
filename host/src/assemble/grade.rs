//! How well a source's changes can be told apart, and whether they carry the rows before them, from the newest of them
//! that its stream holds: what `check` warns of before the first run. Afterwards the sink knows it of every change.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use reconverge_streams::{
    columns::Columns,
    event::Grade,
    source::{Pulled, Source as _},
    table::TableId,
};

use crate::{
    batch::{Batch, Op},
    config::{Pipeline, Policy, Problem, Source, Table},
    decode::Decoder,
    plan::{Deletes, Plan, Rule},
    resolve::repeats,
};

use super::ends;

/// How many messages to look at, the newest first.
const LOOK_AT_MAX: u64 = 16;

/// Warnings about sources whose changes cannot be told apart by position.
pub(super) async fn warnings(pipeline: &Pipeline, plan: &Arc<Plan>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in &pipeline.sources {
        let Some(newest) = newest(pipeline, source, plan).await else { continue };
        if let Some((what, hint)) = newest.grade.and_then(words) {
            problems.push(doubt(
                pipeline,
                source.span.clone(),
                format!("source `{}` {what}", source.name),
                hint,
            ));
            problems.extend(without_positions(pipeline, source));
        }
        problems.extend(newest.partial.iter().map(|table| without_images(pipeline, source, *table)));
    }
    problems
}

fn doubt(pipeline: &Pipeline, span: Range<usize>, what: String, hint: &str) -> Problem {
    let mut problem = pipeline.problem(span, what);
    problem.help(hint);
    problem.warn();
    problem
}

/// Rules that put rows together from each change once, and a source that cannot say which one a change is.
fn without_positions(pipeline: &Pipeline, source: &Source) -> Vec<Problem> {
    let put_together = pipeline.tables.iter().filter(|table| table.policy.puts_together());
    let of = |table: &Table| {
        let effect = match table.policy {
            Policy::Counter { .. } => "a change that is published again is added again",
            _ => "columns may go back to what an older change had",
        };
        let what = format!(
            "table `{}` goes by `{}`, which needs positions, and source `{}` sends none: {effect}",
            table.name, table.policy, source.name
        );
        let hint = "send `pos` in the envelope, or order the table by `lww` or `max`";
        doubt(pipeline, table.span.clone(), what, hint)
    };
    put_together.map(of).collect()
}

/// A table of which full before images are promised, and do not come.
fn without_images(pipeline: &Pipeline, source: &Source, table: TableId) -> Problem {
    let table = &pipeline.tables[table.index()];
    let what = format!(
        "table `{}` has `before_images = \"full\"`, and the newest update or delete that source `{}` sent of it lacks \
         columns of the row before it",
        table.name, source.name
    );
    let hint = "run `ALTER TABLE ... REPLICA IDENTITY FULL` at the source, or write `before_images = \"key\"` and a policy \
                that does without";
    doubt(pipeline, table.span.clone(), what, hint)
}

/// What the newest messages of a stream show.
#[derive(Default)]
struct Newest {
    /// The grade of the newest change; `None` where there is none to see.
    grade: Option<Grade>,
    /// Tables whose newest update or delete lacks columns of a before image that is to be full.
    partial: BTreeSet<TableId>,
}

impl Newest {
    /// Takes the changes of an older message in.
    fn see(&mut self, batch: &Batch, plan: &Plan, told: &mut BTreeSet<TableId>) {
        self.grade = self.grade.or_else(|| repeats::grades(batch).into_values().max());
        for table in &batch.tables {
            let rules = plan.table(table.table);
            let of_rows = |row: &usize| matches!(table.changes[*row].op, Op::Update | Op::Delete);
            let Some(row) = (0..table.changes.len()).rev().find(of_rows) else { continue };
            // Where nothing is made of them a row without its past is no loss.
            let matters = rules.deletes == Deletes::Ordered
                || matches!(rules.rule, Rule::ColumnMerge { .. } | Rule::Counter { .. });
            if !matters || !rules.full_before_images || !told.insert(table.table) {
                continue;
            }
            let width = rules.shape.columns.len();
            // A column that the source does not have is neither before nor after.
            let sent = |columns: &Columns, c: usize| columns.columns[c].state(row).is_sent();
            let is_delete = table.changes[row].op == Op::Delete;
            let keyed = |c: usize| rules.shape.key.contains(&c);
            let is_partial = if is_delete {
                (0..width).all(|c| keyed(c) || !sent(&table.before, c)) && width > rules.shape.key.len()
            } else {
                (0..width).any(|c| sent(&table.after, c) && !keyed(c) && !sent(&table.before, c))
            };
            if is_partial {
                self.partial.insert(table.table);
            }
        }
    }
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

/// What the newest messages show; `None` where the stream cannot be asked (that is told elsewhere).
async fn newest(pipeline: &Pipeline, config: &Source, plan: &Arc<Plan>) -> Option<Newest> {
    let source = ends::source(pipeline, config, false).await.ok()?;
    let facts = source.inspect().await.ok()?;
    let decoder = Decoder::new(Arc::clone(plan), config);
    let oldest = facts.first.max(facts.last.saturating_sub(LOOK_AT_MAX - 1)).max(1);
    let (mut newest, mut told) = (Newest::default(), BTreeSet::new());
    for sequence in (oldest..=facts.last).rev() {
        let Some(delivery) = source.fetch(sequence).await.ok()? else { continue };
        let batch = decoder.decode(Pulled { deliveries: vec![delivery], scanned: sequence });
        newest.see(&batch, plan, &mut told);
    }
    Some(newest)
}
