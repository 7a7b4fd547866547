//! From batches to rows: reads each row in place, asks the author's function, collects its verdicts.
//!
//! What the stage attributes call. A row that lacks what its struct promises fails alone.

use std::marker::PhantomData;

use crate::{
    answer::AnswerBuilder,
    bindings::base::reconverge::plugin::types::{Answer, ColumnSpec},
    block::{Bits, BlockError, Column, Ints, State, Texts},
    columns::{Columns, Gap, Writes, column},
    contest::{Ask, Contest, Version},
    field::Missing,
    plugin::Batch,
    value::Timestamp,
    verdict::{Outcome, Verdict},
    writer::BlockWriter,
};

/// What filter, residency and mapping answer where the change has no row after it: a delete carries only its
/// key, and passes.
const PASS: u8 = 1;

/// Verdicts of a batch being collected.
struct Collected<W> {
    answer: AnswerBuilder,
    block: Option<BlockWriter>,
    /// The reasons that the rule has given so far. They are told by where they lie in memory: to compare their
    /// letters for each row took longer than all the rest.
    reasons: Vec<(&'static str, u8)>,
    rows: usize,
    writes: PhantomData<W>,
}

impl<W: Writes> Collected<W> {
    fn new(rows: usize) -> Self {
        let answer = AnswerBuilder::new(rows, 0);
        Collected { answer, block: None, reasons: Vec::new(), rows, writes: PhantomData }
    }

    #[inline]
    fn put(&mut self, row: usize, outcome: impl Outcome<Writes = W>) {
        let (code, reason, writes) = outcome.into_parts();
        self.answer.set(row, code);
        if let Some(reason) = reason {
            let known =
                self.reasons.iter().find(|(known, _)| std::ptr::eq(*known, reason)).map(|(_, index)| *index);
            let index = known.unwrap_or_else(|| self.new_reason(reason));
            self.answer.set_reason(row, index);
        }
        if let Some(writes) = writes {
            let new = || BlockWriter::new(self.rows, &W::kinds());
            writes.put(self.block.get_or_insert_with(new), row);
        }
    }

    #[cold]
    fn new_reason(&mut self, reason: &'static str) -> u8 {
        let index = self.answer.index_of(reason);
        self.reasons.push((reason, index));
        index
    }

    #[cold]
    fn gap(&mut self, row: usize, side: &str, names: &[&str], gap: Gap) {
        let what = match gap.missing {
            Missing::Null => "is null",
            Missing::Unsent => "was not sent",
            Missing::NoRow => "has no row",
            Missing::Malformed => "is malformed",
        };
        self.answer.fail(row, &format!("{side}column {} {what}", names[gap.field]));
    }

    fn finish(mut self) -> Answer {
        if let Some(block) = &self.block {
            self.answer.block(block);
        }
        self.answer.finish()
    }
}

/// The columns that [`each`] reads.
pub fn reads_of_each<'a, R: Columns<'a>>() -> Vec<ColumnSpec> {
    R::specs("after")
}

/// Answers each row of a batch of filter, residency or mapping. Changes without a row after them pass.
///
/// # Errors
/// The block does not fit the contract.
pub fn each<'a, R, O>(batch: &Batch<'a>, mut say: impl FnMut(&R) -> O) -> Result<Answer, BlockError>
where
    R: Columns<'a>,
    O: Outcome,
{
    let block = &batch.block;
    block.expect_columns(R::NAMES.len())?;
    let reader = R::reader(block, 0)?;
    let mut collected = Collected::<O::Writes>::new(block.rows());
    for row in 0..block.rows() {
        match R::row(&reader, row) {
            Ok(cells) => collected.put(row, say(&cells)),
            Err(_) if R::is_absent(&reader, row) => collected.answer.set(row, PASS),
            Err(gap) => collected.gap(row, "", R::NAMES, gap),
        }
    }
    Ok(collected.finish())
}

/// The columns that [`merge`] reads.
pub fn reads_of_merge<'a, R: Columns<'a>>() -> Vec<ColumnSpec> {
    const { assert!(!R::HAS_OWN_SIDES, "a row of a merge has two sides: ask for facts through Contest") };
    [R::specs("after"), R::specs("current")].concat()
}

/// Answers each row of a batch of merge. Where nothing stands the incoming row is taken; where nothing comes
/// the row is deleted and archived: the rule is not asked, since there is nothing to compare.
///
/// # Errors
/// The block does not fit the contract.
pub fn merge<'a, R, W>(
    batch: &Batch<'a>,
    mut decide: impl FnMut(&R, &R) -> Verdict<W>,
) -> Result<Answer, BlockError>
where
    R: Columns<'a>,
    W: Writes,
{
    batch.block.expect_columns(2 * R::NAMES.len())?;
    contests::<R, W>(batch, |_, incoming, current| decide(&incoming, &current))
}

