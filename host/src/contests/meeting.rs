//! Merge of a file's contests: what stands beside what comes, what the host decides by itself, and the plugin's rulings
//! on the rest, in the words of a contests file.

use reconverge_streams::{
    columns::{Columns, State},
    text,
};
use serde_json::Value;

use super::{
    decision::Decision,
    file::{ContestFile, ContestsError, Current, Entry},
    scene::{Scene, cell},
};
use crate::{
    batch::{Batch, Op, TableBatch},
    plan::{Deletes, TablePlan},
    plugin::PluginChain,
    resolve::order,
    stages::{Arena, Arenas, Contest, Contests, RowRef, Rulings, Stages, Verdict},
};

/// Where what stands was written, where that is not said.
const CURRENT_ORIGIN: &str = "west";

/// The contests of one table, met.
pub(super) struct Met<'a> {
    table: &'a TableBatch,
    standing: Columns,
    composed: Columns,
    /// One per change; none where the plugin is asked.
    decided: Vec<Option<Decision>>,
    /// Those that the plugin is asked about.
    contests: Vec<Contest>,
}

impl<'a> Met<'a> {
    /// The call of merge for them; none where the plugin is asked about nothing.
    pub(super) fn call(&'a self, scene: &'a Scene) -> Option<Contests<'a>> {
        let call = Contests {
            table: scene.plan().table(self.table.table),
            changes: &self.table.changes,
            arenas: self.arenas(),
            rows: &self.contests,
            names: &scene.plan().names,
        };
        (!self.contests.is_empty()).then_some(call)
    }

    fn arenas(&self) -> Arenas<'_> {
        Arenas {
            after: &self.table.after,
            before: &self.table.before,
            standing: &self.standing,
            composed: &self.composed,
        }
    }
}

impl Scene {
    /// Puts what stands beside each change of a table.
    ///
    /// # Errors
    /// What stands is no row of the table.
    pub(super) fn meet<'a>(
        &self,
        file: &ContestFile,
        batch: &Batch,
        table: &'a TableBatch,
        entries: &[&Entry],
    ) -> Result<Met<'a>, ContestsError> {
        let plan = self.plan().table(table.table);
        let mut met = Met {
            table,
            standing: Columns::new(plan.shape.logicals()),
            composed: Columns::new(plan.columns.iter().map(|column| column.logical)),
            decided: Vec::new(),
            contests: Vec::new(),
        };
        for (row, change) in (0..).zip(&table.changes) {
            let entry = entries[batch.items[change.item as usize].delivery as usize];
            let Some(current) = &entry.current else {
                met.decided.push(Some(Decision::of_host("take", "nothing stands")));
                continue;
            };
            let at = u32::try_from(met.standing.rows()).expect("a file is bounded far below 2^32 lines");
            push_standing(plan, current, &mut met.standing).map_err(|what| ContestsError::Line {
                path: file.path.clone(),
                line: entry.line,
                what,
            })?;
            let is_delete = change.op == Op::Delete;
            let is_ordered = is_delete && plan.deletes == Deletes::Ordered;
            let origin = current.origin.as_deref().unwrap_or(CURRENT_ORIGIN);
            let contest = Contest {
                change: row,
                incoming: RowRef { arena: if is_ordered { Arena::Before } else { Arena::After }, row },
                current: RowRef { arena: Arena::Standing, row: at },
                current_live: current.live,
                current_origin: self.plan().names.intern(origin).unwrap_or(change.origin),
                current_at: current.at,
            };
            let decided = of_host(plan, &met.arenas(), &contest, is_delete);
            if decided.is_none() {
                met.contests.push(contest);
            }
            met.decided.push(decided);
        }
        Ok(met)
    }

    pub(super) fn merge(
        &self,
        file: &ContestFile,
        batch: &Batch,
        table: &TableBatch,
        entries: &[&Entry],
        chain: &mut PluginChain,
    ) -> Result<Vec<Decision>, ContestsError> {
        let met = self.meet(file, batch, table, entries)?;
        let plan = self.plan().table(table.table);
        let rulings = met.call(self).map_or_else(Rulings::default, |call| chain.merge(&call));
        let mut ruled = (0..rulings.rulings.len()).map(|at| self.ruling(plan, &rulings, at));
        let ruled = |decision: Option<Decision>| {
            decision.unwrap_or_else(|| ruled.next().expect("one ruling per contest"))
        };
        Ok(met.decided.into_iter().map(ruled).collect())
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
        decision.reason =
            decision.reason.or_else(|| rulings.reason(ruling).map(|reason| (**reason).to_owned()));
        decision
    }
}

/// What the host decides without asking.
fn of_host(plan: &TablePlan, arenas: &Arenas<'_>, contest: &Contest, is_delete: bool) -> Option<Decision> {
    if plan.deletes == Deletes::Win && (is_delete || !contest.current_live) {
        let why = "deletes win; write `\"deletes\":\"ordered\"` to let the plugin decide";
        return Some(Decision::of_host("delete", why));
    }
    let is_tie = order::equal_and_sent(plan.rule.order_columns(), arenas, contest.incoming, contest.current);
    is_tie.then(|| Decision::of_host("tie", "the contract's columns are equal"))
}

/// Appends what stands. A column of a row that is left out is null, as a database would have it.
fn push_standing(plan: &TablePlan, current: &Current, into: &mut Columns) -> Result<(), String> {
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
