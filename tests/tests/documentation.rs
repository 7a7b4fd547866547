//! The pipelines and commands that the pages show are ones that this version takes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use reconverge::config::{self, Environment};
use reconverge_servers::project_root;

/// Every variable is set, no file is looked at.
struct Anything;

impl Environment for Anything {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "PG_URL" | "SINK_URL" => Some("postgres://app@db/analytics".to_owned()),
            _ => None,
        }
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        Err(io::Error::new(io::ErrorKind::NotFound, path.display().to_string()))
    }

    fn readable(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

fn pages() -> Vec<(PathBuf, String)> {
    let root = project_root();
    let names = [
        "README.md",
        "docs/getting-started.md",
        "docs/plugins/README.md",
        "docs/plugins/contests.md",
        "docs/plugins/first-ten-minutes.md",
        "docs/plugins/rust.md",
        "docs/plugins/c.md",
        "docs/plugins/go.md",
        "docs/plugins/javascript.md",
        "docs/plugins/python.md",
        "docs/plugins/assemblyscript.md",
        "docs/merging.md",
        "docs/rehearse.md",
        "docs/operations.md",
        "docs/guarantees.md",
    ];
    names.iter().map(|name| (root.join(name), fs::read_to_string(root.join(name)).unwrap())).collect()
}

/// The fenced blocks of a language, with their indentation taken off.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in page.lines() {
        let indent = line.len() - line.trim_start().len();
        match &mut open {
            Some((_, block)) if line.trim() == "```" => found.push(std::mem::take(block)),
            Some((by, block)) => {
                block.push_str(line.get(*by..).unwrap_or_default());
                block.push('\n');
                continue;
            }
            None if line.trim() == format!("```{language}") => {
                open = Some((indent, String::new()));
                continue;
            }
            None => continue,
        }
        open = None;
    }
    found
}

#[test]
fn the_pipelines_of_the_pages_are_taken() {
    let mut seen = 0;
    for (path, page) in pages() {
        for block in blocks(&page, "toml").iter().filter(|block| block.contains("[pipeline]")) {
            let parsed = config::parse(block, &path, &Anything);
            assert!(parsed.is_ok(), "{}: {:?}\n{block}", path.display(), parsed.err());
            seen += 1;
        }
    }
    assert!(seen >= 2, "{seen} pipelines were found");
}

#[test]
fn the_commands_of_the_pages_exist() {
    let commands = [
        "adopt",
        "run",
        "check",
        "status",
        "explain",
        "audit",
        "conflicts",
        "dlq",
        "completions",
        "schema",
        "parked",
        "lanes",
        "tables",
        "holes",
        "source",
        "plugin",
        "capture",
        "rehearse",
    ];
    let mut seen = 0;
    for (path, page) in pages() {
        for shown in page.split("`reconverge ").skip(1) {
            let word: String = shown.chars().take_while(|c| c.is_ascii_alphabetic()).collect();
            assert!(commands.contains(&word.as_str()), "{} shows `reconverge {word}`", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen} commands were found");
}
