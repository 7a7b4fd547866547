//! The merge laws on real guests: every rule that is broken on purpose is found and named, every good one passes, and
//! both within the time that an author waits.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "../guests/mod.rs"]
mod guests;
mod rehearse;

use std::time::{Duration, Instant};

use reconverge::{
    assemble::{Case, law_cases},
    config::Deletes,
    laws::{Broken, Effort, Finding, Law, check},
};
use serde_json::{Value, json};

/// What an author waits for at most.
const PATIENCE: Duration = Duration::from_secs(30);

fn cases(guest: &str, config: &Value, deletes: &[Deletes]) -> Vec<Case> {
    law_cases(&guests::wasm(guest), config, None, deletes)
        .unwrap_or_else(|error| panic!("{error}: {:?}", error.hint()))
}

fn broken(findings: Vec<(Law, Finding)>) -> Vec<Broken> {
    let found = findings.into_iter().filter_map(|(_, finding)| match finding {
        Finding::Broken(broken) => Some(*broken),
        _ => None,
    });
    found.collect()
}

fn laws_of(guest: &str, config: &Value, deletes: Deletes) -> Vec<Broken> {
    let begun = Instant::now();
    let mut case = cases(guest, config, &[deletes]).remove(0);
    let findings = check(&mut case.subject, &Effort::default(), &[], |_, _| ()).unwrap();
    let took = begun.elapsed();
    assert!(took < PATIENCE, "{guest} {config}: {took:?}");
    broken(findings)
}

#[test]
fn every_broken_rule_is_found_and_named() {
    let faults = [
        ("last-arrival", Law::Commutative),
        ("tie-by-arrival", Law::Commutative),
        ("float-nan", Law::Commutative),
        ("truncated-time", Law::Commutative),
        ("rejecting", Law::Commutative),
        ("lopsided-columns", Law::Commutative),
        ("epoch-as-text", Law::Monotone),
        ("counting", Law::Deterministic),
        ("batch-size", Law::Batching),
        ("null-trap", Law::Total),
        ("adding-counter", Law::Idempotent),
        ("cyclic", Law::Associative),
        ("archive-one-side", Law::Agreement),
    ];
    for (fault, law) in faults {
        let found = laws_of("broken", &json!({ "fault": fault }), Deletes::Win);
        let first = found.first().map(|broken| broken.law);
        assert_eq!(first, Some(law), "{fault}: {found:#?}");
        let steps = found[0].history.steps.len();
        let most = match law {
            Law::Idempotent | Law::Associative => 6,
            Law::Deterministic | Law::Batching | Law::Monotone => 8,
            _ => 2,
        };
        assert!(steps <= most, "{fault}: a counterexample of {steps} changes is not small: {found:#?}");
    }
}

/// Each law has a rule that it finds when it is the only one that is looked at, and that is what is reported: so a law
/// that stops looking is missed, although another might have found the same rule.
#[test]
fn every_law_finds_by_itself_what_it_is_for() {
    for (law, fault) in [
        (Law::Total, "null-trap"),
        (Law::Deterministic, "counting"),
        (Law::Batching, "batch-size"),
        // What is delivered again the host drops unasked: only a rule that remembers its calls is moved by it.
        (Law::Redelivery, "counting"),
        (Law::Idempotent, "adding-counter"),
        (Law::Commutative, "tie-by-arrival"),
        (Law::Associative, "cyclic"),
        (Law::Agreement, "archive-one-side"),
        (Law::Monotone, "epoch-as-text"),
    ] {
        let others = Law::ALL.into_iter().filter(|other| *other != law).collect();
        let effort = Effort { without: others, ..Effort::default() };
        let config = json!({ "fault": fault });
        let mut case = cases("broken", &config, &[Deletes::Win]).remove(0);
        let found = broken(check(&mut case.subject, &effort, &[], |_, _| ()).unwrap());
        assert_eq!(found.iter().map(|b| b.law).collect::<Vec<_>>(), [law], "{fault}: {found:#?}");
        let mut good = cases("schedule-merge", &json!({}), &[Deletes::Win]).remove(0);
        let quick = Effort { cases: 20, ..effort };
        let found = broken(check(&mut good.subject, &quick, &[], |_, _| ()).unwrap());
        assert!(found.is_empty(), "{law}: {found:#?}");
    }
}

