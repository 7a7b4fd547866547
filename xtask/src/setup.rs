//! What the tests and the demo stand on, brought where it is missing: the wasm target, the servers' binaries, and
//! the plugins as wasm. Every part may be asked for again at any time; what is there already costs nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use reconverge_servers::{project_root, tools};

use crate::steps::{Step, is_there, timed};

/// What plugins are built for; `rust-toolchain.toml` lists it too.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// All of it.
///
/// # Errors
/// When a part is missing and cannot be brought; with what to do.
pub(crate) fn everything() -> Result<()> {
    wasm_target()?;
    servers()?;
    plugins()
}

/// The wasm target of the project's toolchain.
///
/// # Errors
/// When it is missing and there is no rustup, or rustup fails.
pub(crate) fn wasm_target() -> Result<()> {
    if target_library()?.is_dir() {
        return Ok(());
    }
    if !is_there("rustup") {
        bail!(
            "the Rust toolchain has no target {WASM_TARGET}, and there is no rustup to bring it\nhint: install rustup, or your system's package of that target"
        );
    }
    let step = Step::program("wasm target", Path::new("rustup"), "rustup");
    step.arguments(["target", "add", WASM_TARGET]).run()
}

/// Where the toolchain keeps the target's standard library.
fn target_library() -> Result<PathBuf> {
    let mut rustc = Command::new("rustc");
    let told = rustc.args(["--print", "sysroot"]).current_dir(project_root()).output();
    let told = told.context("running rustc")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&told.stdout).trim());
    Ok(sysroot.join("lib/rustlib").join(WASM_TARGET).join("lib"))
}

/// The binaries of both servers.
///
/// # Errors
/// When one is missing and cannot be brought; with every way that was tried.
pub(crate) fn servers() -> Result<()> {
    let nats = timed("nats-server", tools::nats_server)?;
    eprintln!("   {}", nats.display());
    let postgres = timed("PostgreSQL", tools::postgres)?;
    eprintln!("   {} in {}", postgres.version, postgres.bin.display());
    Ok(())
}

/// The toolchains of plugins in other languages.
///
/// # Errors
/// When one is missing and cannot be brought.
pub(crate) fn languages() -> Result<()> {
    timed("toolchains of languages", tools::language_tools).map(|_| ())
}

/// The plugins, as wasm.
///
/// # Errors
/// When they do not compile.
pub(crate) fn plugins() -> Result<()> {
    let line = format!("build --release --target {WASM_TARGET}");
    Step::cargo("plugins as wasm", &line).in_folder("plugins").run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_toolchain_file_lists_the_target() {
        let file = std::fs::read_to_string(project_root().join("rust-toolchain.toml")).unwrap();
        assert!(file.contains(WASM_TARGET), "{file}");
        assert!(target_library().unwrap().is_absolute());
    }
}
