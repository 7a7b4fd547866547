//! A lane and the generation that it decides by: taken between two batches, and left again where it is new and fails.
//!
//! What lies decoded is committed by the rules that decoded it, while the next batch is already decoded by the new ones;
//! then the lane takes them, and nothing is decided half by each. So a swap has nothing to wait for: rules are made
//! away from the lane, nothing is decoded twice, and the record in the sink is part of the first batch's transaction.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use reconverge_streams::{
    sink::{Claim, Sink, SinkError},
    source::{Pulled, Source},
    standing::{NewGeneration, Standing},
};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::Instant,
};

use crate::{
    batch::Batch,
    decode::{Decoder, Past},
    generation::{Generation, Rules},
};

use super::Lane;

/// Which generation a lane has, and since when.
#[derive(Debug)]
pub struct Followed {
    number: u64,
    description: String,
    /// Failed calls before which the generation is not taken back, and until when it is watched.
    watched: Option<(u64, Instant)>,
    /// Its number in the sink, once it is recorded there.
    recorded: Option<i64>,
}

impl Followed {
    /// The lane's rules are of this generation, from now on.
    #[must_use]
    pub fn new(generation: &Generation) -> Self {
        let watched = generation.trial().map(|trial| (trial.max_faults, Instant::now() + trial.lasts));
        let description = generation.description().to_owned();
        Followed { number: generation.number(), description, watched, recorded: None }
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

    /// Whether the sink has it on record.
    pub(super) fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// What the next transaction has to record; nothing where it is recorded.
    pub(super) fn unrecorded(&self, by: &str) -> Option<NewGeneration> {
        let new = || NewGeneration { plugins: self.description.clone(), by: by.to_owned() };
        (!self.is_recorded()).then(new)
    }

    /// The number that decisions name in a transaction that began with [`Self::unrecorded`].
    pub(super) fn number_in(&self, standing: &Standing) -> i64 {
        let number = standing.generation.or(self.recorded);
        number.expect("a sink numbers the generation that it is asked to record")
    }

    /// A transaction that began at `from` with [`Self::unrecorded`] is committed.
    pub(super) fn committed(&mut self, number: i64, from: u64, lane: &str) {
        if self.recorded.replace(number).is_none() {
            tracing::info!(lane, generation = number, sequence = from, "generation.recorded");
        }
    }

    /// Records it in a transaction of its own, where there is no batch to do it.
    pub(super) async fn record(
        &mut self,
        from: u64,
        by: &str,
        claim: &mut impl Claim,
    ) -> Result<i64, SinkError> {
        let number = claim.generation(from, self.description.clone(), by).await?;
        self.recorded = Some(number);
        Ok(number)
    }
}

/// The generation that a lane takes next.
#[derive(Default)]
pub(super) struct Coming {
    next: Option<Next>,
    /// Rules that are being made away from the lane, for the generation of this number.
    making: Option<(u64, JoinHandle<Result<(), String>>)>,
    /// A generation that did not start and that nothing can take the place of.
    refused: Option<u64>,
    /// A newer one came before the last could be taken: this one waits for no batch, or none would ever be taken.
    is_late: bool,
    /// What it has cost the lane so far.
    spent: Duration,
}

struct Next {
    generation: Arc<Generation>,
    rules: Rules,
}

impl Coming {
    /// What messages are to be decoded by that are decided after the batch in hand.
    pub(super) fn decoder(&self) -> Option<&Arc<Decoder>> {
        self.next.as_ref().map(|next| &next.rules.decoder)
    }

