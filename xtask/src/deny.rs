//! `cargo deny` over both workspaces: licences, bans and sources always, advisories where their database can be
//! had. The tool is built once into `target/tools`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reconverge_servers::{project_root, target_dir};

use crate::steps::{Step, timed};

/// The main workspace.
const MAIN: &str = "Cargo.toml";
/// Each workspace's manifest, and what its steps' titles begin with.
const WORKSPACES: [(&str, &str); 2] = [(MAIN, ""), ("plugins/Cargo.toml", "plugins' ")];
/// The release that is built; 0.20 wants Rust 1.88.
const PINNED: &str = "0.20.2";
/// A database that does not come in this time does not come.
const FETCH_MAX: Duration = Duration::from_secs(60);
/// Between two looks at the fetch.
const FETCH_POLL: Duration = Duration::from_millis(50);

/// Checks both workspaces against `deny.toml`.
///
/// # Errors
/// When cargo-deny cannot be built or finds something.
pub(crate) fn run() -> Result<()> {
    let tool = tool()?;
    for (manifest, whose) in WORKSPACES {
        let title = format!("{whose}licences, bans and sources");
        // The plugins' few dependencies need fewer licences than the list that both workspaces share.
        let words = ["--allow", "license-not-encountered", "licenses", "bans", "sources"];
        let words = if manifest == MAIN { &words[2..] } else { &words[..] };
        check(&tool, &title, manifest).arguments(words.iter().copied()).run()?;
    }
    if !timed("advisory database", || database_comes(&tool))? {
        eprintln!(
            "WARNING: the advisory database cannot be had here, so known vulnerabilities were NOT looked for."
        );
        eprintln!("         Run `cargo xtask ci` where github.com can be reached before a release.");
        return Ok(());
    }
    for (manifest, whose) in WORKSPACES {
        check(&tool, &format!("{whose}advisories"), manifest).arguments(["advisories"]).run()?;
    }
    Ok(())
}

fn check(tool: &Path, title: &str, manifest: &str) -> Step {
    let typed = tool.strip_prefix(project_root()).unwrap_or(tool).to_string_lossy();
    let step = Step::program(title, tool, &typed).arguments(["--manifest-path", manifest, "--workspace"]);
    step.arguments(["--config", "deny.toml", "check", "--hide-inclusion-graph"])
}

/// The pinned cargo-deny: its folder bears the version, so that raising the pin builds it anew.
fn tool() -> Result<PathBuf> {
    let folder = target_dir().join(format!("tools/cargo-deny-{PINNED}"));
    let tool = folder.join("bin/cargo-deny");
    if !tool.exists() {
        let line = format!("install cargo-deny --version {PINNED} --locked --root");
        Step::cargo("building cargo-deny", &line).arguments([folder.to_string_lossy()]).run()?;
    }
    Ok(tool)
}

/// Whether the database of advisories could be fetched, or renewed, in time.
fn database_comes(tool: &Path) -> Result<bool> {
    let mut fetch = Command::new(tool);
    fetch.args(["--config", "deny.toml", "fetch", "db"]).current_dir(project_root());
    // Without this, git would ask a person for a name and password where a proxy wants them.
    fetch.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    let mut fetch = fetch.spawn().context("starting cargo-deny")?;
    let until = Instant::now() + FETCH_MAX;
    while Instant::now() < until {
        if let Some(status) = fetch.try_wait().context("waiting for cargo-deny")? {
            return Ok(status.success());
        }
        #[allow(
            clippy::disallowed_methods,
            reason = "nothing else runs in this process, and the wait is bounded"
        )]
        std::thread::sleep(FETCH_POLL);
    }
    fetch.kill().context("ending cargo-deny")?;
    fetch.wait().context("waiting for cargo-deny")?;
    Ok(false)
}
