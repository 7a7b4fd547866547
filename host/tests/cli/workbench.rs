//! `plugin inspect` and `plugin test`, on real guests and on files that are none.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{guests, program::reconverge};

fn contests() -> String {
    format!("{}/../plugins/schedule-merge/contests", env!("CARGO_MANIFEST_DIR"))
}

fn guest(name: &str) -> String {
    guests::wasm(name).display().to_string()
}

/// A core module that imports a function of this name and has nothing else.
fn importing(module: &str, name: &str) -> Vec<u8> {
    let text = |words: &str| [&[u8::try_from(words.len()).unwrap()], words.as_bytes()].concat();
    let import = [&[1][..], &text(module), &text(name), &[0, 0]].concat();
    let head = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02";
    [&head[..], &[u8::try_from(import.len()).unwrap()], &import].concat()
}

#[test]
fn a_plugin_is_shown_with_its_contract() {
    let folder = tempfile::tempdir().unwrap();
    let shape = "shifts(id int key, modification_epoch int, region_source text)";
    let ended =
        reconverge(folder.path(), &["plugin", "inspect", &guest("schedule-merge"), "--table", shape]).done();
    for words in [
        "stages   merge",
        "imports  -",
        "config   takes none",
        "contract for table `shifts`",
        "reads  current  modification_epoch  int",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    let ended = reconverge(folder.path(), &["plugin", "inspect", &guest("residency"), "--json"]).done();
    let found = ended.json();
    assert_eq!((&found["stages"], &found["kind"]), (&json!(["residency"]), &json!("core module")));
    assert!(found["config_schema"]["properties"]["zone"].is_object(), "{found}");
    assert_eq!(found["contracts"], json!([]));
}

#[test]
fn a_plugin_that_cannot_run_is_shown_with_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("wasi.wasm"), importing("wasi_snapshot_preview1", "fd_write")).unwrap();
    let ended = reconverge(folder.path(), &["plugin", "inspect", "wasi.wasm"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stdout.contains("wasi_snapshot_preview1.fd_write (refused)"), "{}", ended.stdout);
    assert!(ended.stderr.contains("hint: build it without WASI"), "{}", ended.stderr);
    let found = reconverge(folder.path(), &["plugin", "inspect", "wasi.wasm", "--json"]).json();
    assert_eq!(found["imports"][0]["given"], json!(false));
    assert!(found["problem"]["hint"].as_str().unwrap().contains("without WASI"), "{found}");
    let shape = "shifts(id int key)";
    let ended = reconverge(folder.path(), &["plugin", "inspect", &guest("schedule-merge"), "--table", shape]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("requires column `modification_epoch`"), "{}", ended.stderr);
    fs::write(folder.path().join("text.wasm"), "hello").unwrap();
    let ended = reconverge(folder.path(), &["plugin", "inspect", "text.wasm"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    let ended = reconverge(folder.path(), &["plugin", "inspect", "."]);
    assert!(ended.stderr.contains("hint: build it: `reconverge plugin build .`"), "{ended:?}");
}

#[test]
fn contests_pass_in_a_batch_and_alone() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["plugin", "test", &guest("schedule-merge"), "--golden", &contests()];
    let ended = reconverge(folder.path(), &words).done();
    assert!(ended.stdout.ends_with("\n26 passed, 0 failed\n"), "{}", ended.stdout);
    let found = reconverge(folder.path(), &[&words[..], &["--json"]].concat()).done().json();
    assert_eq!((&found["passed"], &found["differ"]), (&json!(26), &json!(0)));
}

#[test]
fn another_decision_fails_and_an_update_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("golden.jsonl");
    let sound = fs::read_to_string(Path::new(&contests()).join("golden.jsonl")).unwrap();
    let wrong = sound.replacen(r#""verdict":"take","archive":true"#, r#""verdict":"take""#, 1);
    fs::write(&file, &wrong).unwrap();
    let plugin = guest("schedule-merge");
    let words = ["plugin", "test", &plugin, "--golden", "golden.jsonl"];
    let ended = reconverge(folder.path(), &words);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.stdout.contains("the newer edit wins") && ended.stdout.contains("differs"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.ends_with("\n19 passed, 1 failed\n"), "{}", ended.stdout);
    reconverge(folder.path(), &[&words[..], &["--update"]].concat()).done();
    assert_eq!(fs::read_to_string(&file).unwrap(), sound, "nothing but the expectation was written");
    reconverge(folder.path(), &words).done();
}

#[test]
fn contests_without_expectations_fail_and_broken_ones_are_told_by_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let head = fs::read_to_string(Path::new(&contests()).join("golden.jsonl")).unwrap();
    let head = head.lines().next().unwrap();
    let plugin = guest("schedule-merge");
    let tested = |contest: Value| {
        fs::write(folder.path().join("c.jsonl"), format!("{head}\n{contest}\n")).unwrap();
        reconverge(folder.path(), &["plugin", "test", &plugin, "--golden", "c.jsonl"])
    };
    let ended = tested(json!({"incoming": {"after": {"schedule_id": 1, "modification_epoch": 1}}}));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stdout.contains("`--update` writes what the plugin says"), "{}", ended.stdout);
    for (contest, told) in [
        (json!({"incoming": {"after": {"modification_epoch": 1}}}), "c.jsonl:2: `incoming` does not decode"),
        (
            json!({"incoming": {"table": "no", "key": {}, "after": {}}}),
            "is a change of no table of the first line",
        ),
        (
            json!({"incoming": {"after": {"schedule_id": 1}}, "current": {"row": {"epoch": 1}}}),
            "`current.row` has column `epoch`, which the table does not have",
        ),
        (
            json!({"incoming": {"after": {"schedule_id": 1}}, "expect": {"verdict": "take", "why": 1}}),
            "`expect` is no decision",
        ),
        (
            json!({"incoming": {"before": {"schedule_id": 1}, "after": {"schedule_id": 2}}}),
            "it changes the key",
        ),
    ] {
        let ended = tested(contest);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains(told), "{told}: {}", ended.stderr);
    }
    let ended = reconverge(folder.path(), &["plugin", "test", &plugin]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("there is no folder contests/"), "{}", ended.stderr);
}

