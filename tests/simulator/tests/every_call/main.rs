//! Every call of a scripted run fails, is slow and is the last of its process, before and after it does its work: one
//! run for each. All end like the clean run, in memory, in SQLite and, call by call of a sample, in PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

mod postgres;
mod script;
mod sqlite;

use std::{future::Future, sync::Arc};

use reconverge_simulator::{
    faults::{Fault, How, When},
    place::Place,
    process::Pace,
    scenario::{FROZEN_MS, Scenario},
    world,
};

/// Every fault of every call of a run with so many calls.
fn faults(calls: u64, slow_ms: u64) -> impl Iterator<Item = Fault> {
    let hows = [How::Fail, How::Delay(slow_ms), How::Crash];
    let whens = [When::Before, When::After];
    (0..calls).flat_map(move |call| {
        hows.into_iter().flat_map(move |how| whens.map(|when| Fault { call, when, how }))
    })
}

fn with(scenario: &Scenario, fault: Fault) -> Scenario {
    Scenario { faults: vec![fault], ..scenario.clone() }
}

/// The calls of a clean run.
fn calls(scenario: &Scenario) -> u64 {
    let clean = world::run(scenario);
    assert_eq!(clean.wrong, None, "a clean run");
    for call in
        ["inspect", "claim", "generation", "open", "next", "begin", "family", "commit", "sweep", "idle"]
    {
        assert!(
            clean.calls.iter().any(|made| made.contains(call)),
            "{call} is never called: {:?}",
            clean.calls
        );
    }
    clean.calls.len() as u64
}

#[test]
fn in_memory_every_call_fails_and_the_end_is_the_same() {
    let scenario = script::scenario();
    for fault in faults(calls(&scenario), FROZEN_MS) {
        for processes in [1, 2] {
            let ended = world::run(&Scenario { processes, ..with(&scenario, fault) });
            assert_eq!(ended.wrong, None, "{fault:?}, {processes} processes: {:#?}", ended.calls);
        }
    }
}

/// Two faults in one run: each of a sample beside each other one.
#[test]
fn in_memory_two_calls_of_a_run_fail_and_the_end_is_the_same() {
    let scenario = script::scenario();
    let all: Vec<Fault> = faults(calls(&scenario) + 10, FROZEN_MS).collect();
    for (at, first) in all.iter().enumerate().step_by(5) {
        for second in all[at + 1..].iter().step_by(7) {
            let both = Scenario { faults: vec![*first, *second], ..scenario.clone() };
            let ended = world::run(&both);
            assert_eq!(ended.wrong, None, "{first:?} and {second:?}: {:#?}", ended.calls);
        }
    }
}

/// Runs a fault at a real database, and looks at the end.
async fn ends_like_a_clean_run<P: Place>(scenario: &Scenario, fault: Fault, place: P) {
    let ended = world::run_at(&with(scenario, fault), Arc::new(place), Pace::REAL).await;
    assert_eq!(ended.wrong, None, "{fault:?}: {:#?}", ended.calls);
}

/// Real databases take the time that they take.
fn in_real_time(what: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(what);
}

/// The calls of a clean run of a scenario in which nobody waits.
fn calls_at_once(scenario: &Scenario) -> u64 {
    let clean = world::run(scenario);
    assert_eq!(clean.wrong, None, "a clean run");
    clean.calls.len() as u64
}

#[test]
fn in_sqlite_every_call_fails_and_the_end_is_the_same() {
    let scenario = script::at_once();
    let calls = calls_at_once(&scenario);
    in_real_time(async {
        for fault in faults(calls, 3) {
            ends_like_a_clean_run(&scenario, fault, sqlite::InSqlite::new(scenario.tables.len())).await;
        }
    });
}

#[test]
fn in_postgres_a_sample_of_calls_fails_and_the_end_is_the_same() {
    let scenario = script::at_once();
    let calls = calls_at_once(&scenario);
    in_real_time(async {
        let server = postgres::server();
        // Five is prime to the six faults of a call, so each kind is met, at another call each time.
        for (number, fault) in faults(calls, 3).enumerate().step_by(5) {
            let name = format!("fault_{number}");
            let place = postgres::InPostgres::new(&server, &name, scenario.tables.len()).await;
            ends_like_a_clean_run(&scenario, fault, place).await;
        }
    });
}
