//! What a person is told when something is wrong: `error:`, `caused by:`, `hint:`, on stderr, with the exit code
//! that says whose fault it is.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::program::{reconverge, with};

/// A pipeline whose stream no server has: nothing listens on port 1.
const UNREACHABLE: &str = r#"
[pipeline]
name = "orders"
region = "eu"

[source]
url = "nats://127.0.0.1:1"
stream = "CDC"
subjects = "cdc.us.{partition}.>"

[sink]
url = "sqlite://orders.db"

[[table]]
name = "orders"
key = ["id"]
"#;

fn folder(pipeline: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("pipeline.toml"), pipeline).unwrap();
    folder
}

#[test]
fn a_missing_file_is_told_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    for command in
        [&["run"][..], &["check"], &["status"], &["audit"], &["dlq", "list"], &["explain", "t", "1"]]
    {
        let ended = reconverge(folder.path(), command);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{command:?}");
        assert_eq!(
            ended.stderr,
            "error: pipeline.toml cannot be read\n\
             caused by: No such file or directory (os error 2)\n\
             hint: name the file with `--pipeline`; without it ./pipeline.toml is read\n"
        );
    }
}

#[test]
fn every_problem_of_a_file_is_drawn_at_its_place() {
    let bad = UNREACHABLE.replace("stream =", "straem =").replace("key = [\"id\"]", "key = []");
    let folder = folder(&bad);
    let ended = reconverge(folder.path(), &["run"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    insta::assert_snapshot!(ended.stderr);
    assert!(ended.stderr.contains("error: pipeline.toml cannot be used: "), "{ended:?}");
    let place = ended.stderr.contains("pipeline.toml:8:1");
    assert!(place, "no file, line and column in\n{}", ended.stderr);
}

#[test]
fn check_tells_a_files_problems_as_json() {
    let folder = folder(&UNREACHABLE.replace("stream =", "straem ="));
    let ended = reconverge(folder.path(), &["check", "--json"]);
    assert_eq!(ended.code, 2);
    let found = ended.json();
    assert_eq!(found["ok"], false);
    let problems = found["problems"].as_array().unwrap();
    let misspelt = problems.iter().find(|problem| problem["line"] == 8).expect("a problem on line 8");
    assert_eq!(misspelt["severity"], "error");
    assert_eq!(misspelt["file"], "pipeline.toml");
    let words = format!("{} {}", misspelt["message"], misspelt["hint"]);
    assert!(words.contains("straem") && words.contains("stream"), "{words}");
}

#[test]
fn check_tells_all_that_stands_around_at_once() {
    let folder = folder(UNREACHABLE);
    let ended = reconverge(folder.path(), &["check"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (3, ""), "{ended:?}");
    assert!(ended.stderr.contains("pipeline.toml cannot run: 2 problems"), "{}", ended.stderr);
    let ended = reconverge(folder.path(), &["check", "--json"]);
    assert_eq!(ended.code, 3);
    let problems = ended.json()["problems"].as_array().unwrap().clone();
    let text = Value::Array(problems.clone()).to_string();
    assert_eq!(problems.len(), 2, "{text}");
    assert!(text.contains("127.0.0.1:1") && text.contains("orders.db"), "{text}");
    assert!(problems.iter().all(|problem| problem["hint"].is_string()), "{text}");
}

#[test]
fn a_run_without_its_server_ends_with_3_where_it_has_an_end() {
    let folder = folder(UNREACHABLE);
    rusqlite::Connection::open(folder.path().join("orders.db"))
        .unwrap()
        .execute_batch("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        .unwrap();
    let ended = reconverge(folder.path(), &["run", "--until-caught-up"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (3, ""), "{ended:?}");
    assert!(ended.stderr.contains("error: ") && ended.stderr.contains("hint: "), "{}", ended.stderr);
}

#[test]
fn an_operators_command_without_the_sink_ends_with_3() {
    let folder = folder(UNREACHABLE);
    for command in [&["status"][..], &["conflicts", "list"], &["dlq", "list"], &["explain", "orders", "1"]] {
        let ended = reconverge(folder.path(), command);
        assert_eq!((ended.code, ended.stdout.as_str()), (3, ""), "{command:?} {ended:?}");
        assert!(ended.stderr.contains("orders.db") && ended.stderr.contains("hint: "), "{}", ended.stderr);
    }
}

#[test]
fn log_levels_that_are_none_are_refused() {
    let folder = folder(UNREACHABLE);
    let ended = with(folder.path(), &[("RECONVERGE_LOG", "reconverge=loud")], &["check"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.stderr.starts_with("error: RECONVERGE_LOG=reconverge=loud names no log levels\n"),
        "{ended:?}"
    );
}

#[test]
fn the_pipeline_file_may_be_named_by_the_environment() {
    let folder = TempDir::new().unwrap();
    let ended = with(folder.path(), &[("RECONVERGE_PIPELINE", "eu.toml")], &["status"]);
    assert!(ended.stderr.starts_with("error: eu.toml cannot be read\n"), "{ended:?}");
}

#[test]
fn a_secret_in_the_file_is_not_repeated() {
    let folder = folder(&UNREACHABLE.replace("nats://127", "nats://me:hunter2@127"));
    let ended = reconverge(folder.path(), &["check"]);
    assert_eq!(ended.code, 2);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}
