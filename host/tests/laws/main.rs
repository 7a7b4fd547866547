//! The merge laws on real guests: every rule that is broken on purpose is found and named, every good one passes, and
//! both within the time that an author waits.

#[path = "../guests/mod.rs"]
mod guests;

use std::time::{Duration, Instant};

use reconverge::{
    assemble::{Case, law_cases},
    config::Deletes,
    laws::{Broken, Effort, Finding, Law, check},
};
use serde_json::{Value, json};

/// What an author waits for at most.
const PATIENCE: Duration = Duration::from_secs(30);

fn cases(guest: &str, config: &Value, deletes: &[Deletes]) -> Vec<Case> {
    law_cases(&guests::wasm(guest), config, None, deletes)
        .unwrap_or_else(|error| panic!("{error}: {:?}", error.hint()))
}

fn broken(findings: Vec<(Law, Finding)>) -> Vec<Broken> {
    let found = findings.into_iter().filter_map(|(_, finding)| match finding {
        Finding::Broken(broken) => Some(*broken),
        _ => None,
    });
    found.collect()
}

fn laws_of(guest: &str, config: &Value, deletes: Deletes) -> Vec<Broken> {
    let begun = Instant::now();
    let mut case = cases(guest, config, &[deletes]).remove(0);
    let findings = check(&mut case.subject, &Effort::default(), &[], |_, _| ()).unwrap();
    let took = begun.elapsed();
    println!("{guest} {config} {deletes:?}: {took:?}");
    assert!(took < PATIENCE, "{guest} {config}: {took:?}");
    broken(findings)
}

#[test]
fn every_broken_rule_is_found_and_named() {
    let faults = [
        ("last-arrival", Law::Commutative),
        ("tie-by-arrival", Law::Commutative),
        ("float-nan", Law::Commutative),
        ("truncated-time", Law::Commutative),
        ("rejecting", Law::Commutative),
        ("lopsided-columns", Law::Commutative),
        ("epoch-as-text", Law::Monotone),
        ("counting", Law::Deterministic),
        ("batch-size", Law::Batching),
        ("null-trap", Law::Total),
        ("adding-counter", Law::Idempotent),
        ("cyclic", Law::Associative),
        ("archive-one-side", Law::Agreement),
    ];
    for (fault, law) in faults {
        let found = laws_of("broken", &json!({ "fault": fault }), Deletes::Win);
        let first = found.first().map(|broken| broken.law);
        assert_eq!(first, Some(law), "{fault}: {found:#?}");
        let steps = found[0].history.steps.len();
        let most = match law {
            Law::Idempotent | Law::Associative => 6,
            Law::Deterministic | Law::Batching | Law::Monotone => 8,
            _ => 2,
        };
        assert!(steps <= most, "{fault}: a counterexample of {steps} changes is not small: {found:#?}");
    }
}

#[test]
fn written_columns_that_depend_on_the_side_are_found() {
    let found = laws_of("broken", &json!({ "fault": "writes-its-side" }), Deletes::Win);
    let laws: Vec<Law> = found.iter().map(|broken| broken.law).collect();
    assert!(laws.contains(&Law::Agreement) && laws.contains(&Law::Commutative), "{found:#?}");
}

#[test]
fn good_rules_pass() {
    for (guest, deletes) in [
        ("schedule-merge", Deletes::Win),
        ("schedule-merge", Deletes::Ordered),
        ("profile-merge", Deletes::Win),
        ("call-counters", Deletes::Win),
    ] {
        let found = laws_of(guest, &json!({}), deletes);
        assert!(found.is_empty(), "{guest} under {deletes:?}: {found:#?}");
    }
}

#[test]
fn a_rule_that_writes_columns_has_no_place_for_ordered_deletes() {
    for guest in ["profile-merge", "call-counters"] {
        let found = laws_of(guest, &json!({}), Deletes::Ordered);
        assert!(!found.is_empty(), "{guest}");
    }
}

#[test]
fn a_seed_finds_the_same_counterexample_again() {
    let found = || {
        let mut case = cases("broken", &json!({ "fault": "cyclic" }), &[Deletes::Win]).remove(0);
        let effort = Effort { seed: 7, cases: 100, ..Effort::default() };
        let found = broken(check(&mut case.subject, &effort, &[], |_, _| ()).unwrap());
        found.into_iter().map(|broken| (broken.law, broken.history, broken.arrivals)).collect::<Vec<_>>()
    };
    let first = found();
    assert!(!first.is_empty());
    assert_eq!(first, found());
}
