//! `cargo xtask chaos`: a long run of the chaos test, on one sink or both, with its report.

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::setup;
use crate::steps::Step;

/// How much chaos, and on what.
#[derive(Args)]
pub(crate) struct Chaos {
    /// How often the process is killed, on each sink; the other blows come beside.
    #[arg(long, default_value_t = 100)]
    kills: u64,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only on this sink.
    #[arg(long)]
    sink: Option<Sink>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sink {
    Sqlite,
    Postgres,
}

/// Runs it.
///
/// # Errors
/// When a part of the set-up cannot be had, or a run does not end like a clean one.
pub(crate) fn run(asked: &Chaos) -> Result<()> {
    setup::servers()?;
    let mut step =
        Step::cargo("chaos", "test --package reconverge-tests --test chaos -- --nocapture --test-threads=1")
            .variable("CHAOS_KILLS", asked.kills.to_string())
            .variable("CHAOS_SEED", asked.seed.to_string());
    if let Some(sink) = asked.sink {
        let word = match sink {
            Sink::Sqlite => "sqlite",
            Sink::Postgres => "postgres",
        };
        step = step.variable("CHAOS_SINK", word);
    }
    step.run()
}
