//! The configuration: `pipeline.toml` to a checked plan, before the first event is pulled.
//!
//! Two steps. `raw` reads what is written, unknown keys denied; the checks turn it into a
//! [`Pipeline`], or into all problems at once, each with file, line, column and what to write instead.
//! The environment is looked at through one small trait. Nothing here connects to a server or opens a
//! plugin: columns and contracts are checked later, against places that the plan remembers.

mod check;
mod checked;
mod choices;
mod document;
mod environment;
mod form;
mod later;
mod located;
mod lookup;
pub mod nats;
mod policy;
mod problem;
mod quantity;
mod raw;
mod reference;
mod schema;
mod secret;
mod spelling;
mod subjects;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use checked::{
    Artifact, Debezium, Dependency, Lane, Lease, Limits, PayloadSchema, Pipeline, Plugin, PluginLimits,
    Reload, Retry, Sink, SinkTarget, Source, Table,
};
pub use choices::{
    Archive, BeforeImages, BinaryText, Deletes, Format, Laws, Leaves, LocalWrites, LogFormat, OnHole,
    Orphans, SinkKind, Stage,
};
pub use environment::{Environment, ProcessEnvironment};
pub use form::{PlanForm, SourceForm, TableForm};
pub use policy::Policy;
pub use problem::{ConfigError, Problem};
pub use reference::markdown;
pub use schema::json_schema;
pub use secret::ConnectionUrl;
pub use subjects::{SubjectFacts, SubjectPattern};

use problem::Text;

/// Reads and checks a pipeline file in the environment of this process.
///
/// # Errors
/// Where the file cannot be read, and with everything that is wrong with it.
pub fn load(path: &Path) -> Result<Pipeline, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
    parse(&text, path, &ProcessEnvironment)
}

/// Checks the text of a pipeline file. `path` names it in messages, and its folder is where relative paths
/// start.
///
/// # Errors
/// With everything that is wrong with it.
pub fn parse(text: &str, path: &Path, environment: &dyn Environment) -> Result<Pipeline, ConfigError> {
    let file = path.display().to_string();
    let shown = Text::new(&file, text);
    let folder = path.parent().unwrap_or(Path::new(""));
    check::check(document::read(text, &shown), &shown, folder, environment)
        .map_err(|problems| ConfigError::Invalid { file, problems })
}