#[test]
fn written_columns_that_depend_on_the_side_are_found() {
    let found = laws_of("broken", &json!({ "fault": "writes-its-side" }), Deletes::Win);
    let laws: Vec<Law> = found.iter().map(|broken| broken.law).collect();
    assert!(laws.contains(&Law::Agreement) && laws.contains(&Law::Commutative), "{found:#?}");
}

#[test]
fn good_rules_pass() {
    for (guest, deletes) in [
        ("schedule-merge", Deletes::Win),
        ("schedule-merge", Deletes::Ordered),
        ("profile-merge", Deletes::Win),
        ("call-counters", Deletes::Win),
    ] {
        let found = laws_of(guest, &json!({}), deletes);
        assert!(found.is_empty(), "{guest} under {deletes:?}: {found:#?}");
    }
}

#[test]
fn a_rule_that_writes_columns_has_no_place_for_ordered_deletes() {
    for guest in ["profile-merge", "call-counters"] {
        let found = laws_of(guest, &json!({}), Deletes::Ordered);
        assert!(!found.is_empty(), "{guest}");
    }
}

#[test]
fn a_seed_finds_the_same_counterexample_again() {
    let found = || {
        let mut case = cases("broken", &json!({ "fault": "cyclic" }), &[Deletes::Win]).remove(0);
        let effort = Effort { seed: 7, cases: 100, ..Effort::default() };
        let found = broken(check(&mut case.subject, &effort, &[], |_, _| ()).unwrap());
        found.into_iter().map(|broken| (broken.law, broken.history, broken.arrivals)).collect::<Vec<_>>()
    };
    let first = found();
    assert!(!first.is_empty());
    assert_eq!(first, found());
}

/// `reconverge plugin laws` on a guest, with the rest of its command line.
fn command(guest: &str, words: &[&str]) -> (i32, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_reconverge"))
        .args(["plugin", "laws"])
        .arg(guests::wasm(guest))
        .args(words)
        .env_remove("RECONVERGE_PIPELINE")
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(!out.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), out)
}

#[test]
fn the_command_prints_two_short_histories_that_end_in_different_rows() {
    let cyclic = ["--config", r#"{"fault":"last-arrival"}"#, "--seed", "3", "--cases", "20"];
    let (code, told) = command("broken", &cyclic);
    assert_eq!(code, 1, "{told}");
    for part in
        ["commutative is broken", "1 | 2  ends in  {", "2 | 1  ends in  {", "hint: ", "--seed 3 --cases 20"]
    {
        assert!(told.contains(part), "lacks `{part}`:\n{told}");
    }
    let (code, told) = command("broken", &[&cyclic[..], &["--json", "--deletes", "win"]].concat());
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["held"]), (1, &json!(false)));
    let laws = told["tables"][0]["laws"].as_array().unwrap();
    let broken = laws.iter().find(|law| law["law"] == "commutative").unwrap();
    let arrivals = &broken["counterexample"]["arrivals"];
    assert_ne!(arrivals[0]["row"], arrivals[1]["row"], "{broken:#}");
}

#[test]
fn a_law_can_be_left_out_and_a_misspelt_one_is_told() {
    let text = ["--config", r#"{"fault":"epoch-as-text"}"#, "--cases", "20"];
    assert_eq!(command("broken", &text).0, 1);
    let (code, told) = command("broken", &[&text[..], &["--without", "monotone"]].concat());
    assert_eq!(code, 0, "{told}");
    let refused = std::process::Command::new(env!("CARGO_BIN_EXE_reconverge"))
        .args(["plugin", "laws", "x.wasm", "--without", "monoton"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("the laws are total, deterministic"),
        "{refused:?}"
    );
}

#[test]
fn a_described_table_is_tried_with_the_columns_that_the_rule_does_not_see() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profiles.toml");
    let columns =
        "email = 'text'\nemail_changed_at = 'timestamp'\nphone = 'text'\nphone_changed_at = 'timestamp'\n";
    let write = |more: &str| {
        std::fs::write(
            &file,
            format!("name = 'profiles'\nkey = ['id']\n[columns]\nid = 'int'\n{columns}{more}"),
        )
        .unwrap();
    };
    let words = ["--table", file.to_str().unwrap(), "--deletes", "win", "--cases", "40"];
    write("");
    assert_eq!(command("profile-merge", &words).0, 0);
    write("updated_by = 'text'");
    let (code, told) = command("profile-merge", &words);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("commutative is broken") && told.contains("updated_by"), "{told}");
}

