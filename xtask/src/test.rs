//! `cargo xtask test`: set-up, then every test of the main workspace, documentation examples included, then those
//! of the plugins, which need no host.

use anyhow::Result;

use crate::setup;
use crate::steps::Step;

/// Runs the tests, with `languages` those of plugins in all languages too. `cargo` goes to `cargo test --workspace` of the main workspace; a selection means nothing to the
/// plugins, so theirs are left out then.
///
/// # Errors
/// When a part of the set-up cannot be had or a test fails.
pub(crate) fn run(languages: bool, cargo: &[String]) -> Result<()> {
    setup::everything()?;
    let mut tests = Step::cargo("tests", selection(cargo));
    if languages {
        setup::languages()?;
        tests = tests.arguments(["--features", "reconverge-tests/languages"]);
    }
    tests.arguments(cargo).run()?;
    if cargo.is_empty() {
        Step::cargo("plugins' own tests", "test --workspace").in_folder("plugins").run()?;
    }
    Ok(())
}

/// `--workspace` overrules `-p`, so it is left out where packages are named.
fn selection(cargo: &[String]) -> &'static str {
    let before_dashes = cargo.iter().take_while(|word| *word != "--");
    let names_package = |word: &String| word.starts_with("-p") || word.starts_with("--package");
    if before_dashes.into_iter().any(names_package) { "test" } else { "test --workspace" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_package_is_tested_alone() {
        let cases = [
            (&[][..], "test --workspace"),
            (&["gate"], "test --workspace"),
            (&["-p", "reconverge", "gate"], "test"),
            (&["--package=reconverge"], "test"),
            (&["gate", "--", "-p"], "test --workspace"),
        ];
        for (words, expected) in cases {
            let words = words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            assert_eq!(selection(&words), expected, "{words:?}");
        }
    }
}
