//! A plugin that misbehaves on some rows: the guilty change is dead-lettered with the plugin's name and generation,
//! its neighbours in the batch are applied, and the process goes on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use reconverge_tests::{Change, Kind, Scene, guest};
use serde_json::json;

/// What a guilty row says; a reason or a log line that holds it has leaked it.
const POISON: &str = "poison anna@example.com";
/// How the plugin misbehaves, and the code of the dead letter.
const MODES: [(&str, &str); 10] = [
    ("trap", "trap"),
    ("loop", "fuel"),
    ("allocate", "memory"),
    ("recurse", "trap"),
    ("verdict-short", "bad-answer"),
    ("block-offsets", "bad-answer"),
    ("verdict-failed", "plugin-failed"),
    ("verdict-unknown", "bad-answer"),
    ("block-text", "bad-answer"),
    ("write-undeclared", "bad-answer"),
];
const TABLES: &str = "CREATE TABLE notes (id bigint PRIMARY KEY NOT NULL, note text);
    CREATE TABLE calls (id bigint PRIMARY KEY NOT NULL, note text);";

fn rules(mode: &str, stage: &str) -> String {
    let policy = if stage == "merge" { "{ plugin = \"bad\" }" } else { "\"lww:commit-time\"" };
    // What follows the limits that every scene has: so little memory that it ends before the fuel does.
    format!(
        "plugin = {{ memory = \"2MiB\" }}\n\n[[table]]\nname = \"notes\"\nkey = [\"id\"]\npolicy = {policy}\n\n\
         [[table]]\nname = \"calls\"\nkey = [\"id\"]\npolicy = \"lww:commit-time\"\n\n\
         [[plugin]]\nname = \"bad\"\npath = {:?}\nstage = \"{stage}\"\ntables = [\"notes\"]\n\
         config = {{ mode = \"{mode}\", marker = \"poison\", column = \"note\" }}\n",
        guest("faulty")
    )
}

/// Forty rows of each table, then forty changes of them from another source, of which those of 7 and 23 are poisoned.
fn changes() -> Vec<Change> {
    let of = |source: &'static str, commit: u64, note: fn(u64) -> &'static str| {
        (1..=40).flat_map(move |id| {
            ["notes", "calls"].map(|table| {
                let place = commit + 2 * id + u64::from(table == "calls");
                Change::write(source, place, table, json!({"id": id}), json!({"id": id, "note": note(id)}))
            })
        })
    };
    let poisoned = |id| if id == 7 || id == 23 { POISON } else { "new" };
    of("east", 0, |_| "old").chain(of("west", 1000, poisoned)).collect()
}

async fn costs_the_guilty_alone(name: &str, kind: Kind, stage: &str, mode: &str, code: &str) {
    let scene = Scene::new(name, kind, TABLES).await;
    scene.write(&rules(mode, stage));
    let sequences = scene.publish(&changes()).await;
    let ended = scene.call(&["run", "--until-caught-up", "--json", "--log", "json", "-vv"]).await.done();
    let notes = scene.column("SELECT note FROM notes ORDER BY id").await;
    let (old, new): (Vec<usize>, Vec<usize>) = (0..40).partition(|at| notes[*at] == "old");
    assert_eq!(old, [6, 22], "{mode}: {notes:?}");
    assert!(new.iter().all(|at| notes[*at] == "new"), "{mode}: {notes:?}");
    let calls =
        scene.column("SELECT count(*) FROM calls WHERE note IN ('new', 'poison anna@example.com')").await;
    assert_eq!(calls, ["40"], "{mode}: another table goes its way, whatever its rows say");
    let letters = scene.letters().await;
    assert_eq!(letters.len(), 2, "{mode}: {letters:?}");
    for (letter, id) in letters.iter().zip([7, 23]) {
        let key = serde_json::from_str::<serde_json::Value>(letter.key.as_ref().unwrap()).unwrap();
        assert_eq!(key["id"].to_string().trim_matches('"'), id.to_string());
        assert_eq!(letter.sequence, sequences[80 + 2 * (id - 1)]);
        assert_eq!(letter.table.as_deref(), Some("notes"), "{mode}: {letter:?}");
        assert_eq!((letter.stage.as_str(), letter.code.as_str()), (stage, code), "{mode}: {}", letter.reason);
        assert!(letter.reason.starts_with("plugin `bad`"), "{mode}: {}", letter.reason);
        assert!(!letter.reason.contains("anna"), "{mode}: {}", letter.reason);
        assert!(letter.generation.is_some(), "{mode}: {letter:?}");
    }
    assert!(!ended.stderr.contains("anna"), "{mode}: a row is in the log");
    scene.audit().await;
}

#[tokio::test]
async fn in_merge_every_way_to_misbehave_costs_the_guilty_alone() {
    for (mode, code) in MODES {
        let name = format!("merge_{}", mode.replace('-', "_"));
        costs_the_guilty_alone(&name, Kind::Sqlite, "merge", mode, code).await;
    }
}

#[tokio::test]
async fn in_a_filter_it_costs_the_guilty_alone() {
    for (mode, code) in
        MODES.into_iter().filter(|(mode, _)| ["trap", "allocate", "verdict-short"].contains(mode))
    {
        let name = format!("filter_{}", mode.replace('-', "_"));
        costs_the_guilty_alone(&name, Kind::Sqlite, "filter", mode, code).await;
    }
}

#[tokio::test]
async fn on_postgres_too() {
    costs_the_guilty_alone("postgres_trap", Kind::Postgres, "merge", "trap", "trap").await;
}

#[tokio::test]
async fn a_plugin_that_always_fails_stops_nobody_else() {
    let scene = Scene::new("always", Kind::Sqlite, TABLES).await;
    scene.write(&rules("trap", "filter").replace("marker = \"poison\", ", ""));
    scene.publish(&changes()).await;
    let report = scene.run().await;
    assert_eq!((report.count("notes", "parked"), report.count("calls", "applied")), (80, 80), "{report:?}");
    scene.audit().await;
}

#[tokio::test]
async fn a_plugin_that_cannot_be_opened_is_told_before_anything_runs() {
    let scene = Scene::new("unopened", Kind::Sqlite, TABLES).await;
    for (mode, words) in
        [("open-trap", "trap"), ("open-error", "told to refuse"), ("open-column", "no_such_column")]
    {
        scene.write(&rules(mode, "filter"));
        let found = scene.check().await;
        assert!(
            !found.ok && found.problems.iter().any(|problem| problem.message.contains(words)),
            "{found:?}"
        );
        let ended = scene.call(&["run", "--until-caught-up"]).await;
        assert_eq!(ended.code, Some(2), "{mode}: {ended:?}");
    }
}
