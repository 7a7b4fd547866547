//! Pieces of the way from bytes to writes for `cargo xtask ci`, which counts their instructions on the host: it runs each of these
//! twice under valgrind, with different numbers of `TIMES`, so that the set-up falls out of the difference. What they print
//! is what it reads. Run as plain tests they only show that they work.
//!
//! No plugin runs in them, since compiling one under valgrind takes minutes; plugins have a gate of their own
//! (`merge/gate.rs`).

use super::*;

/// How often the work is done.
const TIMES: &str = "RECONVERGE_COUNT_TIMES";
const ROWS: u64 = 2_000;

fn times() -> usize {
    std::env::var(TIMES).ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[expect(clippy::print_stdout, reason = "`cargo xtask ci` reads it")]
fn told(events: usize) {
    println!("events each time: {events}");
}

fn decodes(place: usize) {
    let runtime = Runtime::new().unwrap();
    let (shapes, events) = material(&runtime, ROWS).unwrap();
    let sets = sets(&runtime, &shapes, &events).unwrap();
    let Set { decoder, pulls, .. } = &sets[place];
    for _ in 0..times() {
        decoding(decoder, pulls);
    }
    told(pulls.iter().map(|pulled| pulled.deliveries.len()).sum());
}

#[test]
fn decode_native_json() {
    decodes(0);
}

#[test]
fn decode_native_messagepack() {
    decodes(1);
}

#[test]
fn decode_debezium_json() {
    decodes(2);
}

/// Keys, gate, rounds and writes of the newest change of each key, with versions; what stands is made up in the count.
#[test]
fn resolve_greatest() {
    let runtime = Runtime::new().unwrap();
    let (shapes, events) = material(&runtime, ROWS).unwrap();
    let set = desk::plugins(&shapes, &[]).unwrap();
    let rule = |columns: &[ColumnShape]| {
        let place = columns.iter().position(|column| column.name == "modification_epoch");
        Rule::Greatest(place.into_iter().collect())
    };
    let mut case = Case::of("resolve", &shapes, &desk::batches(&events, false), &set, rule).unwrap();
    for _ in 0..times() {
        case.run(true);
    }
    told(case.count);
}
