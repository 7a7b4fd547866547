//! Measures Reconverge beside what it is made of. `cargo xtask bench` builds this in release and runs it;
//! docs/performance says what each number means.
//!
//! In the order of a run: `scale` says how much is done, `random` and `workload` make the changes that every contestant
//! gets, `desk`, `stream`, `pipeline`, `place` and `plain` are what they are run with, `merge`, `decode`, `read`, `sinks`,
//! `reload`, `range`, `latency`, `life`, `family`, `batch`, `length`, `languages` and `peers` are the questions, three of them at a `site`, `trial` lets contestants
//! take turns, `answer` holds what came out, `table`, `plot` and `report` tell it.
//! Never a part of the product; everything is on this machine's loopback, and nothing is left behind.

mod scale;
mod random;
mod workload;
mod allocations;
mod trial;
mod answer;
mod table;
mod desk;
mod stream;
mod pipeline;
mod place;
mod plain;
mod merge;
mod decode;
mod read;
mod sinks;
mod reload;
mod site;
mod range;
mod latency;
mod life;
mod family;
mod batch;
mod length;
mod languages;
mod peers;
mod plot;
mod report;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use reconverge_servers::Postgres;
use tokio::runtime::Runtime;

use self::{answer::Answer, place::Kind, report::Report, scale::Scale};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// Measures Reconverge beside what it is made of.
#[derive(Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    /// Smaller sizes: less than ten minutes, good for a look.
    #[arg(long)]
    quick: bool,
    /// Writes everything as JSON too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes a picture of each answer into this folder.
    #[arg(long, value_name = "FOLDER")]
    plots: Option<PathBuf>,
    /// Only these questions.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "QUESTION,..")]
    only: Vec<Question>,
    /// The program of faucet-stream; with it, `peers` is asked too.
    #[arg(long, value_name = "PROGRAM")]
    faucet: Option<PathBuf>,
}

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Question {
    /// A merge decision in WASM and in native code.
    Merge,
    /// Decode and resolve in memory.
    Decode,
    /// Reading `JetStream` alone.
    Read,
    /// `JetStream` to SQLite.
    Sqlite,
    /// `JetStream` to PostgreSQL.
    Postgres,
    /// The pause of a swap to another plugin generation.
    Reload,
    /// Whether an event costs the same whatever the changes are like.
    Range,
    /// Published to committed, at fixed rates.
    Latency,
    /// Start, rest and memory.
    Life,
    /// Rows that wait for their parents.
    Family,
    /// Transactions of more and fewer rows.
    Batch,
    /// Ever more changes of the same keys.
    Length,
    /// The merge plugin in other languages, whose tools are brought; only where it is named.
    Languages,
    /// Other programs on the same stream, and both broken in the same ways.
    Peers,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            error.chain().skip(1).for_each(|cause| eprintln!("caused by: {cause}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let scale = if arguments.quick { Scale::quick() } else { Scale::full() };
    let runtime = Runtime::new().context("starting a runtime")?;
    let mut report = Report::begin(arguments.quick);
    show(&report.head());
    for question in Question::value_variants() {
        if !arguments.only.is_empty() && !arguments.only.contains(question) {
            continue;
        }
        for answer in ask(*question, arguments, &runtime, &scale, &mut report)? {
            show(&table::text(&answer));
            if let Some(folder) = &arguments.plots {
                plot::write(folder, &answer)?;
            }
            report.answers.push(answer);
        }
    }
    if let Some(file) = &arguments.json {
        report.write(file)?;
    }
    Ok(())
}

fn ask(
    question: Question,
    arguments: &Arguments,
    runtime: &Runtime,
    scale: &Scale,
    report: &mut Report,
) -> Result<Vec<Answer>> {
    let answer = match question {
        Question::Merge => merge::ask(runtime, scale),
        Question::Decode => decode::ask(runtime, scale),
        Question::Read => read::ask(runtime, scale),
        Question::Sqlite => {
            report.sqlite();
            sinks::ask(runtime, scale, &Kind::Sqlite)
        }
        Question::Postgres => sinks::ask(runtime, scale, &postgres(runtime, report)?),
        Question::Life => life::ask(runtime, scale, &postgres(runtime, report)?),
        Question::Reload => {
            let server = Postgres::builder().durable().start()?;
            reload::ask(runtime, scale, &[Kind::Sqlite, Kind::Postgres(Box::new(server))])
        }
        Question::Range | Question::Latency | Question::Family | Question::Batch | Question::Length => {
            report.sqlite();
            let kinds = [Kind::Sqlite, postgres(runtime, report)?];
            let ask = match question {
                Question::Range => range::ask,
                Question::Latency => latency::ask,
                Question::Family => family::ask,
                Question::Length => length::ask,
                _ => batch::ask,
            };
            return kinds.iter().map(|kind| ask(runtime, scale, kind)).collect();
        }
        Question::Languages if arguments.only.is_empty() => return Ok(Vec::new()),
        Question::Languages => languages::ask(runtime, scale),
        Question::Peers => return beside_peers(arguments, runtime, scale, report),
    };
    Ok(vec![answer?])
}

/// Nothing where no peer is given.
fn beside_peers(
    arguments: &Arguments,
    runtime: &Runtime,
    scale: &Scale,
    report: &mut Report,
) -> Result<Vec<Answer>> {
    let Some(program) = &arguments.faucet else { return Ok(Vec::new()) };
    let faucet = peers::Faucet::at(program)?;
    report.sqlite();
    let kinds = [Kind::Sqlite, postgres(runtime, report)?];
    let answers: Result<_> = kinds.iter().map(|kind| peers::ask(runtime, scale, kind, &faucet)).collect();
    let answers = answers?;
    report.broken = peers::broken(runtime, scale, &faucet)?;
    show(&peers::table(&report.broken));
    Ok(answers)
}

/// A server with durable commits, and what it says of them.
fn postgres(runtime: &Runtime, report: &mut Report) -> Result<Kind> {
    let server = Postgres::builder().durable().start()?;
    report.setting("PostgreSQL", runtime.block_on(report::settings(&server.url("postgres")))?);
    Ok(Kind::Postgres(Box::new(server)))
}

#[expect(clippy::print_stdout, reason = "the tables are what the command is for; all talk goes to stderr")]
fn show(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_hold_together() {
        Arguments::command().debug_assert();
        let asked = Arguments::parse_from(["bench", "--quick", "--only", "merge,read"]);
        assert!(asked.quick && asked.only == [Question::Merge, Question::Read]);
    }
}
