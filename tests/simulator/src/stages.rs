//! Plugins of the model: a column says whether a filter or a residency rule lets a row go, and merge goes by rank.

use std::cmp::Ordering;

use reconverge::{
    batch::{Batch, Op},
    plan::Plan,
    resolve::order,
    stages::{Contest, Contests, Passed, Prepared, PreparedTable, Ruling, Rulings, Stages, Verdict},
};
use reconverge_streams::columns::State;

use crate::scenario::{FILTERED, KIND, RANK, SUPPRESSED};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct ModelStages;

impl Stages for ModelStages {
    fn admit(&mut self, batch: &mut Batch, _: &Plan, known: Prepared) -> Prepared {
        let _ = known;
        let tables = batch.tables.iter().map(|table| {
            let kinds = &table.after.columns[KIND];
            let passed = (0..table.changes.len()).map(|row| {
                let says = kinds.state(row) == State::Value && table.changes[row].op != Op::Delete;
                match says.then(|| kinds.int(row)) {
                    Some(FILTERED) => Passed::Filtered,
                    Some(SUPPRESSED) => Passed::Suppressed,
                    _ => Passed::Keep,
                }
            });
            let passed: Vec<Passed> = passed.collect();
            PreparedTable { residency_passed: vec![true; passed.len()], passed }
        });
        Prepared { tables: tables.collect() }
    }

    fn merge(&mut self, contests: &Contests<'_>) -> Rulings {
        let rule = |contest: &Contest| {
            let ordering = order::by_columns(&[RANK], &contests.arenas, contest.incoming, contest.current);
            assert_ne!(ordering, Ordering::Equal, "equal contract columns never reach a plugin");
            let verdict = if ordering == Ordering::Greater { Verdict::Take } else { Verdict::Keep };
            Ruling { verdict, archive: true, reason: None }
        };
        Rulings { rulings: contests.rows.iter().map(rule).collect(), ..Rulings::default() }
    }
}
