//! The next batch begun in the round trip of a commit: while the server writes a batch and reads what stands for the
//! next, the host has time for the one behind that.
//!
//! Sent behind the COMMIT, so the order of commits is that of the batches; and its lock demands the checkpoint that the
//! commit leads to, so of a commit that failed nothing follows. What is begun holds its locks until it is committed, or
//! closed by whatever else is asked of the claim.

use crate::standing::Wanted;

use super::{
    begin::{self, Asked},
    claim::{Facts, PostgresClaim},
    session::{Call, Session},
};

/// A batch that was begun with the commit before it.
pub(super) struct Begun {
    pub wanted: Wanted,
    pub asked: Asked,
}

/// What is sent behind a COMMIT. Nothing where a statement is not prepared yet: inside a batch's transaction that could
/// make the batch fail.
pub(super) fn calls<'a>(
    session: &Session,
    facts: &'a Facts,
    epoch: i64,
    wanted: &'a Wanted,
    (picked, gate): (&'a [Option<Vec<u32>>], &'a [Vec<u8>]),
) -> Option<Vec<Call<'a>>> {
    let questions = begin::asking(facts, epoch, wanted, picked, gate).into_iter();
    let ready = questions.map(|question| {
        let statement = session.prepared(&question.sql)?;
        Some(Call { statement, params: question.params })
    });
    ready.collect()
}

impl PostgresClaim {
    /// What was begun, where it is what is wanted now. Any other transaction is closed.
    pub(super) async fn begun_for(&mut self, wanted: &Wanted) -> Option<Begun> {
        let sound = !self.doubtful && !self.session.client.is_closed();
        let begun = self.begun.take().filter(|begun| sound && begun.wanted == *wanted);
        if begun.is_none() {
            self.close().await;
        }
        begun
    }
}
