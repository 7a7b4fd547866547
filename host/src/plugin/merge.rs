//! Merge of one round of one table: contests to a block, verdicts to rulings. Inside the transaction, so nothing
//! here waits for anything but the plugin.

use std::{ops::Range, sync::Arc};

use reconverge_streams::{columns::State, logical::Layout};

use super::{
    block::{Answered, BlockWriter, Rows},
    contain::Worker,
    contract::Side,
    fault::Fault,
    projection::{Projection, Read},
    words,
    written::Written,
};
use crate::{
    batch::Refusal,
    stages::{Arena, Contest, Contests, RowRef, Ruling, Rulings, Verdict},
};

/// Take the incoming row with written columns in place.
const WRITE: u8 = 2;
/// Added to a verdict: the author asks to archive the loser.
const ARCHIVE: u8 = 128;
/// The plugin failed the change.
const FAILED: u8 = 255;

/// Asks a plugin about contests.
pub(super) fn merge(
    worker: &mut Worker,
    projection: &Projection,
    contests: &Contests<'_>,
    value_bytes: usize,
) -> Rulings {
    let incoming = Lie::of(contests.rows, |contest| contest.incoming);
    let current = Lie::of(contests.rows, |contest| contest.current);
    let changes: Vec<u32> = contests.rows.iter().map(|contest| contest.change).collect();
    let mut verdicts = Verdicts {
        label: worker.opening.program.label(),
        text_bytes: worker.opening.program.engine.limits().text_bytes,
        value_bytes,
        contests,
        projection,
        written: Written::new(&projection.writes),
        rulings: Vec::with_capacity(contests.rows.len()),
    };
    worker.ask(
        projection,
        contests.rows.len(),
        |block, range| {
            let rows = &contests.rows[range.clone()];
            for read in &projection.reads {
                match *read {
                    Read::Column(Side::After, k, layout) => {
                        incoming.show(block, contests, range.clone(), k, layout)
                    }
                    Read::Column(Side::Current, k, layout) => {
                        current.show(block, contests, range.clone(), k, layout)
                    }
                    Read::Column(Side::Before, k, _) => {
                        block.column(
                            &contests.arenas.before.columns[k],
                            Rows::Picked(&changes[range.clone()]),
                        );
                    }
                    Read::Fact(fact) => {
                        let told = rows.iter().map(|row| (&contests.changes[row.change as usize], Some(row)));
                        block.column(&fact.column(told, contests.names), Rows::Run(0..rows.len()));
                    }
                    Read::Nothing(layout, state) => block.nothing(layout, state),
                }
            }
        },
        |range, answer| verdicts.take(range, answer),
    );
    let Verdicts { written, rulings, .. } = verdicts;
    let written_columns = projection.writes.iter().map(|write| write.column).collect();
    Rulings { rulings, written: written.columns, written_columns }
}

/// Every contest refused for the same cause.
pub(super) fn refuse_all(contests: &Contests<'_>, code: &'static str, reason: &str) -> Rulings {
    let refuse = |_: &Contest| refused(contests, code, reason.to_owned());
    Rulings { rulings: contests.rows.iter().map(refuse).collect(), ..Rulings::default() }
}

fn refused(contests: &Contests<'_>, code: &'static str, reason: String) -> Ruling {
    let refusal = Refusal { stage: "merge", code, reason, table: Some(contests.table.id), key: None };
    Ruling { verdict: Verdict::Refuse(refusal), archive: false, reason: None }
}

/// How one side of the contests lies in the arenas: mostly in one of them, so that columns are copied from it
/// without asking for each cell.
enum Lie {
    One(Arena, Vec<u32>),
    Several(fn(&Contest) -> RowRef),
}

impl Lie {
    fn of(contests: &[Contest], side: fn(&Contest) -> RowRef) -> Self {
        let first = contests.first().map_or(Arena::After, |contest| side(contest).arena);
        if contests.iter().all(|contest| side(contest).arena == first) {
            Lie::One(first, contests.iter().map(|contest| side(contest).row).collect())
        } else {
            Lie::Several(side)
        }
    }

