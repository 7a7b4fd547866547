//! Lanes of one process side by side: each message is exactly one lane's, and one lane's end is not the others'.

use reconverge_capture::create_stream;
use reconverge_tests::{Change, Kind, Lanes, Scene, delivered};
use serde_json::json;

const TABLES: &str = "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);
    CREATE TABLE notes (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);
    CREATE TABLE tags (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);";
const RULES: &str = "[[table]]\nname = \"goods\"\nkey = [\"id\"]\npolicy = \"max:version\"\n\n\
    [[table]]\nname = \"notes\"\nkey = [\"id\"]\npolicy = \"max:version\"\nlane = \"bulk\"\n\n\
    [[table]]\nname = \"tags\"\nkey = [\"id\"]\npolicy = \"none\"\nlane = \"side\"\n\n\
    [[lane]]\nname = \"bulk\"\n\n[[lane]]\nname = \"side\"\n";

fn write(source: &str, table: &str, id: u64, version: u64) -> Change {
    let row = json!({"id": id, "version": version});
    Change::write(source, version * 1000 + id, table, json!({"id": id}), row)
}

fn lane<'a>(lanes: &'a Lanes, name: &str) -> &'a reconverge_tests::Checkpoint {
    lanes.get(name).unwrap_or_else(|| panic!("no lane {name} in {lanes:?}"))
}

async fn each_message_is_one_lanes(name: &str, kind: Kind) {
    let mut scene = Scene::new(name, kind, TABLES).await;
    scene.rows = 40;
    scene.partitions = 3;
    scene.write(RULES);
    let mut changes = Vec::new();
    for version in 1..=20 {
        for id in 0..30 {
            let partition = u32::try_from(id % 3).unwrap();
            for table in ["goods", "notes", "tags"] {
                changes.push(write("east", table, id, version).in_partition(partition));
            }
            if id == 7 {
                changes.push(write("east", "unheard_of", id, version).in_partition(partition));
                // The subject says one table, the envelope another: the envelope is the truth.
                changes.push(write("east", "goods", 100 + version, 1).with("table", json!("public.notes")));
                changes.push(write("east", "notes", id, version).with("op", json!("?")));
            }
        }
    }
    scene.publish(&changes).await;
    scene.publish_bytes("notes", Change::headers(), "{").await;
    let report = scene.run().await;
    let all = changes.len() as u64 + 1;
    assert_eq!(report.changes, all, "{report:?}");
    let lanes = scene.lanes().await;
    assert_eq!(lanes.len(), 9, "{lanes:?}");
    assert_eq!(delivered(&lanes), all);
    assert!(lanes.values().all(|lane| lane.sequence == all && lane.sum == lane.delivered), "{lanes:?}");
    let of = |name: &str| lane(&lanes, name).delivered;
    // 20 versions of 10 ids; in partition 0 besides 20 that name `notes` in the envelope and 20 refused ones.
    assert_eq!([of("main/bulk/0"), of("main/bulk/1"), of("main/bulk/2")], [240, 200, 200]);
    assert_eq!([of("main/side/0"), of("main/side/1"), of("main/side/2")], [200, 200, 200]);
    // What is unlisted or unreadable is `main`'s.
    assert_eq!([of("main/main/0"), of("main/main/1"), of("main/main/2")], [201, 220, 200]);
    for table in ["goods", "tags"] {
        let wrong = format!("SELECT id FROM {table} WHERE version <> 20");
        assert_eq!(scene.column(&wrong).await, Vec::<String>::new(), "{table}");
        assert_eq!(scene.column(&format!("SELECT count(*) FROM {table}")).await, ["30"], "{table}");
    }
    assert_eq!(scene.column("SELECT count(*) FROM notes").await, ["50"]);
    let audit = scene.audit().await;
    assert_eq!(audit.lanes.len(), 9);
    // Nothing is done twice, by whichever lane.
    assert_eq!(scene.run().await.changes, 0);
}

