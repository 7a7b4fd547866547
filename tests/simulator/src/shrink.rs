//! The smallest scenario that still fails: steps and faults are left out, in pieces of falling size, for as long as
//! what is left goes wrong too.

use std::fmt::Write as _;

use reconverge_oracle::{Cell, Change, Message, Row};

use crate::{
    scenario::{COLUMNS, Event, Scenario},
    world,
};

/// Runs that are worth the search.
const TRIES: usize = 3000;

/// Shrinks a scenario that fails.
#[must_use]
pub fn shrink(failing: &Scenario) -> Scenario {
    let mut tries = TRIES;
    let mut smallest = failing.clone();
    let mut fails = |candidate: &Scenario| {
        tries = tries.saturating_sub(1);
        tries > 0 && world::run(candidate).wrong.is_some()
    };
    loop {
        let before = (smallest.steps.len(), smallest.faults.len(), smallest.processes);
        smallest = without(smallest, |s| &mut s.faults, &mut fails);
        smallest = without(smallest, |s| &mut s.steps, &mut fails);
        if smallest.processes > 1 {
            let fewer = Scenario { processes: smallest.processes - 1, ..smallest.clone() };
            if fails(&fewer) {
                smallest = fewer;
            }
        }
        let plain = calm(&smallest);
        if fails(&plain) {
            smallest = plain;
        }
        if before == (smallest.steps.len(), smallest.faults.len(), smallest.processes) {
            return smallest;
        }
    }
}

/// The same without pauses.
fn calm(scenario: &Scenario) -> Scenario {
    let mut calm = scenario.clone();
    calm.steps.iter_mut().for_each(|step| step.pause_ms = 0);
    calm
}

/// Leaves out as much of a list as can be.
fn without<T: Clone>(
    mut smallest: Scenario,
    list: impl Fn(&mut Scenario) -> &mut Vec<T>,
    fails: &mut impl FnMut(&Scenario) -> bool,
) -> Scenario {
    let mut piece = list(&mut smallest).len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        while at < list(&mut smallest).len() {
            let mut candidate = smallest.clone();
            let items = list(&mut candidate);
            items.drain(at..(at + piece).min(items.len()));
            if fails(&candidate) {
                smallest = candidate;
            } else {
                at += piece;
            }
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
    }
    smallest
}

/// A failure for a person: what went wrong, the smallest scenario, its calls, and how to see it again.
#[must_use]
pub fn report(scenario: &Scenario) -> String {
    let smallest = shrink(scenario);
    let ended = world::run(&smallest);
    let mut text = format!("seed {} fails; shrunk to:\n{}", scenario.seed, told(&smallest));
    for (number, call) in ended.calls.iter().enumerate() {
        writeln!(text, "call {number}: {call}").unwrap();
    }
    let wrong = ended.wrong.unwrap_or_else(|| "it does not fail any more when it is shrunk".into());
    let seed = scenario.seed;
    write!(text, "{wrong}\nhint: SEED={seed} cargo test -p reconverge-simulator --test simulate").unwrap();
    text
}

/// A scenario, line by line.
fn told(scenario: &Scenario) -> String {
    let Scenario { plugin, partitions, keeps_acknowledged, processes, rows, .. } = scenario;
    let mut text = format!(
        "plugin {plugin}, {partitions} partitions, keeps_acknowledged {keeps_acknowledged}, {processes} processes, \
         batches of up to {rows}\n"
    );
    for (at, table) in scenario.tables.iter().enumerate() {
        writeln!(text, "table {at}: {table:?}").unwrap();
    }
    for step in &scenario.steps {
        let what = match &step.event {
            Event::Publish { partition, message: Message::Changes(changes) } => {
                let changes: Vec<String> = changes.iter().map(change).collect();
                format!("partition {partition}: {}", changes.join(", then "))
            }
            Event::Local { table, row } => format!("the application writes t{table} {}", cells(row)),
            other => format!("{other:?}"),
        };
        writeln!(text, "after {} ms: {what}", step.pause_ms).unwrap();
    }
    for fault in &scenario.faults {
        writeln!(text, "{fault:?}").unwrap();
    }
    text
}

fn change(change: &Change) -> String {
    let sent = |(name, cell): (&&str, &Cell)| match cell {
        Cell::Sent(Some(value)) => format!("{name}={value}"),
        Cell::Sent(None) => format!("{name}=null"),
        Cell::Unavailable => format!("{name} unavailable"),
    };
    let after: Vec<String> = COLUMNS.iter().zip(&change.after).map(sent).collect();
    let before = change.before.as_ref().map(|row| format!(" before {}", cells(row))).unwrap_or_default();
    let moved = change.moved_from.map(|key| format!(" moved from {key}")).unwrap_or_default();
    let (epoch, commit, ordinal) = change.position;
    format!(
        "{:?} t{} {} by {} at {epoch}/{commit}/{ordinal}, time {} [{}]{before}{moved}",
        change.op,
        change.table,
        change.key,
        change.source,
        change.at,
        after.join(" ")
    )
}

fn cells(row: &Row) -> String {
    let cell = |(name, cell): (&&str, &Option<i64>)| {
        format!("{name}={}", cell.map_or("null".into(), |v| v.to_string()))
    };
    format!("[{}]", COLUMNS.iter().zip(row).map(cell).collect::<Vec<_>>().join(" "))
}