    fn show(
        &self,
        block: &mut BlockWriter,
        contests: &Contests<'_>,
        range: Range<usize>,
        k: usize,
        layout: Layout,
    ) {
        match self {
            // What stands may lack the columns that only the source has.
            Lie::One(arena, rows) => match contests.arenas.of(*arena).columns.get(k) {
                Some(column) => block.column(column, Rows::Picked(&rows[range])),
                None => block.nothing(layout, State::Unavailable),
            },
            Lie::Several(side) => {
                let cell = |contest: &Contest| {
                    let at = side(contest);
                    contests.arenas.of(at.arena).columns.get(k).map(|column| (column, at.row as usize))
                };
                block.mixed(layout, contests.rows[range].iter().map(cell));
            }
        }
    }
}

/// What the verdicts come to.
struct Verdicts<'a> {
    label: String,
    text_bytes: usize,
    value_bytes: usize,
    contests: &'a Contests<'a>,
    projection: &'a Projection,
    /// One row per row in `rulings`.
    written: Written,
    rulings: Vec<Ruling>,
}

impl Verdicts<'_> {
    fn take(&mut self, range: Range<usize>, answer: Result<&Answered<'_>, &Fault>) {
        debug_assert_eq!(range.start, self.rulings.len(), "answers come in order");
        let answered = match answer {
            Ok(answered) => answered,
            Err(fault) => {
                self.written.leave();
                let reason = format!("{} {}", self.label, fault.told(!self.projection.is_guarded));
                return self.rulings.push(refused(self.contests, fault.code(), reason));
            }
        };
        let reasons: Vec<Arc<str>> =
            answered.reasons.iter().map(|reason| words::tame(reason, self.text_bytes).into()).collect();
        for i in 0..range.len() {
            let reason = answered.reason(i).map(|reason| Arc::clone(&reasons[reason]));
            let ruling = self.ruling(answered, i, reason);
            self.rulings.push(ruling);
        }
    }

    fn ruling(&mut self, answered: &Answered<'_>, i: usize, reason: Option<Arc<str>>) -> Ruling {
        let said = answered.verdicts[i];
        let (code, archive) =
            if said == FAILED { (FAILED, false) } else { (said & !ARCHIVE, said & ARCHIVE != 0) };
        if code != WRITE {
            self.written.leave();
        }
        let verdict = match code {
            0 => Verdict::Keep,
            1 => Verdict::Take,
            WRITE => match self.write(answered, i) {
                Ok(verdict) => verdict,
                Err(what) => return self.refused("bad-answer", &what, None),
            },
            3 => Verdict::Delete,
            4 => return self.refused("rejected", "rejected the change", reason),
            FAILED => return self.refused("plugin-failed", "failed the change", reason),
            _ => {
                let what = format!("gave verdict {said}, which `merge` does not have");
                return self.refused("bad-answer", &what, None);
            }
        };
        Ruling { verdict, archive, reason }
    }

    fn write(&mut self, answered: &Answered<'_>, i: usize) -> Result<Verdict, String> {
        if answered.columns.is_empty() {
            self.written.leave();
            return Err("wrote columns and gave none".into());
        }
        let row = u32::try_from(self.rulings.len()).expect("a batch is bounded far below 2^32 rows");
        let taken = self.written.take(answered, i, &self.projection.writes, self.value_bytes);
        taken.map(|()| Verdict::Write(row)).map_err(|cause| cause.to_string())
    }

    fn refused(&self, code: &'static str, what: &str, reason: Option<Arc<str>>) -> Ruling {
        let told = reason.filter(|_| !self.projection.is_guarded);
        let because = told.map(|reason| format!(": {reason}")).unwrap_or_default();
        refused(self.contests, code, format!("{} {what}{because}", self.label))
    }
}
