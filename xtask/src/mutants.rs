//! `cargo xtask mutants`: changes the pure core line by line, and asks of each change whether a test fails. The core
//! is copied into a small crate of its own first: there a mutant takes seconds to build, where the host would link
//! wasmtime for each. A mutant that no test could tell from the original is argued for in `host/mutants.toml` and left out.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use reconverge_servers::{project_root, target_dir};

use crate::steps::Step;

/// The host's modules that the pure core is made of.
const CORE: [&str; 7] = ["plan", "clock", "epochs", "batch", "stages", "waiting", "resolve"];
/// Those of the ends that it compares and orders by, with what they stand on.
const ORDER: [&str; 7] = ["names", "logical", "columns", "text", "table", "canonical", "position"];
/// What the copies may name; the versions are the workspace's.
const CORE_NEEDS: [&str; 8] =
    ["reconverge-streams", "bytes", "jsonschema", "serde", "serde_json", "sha2", "smallvec", "thiserror"];
const ORDER_NEEDS: [&str; 6] = ["base64", "jiff", "serde", "serde_json", "thiserror", "uuid"];
const TESTS_NEED: [&str; 3] = ["bytes", "proptest", "tokio"];
/// The files whose mutants are tried: of the core, and of what it compares and orders by.
const FILES: [&str; 1] = ["src/resolve/**"];
const ORDER_FILES: [&str; 2] = ["src/canonical.rs", "src/position.rs"];
/// Mutants that no test can tell from the original, each with its reason.
const ARGUMENTS: &str = "host/mutants.toml";
/// Property tests try the same cases each time, so that a run says the same as the one before it, and do not look for
/// smaller ones: that they fail is enough.
const PROPERTIES: [(&str, &str); 3] = [
    ("PROPTEST_RNG_SEED", "1"),
    ("PROPTEST_MAX_SHRINK_ITERS", "0"),
    ("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1"),
];
/// What the tool exits with where the tests did not end with some mutants. A loop that a mutant makes endless is told from
/// the original by that; whether others survived is then to be looked up.
const TIMED_OUT: i32 = 3;
/// Where the tool lists those that survived, below its output folder.
const SURVIVORS: &str = "mutants.out/missed.txt";
/// Where `cargo install --root` puts the tool.
const TOOL: &str = "tools/bin/cargo-mutants";

/// What can be asked of it.
#[derive(Args)]
pub(crate) struct Mutants {
    /// Only files whose path matches, such as `src/resolve/order.rs`.
    #[arg(long, value_name = "GLOB")]
    file: Vec<String>,
    /// One part of all mutants, such as 2/8.
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
}

/// Makes the copies and runs the tool on both.
///
/// # Errors
/// When the tool is missing, a copy does not build, or a mutant survives that is not argued for.
pub(crate) fn run(asked: &Mutants) -> Result<()> {
    let tool = target_dir().join(TOOL);
    // As a subcommand of cargo it takes no `--version` of its own.
    if !tool.exists() {
        bail!(
            "cargo-mutants is not there\nhint: cargo install cargo-mutants --locked --root {}",
            target_dir().join("tools").display()
        );
    }
    let core = copy("core", "host", &CORE, &CORE_NEEDS)?;
    let order = copy("order", "streams", &ORDER, &ORDER_NEEDS)?;
    let of_order = |file: &str| ORDER_FILES.contains(&file);
    let (order_files, files): (Vec<String>, Vec<String>) = if asked.file.is_empty() {
        (ORDER_FILES.map(str::to_owned).into(), FILES.map(str::to_owned).into())
    } else {
        asked.file.iter().cloned().partition(|file| of_order(file))
    };
    // Both are run to their end, whatever the first one finds.
    let found = mutate(&tool, &core, &files, asked);
    let found_in_order = mutate(&tool, &order, &order_files, asked);
    found.and(found_in_order)
}

