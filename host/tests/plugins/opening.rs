//! What keeps a plugin from running, said before the first event, and what a set of plugins tells the plan.

use std::fs;

use reconverge::{
    config::Stage,
    plugin::{CompileCache, Limits, PluginEngine, PluginError, Reading, Side, inspect},
};
use reconverge_streams::{logical::Logical, table::TableId};
use serde_json::{Value, json};

use crate::{
    fixture::{Pipeline, engine, spec, table},
    guests,
};

fn notes() -> reconverge::plugin::BoundTable {
    table(0, "notes", &[("id", Logical::Int), ("note", Logical::Text)])
}

fn schedules() -> reconverge::plugin::BoundTable {
    let columns =
        [("id", Logical::Int), ("modification_epoch", Logical::Int), ("region_source", Logical::Text)];
    table(1, "schedules", &columns)
}

fn told(errors: &[PluginError]) -> String {
    errors.iter().map(|error| format!("{error}\nhint: {}\n", error.hint())).collect()
}

#[test]
fn each_way_to_fail_at_the_start_is_told_with_a_hint() {
    let engine = engine(|_| ());
    let refused = |guest: &str, stage, tables: &[u16], config: Value| {
        let opened = Pipeline::open(&engine, &[spec(guest, stage, tables, config)], &[notes(), schedules()]);
        told(&opened.err().expect("it is refused"))
    };
    for (mode, words) in [
        ("open-trap", "`open` failed: trapped: wasm `unreachable` instruction executed"),
        ("open-error", "it refuses to open: faulty was told to refuse"),
        ("open-table", "it gave no contract for table `number 1, of 1`"),
        ("open-column", "requires column `no_such_column`, which the table does not have"),
        ("open-key", "writes key column `id`"),
        ("sleep", "its configuration breaks its schema: /mode: "),
    ] {
        let told = refused("faulty", Stage::Merge, &[0], json!({"mode": mode}));
        assert!(told.starts_with("plugin `faulty` cannot run: ") && told.contains(words), "{mode}: {told}");
        assert!(told.contains("hint: ") && !told.contains("please report"), "{told}");
    }
    let no_table = refused("faulty", Stage::Merge, &[], json!({}));
    assert!(no_table.contains("it is bound to no table"), "{no_table}");
    let no_stage = refused("faulty", Stage::Residency, &[0], json!({}));
    assert!(no_stage.contains("it has no stage `residency`; it has filter, merge"), "{no_stage}");
    let no_config = refused("schedule-merge", Stage::Merge, &[1], json!({"tie": "x"}));
    assert!(no_config.contains("it takes no configuration"), "{no_config}");
    let no_column = refused("schedule-merge", Stage::Merge, &[0], json!({}));
    assert!(no_column.contains("requires column `modification_epoch`"), "{no_column}");
    let describe = refused("faulty-describe", Stage::Filter, &[0], json!({}));
    assert!(describe.contains("`describe` failed: trapped"), "{describe}");
}

#[test]
fn all_plugins_that_cannot_run_are_told_at_once() {
    let specs = [
        spec("faulty", Stage::Merge, &[0], json!({"mode": "open-error"})),
        spec("schedule-merge", Stage::Merge, &[0], json!({})),
        spec("faulty-describe", Stage::Filter, &[0], json!({})),
    ];
    let errors = Pipeline::open(&engine(|_| ()), &specs, &[notes()]).err().unwrap();
    let plugins: Vec<&str> = errors.iter().map(|error| error.plugin.as_str()).collect();
    assert_eq!(plugins, ["faulty", "schedule-merge", "faulty-describe"]);
}

#[test]
fn a_table_has_one_merge_plugin() {
    let specs = [
        spec("faulty", Stage::Merge, &[1], json!({"column": "region_source"})),
        spec("schedule-merge", Stage::Merge, &[1], json!({})),
    ];
    let errors = Pipeline::open(&engine(|_| ()), &specs, &[schedules()]).err().unwrap();
    assert!(
        told(&errors).contains("table `schedules` has a merge plugin already: `faulty`"),
        "{}",
        told(&errors)
    );
}

