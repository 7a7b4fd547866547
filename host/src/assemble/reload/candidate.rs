//! A generation that is fit to run and does not decide yet: it is tried on batches that were committed, beside the
//! live one, until a rule or a person says what becomes of it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Artifacts, aside::Aside, deployment::Deployment};
use crate::generation::{Compared, Generation, Live, Promotion, Recent, Rules, Verdict};

/// See the module.
pub(super) struct Candidate {
    pub(super) plugin: String,
    pub(super) sha256: String,
    pub(super) generation: Arc<Generation>,
    pub(super) artifacts: Artifacts,
    /// Where it came from the store: the revision and what it asks for.
    pub(super) deployment: Option<(u64, Deployment)>,
    pub(super) promotion: Promotion,
    pub(super) compared: Compared,
    since: Instant,
    next_sample: u64,
    /// By lane: the live rules and the new ones, with instances of their own.
    pairs: HashMap<String, (Rules, Rules)>,
}

impl Candidate {
    pub(super) fn new(
        plugin: String,
        sha256: String,
        generation: Arc<Generation>,
        artifacts: Artifacts,
        promotion: Promotion,
        deployment: Option<(u64, Deployment)>,
    ) -> Self {
        Candidate {
            plugin,
            sha256,
            generation,
            artifacts,
            deployment,
            promotion,
            compared: Compared::default(),
            since: Instant::now(),
            next_sample: 0,
            pairs: HashMap::new(),
        }
    }

    /// Tries it on what was committed since the last time, and says what is to become of it.
    pub(super) async fn tried(&mut self, recent: &Recent, live: &Arc<Live>, aside: &Aside) -> Verdict {
        let (samples, next, missed) = recent.since(self.next_sample);
        let is_first = self.next_sample == 0;
        self.next_sample = next;
        if !is_first {
            self.compared.missed += missed;
        }
        if samples.is_empty() {
            return self.judged();
        }
        let (mut pairs, mut compared) = (std::mem::take(&mut self.pairs), std::mem::take(&mut self.compared));
        let (generation, live) = (Arc::clone(&self.generation), Arc::clone(live));
        let tried = aside.run(move || {
            for sample in samples {
                if !pairs.contains_key(&sample.lane) {
                    let both = live.of(&sample.lane).fresh_rules(&sample.lane);
                    let both = both.and_then(|old| Ok((old, generation.fresh_rules(&sample.lane)?)));
                    match both {
                        Ok(both) => drop(pairs.insert(sample.lane.clone(), both)),
                        Err(error) => return (pairs, compared, Some(error)),
                    }
                }
                if let Some((old, new)) = pairs.get_mut(&sample.lane) {
                    compared.add(&sample, old, new);
                }
            }
            (pairs, compared, None)
        });
        match tried.await {
            Ok((pairs, compared, None)) => {
                (self.pairs, self.compared) = (pairs, compared);
                self.judged()
            }
            Ok((.., Some(error))) => Verdict::Refuse(error),
            Err(panic) => Verdict::Refuse(format!("the shadow run broke: {panic}")),
        }
    }

    fn judged(&self) -> Verdict {
        self.promotion.judge(&self.compared, self.ran_for())
    }

    fn ran_for(&self) -> Duration {
        self.since.elapsed()
    }
}
