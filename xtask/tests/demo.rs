//! `cargo xtask demo` as a user runs it, on both kinds of sink: it ends well, leaves nothing behind, can be run
//! again, and what it says last-writer-wins would have done is what the serial script beside the recording found.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use reconverge_servers::{project_root, target_dir};

/// What the story may take of a terminal.
const LINES_MAX: usize = 60;
const WIDTH_MAX: usize = 100;

fn demo(folder: &str, sink: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["demo", "--folder", folder, "--sink", sink]).current_dir(project_root());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn told(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(!err.contains("event: connected"), "libraries are not heard at this level:\n{err}");
    out.into_owned()
}

/// The list of rows that the run found to differ under last-writer-wins.
fn list(folder: &str) -> String {
    fs::read_to_string(target_dir().join(folder).join("last_writer_wins.csv")).expect("the list of rows")
}

/// Process ids of the servers whose files lie in the folder, as nats-server names its ports file.
fn servers(folder: &str) -> Vec<u32> {
    let files = fs::read_dir(target_dir().join(folder).join("nats/ports")).into_iter().flatten().flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    names.filter_map(|name| name.strip_suffix(".ports")?.rsplit_once('_')?.1.parse().ok()).collect()
}

fn runs(process: u32) -> bool {
    let asked = Command::new("kill").args(["-0", &process.to_string()]).stderr(Stdio::null()).status();
    asked.expect("running kill").success()
}

fn as_the_script_found(folder: &str) {
    let theirs = project_root().join("examples/split-brain/lww_schedules.csv");
    assert_eq!(list(folder), fs::read_to_string(theirs).expect("the script's list"));
}

#[test]
fn it_tells_its_story_twice_and_leaves_nothing_running() {
    for _ in 0..2 {
        let story = told(&demo("demo-sqlite", "sqlite").output().unwrap());
        let prose = story.replace('\n', " ");
        let harm = "53 rows otherwise at the recovery: 48 overwritten by an older version, 4 lost, 1 resurrected; 15 after";
        assert!(prose.contains(harm), "{story}");
        let lines = story.lines().collect::<Vec<_>>();
        let wide = lines.iter().filter(|line| line.chars().count() > WIDTH_MAX).collect::<Vec<_>>();
        assert!(lines.len() <= LINES_MAX && wide.is_empty(), "{} lines, too wide: {wide:?}", lines.len());
        as_the_script_found("demo-sqlite");
        assert!(servers("demo-sqlite").into_iter().all(|process| !runs(process)));
    }
}

#[test]
fn it_does_the_same_on_postgres() {
    let story = told(&demo("demo-postgres", "postgres").output().unwrap());
    assert!(story.contains("into PostgreSQL") && story.contains("psql postgres://"), "{story}");
    as_the_script_found("demo-postgres");
    let lock: PathBuf = target_dir().join("demo-postgres/postgres/data/postmaster.pid");
    assert!(!lock.exists(), "PostgreSQL was not stopped in order");
}

#[test]
fn an_interrupted_demo_says_so_and_leaves_nothing_running() {
    let mut running = demo("demo-interrupted", "sqlite").spawn().unwrap();
    let mut talk = BufReader::new(running.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("== your rule") {
        line.clear();
        assert_ne!(talk.read_line(&mut line).unwrap(), 0, "it ended before it ran the pipeline");
    }
    let servers = servers("demo-interrupted");
    assert!(servers.iter().any(|process| runs(*process)), "no server was up");
    let sent = Command::new("kill").args(["-s", "INT", &running.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mut rest = String::new();
    talk.read_to_string(&mut rest).unwrap();
    assert!(!running.wait().unwrap().success());
    assert!(rest.contains("stopped by Ctrl-C"), "{rest}");
    assert!(servers.into_iter().all(|process| !runs(process)));
}
