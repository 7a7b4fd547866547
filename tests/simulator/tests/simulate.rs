//! Thousands of seeds. `SEED=n` runs one of them; `SEEDS=n` so many.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use std::sync::atomic::{AtomicU64, Ordering};

use reconverge_simulator::{scenario::Scenario, shrink, world};

/// Seeds of an ordinary run.
const SEEDS: u64 = 10_000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Promises 1, 2, 3, 5 and 9 at every commit, whatever fails.
#[test]
fn every_seed_ends_like_the_serial_oracle() {
    let (from, to) = match variable("SEED") {
        Some(seed) => (seed, seed + 1),
        None => (0, variable("SEEDS").unwrap_or(SEEDS)),
    };
    let next = AtomicU64::new(from);
    let failed = AtomicU64::new(u64::MAX);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) == u64::MAX {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        return;
                    }
                    if world::run(&Scenario::of(seed)).wrong.is_some() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let seed = failed.into_inner();
    assert!(seed == u64::MAX, "{}", shrink::report(&Scenario::of(seed)));
}

/// A failing seed can be replayed: the same seed gives the same run, to the call.
#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..40 {
        let scenario = Scenario::of(seed);
        assert_eq!(world::run(&scenario).calls, world::run(&scenario).calls, "seed {seed}");
    }
}
