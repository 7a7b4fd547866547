//! The guests of the tests, built from their sources in `plugins/` before the first test that asks for one: so no
//! test runs against a stale or missing plugin. Cargo builds nothing where nothing changed.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The file of a guest by its crate's name: a core module, as authors in Rust have it.
pub fn wasm(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let file = FOLDER.get_or_init(build).join(format!("{}.wasm", name.replace('-', "_")));
    assert!(file.exists(), "no crate `{name}` in plugins/");
    file
}

fn build() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--target", "wasm32-unknown-unknown"])
        .current_dir(&workspace)
        // Flags and places of the outer cargo are not those of the guests.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo runs");
    assert!(
        built.status.success(),
        "the guests do not build (is the target there? `rustup target add wasm32-unknown-unknown`):\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    workspace.join("target/wasm32-unknown-unknown/release")
}
