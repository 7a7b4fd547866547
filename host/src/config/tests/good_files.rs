//! Good files: what the plan holds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{MINIMAL, WHOLE, World, read};
use crate::config::{
    Artifact, BeforeImages, Deletes, Format, Leaves, LocalWrites, LogFormat, Policy, SinkTarget, Stage, load,
    parse,
};

#[test]
fn the_minimal_file_has_every_default() {
    let plan = read(MINIMAL).unwrap();
    assert_eq!((plan.name.as_str(), plan.region.as_str()), ("orders", "eu-west-1"));
    let source = &plan.sources[0];
    assert_eq!((source.name.as_str(), source.partitions, source.format), ("main", 1, Format::Native));
    assert_eq!(source.nats.url.expose(), "nats://127.0.0.1:4222");
    assert_eq!(source.debezium.unavailable_value, "__debezium_unavailable_value");
    assert_eq!(plan.sink.target, SinkTarget::Sqlite { path: "/etc/reconverge/orders.db".into() });
    assert_eq!(plan.sink.local_writes, LocalWrites::Expected);
    assert_eq!((plan.limits.batch_rows, plan.limits.batch_bytes), (8000, 8 << 20));
    assert_eq!(plan.limits.linger, Duration::from_millis(5));
    assert_eq!(plan.limits.parked_age, Duration::from_secs(24 * 3600));
    assert_eq!((plan.limits.plugin.fuel_base, plan.limits.plugin.fuel_per_row), (10_000_000, 100_000));
    assert_eq!((plan.metrics, plan.log), (None, LogFormat::Line));
    let table = &plan.tables[0];
    assert_eq!((&table.policy, table.deletes), (&Policy::LwwCommitTime, Deletes::Win));
    assert_eq!((table.before_images, table.leaves), (BeforeImages::Key, Leaves::Delete));
    assert_eq!((table.target.as_str(), &table.key_from), ("orders", &vec!["order_id".to_owned()]));
    assert_eq!(plan.lanes[table.lane].name, "main");
    assert!(plan.warnings.is_empty() && plan.unsupported().is_empty());
}

#[test]
fn the_whole_form_is_read() {
    let plan = read(WHOLE).unwrap();
    let SinkTarget::Postgres { url, schema } = &plan.sink.target else { panic!("not PostgreSQL") };
    assert_eq!((url.expose(), schema.as_str()), ("postgres://app:hunter2@db/cc", "public"));
    let names: Vec<_> = plan.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["wem_audio_metadata", "wfm_schedule_events", "wem_transcription_text"]);
    let child = &plan.tables[2];
    assert_eq!(
        (child.depends_on[0].parent, child.depends_on[0].columns.as_slice()),
        (0, &["audio_id".to_owned()][..])
    );
    assert_eq!(plan.lanes[child.lane].name, "bulk");
    assert_eq!(plan.lanes[child.lane].after, [0]);
    let schedules = &plan.tables[1];
    assert_eq!(schedules.policy, Policy::Plugin("wfm-schedules".to_owned()));
    assert_eq!(schedules.schema.accept.len(), 2);
    assert_eq!(
        schedules.schema.json_schema.as_deref(),
        Some(Path::new("/etc/reconverge/schemas/wfm_schedule_events.json"))
    );
    assert_eq!(schedules.column_tags["agent_email"], ["pii"]);
    let stages: Vec<_> = plan.chain(1).iter().map(|plugin| plugin.stage).collect();
    assert_eq!(stages, [Stage::Residency, Stage::Merge]);
    let merge = plan.plugin("wfm-schedules").unwrap();
    assert_eq!(merge.artifact, Artifact::File("/etc/reconverge/plugins/wfm_schedules.wasm".into()));
    assert_eq!((merge.tables.as_slice(), &merge.config["tie"]), (&[1][..], &"region_source".into()));
    assert_eq!(plan.metrics.unwrap().to_string(), "127.0.0.1:9464");
    assert!(!format!("{plan:?}").contains("hunter2"));
}

#[test]
fn the_whole_form_asks_for_nothing_that_this_version_cannot_run() {
    let plan = read(WHOLE).unwrap();
    let refused: Vec<_> = plan.unsupported().iter().map(|p| p.message().to_owned()).collect();
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn a_table_that_cannot_wait_for_a_parent_is_refused_with_its_place() {
    let own = "depends_on = [{ table = \"orders\", columns = [\"parent\"] }]\nkey = [";
    let plan = read(&MINIMAL.replace("key = [", own)).unwrap();
    assert!(
        plan.unsupported().is_empty() && plan.tables[0].depends_on[0].parent == 0,
        "a tree is no problem"
    );
    let child = "[[table]]\nname = \"lines\"\nkey = [\"id\"]\npolicy = \"none\"\n\
                 depends_on = [{ table = \"orders\", columns = [\"order_id\"] }]\n";
    let plan = read(&(MINIMAL.to_owned() + child)).unwrap();
    assert!(plan.unsupported()[0].message().starts_with("`depends_on` of a table with `policy = \"none\"`"));
}

#[test]
fn several_sources_have_names_and_make_key_images_doubtful() {
    let second = "[[source]]\nname = \"west\"\nstream = \"CDC_W\"\nsubjects = \"w.{partition}.>\"\n\n[sink]";
    let text = MINIMAL.replace("[source]", "[[source]]\nname = \"east\"").replace("[sink]", second);
    let plan = read(&text).unwrap();
    let names: Vec<_> = plan.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["east", "west"]);
    assert!(plan.has_several_sources());
    assert!(plan.unsupported().is_empty());
    assert!(plan.warnings[0].message().contains("needs full before images"));
    assert!(read(&text.replace("key = [", "before_images = \"full\"\nkey = [")).unwrap().warnings.is_empty());
}

