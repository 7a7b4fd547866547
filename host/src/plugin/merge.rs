//! Merge of one round of one table: contests to a block, verdicts to rulings. Inside the transaction, so nothing
//! here waits for anything but the plugin.

use std::{ops::Range, sync::Arc};

use reconverge_streams::{columns::State, logical::Layout};

use super::{
    block::{Answered, BlockWriter, Rows},
    contain::Worker,
    contract::Side,
    fault::Fault,
    program::Program,
    projection::{Projection, Read},
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
    let is_before = |read: &Read| matches!(read, Read::Column(Side::Before, ..));
    let reads_before = projection.reads.iter().any(is_before);
    let before = Lie::of(if reads_before { contests.rows } else { &[] }, |contest| RowRef {
        arena: Arena::Before,
        row: contest.change,
    });
    let opening = Arc::clone(&worker.opening);
    let mut verdicts = Verdicts {
        program: &opening.program,
        value_bytes,
        contests,
        projection,
        written: Written::new(&projection.writes),
        rulings: Vec::with_capacity(contests.rows.len()),
        reasons: Vec::new(),
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
                    Read::Column(Side::Before, k, layout) => {
                        before.show(block, contests, range.clone(), k, layout)
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
    let Verdicts { written, rulings, reasons, .. } = verdicts;
    let written_columns = projection.writes.iter().map(|write| write.column).collect();
    Rulings { rulings, reasons, written: written.columns, written_columns }
}

/// Every contest refused for the same cause.
pub(super) fn refuse_all(contests: &Contests<'_>, code: &'static str, reason: &str) -> Rulings {
    let refuse = |_: &Contest| refused(contests, code, reason.to_owned());
    Rulings { rulings: contests.rows.iter().map(refuse).collect(), ..Rulings::default() }
}

fn refused(contests: &Contests<'_>, code: &'static str, reason: String) -> Ruling {
    let refusal = Refusal { stage: "merge", code, reason, table: Some(contests.table.id), key: None };
    Ruling { verdict: Verdict::Refuse(Box::new(refusal)), archive: false, reason: None }
}

/// How one side of the contests lies in the arenas: mostly in one of them, often in one run, so that columns are
/// copied from it without asking for each cell.
enum Lie {
    Run(Arena, usize),
    Picked(Arena, Vec<u32>),
    Several(fn(&Contest) -> RowRef),
}

impl Lie {
    fn of(contests: &[Contest], side: fn(&Contest) -> RowRef) -> Self {
        let first = contests.first().map_or(RowRef { arena: Arena::After, row: 0 }, side);
        if !contests.iter().all(|contest| side(contest).arena == first.arena) {
            return Lie::Several(side);
        }
        let rows = contests.iter().map(|contest| side(contest).row);
        if rows.clone().zip(first.row..).all(|(row, next)| row == next) {
            Lie::Run(first.arena, first.row as usize)
        } else {
            Lie::Picked(first.arena, rows.collect())
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
        let (arena, rows) = match self {
            Lie::Run(arena, first) => (*arena, Rows::Run(first + range.start..first + range.end)),
            Lie::Picked(arena, rows) => (*arena, Rows::Picked(&rows[range])),
            Lie::Several(side) => {
                let cell = |contest: &Contest| {
                    let at = side(contest);
                    contests.arenas.of(at.arena).columns.get(k).map(|column| (column, at.row as usize))
                };
                return block.mixed(layout, contests.rows[range].iter().map(cell));
            }
        };
        // What stands may lack the columns that only the source has.
        match contests.arenas.of(arena).columns.get(k) {
            Some(column) => block.column(column, rows),
            None => block.nothing(layout, State::Unavailable),
        }
    }
}

/// What the verdicts come to.
struct Verdicts<'a> {
    program: &'a Program,
    value_bytes: usize,
    contests: &'a Contests<'a>,
    projection: &'a Projection,
    /// One row per row in `rulings`.
    written: Written,
    rulings: Vec<Ruling>,
    reasons: Vec<Arc<str>>,
}

impl Verdicts<'_> {
    fn take(&mut self, range: Range<usize>, answer: Result<&Answered<'_>, &Fault>) {
        debug_assert_eq!(range.start, self.rulings.len(), "answers come in order");
        let answered = match answer {
            Ok(answered) => answered,
            Err(fault) => {
                self.written.leave();
                let reason = format!("{} {}", self.program.label, fault.told(!self.projection.is_guarded));
                return self.rulings.push(refused(self.contests, fault.code(), reason));
            }
        };
        let first = u32::try_from(self.reasons.len()).expect("a call has few reasons");
        self.reasons.extend(answered.reasons.iter().map(|reason| Arc::from(self.program.tame(reason))));
        for i in 0..range.len() {
            let reason = answered.reason(i).and_then(|reason| Some(first + u32::try_from(reason).ok()?));
            let ruling = self.ruling(answered, i, reason);
            self.rulings.push(ruling);
        }
    }

    fn ruling(&mut self, answered: &Answered<'_>, i: usize, reason: Option<u32>) -> Ruling {
        let said = answered.verdicts[i];
        // Nearly all rulings are one of these two, and where nothing is written nothing is left.
        if let (0 | 1, true) = (said & !ARCHIVE, self.projection.writes.is_empty()) {
            let verdict = if said & 1 == 0 { Verdict::Keep } else { Verdict::Take };
            return Ruling { verdict, archive: said & ARCHIVE != 0, reason };
        }
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

    fn refused(&self, code: &'static str, what: &str, reason: Option<u32>) -> Ruling {
        let told = reason.filter(|_| !self.projection.is_guarded);
        let because = told.map(|reason| format!(": {}", self.reasons[reason as usize])).unwrap_or_default();
        refused(self.contests, code, format!("{} {what}{because}", self.program.label))
    }
}