#[test]
fn a_file_that_is_cut_off_or_damaged_is_refused() {
    let sound = fs::read(guests::wasm("schedule-merge")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(|_| ());
    let mut refusals = Vec::new();
    for (name, bytes) in [("cut", &sound[..sound.len() / 2]), ("short", &sound[..12]), ("empty", &[][..])] {
        let path = folder.path().join(format!("{name}.wasm"));
        fs::write(&path, bytes).unwrap();
        refusals.push(inspect(&engine, &path).unwrap_err().to_string());
    }
    assert!(refusals[0].contains("damaged or cut off"), "{}", refusals[0]);
    assert!(refusals[1].contains("damaged or cut off"), "{}", refusals[1]);
    assert!(refusals[2].contains("an empty file"), "{}", refusals[2]);
    let large =
        PluginEngine::start(Limits { artifact_bytes: 1000, ..Limits::default() }, CompileCache::off())
            .unwrap();
    let error = inspect(&large, &guests::wasm("schedule-merge")).unwrap_err();
    assert!(error.to_string().contains("larger than 1000 bytes"), "{error}");
}

#[test]
fn a_plugin_says_what_it_is() {
    let described = inspect(&engine(|_| ()), &guests::wasm("faulty")).unwrap();
    assert_eq!((described.name.as_str(), described.stages), ("faulty", vec![Stage::Filter, Stage::Merge]));
    assert!(described.config_schema.unwrap()["properties"]["mode"].is_object());
    assert!(inspect(&engine(|_| ()), &guests::wasm("schedule-merge")).unwrap().config_schema.is_none());
}

#[test]
fn contracts_are_told_to_the_plan_by_name() {
    let specs = [spec("schedule-merge", Stage::Merge, &[1], json!({}))];
    let pipeline = Pipeline::new(&engine(|_| ()), &specs, &[notes(), schedules()]);
    let merge = pipeline.set.merge_of(TableId(1)).unwrap();
    assert_eq!(merge, ("schedule-merge", vec!["modification_epoch", "region_source"]));
    assert!(pipeline.set.merge_of(TableId(0)).is_none());
    let (_, contract) = pipeline.set.contracts().next().unwrap();
    let first = Reading::Column {
        side: Side::After,
        name: "modification_epoch".into(),
        logical: Logical::Int,
        in_sink: true,
    };
    assert_eq!((contract.reads.len(), &contract.reads[0]), (4, &first));
}

#[test]
fn a_generation_is_told_by_files_configurations_and_tables() {
    let engine = engine(|_| ());
    let described = |config: Value| {
        let specs = [
            spec("schedule-merge", Stage::Merge, &[1], json!({})),
            spec("faulty", Stage::Filter, &[0], config),
        ];
        Pipeline::new(&engine, &specs, &[notes(), schedules()]).set.generation_description()
    };
    let one: Value = serde_json::from_str(&described(json!({"mode": "none", "marker": "a"}))).unwrap();
    assert_eq!(
        (&one[0]["name"], &one[0]["stage"], &one[0]["tables"]),
        (&json!("faulty"), &json!("filter"), &json!(["notes"]))
    );
    assert_eq!((&one[1]["name"], &one[1]["stage"]), (&json!("schedule-merge"), &json!("merge")));
    assert_eq!(one[0]["digest"].as_str().unwrap().len(), 64);
    assert_eq!(
        described(json!({"marker": "a", "mode": "none"})),
        one.to_string(),
        "the order of keys means nothing"
    );
    assert_ne!(described(json!({"marker": "b"})), one.to_string());
}

#[test]
fn a_compiled_plugin_is_kept_and_runs_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let described = || {
        let engine = PluginEngine::start(Limits::default(), CompileCache::at(&cache)).unwrap();
        inspect(&engine, &guests::wasm("schedule-merge")).unwrap()
    };
    let compiled = described();
    let kept: Vec<_> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1);
    let read_back = described();
    assert_eq!((read_back.digest, read_back.version), (compiled.digest, compiled.version));
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);
}
