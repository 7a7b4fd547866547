//! `cargo xtask bench`: set-up, a release build of the product and of what measures it, then the measuring. xtask
//! itself links neither the engine nor wasmtime, so the measuring is a program of its own, `reconverge-bench`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use reconverge_servers::target_dir;

use crate::setup;
use crate::steps::Step;

/// What can be asked of the measuring. What it says of itself stands in docs/performance.
#[derive(Args)]
pub(crate) struct Bench {
    /// Smaller sizes: less than ten minutes after the build, good for a look.
    #[arg(long)]
    quick: bool,
    /// Writes everything as JSON too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes a picture (SVG) of each answer into this folder.
    #[arg(long, value_name = "FOLDER")]
    plots: Option<PathBuf>,
    /// Only these questions: merge, decode, read, sqlite, postgres, reload, range, latency, life, family, batch,
    /// length, languages (only where it is named: brings their tools), peers.
    #[arg(long, value_delimiter = ',', value_name = "QUESTION,..")]
    only: Vec<String>,
    /// Installs another program that does the like, runs it on the same stream, and breaks both in the same ways.
    #[arg(long)]
    peers: bool,
}

/// The peer: a crate, its release, and the parts of it that are needed. The release wants a newer Rust than it needs.
const FAUCET: &str = "install faucet-cli --version 1.10.0 --locked --ignore-rust-version --no-default-features \
                      --features observability,transforms,source-nats,sink-postgres,sink-sqlite,transform-wasm --root";
/// Its folder bears the release, so that raising it builds it anew.
const FAUCET_FOLDER: &str = "tools/faucet-cli-1.10.0";
/// Its plugin.
const FAUCET_PLUGIN: &str = "tests/bench/peers/faucet/plugin";

/// Measures.
///
/// # Errors
/// When a part of the set-up cannot be had, something does not build, or a run fails or ends with wrong rows. A bar
/// that is not met is none.
pub(crate) fn run(asked: &Bench) -> Result<()> {
    setup::everything()?;
    let line = "build --release --package reconverge --package reconverge-bench";
    Step::cargo("release build", line).run()?;
    let program = target_dir().join("release/reconverge-bench");
    let mut words = asked.words()?;
    if asked.wants_peers() {
        words.extend(["--faucet".to_owned(), faucet()?.display().to_string()]);
    }
    Step::program("measuring", &program, "target/release/reconverge-bench").arguments(words).run()
}

/// The peer's program, built where it is not there yet, and its plugin.
fn faucet() -> Result<PathBuf> {
    let folder = target_dir().join(FAUCET_FOLDER);
    let program = folder.join("bin/faucet");
    if !program.exists() {
        Step::cargo("building faucet-cli", FAUCET).arguments([folder.to_string_lossy()]).run()?;
    }
    let line = format!("build --release --locked --target {} --target-dir", setup::WASM_TARGET);
    let plugin = Step::cargo("the peer's plugin", &line).in_folder(FAUCET_PLUGIN);
    plugin.arguments([target_dir().join("peers").to_string_lossy()]).run()?;
    Ok(program)
}

impl Bench {
    fn wants_peers(&self) -> bool {
        let asks = |question: &str| self.only.iter().any(|only| only == question);
        asks("peers") || (self.peers && self.only.is_empty())
    }

    fn words(&self) -> Result<Vec<String>> {
        let mut words = Vec::new();
        if self.quick {
            words.push("--quick".to_owned());
        }
        for (word, path) in [("--json", &self.json), ("--plots", &self.plots)] {
            if let Some(path) = path {
                // The program runs in the project's root, the path is meant from here.
                let path =
                    std::path::absolute(path).with_context(|| format!("finding the folder of {word}"))?;
                words.extend([word.to_owned(), path.display().to_string()]);
            }
        }
        if !self.only.is_empty() {
            words.extend(["--only".to_owned(), self.only.join(",")]);
        }
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_passed_on() {
        let asked = Bench {
            quick: true,
            json: Some("/tmp/it.json".into()),
            plots: Some("/tmp/plots".into()),
            only: vec!["read".into(), "merge".into()],
            peers: true,
        };
        assert_eq!(
            asked.words().unwrap(),
            ["--quick", "--json", "/tmp/it.json", "--plots", "/tmp/plots", "--only", "read,merge"]
        );
        assert!(!asked.wants_peers(), "other questions were named");
        let asked = Bench { quick: false, json: None, plots: None, only: vec![], peers: true };
        assert!(asked.words().unwrap().is_empty() && asked.wants_peers());
        assert!(Bench { only: vec!["peers".into()], peers: false, ..asked }.wants_peers());
    }
}
