//! The gate of CI on a plugin's own instructions: wasmtime counts them (fuel), so the count is the same on every machine that
//! builds the plugins with the project's toolchain. A clock on a shared machine shows no loss of a tenth; this shows one of
//! a hundredth, in the plugin as in the SDK that it is made with.
//!
//! A count that rises for a good reason is raised here, with the reason in the commit.

use super::*;

/// Rows of a call, and the instructions that one row may take, at most. What is measured is a twentieth below.
const FUEL: [(usize, f64); 3] = [(1, 3780.0), (16, 443.0), (1000, 237.0)];

#[test]
fn a_decision_takes_no_more_instructions_than_it_did() {
    let runtime = Runtime::new().unwrap();
    let (plan, mut chain) = opened(&runtime, &desk::wasm("schedule-merge")).unwrap();
    let told: Vec<_> =
        FUEL.into_iter().map(|(rows, most)| (rows, fuel(&plan, &mut chain, rows), most)).collect();
    let over: Vec<_> = told.iter().filter(|(_, found, most)| found > most).collect();
    assert!(over.is_empty(), "(rows, instructions a row, at most): {over:?} of {told:?}");
    let loose: Vec<_> = told.iter().filter(|(_, found, most)| *found < most * 0.85).collect();
    assert!(loose.is_empty(), "the gate is to be lowered to what is measured: {loose:?}");
}

/// Instructions of the plugin for a row of a call.
fn fuel(plan: &Arc<Plan>, chain: &mut PluginChain, rows: usize) -> f64 {
    let ring = Ring::new(plan, rows);
    assert_eq!(chain.merge(&ring.contests(plan)).rulings.len(), rows);
    let (_, fuel) = chain.usage(rows).next().flatten().expect("the plugin lives");
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let each = fuel as f64 / rows as f64;
    each
}
