//! The configuration as its writer meets it: whole files in, plans or rendered messages out.

mod bad_cases;
mod bad_files;
mod good_files;
mod stored;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::{ConfigError, Environment, Pipeline, parse};

/// The least that makes a pipeline.
const MINIMAL: &str = include_str!("tests/minimal.toml");

/// The whole form, every section in it.
const WHOLE: &str = include_str!("tests/whole.toml");

/// An environment made of a list.
#[derive(Clone, Default)]
pub(super) struct World {
    variables: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
}

impl World {
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    fn find(&self, path: &Path) -> io::Result<&String> {
        let found = path.to_str().and_then(|path| self.files.get(path));
        found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Environment for World {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        self.find(path).cloned()
    }

    fn readable(&self, path: &Path) -> io::Result<()> {
        self.find(path).map(|_| ())
    }
}

/// Parses a text as `/etc/reconverge/pipeline.toml`, `PG_URL` set.
fn read(text: &str) -> Result<Pipeline, ConfigError> {
    let world = World::default().with("PG_URL", "postgres://app:hunter2@db/cc");
    parse(text, Path::new("/etc/reconverge/pipeline.toml"), &world)
}

/// What the user sees, without colours and drawn lines of other than ASCII.
fn rendered(error: &ConfigError) -> String {
    let mut text = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::none())
        .with_width(200)
        .render_report(&mut text, error)
        .expect("a text can always be written to");
    text
}
