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
    /// Only these questions: merge, decode, read, sqlite, postgres, reload, range, latency, life.
    #[arg(long, value_delimiter = ',', value_name = "QUESTION,..")]
    only: Vec<String>,
}

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
    Step::program("measuring", &program, "target/release/reconverge-bench").arguments(asked.words()?).run()
}

impl Bench {
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
        };
        assert_eq!(
            asked.words().unwrap(),
            ["--quick", "--json", "/tmp/it.json", "--plots", "/tmp/plots", "--only", "read,merge"]
        );
        assert!(Bench { quick: false, json: None, plots: None, only: vec![] }.words().unwrap().is_empty());
    }
}