#[tokio::test]
async fn each_message_is_one_lanes_sqlite() {
    each_message_is_one_lanes("shares_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn each_message_is_one_lanes_postgres() {
    each_message_is_one_lanes("shares_postgres", Kind::Postgres).await;
}

/// Two streams into one sink, on the same rows.
async fn two_sources(scene: &Scene, name: &str) -> Vec<u64> {
    let other = format!("{name}_west");
    create_stream(&scene.jetstream, &other.to_uppercase(), &[&format!("{other}.>")]).await.unwrap();
    let source = |of: &str, stream: &str| {
        format!(
            "[[source]]\nname = \"{of}\"\nurl = {:?}\nstream = {:?}\nsubjects = \"{stream}.{{source}}.{{partition}}.>\"\n\n",
            scene.nats,
            stream.to_uppercase()
        )
    };
    let head = format!("[pipeline]\nname = {:?}\nregion = \"here\"\n\n", scene.pipeline);
    let sink = format!("[sink]\nurl = {:?}\n\n", scene.sink.url());
    scene.write_whole(&format!("{head}{}{}{sink}{RULES}", source("east", name), source("west", &other)));
    let changes: Vec<Change> = (0..50).map(|id| write("east", "goods", id, 1)).collect();
    scene.publish(&changes).await;
    let mut sequences = Vec::new();
    for id in 0..60 {
        let change = write("west", "goods", id, 2);
        let sent =
            scene.jetstream.publish_with_headers(change.subject(&other), Change::headers(), change.payload());
        sequences.push(sent.await.unwrap().await.unwrap().sequence);
    }
    sequences
}

async fn sources_meet_in_one_sink(name: &str, kind: Kind) {
    let scene = Scene::new(name, kind, TABLES).await;
    let sent = two_sources(&scene, name).await;
    let broken = write("west", "goods", 1, 3).with("after", json!({"id": 1, "version": "three"}));
    let subject = broken.subject(&format!("{name}_west"));
    let sent_broken = scene.jetstream.publish_with_headers(subject, Change::headers(), broken.payload());
    sent_broken.await.unwrap().await.unwrap();
    let report = scene.run().await;
    assert_eq!(report.changes, 111);
    assert_eq!(scene.column("SELECT id FROM goods WHERE version <> 2").await, Vec::<String>::new());
    assert_eq!(scene.column("SELECT count(*) FROM goods").await, ["60"]);
    let lanes = scene.lanes().await;
    assert_eq!(lane(&lanes, "east/main/0").delivered, 50);
    assert_eq!((lane(&lanes, "west/main/0").delivered, lane(&lanes, "west/main/0").sequence), (61, 61));
    assert_eq!(sent.last(), Some(&60));
    scene.audit().await;
    // A dead letter goes back to the stream that it came from.
    let letter = scene.letters().await.remove(0);
    scene.call(&["dlq", "redrive", &letter.id.to_string()]).await.done();
    let again = scene.run().await;
    assert_eq!((again.changes, again.sum("dead-lettered")), (1, 1));
    assert_eq!(scene.letters().await.last().unwrap().sequence, 62);
    scene.audit().await;
}

#[tokio::test]
async fn sources_meet_in_one_sink_sqlite() {
    sources_meet_in_one_sink("meet_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn sources_meet_in_one_sink_postgres() {
    sources_meet_in_one_sink("meet_postgres", Kind::Postgres).await;
}

#[tokio::test]
async fn one_lanes_end_is_not_the_others() {
    let name = "ends";
    let scene = Scene::new(name, Kind::Postgres, TABLES).await;
    two_sources(&scene, name).await;
    scene.run().await;
    // The stream of one source is made anew: its lanes may not go on, and the other's must.
    let other = format!("{name}_west");
    scene.jetstream.delete_stream(other.to_uppercase()).await.unwrap();
    create_stream(&scene.jetstream, &other.to_uppercase(), &[&format!("{other}.>")]).await.unwrap();
    scene.publish(&[write("east", "goods", 77, 5), write("east", "notes", 78, 5)]).await;
    let ended = scene.call(&["run", "--until-caught-up", "--json"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report: reconverge_tests::Report = ended.json();
    assert_eq!(report.changes, 2, "what the others did is told");
    assert!(ended.stderr.contains("3 of 6 lanes stopped"), "{}", ended.stderr);
    for lane in ["bulk", "main", "side"] {
        assert!(ended.stderr.contains(&format!("ends/west/{lane}/0")), "{}", ended.stderr);
    }
    assert!(ended.stderr.contains("created anew"), "{}", ended.stderr);
    assert_eq!(scene.column("SELECT version FROM goods WHERE id = 77").await, ["5"]);
    // For a pipeline that runs on, too; health tells which lanes failed, and the end says it again.
    let running = scene.start(&["run", "--json"]);
    let sent = scene.publish(&[write("east", "notes", 79, 6)]).await;
    let reached = |lanes: &Lanes| lanes.get("east/bulk/0").is_some_and(|lane| lane.sequence >= sent[0]);
    scene.until_lanes("the other source's lane goes on", reached).await;
    running.signal("TERM").await;
    let ended = running.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("3 of 6 lanes stopped"), "{}", ended.stderr);
}

/// Whoever deals keys out to more partitions than the pipeline reads is told, before and while it runs.
#[tokio::test]
async fn what_no_lane_reads_is_told() {
    let mut scene = Scene::new("unread", Kind::Sqlite, TABLES).await;
    scene.partitions = 2;
    scene.write(RULES);
    let in_partition =
        |partition: u32| write("east", "goods", u64::from(partition), 1).in_partition(partition);
    scene.publish(&[in_partition(0), in_partition(1)]).await;
    let beyond = |found: &reconverge_tests::Found| {
        let told = found.problems.iter().find(|problem| problem.message.contains("no lane reads them"));
        told.map(|problem| problem.message.clone())
    };
    assert_eq!(beyond(&scene.check().await), None);
    scene.publish(&[in_partition(2), in_partition(7)]).await;
    let found = scene.check().await;
    assert!(found.ok, "a doubt, no fault: {found:?}");
    let told = beyond(&found).unwrap_or_default();
    assert!(told.contains("holds 2 messages of partitions that are not below 2"), "{found:?}");
    let ended = scene.call(&["run", "--until-caught-up", "--json"]).await.done();
    assert!(ended.stderr.contains("source.unread"), "{}", ended.stderr);
    assert_eq!(scene.column("SELECT id FROM goods ORDER BY id").await, ["0", "1"]);
}
