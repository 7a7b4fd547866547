//! `plugin build`: runs the commands of a plugin's language and makes the component of what they give.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{manifest::Manifest, toolchain, typed};
use crate::plugin::{self, Digest, PluginError};

/// Where the built file lies, in the plugin's folder.
const BUILT: &str = "build";
/// Where what comes before it lies.
const WORK: &str = "build/work";
/// Lines of a tool's words that are told.
const LINES_MAX: usize = 40;

/// A plugin that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The component.
    pub file: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// Its SHA-256.
    pub digest: Digest,
}

/// Why a plugin was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file cannot be read or written.
    #[error("{} cannot be read or written", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `plugin.toml` is not as it must be.
    #[error("{}: {what}", .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A tool is missing.
    #[error("{what} is missing")]
    Missing {
        /// The tool.
        what: &'static str,
        /// The command that brings it.
        install: String,
    },
    /// A tool cannot be started.
    #[error("`{line}` does not start")]
    Start {
        /// As a person would type it.
        line: String,
        /// Why not.
        source: io::Error,
    },
    /// A tool failed.
    #[error("`{line}` failed ({status})\n{told}")]
    Failed {
        /// As a person would type it.
        line: String,
        /// How it ended.
        status: String,
        /// Its last words.
        told: String,
    },
    /// What was built is no plugin.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

impl BuildError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            BuildError::File { path, .. } if path.ends_with(super::manifest::FILE) => {
                Some("make a plugin's folder with `reconverge plugin new`, or name one".into())
            }
            BuildError::File { .. } | BuildError::Start { .. } => None,
            BuildError::Manifest { .. } => Some(
                "it says `name`, `language` (rust, c, go, javascript, python, assemblyscript) and `stage` (merge, filter, \
                 residency, mapping)"
                    .into(),
            ),
            BuildError::Missing { install, .. } => Some(install.clone()),
            BuildError::Failed { .. } => Some("run it by hand in the plugin's folder".into()),
            BuildError::Plugin(error) => Some(error.hint()),
        }
    }
}

/// A command of a build.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) variables: Vec<(&'static str, String)>,
}

impl Step {
    /// A program with the arguments of `line`, parted at spaces.
    pub(super) fn new(program: PathBuf, line: &str) -> Self {
        Step { program, arguments: line.split(' ').map(str::to_owned).collect(), variables: Vec::new() }
    }

    fn run(&self, folder: &Path) -> Result<(), BuildError> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(folder).envs(self.variables.iter().cloned());
        // Places and flags of a cargo around this program are not those of the plugin.
        for outer in
            ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "GOFLAGS"]
        {
            command.env_remove(outer);
        }
        let output = command.output().map_err(|source| BuildError::Start { line: self.line(), source })?;
        if output.status.success() {
            return Ok(());
        }
        let told = [output.stderr, output.stdout].concat();
        let told = String::from_utf8_lossy(&told);
        let lines: Vec<&str> = told.trim_end().lines().collect();
        let told = lines[lines.len().saturating_sub(LINES_MAX)..].join("\n");
        Err(BuildError::Failed { line: self.line(), status: output.status.to_string(), told })
    }

    fn line(&self) -> String {
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={value}"));
        let program = self.program.display().to_string();
        variables.chain([program]).chain(self.arguments.iter().cloned()).collect::<Vec<_>>().join(" ")
    }
}

/// Builds the plugin of a folder into its `build/NAME.wasm`. `tell` is told each command before it runs.
///
/// # Errors
/// See [`BuildError`].
pub fn build(folder: &Path, mut tell: impl FnMut(&str)) -> Result<Built, BuildError> {
    let manifest = Manifest::read(folder)?;
    let file = |path: &Path| {
        let path = path.to_path_buf();
        move |source| BuildError::File { path, source }
    };
    let wit = folder.join(WORK).join("wit");
    fs::create_dir_all(&wit).map_err(file(&wit))?;
    fs::write(wit.join("plugin.wit"), plugin::WIT).map_err(file(&wit))?;
    if let Some((path, text)) = typed::component(&manifest)? {
        let path = folder.join(path);
        fs::write(&path, text).map_err(file(&path))?;
    }
    let made = toolchain::steps(folder, &manifest)?;
    for step in &made.steps {
        tell(&step.line());
        step.run(folder)?;
    }
    let product = folder.join(&made.product);
    let bytes = fs::read(&product).map_err(file(&product))?;
    let component = plugin::componentize(bytes, manifest.stage)
        .map_err(|why| PluginError { plugin: manifest.name.clone(), why: Box::new(why) })?;
    let built = folder.join(BUILT).join(format!("{}.wasm", manifest.name));
    fs::write(&built, &component).map_err(file(&built))?;
    Ok(Built { bytes: component.len(), digest: Digest::of(&component), file: built })
}
