//! What lies decoded while a batch is in its transaction: the next batch, and the one behind it, so that the sink can be
//! told with a commit what the batch after it will ask for, and the plugins before the transaction have judged it by
//! then. Bounded: two batches, and the second only where the first was no small one.

use std::{collections::VecDeque, sync::Arc};

use reconverge_streams::{
    epoch::EpochStart,
    source::{Reader, SourceError},
    standing::Wanted,
};

use crate::{
    batch::Batch,
    decode::Decoder,
    plan::Plan,
    resolve::keys::Keyed,
    stages::{Prepared, Stages},
};

use super::{batches::Batches, follow};

/// Batches that may lie decoded.
const BATCHES: usize = 2;

/// See the module. In the order of the stream.
#[derive(Default)]
pub(super) struct Ahead {
    batches: VecDeque<Decoded>,
}

/// A batch that was decoded ahead.
pub(super) struct Decoded {
    batch: Result<Batch, SourceError>,
    /// What it was decoded by; the generation may be another by now.
    under: Arc<Decoder>,
    /// What it will ask the sink for, where it is decided by the rules in hand.
    wanted: Option<Wanted>,
    known: Known,
}

/// What is known of a batch before it is its turn.
#[derive(Default)]
pub(super) struct Known {
    /// Its keys, as it was decoded: not those of a batch that a change is taken out of.
    pub keyed: Option<Keyed>,
    /// What the plugins before the transaction said of it.
    pub judged: Option<Judged>,
}

/// What the plugins before the transaction said of a batch, nothing of which was held back.
pub(super) struct Judged {
    pub prepared: Prepared,
    /// Calls that failed.
    pub faults: u64,
}

impl Decoded {
    /// The same messages under these rules: decoded again where they were decoded under others, and then nothing is known.
    fn under(self, decoder: &Arc<Decoder>) -> Result<(Batch, Known), SourceError> {
        let batch = self.batch?;
        if Arc::ptr_eq(&self.under, decoder) {
            return Ok((batch, self.known));
        }
        Ok((follow::decoded_again(batch, decoder), Known::default()))
    }

    /// Whether the stream had so much that there will be more: half of what a batch may hold.
    pub(super) fn is_large<R: Reader>(&self, batches: &Batches<R>) -> bool {
        self.batch.as_ref().is_ok_and(|batch| batches.is_large(batch))
    }

    /// Bytes of the payloads.
    pub(super) fn bytes(&self) -> usize {
        self.batch.as_ref().map_or(0, Batch::payload_bytes)
    }

    /// Has the plugins judge it, where it was decoded by their rules; returns how many of their calls failed.
    pub(super) fn judge(
        &mut self,
        stages: &mut dyn Stages,
        plan: &Plan,
        decoder: &Arc<Decoder>,
        holds_nothing: impl FnOnce(&Batch) -> bool,
    ) -> u64 {
        let Ok(batch) = &mut self.batch else { return 0 };
        if !Arc::ptr_eq(&self.under, decoder) || self.known.judged.is_some() || !holds_nothing(batch) {
            return 0;
        }
        let before = stages.faults();
        batch.include_relatives(plan);
        let prepared = stages.prepare(batch, plan);
        let faults = stages.faults() - before;
        self.known.judged = Some(Judged { prepared, faults });
        faults
    }
}

impl Ahead {
    /// What the next batch was decoded by, where it holds anything.
    pub(super) fn decoder(&self) -> Option<&Arc<Decoder>> {
        let next = self.batches.front()?;
        let holds_any = next.batch.as_ref().is_ok_and(|batch| !batch.deliveries.is_empty());
        holds_any.then_some(&next.under)
    }

    /// The next batch, under these rules.
    pub(super) fn next(&mut self, decoder: &Arc<Decoder>) -> Option<Result<(Batch, Known), SourceError>> {
        self.batches.pop_front().map(|next| next.under(decoder))
    }

    /// Takes the next batch out, to be judged; it is given back by [`Ahead::give_back`].
    pub(super) fn lend(&mut self) -> Option<Decoded> {
        self.batches.pop_front()
    }

    /// See [`Ahead::lend`].
    pub(super) fn give_back(&mut self, lent: Option<Decoded>) {
        if let Some(lent) = lent {
            self.batches.push_front(lent);
        }
    }

    /// What the next batch will ask the sink for, where it is decided by these rules.
    pub(super) fn foreseen(&mut self, decoder: &Arc<Decoder>) -> Option<Wanted> {
        let next = self.batches.front_mut()?;
        if Arc::ptr_eq(&next.under, decoder) { next.wanted.take() } else { None }
    }

    /// Decodes what is there or comes within the linger, behind a batch that may be lent. With a `plan`, what a batch will
    /// ask for is told too.
    pub(super) async fn fill<R: Reader>(
        &mut self,
        batches: &mut Batches<R>,
        decoder: &Arc<Decoder>,
        plan: Option<&Plan>,
        lent: Option<bool>,
    ) {
        let mut goes_on = lent.is_none_or(|is_large| is_large);
        while goes_on && self.batches.len() + usize::from(lent.is_some()) < BATCHES {
            let mut batch = batches.decoded_ahead(decoder).await;
            let (mut wanted, mut known) = (None, Known::default());
            if let (Ok(batch), Some(plan)) = (&mut batch, plan)
                && !batch.deliveries.is_empty()
            {
                batch.include_relatives(plan);
                let mut keyed = Keyed::of(batch, &[]);
                wanted = Some(keyed.ask(batch, plan, 0));
                known.keyed = Some(keyed);
            }
            goes_on = batch.as_ref().is_ok_and(|batch| batches.is_large(batch));
            let under = Arc::clone(decoder);
            self.batches.push_back(Decoded { batch, under, wanted, known });
        }
    }

    /// Decodes anew what was decoded before these epochs were known.
    pub(super) fn learn_epochs(&mut self, starts: &[EpochStart]) {
        for Decoded { batch, under, wanted, known } in &mut self.batches {
            let Ok(batch) = batch else { continue };
            let mut again = std::mem::take(batch);
            again.epochs.learn(starts);
            *batch = follow::decoded_again(again, under);
            (*wanted, *known) = (None, Known::default());
        }
    }

    /// Bytes of the payloads.
    pub(super) fn bytes(&self) -> usize {
        self.batches.iter().map(Decoded::bytes).sum()
    }
}
