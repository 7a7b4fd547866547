//! What a run came to, as a table.

use std::{collections::BTreeMap, time::Duration};

use reconverge_tests::Kind;

use crate::blow::Blow;

/// The word for a kind of sink.
pub fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => "sqlite",
        Kind::Postgres => "postgres",
    }
}

/// See the module.
#[derive(Debug)]
pub struct Report {
    kind: Kind,
    seed: u64,
    blows: BTreeMap<Blow, u64>,
    /// Blows after which something had been committed since the one before.
    moved: u64,
    sequence: u64,
    messages: u64,
    rows: usize,
    restarts: u64,
}

impl Report {
    /// Nothing yet.
    pub fn new(kind: Kind, seed: u64) -> Report {
        Report {
            kind,
            seed,
            blows: BTreeMap::new(),
            moved: 0,
            sequence: 0,
            messages: 0,
            rows: 0,
            restarts: 0,
        }
    }

    /// How often it fell.
    pub fn count(&self, blow: Blow) -> u64 {
        self.blows.get(&blow).copied().unwrap_or_default()
    }

    /// How many blows fell.
    pub fn blows(&self) -> u64 {
        self.blows.values().sum()
    }

    /// A blow fell, after which the lane was at `sequence`.
    pub fn add(&mut self, blow: Blow, sequence: u64) {
        *self.blows.entry(blow).or_default() += 1;
        self.moved += u64::from(sequence > self.sequence);
        self.sequence = sequence;
    }

    /// All that was published was applied.
    pub fn end(&mut self, messages: u64, rows: usize, restarts: u64) {
        (self.messages, self.rows, self.restarts) = (messages, rows, restarts);
    }

    /// Prints it.
    #[allow(clippy::print_stdout, reason = "the report is what a long run is for")]
    pub fn print(&self, took: Duration) {
        println!("\nchaos on {}, seed {}, {} s", word(self.kind), self.seed, took.as_secs());
        for blow in Blow::ALL.into_iter().filter(|blow| self.count(*blow) > 0) {
            println!("| {:<56} | {:>6} |", blow.words(), self.count(blow));
        }
        println!("| {:<56} | {:>6} |", "blows with a commit since the one before", self.moved);
        println!("| {:<56} | {:>6} |", "started again, since it was cut off as it began", self.restarts);
        println!("| {:<56} | {:>6} |", "messages, each with one disposition", self.messages);
        println!("| {:<56} | {:>6} |", "rows, equal to those of a clean run", self.rows);
    }
}
