//! A backlog is taken in ever larger batches while their transactions are short, up to the limit.

#![allow(clippy::unwrap_used, reason = "the lints do not see helpers of tests as tests")]

use std::{
    future::pending,
    sync::{Arc, Mutex},
};

use reconverge::{
    batch::Batch,
    decode::{Decoder, Options},
    generation::{Generation, Live, Rules},
    plan::Plan,
    stages::{Contests, Prepared, Rulings, Stages},
};
use reconverge_oracle::{Deletes, Rule, Table};
use reconverge_simulator::{
    place::{InMemory, Place},
    process::{CREATED, plan},
    scenario::{RANK, Scenario},
    single::{lane, publish},
    stages::ModelStages,
    world::stopped_clock,
};
use reconverge_streams::memory::source::MemorySource;

/// Notes how large the batches are that it lets in.
struct Noting(Arc<Mutex<Vec<usize>>>);

impl Stages for Noting {
    fn admit(&mut self, batch: &mut Batch, plan: &Plan, known: Prepared) -> Prepared {
        // A sweep's has none.
        self.0.lock().unwrap().extend(Some(batch.deliveries.len()).filter(|&size| size > 0));
        ModelStages.admit(batch, plan, known)
    }

    fn merge(&mut self, contests: &Contests<'_>) -> Rulings {
        ModelStages.merge(contests)
    }
}

/// The sizes of the batches that a stream is taken in, into a sink that takes no time.
fn sizes(changes: u64, rows: usize) -> Vec<usize> {
    stopped_clock(async {
        let place = InMemory::new(1).await;
        let (sink, source) = (place.sink().await, MemorySource::new("CDC", CREATED, |_, _| true));
        publish(&source, changes);
        let table =
            Table { rule: Rule::Greatest(vec![RANK]), deletes: Deletes::Ordered, parents: Vec::new() };
        let plan = Arc::new(plan(&Scenario::plain(vec![table], rows, Vec::new()), Arc::default()));
        let decoder = Arc::new(Decoder::new(Arc::clone(&plan), Options::default()));
        let seen = Arc::new(Mutex::default());
        let noted = Arc::clone(&seen);
        let rules = move |_: &str| {
            let stages = Box::new(Noting(Arc::clone(&noted)));
            Ok(Rules { plan: Arc::clone(&plan), decoder: Arc::clone(&decoder), stages })
        };
        let live = Arc::new(Live::new(Arc::new(Generation::new(1, "[]".into(), None, rules))));
        lane(&source, &sink, &live, changes, rows).run(pending()).await.unwrap();
        std::mem::take(&mut *seen.lock().unwrap())
    })
}

#[test]
fn a_backlog_is_taken_in_ever_larger_batches() {
    let sizes = sizes(40_000, 4_000);
    assert_eq!((sizes[0], sizes.iter().max()), (1_000, Some(&4_000)), "{sizes:?}");
    let (last, full) = sizes.split_last().unwrap();
    assert!(full.is_sorted(), "{sizes:?}");
    assert_eq!(full.iter().sum::<usize>() + last, 40_000);
}

#[test]
fn a_limit_below_the_first_size_is_kept() {
    assert_eq!(sizes(100, 30), [30, 30, 30, 10]);
}