fn contests<'a, R, W>(
    batch: &Batch<'a>,
    mut decide: impl FnMut(usize, R, R) -> Verdict<W>,
) -> Result<Answer, BlockError>
where
    R: Columns<'a>,
    W: Writes,
{
    let block = &batch.block;
    let (after, current) = (R::reader(block, 0)?, R::reader(block, R::NAMES.len())?);
    let mut collected = Collected::<W>::new(block.rows());
    for row in 0..block.rows() {
        match (R::row(&after, row), R::row(&current, row)) {
            (Ok(a), Ok(c)) => collected.put(row, decide(row, a, c)),
            _ if R::is_absent(&current, row) => collected.put(row, Verdict::<W>::take_incoming()),
            _ if R::is_absent(&after, row) => collected.put(row, Verdict::<W>::delete().archive_loser()),
            (Err(gap), _) => collected.gap(row, "incoming ", R::NAMES, gap),
            (_, Err(gap)) => collected.gap(row, "current ", R::NAMES, gap),
        }
    }
    Ok(collected.finish())
}

/// The columns that [`contest`] reads.
pub fn reads_of_contest<'a, R: Columns<'a>, A: Ask>() -> Vec<ColumnSpec> {
    let mut reads = reads_of_merge::<R>();
    if A::BEFORE {
        reads.extend(R::specs("before").into_iter().map(|spec| ColumnSpec { required: false, ..spec }));
    }
    let mut meta = |name, logical| reads.push(column("meta", name, logical, true));
    if A::VERSIONS {
        meta("origin", "text");
        meta("committed-at", "timestamp");
        meta("current-origin", "text");
        meta("current-committed-at", "timestamp");
    }
    if A::DELETES {
        meta("operation", "text");
        meta("current-live", "bool");
    }
    reads
}

/// The facts of a contest, opened.
struct FactColumns<'a, B> {
    before: Option<B>,
    versions: Option<[(Texts<'a>, Ints<'a>); 2]>,
    deletes: Option<(Texts<'a>, Bits<'a>)>,
}

impl<'a, B> FactColumns<'a, B> {
    fn open<R: Columns<'a, Reader = B>, A: Ask>(batch: &Batch<'a>) -> Result<Self, BlockError> {
        let (block, width) = (&batch.block, R::NAMES.len());
        let mut next = 2 * width;
        let mut take = |columns| {
            next += columns;
            next - columns
        };
        let before = A::BEFORE.then(|| take(width));
        let versions = A::VERSIONS.then(|| take(4));
        let deletes = A::DELETES.then(|| take(2));
        block.expect_columns(next)?;
        Ok(FactColumns {
            before: before.map(|k| R::reader(block, k)).transpose()?,
            versions: match versions {
                Some(k) => {
                    Some([(block.texts(k)?, block.ints(k + 1)?), (block.texts(k + 2)?, block.ints(k + 3)?)])
                }
                None => None,
            },
            deletes: match deletes {
                Some(k) => Some((block.texts(k)?, block.bits(k + 1)?)),
                None => None,
            },
        })
    }
}

/// Answers each row of a batch of merge, in the long form. See [`merge`].
///
/// # Errors
/// The block does not fit the contract.
pub fn contest<'a, R, A, W>(
    batch: &Batch<'a>,
    mut decide: impl FnMut(&Contest<'a, R, A>) -> Verdict<W>,
) -> Result<Answer, BlockError>
where
    R: Columns<'a>,
    A: Ask,
    W: Writes,
{
    let facts = FactColumns::open::<R, A>(batch)?;
    contests::<R, W>(batch, |row, incoming, current| {
        let mut contest = Contest::new(incoming, current);
        if let Some(before) = &facts.before {
            contest = contest.with_before(R::row(before, row).ok());
        }
        if let Some([change, standing]) = &facts.versions {
            contest = contest.with_versions(version(change, row), version(standing, row));
        }
        if let Some((operation, live)) = &facts.deletes {
            let is_tombstone = live.state(row) == State::Value && !live.get(row);
            contest = contest.with_deletes(operation.get(row) == "d", is_tombstone);
        }
        decide(&contest)
    })
}

fn version<'a>((origin, at): &(Texts<'a>, Ints<'a>), row: usize) -> Version<'a> {
    Version {
        origin: (origin.state(row) == State::Value).then(|| origin.get(row)),
        committed_at: (at.state(row) == State::Value).then(|| Timestamp(at.get(row))),
    }
}
