//! `cargo xtask ci`: what a change must also pass besides the tests. The quick ones come first.

use anyhow::Result;
use reconverge_servers::target_dir;

use crate::deny;
use crate::instructions;
use crate::setup::{self, WASM_TARGET};
use crate::steps::Step;

/// Runs all of it, up to the first that fails.
///
/// # Errors
/// When a step fails.
pub(crate) fn run() -> Result<()> {
    setup::wasm_target()?;
    format("", "format")?;
    format("plugins", "plugins' format")?;
    clippy("", "clippy", "--all-targets")?;
    clippy("plugins", "plugins' clippy", "--all-targets")?;
    clippy("plugins", "plugins' clippy for wasm", &format!("--target {WASM_TARGET}"))?;
    documentation("", "documentation")?;
    documentation("plugins", "plugins' documentation")?;
    peers_plugin()?;
    deny::run()?;
    instructions::run()
}

/// The plugin that the bench makes for another program: a workspace of its own, and small.
fn peers_plugin() -> Result<()> {
    const FOLDER: &str = "tests/bench/peers/faucet/plugin";
    format(FOLDER, "peer's plugin's format")?;
    let line = format!("clippy --locked --target {WASM_TARGET} --target-dir");
    let clippy = Step::cargo("peer's plugin's clippy", &line).in_folder(FOLDER);
    clippy.arguments([target_dir().join("peers").to_string_lossy()]).arguments(["--", "-D", "warnings"]).run()
}

fn format(folder: &'static str, title: &str) -> Result<()> {
    Step::cargo(title, "fmt --all --check").in_folder(folder).run()
}

fn clippy(folder: &'static str, title: &str, targets: &str) -> Result<()> {
    let line = format!("clippy --workspace {targets} -- -D warnings");
    Step::cargo(title, &line).in_folder(folder).run()
}

fn documentation(folder: &'static str, title: &str) -> Result<()> {
    let step = Step::cargo(title, "doc --no-deps --workspace").in_folder(folder);
    step.variable("RUSTDOCFLAGS", "-D warnings").run()
}
