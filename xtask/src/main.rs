//! `cargo xtask`: the one entrance to the project's own work, on a developer's machine and in CI. Each command does
//! its set-up itself. Never a part of the product.

mod bench;
mod chaos;
mod ci;
mod demo;
mod deny;
mod instructions;
mod mutants;
mod setup;
mod steps;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Reconverge's own commands; each brings what it needs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Shows what a merge plugin saves: two regions, one split, one stream of real change events.
    Demo(demo::Demo),
    /// Brings the wasm target, nats-server and PostgreSQL, and builds the plugins.
    Setup,
    /// Runs every test of both workspaces on real servers and real plugins.
    Test {
        /// Also the plugins in all languages; brings the toolchains that the machine lacks. It stands before all else.
        #[arg(long)]
        languages: bool,
        /// Passed on to `cargo test --workspace`; where there are any, the plugins' own tests are left out.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        cargo: Vec<String>,
    },
    /// Measures Reconverge beside what it is made of, in a release build; docs/performance explains the numbers.
    Bench(bench::Bench),
    /// Kills the program, its servers and its connections at random moments, and compares the end with a clean run.
    Chaos(chaos::Chaos),
    /// Changes the pure core line by line, and asks of each change whether a test fails.
    Mutants(mutants::Mutants),
    /// Runs what CI runs after the tests: format, clippy, documentation, licences, advisories, counted instructions.
    Ci,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            error.chain().skip(1).for_each(|cause| eprintln!("caused by: {cause}"));
            ExitCode::FAILURE
        }
    }
}

fn run(action: Action) -> Result<()> {
    match action {
        Action::Demo(asked) => demo::run(&asked),
        Action::Setup => setup::everything(),
        Action::Test { languages, cargo } => test::run(languages, &cargo),
        Action::Bench(asked) => bench::run(&asked),
        Action::Chaos(asked) => chaos::run(&asked),
        Action::Mutants(asked) => mutants::run(&asked),
        Action::Ci => ci::run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_hold_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_follows_test_goes_to_cargo() {
        for line in [
            &["xtask", "test", "-p", "reconverge", "gate"][..],
            &["xtask", "test", "--", "-p", "reconverge", "gate"],
        ] {
            let Action::Test { languages, cargo } = Arguments::parse_from(line).command else {
                panic!("not a test run")
            };
            assert_eq!((languages, cargo), (false, ["-p", "reconverge", "gate"].map(str::to_owned).to_vec()));
        }
        let Action::Test { languages, cargo } =
            Arguments::parse_from(["xtask", "test", "--languages"]).command
        else {
            panic!("not a test run")
        };
        assert_eq!((languages, cargo.len()), (true, 0));
    }
}
