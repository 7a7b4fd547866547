//! The operator's commands on a sink that has a history: the words, and the shape of the JSON that programs
//! build on.

use std::fs;

use serde_json::json;

use super::{
    program::{Ended, reconverge},
    sink::{Place, with_history},
};

/// Words with what differs from run to run taken out: ids and the times of the sink's clock.
fn steady(text: &str) -> String {
    let now = jiff::Timestamp::now().to_string();
    let day = &now[..10];
    text.split_inclusive(char::is_whitespace)
        .map(|word| {
            if word.starts_with(day) {
                word.replace(word.trim_end().trim_end_matches(','), "(now)")
            } else {
                word.to_owned()
            }
        })
        .collect()
}

fn words(place: &Place, words: &[&str]) -> String {
    let ended = reconverge(place.path(), words).done();
    assert_eq!(ended.stderr, "", "{words:?}");
    ended.stdout
}

#[test]
fn status_shows_lanes_ledger_and_conflicts() {
    let place = with_history();
    let status = reconverge(place.path(), &["status", "--json"]).done().json();
    assert_eq!((&status["pipeline"], &status["region"]), (&json!("wfm"), &json!("us-central")));
    let lane = &status["lanes"][0];
    assert_eq!(lane["lane"], "wfm/main/main/0");
    assert_eq!(lane["state"], "running");
    assert_eq!((&lane["sequence"], &lane["scanned"]), (&json!(5), &json!(6)));
    assert_eq!((&lane["owner"], &lane["generation"]), (&json!("host/1"), &json!(1)));
    assert_eq!((&lane["delivered"], &lane["balanced"]), (&json!(5), &json!(true)));
    assert_eq!(lane["counts"], json!({"applied": 1, "kept-current": 1, "deleted": 1, "dead-lettered": 2}));
    assert_eq!(lane["stream_last"], json!(null), "no server is there");
    assert_eq!(
        status["conflicts"],
        json!([{"table": "schedules", "kind": "update_origin_differs", "outcome": "kept-current", "count": 1}])
    );
    assert!(status["notes"][0].as_str().unwrap().contains("stream CDC"), "{status}");

    let text = words(&place, &["status"]);
    for part in [
        "pipeline wfm in region us-central",
        "balanced",
        "dead-lettered 2",
        "update_origin_differs",
        "note: ",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_lane_that_never_ran_is_new() {
    let place = with_history();
    let file = place.path().join("pipeline.toml");
    let other = fs::read_to_string(&file).unwrap().replace("name = \"wfm\"", "name = \"other\"");
    fs::write(&file, other).unwrap();
    let status = reconverge(place.path(), &["status", "--json"]).done().json();
    assert_eq!(status["lanes"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&status["lanes"][0]["state"], &status["lanes"][0]["sequence"]),
        (&json!("new"), &json!(null))
    );
    assert_eq!(status["conflicts"], json!([]));
}

#[test]
fn explain_tells_the_story_of_a_row() {
    let place = with_history();
    insta::assert_snapshot!(steady(&words(&place, &["explain", "schedules", "7"])));
}

#[test]
fn explain_tells_of_a_deleted_row_and_of_a_local_one() {
    let place = with_history();
    let deleted = words(&place, &["explain", "schedules", "8"]);
    assert!(deleted.contains("it was deleted by a change from us-east"), "{deleted}");
    assert!(deleted.contains("epoch  43"), "{deleted}");
    let local = words(&place, &["explain", "schedules", "9"]);
    assert!(local.contains("written by the application"), "{local}");
    let nothing = words(&place, &["explain", "schedules", "404"]);
    assert!(nothing.contains("no change of this key was ever seen"), "{nothing}");
}

#[test]
fn explain_as_json_has_all_parts() {
    let place = with_history();
    let found = reconverge(place.path(), &["explain", "schedules", "7", "--json"]).done().json();
    assert_eq!((&found["table"], &found["key"]), (&json!("schedules"), &json!({"id": 7})));
    assert_eq!((&found["policy"], &found["deletes"]), (&json!("max:epoch"), &json!("ordered")));
    assert_eq!(found["row"], json!({"id": 7, "shift": "early", "epoch": 42}));
    assert_eq!((&found["local"], &found["version"]["origin"]), (&json!(false), &json!("us-east")));
    assert_eq!(found["decisions"][0]["outcome"], "kept-current");
    assert_eq!(found["dead_letters"][0]["code"], "trap");
    assert_eq!(found["generations"][0]["plugins"][0]["name"], "schedule-merge");
    let none =
        reconverge(place.path(), &["explain", "schedules", "7", "--limit", "0", "--json"]).done().json();
    assert_eq!((&none["decisions"], &none["more_decisions"]), (&json!([]), &json!(true)));
}

#[test]
fn explain_refuses_what_is_no_table_and_no_key() {
    let place = with_history();
    let cases = [
        (&["explain", "scheduls", "7"][..], "the pipeline has no table `scheduls`", "schedules"),
        (&["explain", "schedules", "7", "8"], "has 1 columns, 2 values were given", "id"),
        (&["explain", "schedules", "seven"], "key column `id`", "int"),
    ];
    for (words, what, hint) in cases {
        let Ended { code, stdout, stderr } = reconverge(place.path(), words);
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        let (error, advice) = stderr.split_once("hint: ").expect(&stderr);
        assert!(error.contains(what) && advice.contains(hint), "{stderr}");
    }
}

#[test]
fn conflicts_are_listed_and_shown() {
    let place = with_history();
    let listed = reconverge(place.path(), &["conflicts", "list", "--json"]).done().json();
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert!(words(&place, &["conflicts", "list"]).contains(&id[..8]));
    for (filter, empty) in
        [(["--table", "schedules"], false), (["--table", "x"], true), (["--kind", "x"], true)]
    {
        let text = words(&place, &[&["conflicts", "list"][..], &filter].concat());
        assert_eq!(text == "no conflicts\n", empty, "{filter:?} {text}");
    }
    let shown = words(&place, &["conflicts", "show", &id[..8]]);
    for part in [id, "older modification_epoch", "late", "early", "schedule-merge 0123456789ab"] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    let missing = reconverge(place.path(), &["conflicts", "show", "zz"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (1, ""));
    assert!(missing.stderr.starts_with("error: there is no conflict zz\nhint: "), "{missing:?}");
}

#[test]
fn dead_letters_are_listed_and_shown() {
    let place = with_history();
    let listed = reconverge(place.path(), &["dlq", "list", "--json"]).done().json();
    let codes: Vec<_> = listed.as_array().unwrap().iter().map(|letter| letter["code"].clone()).collect();
    assert_eq!(codes, ["trap", "not-json"]);
    let id = listed[0]["id"].to_string();
    insta::assert_snapshot!(steady(&words(&place, &["dlq", "show", &id])));
    let raw = words(&place, &["dlq", "show", &id, "--bytes", "-"]);
    assert_eq!(raw, "{\"v\":1}");
    words(&place, &["dlq", "show", &id, "--bytes", "out.json"]);
    assert_eq!(fs::read_to_string(place.path().join("out.json")).unwrap(), "{\"v\":1}");
    let without = reconverge(place.path(), &["dlq", "show", &listed[1]["id"].to_string(), "--bytes", "-"]);
    assert_eq!((without.code, without.stdout.as_str()), (1, ""));
    assert!(without.stderr.contains("no residency rule had passed them"), "{without:?}");
}

#[test]
fn a_dead_letter_is_discarded_once() {
    let place = with_history();
    let listed = reconverge(place.path(), &["dlq", "list", "--json"]).done().json();
    let id = listed[0]["id"].to_string();
    let discard = ["dlq", "discard", &id, "--note", "test data", "--by", "ana"];
    assert_eq!(words(&place, &discard), format!("dead letter {id} is discarded\n"));
    let open = reconverge(place.path(), &["dlq", "list", "--json"]).done().json();
    assert_eq!(open.as_array().unwrap().len(), 1);
    let closed = reconverge(place.path(), &["dlq", "list", "--state", "discarded", "--json"]).done().json();
    assert_eq!((&closed[0]["closed_by"], &closed[0]["note"]), (&json!("ana"), &json!("test data")));
    let again = reconverge(place.path(), &discard);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains(&format!("dead letter {id} is not open, it is discarded")), "{again:?}");
}

#[test]
fn one_letter_that_is_not_there_does_not_keep_the_others() {
    let place = with_history();
    let ended = reconverge(place.path(), &["dlq", "discard", "404", "1", "--json"]);
    assert_eq!(ended.code, 1);
    assert_eq!(
        ended.json(),
        json!([{"id": 404, "ok": false, "error": "there is no dead letter 404"}, {"id": 1, "ok": true}])
    );
}

#[test]
fn a_letter_cannot_be_sent_again_without_the_stream() {
    let place = with_history();
    let ended = reconverge(place.path(), &["dlq", "redrive", "1"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(ended.stderr.starts_with("error: source: "), "{ended:?}");
    let open = reconverge(place.path(), &["dlq", "list", "--json"]).done().json();
    assert_eq!(open.as_array().unwrap().len(), 2, "it is still open");
}
