//! `--help` and the commands that need nothing: what is typed to learn the rest.

use std::path::Path;

use super::program::{reconverge, with};

fn here() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

const COMMANDS: [&str; 18] = [
    "adopt",
    "capture",
    "run",
    "check",
    "status",
    "explain",
    "audit",
    "conflicts",
    "dlq",
    "lanes",
    "parked",
    "tables",
    "holes",
    "source",
    "plugin",
    "rehearse",
    "completions",
    "schema",
];

#[test]
fn the_program_says_what_it_does() {
    insta::assert_snapshot!(reconverge(here(), &["--help"]).done().stdout);
}

#[test]
fn every_command_teaches() {
    for command in COMMANDS {
        let help = reconverge(here(), &[command, "--help"]).done();
        assert_eq!(help.stderr, "");
        insta::assert_snapshot!(format!("help_{command}"), help.stdout);
        for part in ["Examples:", "Reads: ", "Exit codes: 0 done, 1 failed at runtime"] {
            assert!(help.stdout.contains(part), "`{command} --help` lacks {part}");
        }
    }
}

#[test]
fn lines_fit_a_terminal() {
    for command in COMMANDS {
        let help = reconverge(here(), &[command, "--help"]).stdout;
        let long: Vec<&str> = help.lines().filter(|line| line.chars().count() > 100).collect();
        assert!(long.is_empty(), "{command}: {long:#?}");
    }
}

#[test]
fn the_commands_of_commands_have_help() {
    for words in [
        &["conflicts", "list"][..],
        &["conflicts", "show"],
        &["dlq", "list"],
        &["dlq", "show"],
        &["dlq", "redrive"],
        &["dlq", "discard"],
        &["lanes", "list"],
        &["lanes", "move"],
        &["parked", "list"],
        &["parked", "show"],
        &["plugin", "new"],
        &["plugin", "build"],
        &["holes", "list"],
        &["holes", "accept"],
        &["plugin", "inspect"],
        &["plugin", "test"],
        &["plugin", "bench"],
    ] {
        let help = reconverge(here(), &[words, &["--help"]].concat()).done();
        assert!(help.stdout.contains("Usage: reconverge "), "{help:?}");
    }
}

#[test]
fn without_words_the_help_is_an_error_of_use() {
    let ended = reconverge(here(), &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("Usage: reconverge"), "{ended:?}");
}

#[test]
fn a_misspelt_command_is_met_with_the_right_one() {
    let ended = reconverge(here(), &["stauts"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.starts_with("error: "), "{ended:?}");
    assert!(ended.stderr.contains("'status'"), "{ended:?}");
}

#[test]
fn the_version_is_the_packages() {
    let ended = reconverge(here(), &["--version"]).done();
    assert_eq!(ended.stdout, format!("reconverge {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = reconverge(here(), &["completions", shell]).done().stdout;
        for command in COMMANDS {
            assert!(script.contains(command), "{shell} does not complete {command}");
        }
    }
}

#[test]
fn the_schema_is_the_stored_one() {
    let schema = reconverge(here(), &["schema"]).done().stdout;
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pipeline.schema.json");
    assert_eq!(schema, std::fs::read_to_string(stored).unwrap());
}

#[test]
fn help_is_not_coloured_where_nobody_sees_colours() {
    let ended = with(here(), &[("NO_COLOR", "1"), ("TERM", "xterm-256color")], &["--help"]).done();
    assert!(!ended.stdout.contains('\u{1b}'));
}
