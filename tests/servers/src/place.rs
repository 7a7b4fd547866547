//! Where the project and its build output lie, so that every server, tool and test agrees on it. It stands before
//! everything else here and never reads the current directory, which a test may have changed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// The folder that holds the workspace's `Cargo.toml`, as it was when this crate was compiled.
pub fn project_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate lies two folders below the project's root").to_path_buf()
}

/// Cargo's output folder: `CARGO_TARGET_DIR`, taken from the project's root where it is relative, else `target`.
pub fn target_dir() -> PathBuf {
    project_root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Tools that the project brought for itself; kept from run to run, gone with `cargo clean`.
pub(crate) fn tools_dir() -> PathBuf {
    target_dir().join("tools")
}

/// A new empty folder below `target/servers`, removed when the value is dropped. `purpose` begins its name.
///
/// # Errors
/// When the folder cannot be made.
pub fn scratch(purpose: &str) -> Result<TempDir> {
    let below = target_dir().join("servers");
    std::fs::create_dir_all(&below).with_context(|| format!("making {}", below.display()))?;
    let made = tempfile::Builder::new().prefix(&format!("{purpose}-")).tempdir_in(&below);
    made.with_context(|| format!("making a folder in {}", below.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_workspace() {
        let manifest = std::fs::read_to_string(project_root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"), "no workspace in {}", project_root().display());
        assert!(target_dir().is_absolute());
    }

    #[test]
    fn scratch_is_empty_private_and_goes_away() {
        let one = scratch("place").unwrap();
        let other = scratch("place").unwrap();
        assert_ne!(one.path(), other.path());
        assert_eq!(std::fs::read_dir(one.path()).unwrap().count(), 0);
        let path = one.path().to_path_buf();
        drop(one);
        assert!(!path.exists());
    }
}
