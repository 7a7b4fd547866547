//! Which generation is live: one for all lanes, and another for those that try a new one first. Read by each lane
//! between two batches, without a lock; written when a generation is published or taken back.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::Generation;

/// See the module.
#[derive(Debug)]
pub struct Live {
    now: ArcSwap<Now>,
    /// Held while `now` is replaced, so that two changes do not lose one.
    changing: Mutex<()>,
    /// Told of each generation that is taken back.
    undone: Notify,
}

#[derive(Clone, Debug)]
struct Now {
    all: Arc<Generation>,
    /// Lanes that run another than `all`.
    canaries: BTreeMap<String, Arc<Generation>>,
    /// Newest last: what a lane falls back to. The first one of the process is never let go.
    before: Vec<Arc<Generation>>,
    /// Generations that were taken back, and why.
    taken_back: Vec<(u64, String)>,
}

/// Earlier generations that are kept for a fall-back; each holds compiled code.
const KEPT: usize = 3;

impl Live {
    /// With the generation that the process started with.
    #[must_use]
    pub fn new(first: Arc<Generation>) -> Self {
        let now = Now { all: first, canaries: BTreeMap::new(), before: Vec::new(), taken_back: Vec::new() };
        Live { now: ArcSwap::from_pointee(now), changing: Mutex::new(()), undone: Notify::new() }
    }

    /// The generation that a lane has to decide by.
    #[must_use]
    pub fn of(&self, lane: &str) -> Arc<Generation> {
        let now = self.now.load();
        Arc::clone(now.canaries.get(lane).unwrap_or(&now.all))
    }

    /// The generation of a lane where it is another than number `has`.
    #[must_use]
    pub fn newer(&self, lane: &str, has: u64) -> Option<Arc<Generation>> {
        let now = self.now.load();
        let wanted = now.canaries.get(lane).unwrap_or(&now.all);
        (wanted.number() != has).then(|| Arc::clone(wanted))
    }

    /// Makes a generation the one of all lanes.
    pub fn publish(&self, generation: Arc<Generation>) {
        self.change(|now| {
            let old = std::mem::replace(&mut now.all, generation);
            old.unready();
            now.canaries.clear();
            now.before.push(old);
            if now.before.len() > KEPT {
                now.before.remove(0);
            }
        });
    }

    /// Makes a generation the one of these lanes alone, until it is published or taken back.
    pub fn publish_on(&self, lanes: &[String], generation: &Arc<Generation>) {
        self.change(|now| {
            for lane in lanes {
                now.canaries.insert(lane.clone(), Arc::clone(generation));
            }
        });
    }

    /// Ends a generation that some lanes alone decide by: they go on under the one of all lanes. Nothing is wrong with it.
    pub fn withdraw(&self, number: u64) {
        self.change(|now| now.canaries.retain(|_, canary| canary.number() != number));
    }

    /// Takes a generation back: its lanes go on under the one before it. Returns the number of that one; `None`
    /// where it is not live (another lane took it back already) or nothing was before it.
    pub fn take_back(&self, number: u64, why: &str) -> Option<u64> {
        let mut gone_to = None;
        self.change(|now| {
            if now.canaries.values().any(|canary| canary.number() == number) {
                now.canaries.retain(|_, canary| canary.number() != number);
                gone_to = Some(now.all.number());
            } else if now.all.number() == number
                && let Some(before) = now.before.pop()
            {
                gone_to = Some(before.number());
                now.all = before;
            }
            if gone_to.is_some() {
                now.taken_back.push((number, why.to_owned()));
            }
        });
        if gone_to.is_some() {
            self.undone.notify_one();
        }
        gone_to
    }

    /// Ends when a generation has been taken back since it ended last. One may wait for it at a time.
    pub async fn undone(&self) {
        self.undone.notified().await;
    }

    /// Why a generation was taken back; `None` where it was not.
    #[must_use]
    pub fn taken_back(&self, number: u64) -> Option<String> {
        let now = self.now.load();
        now.taken_back.iter().find(|(taken, _)| *taken == number).map(|(_, why)| why.clone())
    }

    fn change(&self, edit: impl FnOnce(&mut Now)) {
        let _alone = self.changing.lock().expect("no holder panics");
        let mut next = Now::clone(&self.now.load());
        edit(&mut next);
        self.now.store(Arc::new(next));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn generation(number: u64) -> Arc<Generation> {
        Arc::new(Generation::new(number, String::new(), None, |_| Err("not asked for".to_owned())))
    }

    fn lanes(live: &Live) -> (u64, u64) {
        (live.of("main").number(), live.of("bulk").number())
    }

    #[test]
    fn a_lane_takes_what_was_published_and_falls_back_to_what_was_before() {
        let live = Live::new(generation(1));
        assert!(live.newer("main", 1).is_none());
        live.publish(generation(2));
        assert_eq!(live.newer("main", 1).map(|g| g.number()), Some(2));
        live.publish(generation(3));
        assert_eq!(live.take_back(3, "it traps"), Some(2));
        assert_eq!(lanes(&live), (2, 2));
        assert_eq!(live.taken_back(3).as_deref(), Some("it traps"));
        assert_eq!(live.take_back(3, "again"), None, "another lane was quicker");
        assert_eq!(live.take_back(2, "too"), Some(1));
        assert_eq!(live.take_back(1, "the first"), None, "nothing was before it");
        assert_eq!(lanes(&live), (1, 1));
    }

    #[tokio::test]
    async fn who_published_a_generation_is_told_that_it_was_taken_back_and_need_not_look() {
        let live = Live::new(generation(1));
        live.publish(generation(2));
        let told = async || tokio::time::timeout(Duration::ZERO, live.undone()).await.is_ok();
        assert!(!told().await, "nothing was");
        live.take_back(2, "faults");
        assert!(told().await);
        live.take_back(2, "again");
        assert!(!told().await, "it was not live any more");
    }

    #[test]
    fn a_canary_is_one_lanes_until_it_is_everyones_or_nobodys() {
        let live = Live::new(generation(1));
        let second = generation(2);
        live.publish_on(&["bulk".to_owned()], &second);
        assert_eq!(lanes(&live), (1, 2));
        assert_eq!(live.take_back(2, "faults"), Some(1));
        assert_eq!(lanes(&live), (1, 1));
        let third = generation(3);
        live.publish_on(&["bulk".to_owned()], &third);
        live.withdraw(3);
        assert_eq!(lanes(&live), (1, 1), "and it may come again");
        assert_eq!(live.taken_back(3), None);
        live.publish_on(&["bulk".to_owned()], &third);
        live.publish(third);
        live.withdraw(3);
        assert_eq!(lanes(&live), (3, 3), "it is everyone's");
        assert_eq!(live.take_back(3, "faults"), Some(1));
    }
}
