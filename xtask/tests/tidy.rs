//! The house's rules on files that no lint knows: how a file begins, how long it may be, what it may be called,
//! and which part of the project may know which library.

use std::fs;
use std::path::{Path, PathBuf};

use reconverge_servers::project_root;

/// The most lines of a file before its tests.
const LINES_MAX: usize = 400;
/// Names that say nothing about what a file is for.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "common", "types", "manager", "helper", "helpers", "misc"];
/// What may stand in no file; parted, since this file is looked at too.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("#[ig", "nore"),
];
/// A library and the only folders that may name it. Tests and xtask stand outside the product and may name all.
const HOMES: [(&str, &[&str]); 4] = [
    ("wasmtime", &["host/src/plugin/"]),
    ("rusqlite", &["streams/src/sqlite/"]),
    ("tokio_postgres", &["streams/src/postgres/"]),
    ("async_nats", &["streams/src/jetstream/"]),
];

/// A source file: its path from the project's root, with forward slashes, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines before the tests at the file's end.
    fn code(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines().collect::<Vec<_>>();
        let tests = lines.windows(2).position(|pair| {
            let module = pair[1].strip_prefix("pub(crate) ").unwrap_or(pair[1]);
            pair[0] == "#[cfg(test)]" && module.starts_with("mod ") && module.ends_with('{')
        });
        let end = tests.unwrap_or(lines.len());
        lines.into_iter().take(end)
    }

    fn is_of_the_product(&self) -> bool {
        !["tests/", "xtask/", "fuzz/"].iter().any(|outside| self.path.starts_with(outside))
            && !self.path.contains("/tests/")
            && !self.path.contains("/benches/")
    }
}

fn sources() -> Vec<Source> {
    let root = project_root();
    let mut found = Vec::new();
    for top in ["host", "streams", "plugins", "tests", "examples", "fuzz", "xtask"] {
        collect(&root.join(top), &root, &mut found);
    }
    assert!(found.len() > 10, "only {} source files were found", found.len());
    found
}

fn collect(folder: &Path, root: &Path, found: &mut Vec<Source>) {
    for path in entries(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != "node_modules" && !name.starts_with('.') {
                collect(&path, root, found);
            }
        } else if name.ends_with(".rs") {
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            let text = fs::read_to_string(&path).unwrap_or_default();
            found.push(Source { path: relative, text });
        }
    }
}

/// Empty where the folder is not there (yet); in the order of their names.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths = read.map(|entry| entry.path()).collect::<Vec<_>>();
    paths.sort();
    paths
}

fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    let silent = sources().into_iter().filter(|source| !source.text.starts_with("//!"));
    none(silent.map(|source| format!("{}: does not begin with //!", source.path)).collect());
}

#[test]
fn no_file_is_long_without_its_tests() {
    let lengths = sources().into_iter().map(|source| (source.code().count(), source.path));
    let long = lengths.filter(|(lines, _)| *lines > LINES_MAX);
    none(long.map(|(lines, path)| format!("{path}: {lines} lines, at most {LINES_MAX}")).collect());
}

#[test]
fn names_say_what_a_file_is_for() {
    let named = |path: &str| {
        let mut words = path.trim_end_matches(".rs").split('/');
        words.any(|word| EMPTY_NAMES.contains(&word))
    };
    let empty = sources().into_iter().filter(|source| named(&source.path));
    none(empty.map(|source| format!("{}: name it after what it holds", source.path)).collect());
}

#[test]
fn nothing_is_left_unfinished() {
    let mut faults = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            let words = UNFINISHED.iter().filter(|word| line.contains(**word));
            faults.extend(words.map(|word| format!("{}:{}: {word}", source.path, number + 1)));
        }
    }
    none(faults);
}

#[test]
fn each_library_is_known_in_its_home_alone() {
    let mut faults = Vec::new();
    for source in sources().into_iter().filter(Source::is_of_the_product) {
        for (library, homes) in HOMES {
            if !homes.iter().any(|home| source.path.starts_with(home))
                && source.code().any(|line| names(line, library))
            {
                faults.push(format!(
                    "{}: knows {library}, which is for {} alone",
                    source.path,
                    homes.join(", ")
                ));
            }
        }
    }
    none(faults);
}

/// Whether code on this line names the library as a path's first part; comments may speak of it.
fn names(line: &str, library: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.contains(&format!("{library}::")) || code.contains(&format!("use {library}"))
}

/// What `docs/guarantees.md` names as the tests of a promise: functions (`..`: all that begin so), files and folders.
#[test]
fn the_tests_that_promises_name_are_there() {
    let page = fs::read_to_string(project_root().join("docs/guarantees.md")).unwrap_or_default();
    let sources = sources();
    let is_there = |name: &str| {
        let begins = name.strip_suffix("..").map(|begin| format!("fn {begin}"));
        let ([call, generic], [file, folder]) =
            ([format!("fn {name}("), format!("fn {name}<")], [format!("/{name}.rs"), format!("{name}/")]);
        sources.iter().any(|test| match &begins {
            Some(begin) => test.text.contains(begin),
            None => {
                let path = format!("/{}", test.path);
                let is_place = path.ends_with(&file) || path.ends_with(&format!("/{name}"));
                is_place
                    || path.contains(&format!("/{folder}"))
                    || test.text.contains(&call)
                    || test.text.contains(&generic)
            }
        })
    };
    let rows: Vec<&str> = page.lines().filter(|l| l.starts_with("| ") && l.contains(" | **")).collect();
    assert_eq!(rows.len(), 13, "a row for each promise");
    let mut faults = Vec::new();
    for row in rows {
        let last = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap_or_default();
        let named: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test: {row}");
        let missing = named.into_iter().filter(|name| !is_there(name));
        faults.extend(missing.map(|name| format!("docs/guarantees.md: there is no test {name}")));
    }
    none(faults);
}

#[test]
fn the_rules_themselves_are_read_as_meant() {
    assert!(names("use wasmtime::Engine;", "wasmtime") && names("let e: wasmtime::Error;", "wasmtime"));
    assert!(
        !names("//! wasmtime::Engine is elsewhere", "wasmtime") && !names("let wasmtime = 1;", "wasmtime")
    );
    let text = "//! It.\nfn one() {}\n#[cfg(test)]\nfn two() {}\n#[cfg(test)]\nmod tests {\n}\n".to_owned();
    let source = Source { path: "host/src/it.rs".to_owned(), text };
    assert_eq!(source.code().count(), 4);
    assert!(source.is_of_the_product());
    let test = Source { path: "streams/tests/conformance.rs".to_owned(), text: String::new() };
    assert!(!test.is_of_the_product());
}
