//! A data folder as `initdb` leaves it, made once per version and copied for each server, which takes a tenth of
//! the time of making it anew.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::account::Account;
use crate::process::Run;
use crate::tools::{PostgresBinaries, brought_once, run_to_end};

/// Makes `data`, which must not exist, a fresh data folder that belongs to `account`.
pub(super) fn copy_to(data: &Path, binaries: &PostgresBinaries, account: Option<Account>) -> Result<()> {
    let template = template(binaries, account)?;
    copy(&template, data, account).with_context(|| format!("copying {}", template.display()))
}

fn template(binaries: &PostgresBinaries, account: Option<Account>) -> Result<PathBuf> {
    let folder = brought_once(&format!("pg-template-{}", binaries.version), |folder| {
        let data = folder.join("data");
        fs::create_dir(&data).context("making the template's data folder")?;
        if let Some(account) = account {
            account.own(&data)?;
        }
        run_to_end(&mut initdb(&data, binaries, account).direct())
    })?;
    Ok(folder.join("data"))
}

/// The superuser is `postgres` with no password on the loopback, text is UTF-8 and sorts by its bytes, as in C.UTF-8.
fn initdb(data: &Path, binaries: &PostgresBinaries, account: Option<Account>) -> Run {
    let program = binaries.program("initdb");
    let run = account.map_or_else(|| Run::new(&program), |account| account.run(&program));
    let run = run.arg("--pgdata").arg(data).arg("--no-sync").arg("--auth=trust").arg("--username=postgres");
    let run = run.arg("--encoding=UTF8");
    if binaries.version.major >= 17 {
        // The server's own C.UTF-8, which no system has to provide.
        return run.arg("--locale=C").arg("--locale-provider=builtin").arg("--builtin-locale=C.UTF-8");
    }
    run.arg(if cfg!(target_os = "linux") { "--locale=C.UTF-8" } else { "--locale=C" })
}

fn copy(from: &Path, to: &Path, account: Option<Account>) -> Result<()> {
    fs::create_dir(to).with_context(|| format!("making {}", to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target, account)?;
            continue;
        }
        fs::copy(entry.path(), &target)?;
        if let Some(account) = account {
            account.own(&target)?;
        }
    }
    account.map_or(Ok(()), |account| account.own(to))
}
