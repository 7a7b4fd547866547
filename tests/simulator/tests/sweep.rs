//! The guarantee behind the wake-up that a parent's transaction gives: rows that wait for one which the application writes
//! come in all the same, whatever fails meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use reconverge_simulator::{scenario::Scenario, world};

/// Seeds that are looked at; about a quarter of them has parents that nobody else is above.
const SEEDS: u64 = 1_200;

#[test]
fn what_waits_for_a_row_of_the_application_comes_in() {
    let scenarios = (0..SEEDS).filter_map(|seed| Scenario::of(seed).with_local_parents());
    let mut tried = 0;
    for scenario in scenarios {
        tried += 1;
        assert_eq!(world::run(&scenario).wrong, None, "seed {}: {scenario:#?}", scenario.seed);
    }
    assert!(tried > 100, "{tried}");
}