#[test]
fn captured_contests_are_tried_first() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("captured.jsonl");
    let head = json!({"contests": 1, "tables": [{"name": "rows", "key": ["id"], "columns": {"id": "int", "modification_epoch": "int"}}]});
    let contest = json!({"incoming": {"after": {"id": 1, "modification_epoch": 41}}, "current": {"row": {"modification_epoch": 42}}});
    std::fs::write(&file, format!("{head}\n{contest}\n")).unwrap();
    let config = r#"{"fault":"last-arrival"}"#;
    let words = [
        "--config",
        config,
        "--captured",
        file.to_str().unwrap(),
        "--cases",
        "0",
        "--json",
        "--deletes",
        "win",
    ];
    let (code, told) = command("broken", &words);
    assert_eq!(code, 1, "no history was made by chance: {told}");
    assert!(told.contains("commutative"), "{told}");
}

/// A pipeline with a merge plugin whose laws are required, and its SQLite file.
fn pipeline(
    folder: &std::path::Path,
    guest: &str,
    config: &str,
    column: &str,
) -> reconverge::config::Pipeline {
    let database = rusqlite::Connection::open(folder.join("sink.db")).unwrap();
    let table = "CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, modification_epoch INTEGER";
    database.execute(&format!("{table} {column}, region_source TEXT {column})"), []).unwrap();
    let file = folder.join("pipeline.toml");
    let wasm = guests::wasm(guest);
    let text = format!(
        "[pipeline]\nname = 'p'\nregion = 'here'\n[source]\nurl = 'nats://127.0.0.1:1'\nstream = 'S'\nsubjects = 'cdc.x.{{partition}}.>'\n\
         [sink]\nurl = 'sqlite://sink.db'\n[[table]]\nname = 'rows'\nkey = ['id']\npolicy = {{ plugin = 'rule' }}\n\
         [[plugin]]\nname = 'rule'\npath = '{}'\nstage = 'merge'\nlaws = 'required'\n{config}\n",
        wasm.display()
    );
    std::fs::write(&file, text).unwrap();
    reconverge::config::load(&file).unwrap()
}

/// What `check` has against the plugin.
fn refused(pipeline: &reconverge::config::Pipeline) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let found = runtime.block_on(reconverge::assemble::check(pipeline));
    let told = found.configuration.iter().filter(|problem| !problem.is_warning());
    told.map(|problem| format!("{problem} {}", problem.hint().unwrap_or_default())).collect()
}

#[test]
fn a_pipeline_that_requires_the_laws_refuses_a_rule_that_breaks_them() {
    let folder = tempfile::tempdir().unwrap();
    let broken = pipeline(folder.path(), "broken", "config = { fault = 'tie-by-arrival' }", "NOT NULL");
    let told = refused(&broken);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("plugin `rule` breaks the law `commutative` on table `rows`"), "{told:?}");
    assert!(told[0].contains("reconverge plugin laws rule --pipeline"), "{told:?}");
    let text = pipeline(folder.path(), "broken", "config = { fault = 'epoch-as-text' }", "NOT NULL");
    assert!(refused(&text).is_empty(), "regions agree on it: it is not refused");
    let good = pipeline(folder.path(), "schedule-merge", "", "NOT NULL");
    assert!(refused(&good).is_empty());
    let begun = Instant::now();
    assert!(refused(&good).is_empty());
    assert!(begun.elapsed() < Duration::from_secs(2), "what is known to be lawful is not looked at again");
}

#[test]
fn a_column_that_may_be_null_in_the_sink_is_one_that_the_rule_has_to_take() {
    let folder = tempfile::tempdir().unwrap();
    let told = refused(&pipeline(folder.path(), "schedule-merge", "", ""));
    assert_eq!(told.len(), 1, "a rule that fails on null diverges where null can come: {told:?}");
}

#[test]
fn the_rules_of_the_page_are_those_that_are_tried() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/merging.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 3);
    for (block, plugin) in blocks.iter().zip(["schedule-merge", "profile-merge", "call-counters"]) {
        let source = std::fs::read_to_string(root.join(format!("plugins/{plugin}/src/lib.rs"))).unwrap();
        assert!(source.contains(block.trim()), "docs/merging.md shows another rule than {plugin}");
    }
}
