//! The README of a new plugin's folder: which commands to run, in the language's own terms.

use super::{Language, Stage};
use crate::plugin::stage_word;

/// The page.
pub(super) fn page(name: &str, language: Language, stage: Stage) -> String {
    let stage = stage_word(stage);
    let (source, tools, own_tests) = match language {
        Language::Rust => ("src/lib.rs", "rustup target add wasm32-unknown-unknown", Some("cargo test")),
        Language::C => ("plugin.c", "python3 -m venv .venv && .venv/bin/pip install ziglang", None),
        Language::Go => ("main.go", "go version    # 1.24 or newer", Some("go test ./...")),
        Language::JavaScript => ("plugin.js", "npm install", Some("npm test")),
        Language::Python => (
            "plugin.py",
            "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
            Some("python3 -m unittest"),
        ),
        Language::AssemblyScript => ("assembly/plugin.ts", "npm install", None),
    };
    let own_tests = own_tests.map(|line| format!("    {line}\n")).unwrap_or_default();
    let contract = match language {
        Language::AssemblyScript => "The contract is [row] and [writes] of `plugin.toml`.",
        _ => "The contract, which is the columns that the host hands over, stands above it.",
    };
    format!(
        "# {name}\n\nA {stage} plugin of Reconverge in {language}. The rule is `{source}`. {contract}\n\n    \
         {tools}\n    reconverge plugin build\n    reconverge plugin test\n{own_tests}    reconverge plugin inspect .\n\n\
         `build/{name}.wasm` is what a pipeline names:\n\n```toml\n[[plugin]]\nname   = \"{name}\"\npath   = \"build/{name}.wasm\"\n\
         stage  = \"{stage}\"\ntables = [\"..\"]\n```\n\n`contests/golden.jsonl` says what the rule has to decide; \
         `reconverge plugin test --update` writes what it decides now.\n"
    )
}