fn mutate(tool: &Path, folder: &Path, files: &[String], asked: &Mutants) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let mut words: Vec<String> =
        ["mutants", "--in-place", "--no-shuffle", "--colors=never", "--timeout=30"].map(str::to_owned).into();
    words.extend(["--dir".to_owned(), folder.display().to_string()]);
    let found = folder.with_extension("found");
    words.extend(["--output".to_owned(), found.display().to_string()]);
    words.extend(["--config".to_owned(), project_root().join(ARGUMENTS).display().to_string()]);
    for file in files {
        words.extend(["--file".to_owned(), file.clone()]);
    }
    if let Some(shard) = &asked.shard {
        words.extend(["--shard".to_owned(), shard.clone()]);
    }
    let title = format!("mutants of {}", folder.display());
    let step = Step::program(&title, tool, "cargo-mutants").arguments(words).accepting(TIMED_OUT);
    PROPERTIES.iter().fold(step, |step, (name, value)| step.variable(name, *value)).run()?;
    let survivors = fs::read_to_string(found.join(SURVIVORS)).context("reading which mutants survived")?;
    if !survivors.is_empty() {
        bail!("no test fails on these mutants:\n{survivors}hint: CONTRIBUTING.md says what to do about them");
    }
    Ok(())
}

/// A crate below `target/mutants` of some modules of a package.
fn copy(name: &str, package: &str, modules: &[&str], needs: &[&str]) -> Result<PathBuf> {
    let folder = target_dir().join("mutants").join(name);
    let source = project_root().join(package).join("src");
    if folder.join("src").exists() {
        fs::remove_dir_all(folder.join("src")).context("removing an older copy")?;
    }
    fs::create_dir_all(folder.join("src")).context("making the copy's folder")?;
    let mut root = String::from("//! A copy for mutants.\n");
    for module in modules {
        writeln!(root, "pub mod {module};")?;
        for path in [source.join(module), source.join(format!("{module}.rs"))] {
            copy_all(&path, &folder.join("src"))?;
        }
    }
    fs::write(folder.join("src/lib.rs"), root).context("writing the copy's root")?;
    fs::write(folder.join("Cargo.toml"), manifest(name, needs)?).context("writing the copy's manifest")?;
    fs::copy(project_root().join("Cargo.lock"), folder.join("Cargo.lock")).context("copying the lock")?;
    Ok(folder)
}

/// Copies a file or a folder into another folder; nothing where it is not there.
fn copy_all(path: &Path, into: &Path) -> Result<()> {
    let Some(name) = path.file_name() else { return Ok(()) };
    let to = into.join(name);
    if path.is_dir() {
        fs::create_dir_all(&to).with_context(|| format!("making {}", to.display()))?;
        for entry in fs::read_dir(path).with_context(|| format!("reading {}", path.display()))? {
            copy_all(&entry?.path(), &to)?;
        }
    } else if path.is_file() {
        fs::copy(path, &to).with_context(|| format!("copying {}", path.display()))?;
    }
    Ok(())
}

/// The manifest of a copy: a workspace of its own with the versions of ours.
fn manifest(name: &str, needs: &[&str]) -> Result<String> {
    let root = fs::read_to_string(project_root().join("Cargo.toml")).context("reading the manifest")?;
    let (_, rest) = root.split_once("[workspace.dependencies]").context("the manifest lists no versions")?;
    let versions = rest.split("\n[").next().unwrap_or_default();
    let versions = versions.replace("path = \"", &format!("path = \"{}/", project_root().display()));
    let list = |needs: &[&str]| -> String {
        needs.iter().map(|need| format!("{need}.workspace = true\n")).collect()
    };
    Ok(format!(
        "[package]\nname = \"mutants-{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n\
         [lib]\ndoctest = false\n\n\
         [dependencies]\n{}\n[dev-dependencies]\n{}\n[workspace]\n\n[workspace.dependencies]{versions}\n\
         [profile.dev]\nopt-level = 1\ndebug = false\n",
        list(needs),
        list(&TESTS_NEED)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_workspaces_versions_and_paths_that_hold_from_anywhere() {
        let text = manifest("core", &CORE_NEEDS).unwrap();
        assert!(text.contains("smallvec.workspace = true") && text.contains("\nsmallvec = "), "{text}");
        let streams = format!("reconverge-streams = {{ path = \"{}/streams\" }}", project_root().display());
        assert!(text.contains(&streams), "{text}");
        for needed in [&CORE_NEEDS[..], &ORDER_NEEDS, &TESTS_NEED].concat() {
            assert!(text.contains(&format!("\n{needed} = ")), "{needed} is not the workspace's");
        }
    }
}