    /// The rules of a generation, once they are made; `None` until then.
    fn made(&mut self, newer: &Arc<Generation>, lane: &str) -> Option<Result<Rules, String>> {
        if newer.is_ready(lane) {
            return Some(newer.rules(lane));
        }
        let number = newer.number();
        if self.making.as_ref().is_none_or(|(made, _)| *made != number) {
            let (generation, lane) = (Arc::clone(newer), lane.to_owned());
            self.making = Some((number, spawn_blocking(move || generation.make_ready(&lane))));
        }
        let made = self.making.as_mut().and_then(|(_, made)| made.now_or_never())?;
        self.making = None;
        Some(match made {
            Ok(made) => made.and_then(|()| newer.rules(lane)),
            Err(panic) => Err(format!("its plugins could not be started: {panic}")),
        })
    }
}

impl<S: Source, K: Sink> Lane<'_, S, K> {
    /// Takes the generation that is live now, where it is another than the lane's and its rules are there. While a batch
    /// lies decoded by other rules than the new ones, that comes first, unless the lane is too full to commit it.
    pub(super) fn swap(&mut self, coming: &mut Coming, ahead: Option<&Arc<Decoder>>, is_full: bool) {
        let begun = Instant::now();
        self.look_for(coming);
        let Some(decoder) = coming.decoder() else { return };
        let is_other = ahead.is_some_and(|under| !Arc::ptr_eq(under, decoder));
        if is_other && !is_full && !coming.is_late {
            coming.spent += begun.elapsed();
            return;
        }
        if let Some(next) = coming.next.take() {
            self.take(next);
            let (lane, pause) = (self.settings.claim.lane.to_string(), coming.spent + begun.elapsed());
            let pause_us = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
            tracing::info!(lane, generation = self.followed.number, pause_us, "generation.swapped");
            metrics::histogram!("reconverge_generation_pause_seconds", "lane" => lane)
                .record(pause.as_secs_f64());
        }
        *coming = Coming::default();
    }

    /// Looks which generation is live, and has its rules made.
    fn look_for(&self, coming: &mut Coming) {
        let lane = self.progress.lane();
        let newer = self.live.newer(lane, self.followed.number);
        let Some(newer) = newer.filter(|newer| coming.refused != Some(newer.number())) else {
            coming.next = None;
            return;
        };
        if coming.next.as_ref().is_some_and(|next| next.generation.number() == newer.number()) {
            return;
        }
        coming.is_late |= coming.next.take().is_some();
        // One that was taken back decides nothing more, whatever it costs to make the rules of another.
        let is_taken_back = self.live.taken_back(self.followed.number).is_some();
        let made = if is_taken_back { Some(newer.rules(lane)) } else { coming.made(&newer, lane) };
        match made {
            Some(Ok(rules)) => coming.next = Some(Next { generation: newer, rules }),
            Some(Err(error)) => {
                self.refuse(&newer, &error);
                coming.refused = Some(newer.number());
            }
            None => {}
        }
    }

    /// It started when it was admitted; now it does not. What stands is better than nothing.
    fn refuse(&self, newer: &Generation, error: &str) {
        let lane = self.progress.lane();
        tracing::error!(lane, generation = newer.number(), error, "generation.refused");
        self.live.take_back(newer.number(), error);
    }

    fn take(&mut self, Next { generation, rules }: Next) {
        let (lane, from) = (self.progress.lane().to_owned(), self.followed.number);
        let Rules { plan, decoder, stages } = rules;
        let gone = (
            std::mem::replace(&mut self.plan, plan),
            std::mem::replace(&mut self.decoder, decoder),
            std::mem::replace(&mut self.stages, stages),
        );
        // Memory is given back to the system, which may take its time.
        drop(spawn_blocking(move || drop(gone)));
        self.followed = Followed::new(&generation);
        tracing::info!(lane, from, to = generation.number(), "generation.taken");
        metrics::counter!("reconverge_generations_taken_total", "lane" => lane).increment(1);
    }

    /// After too many faults: the generation is taken back and the lane stands on the one before. False where there
    /// is none; then the faults cost their own changes, as always.
    pub(super) fn fall_back(&mut self, faults: u64) -> bool {
        let (lane, number) = (self.progress.lane().to_owned(), self.followed.number);
        let back = self.live.take_back(number, &format!("{faults} failed calls in one batch of lane {lane}"));
        tracing::error!(lane, generation = number, faults, back, "generation.taken_back");
        let Some(newer) = self.live.newer(&lane, number) else { return false };
        match newer.rules(&lane) {
            Ok(rules) => self.take(Next { generation: newer, rules }),
            Err(error) => self.refuse(&newer, &error),
        }
        self.followed.number != number
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
