//! The gate of CI: how often an event may allocate, on its way from bytes to writes. A clock on a shared machine shows
//! no loss of a tenth; a count shows one of a hundredth, and is the same everywhere.
//!
//! A count that rises for a good reason is raised here, with the reason in the commit.

use super::*;

/// Allocations of an event, at most. What is measured is a twentieth below.
const DECODE: [(&str, f64); 3] = [
    ("decode native JSON", 0.31),
    ("decode native MessagePack", 0.32),
    ("decode Debezium JSON (capture)", 3.2),
];
const DECIDE: [(&str, f64); 3] = [
    ("3 plugins before the transaction", 1.15),
    ("resolve, policy none", 0.65),
    ("resolve, versions and merge plugin", 2.3),
];

#[test]
fn an_event_allocates_no_more_than_it_did() {
    let runtime = Runtime::new().unwrap();
    let (shapes, events) = material(&runtime, 4_000).unwrap();
    let sets = sets(&runtime, &shapes, &events).unwrap();
    let mut told = Vec::new();
    for ((name, most), set) in DECODE.into_iter().zip(&sets) {
        assert_eq!(name, set.name);
        let (count, allocations) = taken(&set.decoder, &set.pulls).unwrap();
        told.push((name, each(allocations, count), most));
    }
    let cases = cases(&shapes, &desk::batches(&events, false)).unwrap();
    for ((name, most), mut case) in DECIDE.into_iter().zip(cases) {
        assert_eq!(name, case.name);
        let decides = name.starts_with("resolve");
        // The first call grows what is kept for the next ones.
        case.run(decides);
        let (_, allocations) = counted(|| case.run(decides));
        told.push((name, each(allocations, case.count), most));
    }
    let over: Vec<_> = told.iter().filter(|(_, found, most)| found > most).collect();
    assert!(over.is_empty(), "more allocations an event than the gate lets by: {over:?} of {told:?}");
}

/// Instructions (fuel) that each plugin of the chain may take for a row of a call of 1,000, at most.
const FUEL: [(&str, f64); 3] = [("residency", 76.0), ("drop-temporary", 355.0), ("schema-map", 1211.0)];

#[test]
fn a_plugin_before_the_transaction_takes_no_more_instructions_than_it_did() {
    const ROWS: usize = 1_000;
    let runtime = Runtime::new().unwrap();
    let shapes = desk::shapes(&runtime, &desk::workload_ddl(1), &desk::workload_tables(1)).unwrap();
    let events = Workload { rows: ROWS as u64, keys: ROWS as u64, ..Workload::default() }.events();
    let mut case = Case::new("chain", &shapes, &desk::batches(&events, false), Variant::None).unwrap();
    // The first call of an instance is told nothing of.
    case.run(false);
    let used = case.chain.usage(ROWS).map(|used| used.expect("the plugin lives").1);
    let told: Vec<_> =
        FUEL.into_iter().zip(used).map(|((name, most), fuel)| (name, each(fuel, ROWS), most)).collect();
    assert_eq!(told.len(), FUEL.len());
    let over: Vec<_> = told.iter().filter(|(_, found, most)| found > most).collect();
    assert!(over.is_empty(), "(plugin, instructions a row, at most): {over:?} of {told:?}");
}
