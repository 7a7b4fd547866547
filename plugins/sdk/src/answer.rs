//! An answer being made: one verdict per row, reasons as a short list, written columns.
//!
//! What batch-level plugins fill by hand; the row-level functions of [`crate::rows`] use it too.

use crate::{bindings::base::reconverge::plugin::types::Answer, writer::BlockWriter};

/// The verdict of a change that failed.
pub const FAILED: u8 = 255;

/// Reasons that an answer may hold before the last one has to say "other".
const REASONS_MAX: usize = 255;

/// An answer for a number of rows.
#[derive(Clone, Debug)]
pub struct AnswerBuilder {
    verdict: Vec<u8>,
    reason: Vec<u8>,
    reasons: Vec<String>,
    block: Vec<u8>,
}

impl AnswerBuilder {
    /// The same verdict for each of `rows` rows, to begin with.
    #[must_use]
    pub fn new(rows: usize, verdict: u8) -> Self {
        AnswerBuilder {
            verdict: vec![verdict; rows],
            reason: Vec::new(),
            reasons: Vec::new(),
            block: Vec::new(),
        }
    }

    /// Says what is to become of `row`; the stage lists its codes in `wit/plugin.wit`.
    ///
    /// # Panics
    /// Where there is no such row.
    #[inline]
    pub fn set(&mut self, row: usize, verdict: u8) {
        self.verdict[row] = verdict;
    }

    /// Says why. Put no row values in a reason: it is shown to people and counted. An answer holds 255
    /// reasons; those after are "other".
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn because(&mut self, row: usize, reason: &str) {
        let index = self.index_of(reason);
        self.set_reason(row, index);
    }

    /// The number of a reason in this answer, which gets it if it is new.
    pub(crate) fn index_of(&mut self, reason: &str) -> u8 {
        // The last reason is the likeliest to come again.
        let known = self.reasons.iter().rposition(|r| r == reason);
        let index = known.unwrap_or_else(|| {
            if self.reasons.len() < REASONS_MAX {
                let is_last = self.reasons.len() == REASONS_MAX - 1;
                self.reasons.push(if is_last { "other" } else { reason }.into());
            }
            self.reasons.len() - 1
        });
        u8::try_from(index + 1).expect("there are at most 255 reasons")
    }

    /// Gives `row` the reason of a number that [`Self::index_of`] gave.
    #[inline]
    pub(crate) fn set_reason(&mut self, row: usize, index: u8) {
        if self.reason.is_empty() {
            self.reason = vec![0; self.verdict.len()];
        }
        self.reason[row] = index;
    }

    /// Fails `row`, and it alone.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn fail(&mut self, row: usize, reason: &str) {
        self.set(row, FAILED);
        self.because(row, reason);
    }

    /// Sets the written columns, in the order of the contract's `writes`.
    pub fn block(&mut self, block: &BlockWriter) {
        self.block = block.finish();
    }

    /// The answer.
    #[must_use]
    pub fn finish(self) -> Answer {
        let AnswerBuilder { verdict, reason, reasons, block } = self;
        Answer { verdict, reason, reasons, block }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_kept_once_and_none_costs_nothing() {
        let mut answer = AnswerBuilder::new(3, 1);
        assert!(answer.clone().finish().reason.is_empty());
        answer.because(0, "old");
        answer.fail(1, "null");
        answer.because(2, "old");
        let answer = answer.finish();
        assert_eq!((answer.verdict, answer.reason), (vec![1, 255, 1], vec![1, 2, 1]));
        assert_eq!(answer.reasons, ["old", "null"]);
    }

    #[test]
    fn the_last_of_too_many_reasons_says_other() {
        let mut answer = AnswerBuilder::new(300, 0);
        for row in 0..300 {
            answer.because(row, &format!("reason {row}"));
        }
        let answer = answer.finish();
        assert_eq!(
            (answer.reasons.len(), answer.reasons[253].as_str(), answer.reasons[254].as_str()),
            (255, "reason 253", "other")
        );
        assert_eq!((answer.reason[253], answer.reason[254], answer.reason[299]), (254, 255, 255));
    }
}
