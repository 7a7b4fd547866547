//! A lane and the generation that it decides by: taken between two batches, and left again where it is new and
//! fails. What was read ahead under the old one is decoded again, so nothing is decided half by each.

use reconverge_streams::{
    sink::{Claim, Sink},
    source::{Pulled, Source},
};
use tokio::time::Instant;

use crate::{
    batch::Batch,
    decode::{Decoder, Past},
    generation::Generation,
};

use super::{Lane, LaneError};

/// Which generation a lane has, and since when.
#[derive(Debug)]
pub struct Followed {
    number: u64,
    /// Failed calls before which the generation is not taken back, and until when it is watched.
    watched: Option<(u64, Instant)>,
}

impl Followed {
    /// The lane's rules are of this generation, from now on.
    #[must_use]
    pub fn new(generation: &Generation) -> Self {
        let watched = generation.trial().map(|trial| (trial.max_faults, Instant::now() + trial.lasts));
        Followed { number: generation.number(), watched }
    }

    /// The number of the generation.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether so many failed calls in one batch send the lane back to the generation before.
    pub(super) fn is_too_many(&self, faults: u64) -> bool {
        self.watched.is_some_and(|(max, until)| faults > max && Instant::now() < until)
    }
}

impl<S: Source, K: Sink> Lane<'_, S, K> {
    /// Takes the generation that is live now, where it is another than the lane's. The sink's record of it comes
    /// first, so that no decision names a generation that is not recorded.
    pub(super) async fn follow(
        &mut self,
        claim: &mut K::Claim,
        generation: &mut i64,
    ) -> Result<(), LaneError> {
        let name = self.settings.claim.lane.to_string();
        let Some(newer) = self.live.newer(&name, self.followed.number) else { return Ok(()) };
        let from = self.followed.number;
        let rules = match newer.rules(&name) {
            Ok(rules) => rules,
            Err(error) => {
                // It started when it was admitted; now it does not. What stands is better than nothing.
                tracing::error!(lane = %name, generation = newer.number(), %error, "generation.refused");
                self.live.take_back(newer.number(), &error);
                return Ok(());
            }
        };
        let sequence = claim.checkpoint().sequence;
        newer.description().clone_into(&mut self.settings.generation);
        *generation =
            claim.generation(sequence, self.settings.generation.clone(), &self.settings.claim.owner).await?;
        self.plan = rules.plan;
        self.decoder = rules.decoder;
        self.stages = rules.stages;
        self.followed = Followed::new(&newer);
        tracing::info!(lane = %name, sequence, generation = *generation, from, to = newer.number(), "generation.taken");
        metrics::counter!("reconverge_generations_taken_total", "lane" => name).increment(1);
        Ok(())
    }

    /// After too many faults: the generation is taken back and the lane stands on the one before. False where there
    /// is none; then the faults cost their own changes, as always.
    pub(super) async fn fall_back(
        &mut self,
        faults: u64,
        claim: &mut K::Claim,
        generation: &mut i64,
    ) -> Result<bool, LaneError> {
        let number = self.followed.number;
        let lane = &self.settings.claim.lane;
        let back = self.live.take_back(number, &format!("{faults} failed calls in one batch of lane {lane}"));
        tracing::error!(lane = %lane, generation = number, faults, back, "generation.taken_back");
        self.follow(claim, generation).await?;
        Ok(self.followed.number != number)
    }
}

/// The same messages, decoded under other rules.
pub(super) fn decoded_again(batch: Batch, decoder: &Decoder) -> Batch {
    if batch.deliveries.is_empty() {
        return batch;
    }
    let past = Past { epochs: batch.epochs, ..Past::default() };
    let again = decoder.decode_after(Pulled { deliveries: batch.deliveries, scanned: batch.scanned }, &past);
    Batch { grades: batch.grades, ..again }
}
