//! How many instructions an event takes on the host, counted by valgrind: on a shared machine a count shows what a clock
//! cannot. The pieces are tests of `tests/bench` (`decode/instructions.rs`), in the profile that tests are built in.
//!
//! valgrind is brought by the system's packages where that is possible; where it is not, nothing is counted, and that
//! is said loudly. What plugins take is counted without it, by the tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use reconverge_servers::project_root;

use crate::steps::{is_there, timed};

/// Each piece and its instructions an event, at most. What is measured is a twentieth below. A count that rises for a good
/// reason is raised here, with the reason in the commit.
const MOST: [(&str, u64); 4] = [
    ("decode_native_json", 30_090),
    ("decode_native_messagepack", 49_200),
    ("decode_debezium_json", 61_360),
    ("resolve_greatest", 7_810),
];
/// So often a piece is done in each of its two runs: the difference of both holds no set-up.
const TIMES: [u64; 2] = [1, 6];
/// What a piece prints before its number of events.
const EVENTS: &str = "events each time: ";

/// Counts, and compares.
///
/// # Errors
/// A piece takes more instructions than it may, or cannot be run.
pub(crate) fn run() -> Result<()> {
    if !timed("valgrind", || Ok(is_there("valgrind") || brought()))? {
        eprintln!(
            "WARNING: valgrind cannot be had here, so the host's instructions were NOT counted. A loss of speed can come in."
        );
        eprintln!("         Install it (Debian: apt-get install valgrind), and run `cargo xtask ci` again.");
        return Ok(());
    }
    timed("instructions", || {
        let program = tests()?;
        let mut over = Vec::new();
        for (piece, most) in MOST {
            let found = each(&program, piece)?;
            eprintln!("   {piece}: {found} instructions an event, at most {most}");
            if found > most {
                over.push(format!("{piece}: {found}, at most {most}"));
            }
        }
        if !over.is_empty() {
            bail!(
                "more instructions an event than there may be: {}\nhint: find them with `valgrind --tool=callgrind`; \
                 where they are worth it, raise the count in xtask/src/instructions.rs",
                over.join("; ")
            );
        }
        Ok(())
    })
}

/// Whether the system's packages brought it; asked only of root, who is not asked for a password.
fn brought() -> bool {
    let apt = |words: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(words).env("DEBIAN_FRONTEND", "noninteractive");
        apt.output().is_ok_and(|told| told.status.success())
    };
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|told| told.stdout.trim_ascii() == b"0");
    is_root
        && apt(&["update", "-q"])
        && apt(&["install", "-qy", "--no-install-recommends", "valgrind"])
        && is_there("valgrind")
}

/// The program of the bench's tests, built as `cargo xtask test` builds it.
fn tests() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["test", "--workspace", "--bin", "reconverge-bench", "--no-run", "--message-format=json"]);
    let told = build.current_dir(project_root()).output().context("building the bench's tests")?;
    if !told.status.success() {
        bail!("the bench's tests do not build\n{}", String::from_utf8_lossy(&told.stderr).trim_end());
    }
    let lines = String::from_utf8_lossy(&told.stdout).into_owned();
    let program = lines.lines().filter_map(executable).next_back();
    program.map(PathBuf::from).context("cargo does not say where the bench's tests are")
}

/// The path in a line of cargo's.
fn executable(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("\"executable\":\"")?;
    rest.split_once('"').map(|(path, _)| path)
}

/// Instructions of an event.
fn each(program: &Path, piece: &str) -> Result<u64> {
    let [(once, events), (more, _)] =
        [counted(program, piece, TIMES[0])?, counted(program, piece, TIMES[1])?];
    let events = events * (TIMES[1] - TIMES[0]);
    Ok(more.saturating_sub(once) / events.max(1))
}

/// All instructions of a run, and the events of each time.
fn counted(program: &Path, piece: &str, times: u64) -> Result<(u64, u64)> {
    let mut run = Command::new("valgrind");
    run.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]).arg(program);
    run.args(["--exact", &format!("decode::instructions::{piece}"), "--nocapture", "--test-threads=1"]);
    run.env("RECONVERGE_COUNT_TIMES", times.to_string()).current_dir(project_root());
    let told = run.output().context("starting valgrind")?;
    let [out, err] = [&told.stdout, &told.stderr].map(|said| String::from_utf8_lossy(said));
    let events = out.lines().find_map(|line| line.split_once(EVENTS)).map(|(_, number)| number);
    match (told.status.success(), refs(&err), events.and_then(|number| number.trim().parse().ok())) {
        (true, Some(count), Some(events)) => Ok((count, events)),
        _ => bail!("{piece} does not run under valgrind ({})\n{out}\n{err}", told.status),
    }
}

/// The number of `I   refs:      1,234,567`.
fn refs(said: &str) -> Option<u64> {
    let (_, rest) = said.lines().find_map(|line| line.split_once("refs:"))?;
    rest.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_valgrind_and_cargo_say_is_read() {
        assert_eq!(refs("==7== hello\n==7== I   refs:      1,234,567\n"), Some(1_234_567));
        assert_eq!(refs("==7== hello"), None);
        assert_eq!(executable(r#"{"a":1,"executable":"/t/it-1","fresh":true}"#), Some("/t/it-1"));
        assert_eq!(executable(r#"{"executable":null}"#), None);
    }

    #[test]
    fn every_piece_is_a_test_of_the_bench() {
        let file = project_root().join("tests/bench/src/decode/instructions.rs");
        let text = std::fs::read_to_string(file).unwrap();
        for (piece, _) in MOST {
            assert!(text.contains(&format!("#[test]\nfn {piece}()")), "{piece}");
        }
        assert!(text.contains(EVENTS.trim()) && text.contains("RECONVERGE_COUNT_TIMES"));
    }
}