#[test]
fn a_table_is_found_by_schema_and_name_the_qualified_one_first() {
    let text = MINIMAL.to_owned()
        + "[[table]]\nname = \"audit.orders\"\ntarget = \"audit_orders\"\nkey = [\"id\"]\n";
    let plan = read(&text).unwrap();
    let found = |schema, table| plan.table_of(schema, table).map(|index| plan.tables[index].target.as_str());
    assert_eq!(found(Some("public"), "orders"), Some("orders"));
    assert_eq!(found(Some("audit"), "orders"), Some("audit_orders"));
    assert_eq!(found(None, "orders"), Some("orders"));
    assert_eq!(found(Some("public"), "other"), None);
}

#[test]
fn columns_and_files_are_checked_when_they_can_be_known() {
    let text = MINIMAL.to_owned()
        + "policy = \"lww:updated_att\"\n[[plugin]]\nname = \"p\"\npath = \"p.wasm\"\nstage = \"filter\"\ntables = [\"*\"]\n";
    let plan = read(&text).unwrap();
    let problems = plan.column_problems(&plan.tables[0], &["order_id", "updated_at"]);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].position(), (15, 10));
    assert_eq!(problems[0].hint(), Some("did you mean `updated_at`?"));
    assert_eq!(plan.missing_files(&World::default()).len(), 1);
    assert!(plan.missing_files(&World::default().file("/etc/reconverge/p.wasm", "")).is_empty());
}

#[test]
fn the_digest_follows_what_a_checkpoint_depends_on_and_nothing_else() {
    let digest = |text: &str| read(text).unwrap().digest();
    let first = digest(MINIMAL);
    for same in [("[\"order_id\"]", "[\"order_id\"]\npolicy = \"none\""), ("orders.db", "other.db")] {
        assert_eq!(digest(&MINIMAL.replace(same.0, same.1)), first, "{same:?}");
    }
    for other in [("order_id", "id"), ("CDC_US", "CDC_EU"), ("\"orders\"\nkey", "\"lines\"\nkey")] {
        assert_ne!(digest(&MINIMAL.replace(other.0, other.1)), first, "{other:?}");
    }
}

#[test]
fn keys_without_effect_are_warnings() {
    let text =
        MINIMAL.replace("key = [", "policy = \"none\"\narchive = \"loser\"\ndeletes = \"win\"\nkey = [");
    let plan = read(&text).unwrap();
    let warned: Vec<_> = plan.warnings.iter().map(|warning| warning.position()).collect();
    assert_eq!(warned, [(15, 11), (16, 11)]);
}

#[test]
fn a_file_that_is_not_there_is_an_error_that_says_so() {
    let error = load(Path::new("/nowhere/pipeline.toml")).unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/pipeline.toml cannot be read");
    assert!(error.problems().is_empty());
}

#[test]
fn the_demo_has_the_rules_of_its_capture() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/split-brain");
    let path = folder.join("pipeline.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let world = |url| World::default().with("RECONVERGE_SINK_URL", url).with("NATS_URL", "nats://demo:4222");
    let plan = parse(&text, &path, &world("sqlite://sink.db")).unwrap();
    assert_eq!(plan.sink.target, SinkTarget::Sqlite { path: folder.join("sink.db") });
    assert_eq!(plan.sources[0].nats.url.expose(), "nats://demo:4222");
    assert_eq!(plan.sources[0].subjects.filter(0), "*.*.*");
    let rule = |name: &str| {
        let table = plan.tables.iter().find(|table| table.name == name).unwrap();
        (table.policy.clone(), table.deletes, table.before_images)
    };
    let (key, full) = (BeforeImages::Key, BeforeImages::Full);
    let lww = |column: &str| Policy::Lww(column.to_owned());
    assert_eq!(
        rule("agent_schedules"),
        (Policy::Plugin("schedule-merge".to_owned()), Deletes::Ordered, full)
    );
    assert_eq!(rule("wem_audio_metadata"), (Policy::LwwCommitTime, Deletes::Win, full));
    assert_eq!(rule("wem_transcription_text"), (lww("updated_at"), Deletes::Win, key));
    assert_eq!(rule("interaction_events"), (lww("timestamp"), Deletes::Win, key));
    assert_eq!(rule("customer_profiles"), (Policy::LwwCommitTime, Deletes::Win, full));
    assert!(plan.unsupported().is_empty());
    let postgres = parse(&text, &path, &world("postgres://localhost/demo")).unwrap();
    assert!(matches!(postgres.sink.target, SinkTarget::Postgres { .. }));
}
