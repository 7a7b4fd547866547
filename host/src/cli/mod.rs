//! The command line: from what was typed to one call into the engine, and from what came back to words.
//!
//! Data on stdout, talk on stderr, `--json` on every command, exit codes in `exit`. A command's file gathers what
//! it shows and puts it into words; it decides nothing about a change, a lane or a row. In the order of use:
//! `arguments` and `help` are what can be typed, `connect` opens what is named there, then one file a command.

mod arguments;
mod help;
mod exit;
mod failure;
mod output;
mod logging;
mod signals;
mod connect;
mod run;
mod progress;
mod metrics;
mod serve;
mod process;
mod check;
mod status;
mod explain;
mod story;
mod audit;
mod conflicts;
mod dlq;
mod lanes;
mod parked;
mod by_hand;
mod tables;
mod adopt;
mod source;
mod plugin;
mod capture;
mod rehearse;
mod holes;

use std::ffi::OsString;

use clap::CommandFactory;

use arguments::{Arguments, Command};
use failure::Failure;

pub use exit::Exit;
pub use metrics::{METRICS, Metric, MetricKind};

/// Does what the words of a command line say, the program's name first, and says how it ended. Everything that
/// a person should know has been written by then.
pub async fn main(words: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match Arguments::read(words) {
        Ok(arguments) => arguments,
        Err(refused) => {
            // Where the place to write to is closed there is nobody to tell.
            let _ = refused.print();
            return if refused.use_stderr() { Exit::Configuration } else { Exit::Done };
        }
    };
    match perform(arguments).await {
        Ok(exit) => exit,
        Err(failure) => {
            failure.tell();
            failure.exit()
        }
    }
}

async fn perform(arguments: Arguments) -> Result<Exit, Failure> {
    let global = arguments.global;
    match arguments.command {
        Command::Run(run) => run::run(&global, &run).await,
        Command::Check => check::check(&global).await,
        Command::Status => status::status(&global).await,
        Command::Explain(explain) => explain::explain(&global, &explain).await,
        Command::Audit => audit::audit(&global).await,
        Command::Conflicts(conflicts) => conflicts::conflicts(&global, conflicts).await,
        Command::Dlq(dlq) => dlq::dlq(&global, dlq).await,
        Command::Lanes(asked) => lanes::lanes(&global, asked).await,
        Command::Parked(parked) => parked::parked(&global, parked).await,
        Command::Capture(asked) => capture::capture(&global, &asked).await,
        Command::Rehearse(rehearse) => rehearse::rehearse(&global, &rehearse).await,
        Command::Tables(asked) => tables::tables(&global, asked).await,
        Command::Plugin(command) => plugin::perform(&global, &command).await,
        Command::Holes(holes) => holes::holes(&global, holes).await,
        Command::Adopt(asked) => adopt::adopt(&global, asked).await,
        Command::Source(command) => source::source(&global, command).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "reconverge", &mut script);
            output::write(&script).map(|()| Exit::Done)
        }
        Command::Schema => {
            let schema = format!("{:#}\n", crate::config::json_schema());
            output::write(schema.as_bytes()).map(|()| Exit::Done)
        }
    }
}
