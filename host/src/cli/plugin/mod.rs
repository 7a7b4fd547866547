//! `reconverge plugin`: an author's workbench. Each command takes a plugin file of any language, or the folder that it
//! is built in, and needs no stream and no sink. In the order of use: `new`, `build`, `inspect`, `test`, `laws`, `bench`; and then
//! `deploy`, which gives what was made to a pipeline that runs.

mod arguments;
mod deploy;
mod help;
mod place;
mod build;
mod inspect;
mod test;
mod bench;
mod shape;
mod laws;

pub(super) use arguments::{Capture, PluginCommand};
pub(super) use help::{CAPTURE, CAPTURE_MORE, PLUGIN, PLUGIN_MORE};

use crate::{
    config::LogFormat,
    plugin::{CompileCache, Limits, PluginEngine, PluginError},
};

use super::{
    arguments::Global,
    exit::Exit,
    failure::Failure,
    logging::{self, Bar, Loudness},
};

/// Does what was asked.
pub(super) async fn perform(global: &Global, command: &PluginCommand) -> Result<Exit, Failure> {
    if !matches!(command, PluginCommand::Deployments(_)) {
        // Those read pipeline.toml, which says how to log.
        let format = global.log.map_or(LogFormat::Line, LogFormat::from);
        logging::start(Loudness::Warn.changed_by(global.verbose, global.quiet), format, &Bar::default())?;
    }
    match command {
        PluginCommand::New(asked) => build::new(global, asked),
        PluginCommand::Build(asked) => build::build(global, asked),
        PluginCommand::Inspect(asked) => inspect::inspect(global, asked),
        PluginCommand::Test(asked) => test::test(global, asked),
        PluginCommand::Bench(asked) => bench::bench(global, asked),
        PluginCommand::Laws(asked) => laws::laws(global, asked).await,
        PluginCommand::Deployments(command) => deploy::perform(global, command).await,
    }
}

/// The engine that tries plugins: with the limits of a pipeline that says nothing about them.
fn engine() -> Result<PluginEngine, Failure> {
    PluginEngine::start(Limits::default(), CompileCache::of_user())
        .map_err(|error| Failure::of(Exit::Environment, &error).hint(error.hint()))
}

impl From<PluginError> for Failure {
    fn from(error: PluginError) -> Failure {
        Failure::new(Exit::Configuration, error.to_string()).hint(error.hint())
    }
}
