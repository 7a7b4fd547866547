//! The `reconverge` program: a runtime around the library's command line, and nothing else.

use std::process::ExitCode;

use reconverge::cli;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the process cannot start its threads\ncaused by: {error}");
            return cli::Exit::Environment.into();
        }
    };
    let exit = runtime.block_on(cli::main(std::env::args_os()));
    // Whatever still runs here was told to stop, or stopping at once was asked for: it is not waited for.
    runtime.shutdown_background();
    exit.into()
}
