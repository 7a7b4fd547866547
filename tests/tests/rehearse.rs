//! `reconverge rehearse --conflicts` looks at a real sink and never writes to it, whether a pipeline has run there or not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use std::fs;

use reconverge_capture::Database;
use reconverge_tests::{Change, Kind, Scene, guest};
use serde_json::{Value, json};

const TABLE: &str = "CREATE TABLE shifts (id bigint PRIMARY KEY NOT NULL, modification_epoch bigint NOT NULL,
    region_source text NOT NULL);";

fn rules() -> String {
    format!(
        "[[table]]\nname = \"shifts\"\nkey = [\"id\"]\npolicy = {{ plugin = \"rule\" }}\narchive = \"loser\"\n\n\
         [[plugin]]\nname = \"rule\"\npath = {:?}\nstage = \"merge\"\n",
        guest("schedule-merge")
    )
}

/// All that a look must leave as it is: the file, or what the server knows of tables and of rows written.
async fn everything(scene: &Scene) -> Vec<u8> {
    match &scene.sink {
        Database::Sqlite(file) => fs::read(file).unwrap(),
        Database::Postgres(_) => {
            let tables = "SELECT relname, relfilenode, relkind::text FROM pg_class WHERE relnamespace::regnamespace::text \
                          IN ('public', 'reconverge') ORDER BY 1, 2";
            let mut all = format!("{:?}", scene.texts(tables).await);
            let names = "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.tables \
                         WHERE table_schema IN ('public', 'reconverge') AND table_type = 'BASE TABLE' ORDER BY 1";
            for table in scene.column(names).await {
                // A row that is written gets another xmin or ctid, even by the same values.
                let rows = format!("SELECT t.xmin, t.ctid, t.* FROM {table} t ORDER BY t.ctid");
                all.push_str(&format!("{table} {:?}", scene.texts(&rows).await));
            }
            all.into_bytes()
        }
    }
}

async fn the_sink_is_left_as_it_is(name: &str, kind: Kind) {
    let scene = Scene::new(name, kind, TABLE).await;
    scene.write(&rules());
    let fresh = everything(&scene).await;
    let ended = scene.call(&["rehearse", "--conflicts"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("no pipeline has run into it"), "{}", ended.stderr);
    assert!(everything(&scene).await == fresh, "a look made something in a sink where nothing ran");
    let shift = |source, place, epoch| {
        let row = json!({"id": 1, "modification_epoch": epoch, "region_source": source});
        Change::write(source, place, "shifts", json!({"id": 1}), row)
    };
    scene.publish(&[shift("east", 1, 5), shift("west", 2, 3)]).await;
    scene.run().await;
    let run = everything(&scene).await;
    let report: Value = scene.call(&["rehearse", "--conflicts", "--json"]).await.done().json();
    assert_eq!(report["changes"], json!(2), "both sides of the conflict are played: {report}");
    assert!(everything(&scene).await == run, "a look wrote to the sink");
    played_from_a_capture(&scene).await;
}

/// Changes that have met their rows, and contests that were decided, are played from the file that `capture` writes.
async fn played_from_a_capture(scene: &Scene) {
    for (words, changes) in [(&["--decided"][..], 2), (&[][..], 2)] {
        let capture = [&["capture", "--out", "captured.jsonl"], words].concat();
        scene.call(&capture).await.done();
        let report: Value = scene.call(&["rehearse", "--a", "captured.jsonl", "--json"]).await.done().json();
        assert_eq!(report["changes"], json!(changes), "{words:?}: {report}");
        assert_eq!(report["diverging"], json!([]), "{report}");
    }
}

#[tokio::test]
async fn a_rehearsal_leaves_an_sqlite_file_as_it_is() {
    the_sink_is_left_as_it_is("rehearse_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn a_rehearsal_leaves_a_postgres_database_as_it_is() {
    the_sink_is_left_as_it_is("rehearse_postgres", Kind::Postgres).await;
}