#[test]
fn a_bench_tells_what_a_decision_costs() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["plugin", "bench", &guest("schedule-merge"), "--golden", &contests()];
    let found = reconverge(folder.path(), &[&words[..], &["--json"]].concat()).done().json();
    let sizes = found["sizes"].as_array().unwrap();
    let numbers = |name: &str| sizes.iter().map(|size| size[name].as_f64().unwrap()).collect::<Vec<_>>();
    assert_eq!(numbers("rows"), [1.0, 16.0, 256.0, 1000.0]);
    assert!(numbers("plugin_ns").iter().all(|ns| *ns > 0.0), "{found}");
    let native: Vec<Option<f64>> = sizes.iter().map(|size| size["native_ns"].as_f64()).collect();
    // A comparison that was not optimised is no baseline, so a build for tests prints none.
    if cfg!(debug_assertions) {
        assert_eq!((&found["build"], native), (&json!("test"), vec![None; 4]), "{found}");
    } else {
        assert_eq!(found["build"], json!("release"));
        assert!(native.iter().all(|ns| ns.is_some_and(|ns| ns > 0.0)), "{found}");
    }
    // A call costs its base once, however many rows it has.
    let fuel = numbers("fuel");
    assert!(fuel[0] > 0.0 && fuel[3] < 1000.0 * fuel[0], "{found}");
    assert!(numbers("memory_bytes")[3] >= 65536.0, "{found}");
    assert_eq!(found["columns"], json!(4));
    let ended = reconverge(folder.path(), &words).done();
    assert!(ended.stdout.contains("ns a row"), "{}", ended.stdout);
    let says_so = ended.stdout.contains("not a release build");
    assert_eq!(says_so, cfg!(debug_assertions), "{}", ended.stdout);
}
