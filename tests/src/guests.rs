//! The plugins, built from their sources before the first test that asks for one, so that no test runs against a
//! stale one. Where nothing changed this takes a fraction of a second.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use reconverge_servers::project_root;

/// The wasm file of a plugin by its crate's name.
pub fn guest(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let file = FOLDER.get_or_init(build).join(format!("{}.wasm", name.replace('-', "_")));
    assert!(file.exists(), "there is no crate {name} in plugins/");
    file
}

fn build() -> PathBuf {
    let workspace = project_root().join("plugins");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--target", "wasm32-unknown-unknown"])
        .current_dir(&workspace)
        // Places and flags of the outer cargo are not those of the guests.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "the plugins do not build\nhint: rustup target add wasm32-unknown-unknown\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    workspace.join("target/wasm32-unknown-unknown/release")
}
