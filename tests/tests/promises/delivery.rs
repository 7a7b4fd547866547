//! Promises about what becomes of each change: no loss, no double effect, the order of a key, no loops.

use reconverge_tests::{Change, Kind, Scene};
use serde_json::{Value, json};

const TABLES: &str =
    "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, note text, version bigint NOT NULL);
    CREATE TABLE last (id bigint PRIMARY KEY NOT NULL, note text, version bigint NOT NULL);";
const RULES: &str = "[[table]]\nname = \"goods\"\nkey = [\"id\"]\npolicy = \"max:version\"\n\n\
    [[table]]\nname = \"last\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\n";

fn write(source: &str, commit: u64, table: &str, id: u64, version: u64) -> Change {
    let row = json!({"id": id, "note": format!("{source} {commit}"), "version": version});
    Change::write(source, commit, table, json!({"id": id}), row)
}

/// Every kind of message: good ones, one that loses, a repetition, an older one, our own, an unlisted table, and
/// messages that cannot be read or applied.
fn every_kind(round: u64) -> Vec<Change> {
    let commit = round * 10;
    vec![
        write("east", commit + 1, "goods", round, 5),
        write("west", commit + 1, "goods", round, 4),
        write("west", commit + 2, "goods", round, 9),
        write("east", commit + 1, "goods", round, 5),
        write("east", commit, "goods", round, 5),
        write("here", commit + 3, "goods", round, 99),
        write("east", commit + 4, "unheard_of", round, 1),
        write("east", commit + 5, "last", round, 1),
        write("east", commit + 6, "goods", round, 1).with("op", json!("?")),
        Change::delete("east", commit + 7, "last", json!({"id": round}), Value::Null),
    ]
}

#[tokio::test]
async fn promise_01_no_loss() {
    for (name, kind) in [("loss_sqlite", Kind::Sqlite), ("loss_postgres", Kind::Postgres)] {
        let mut scene = Scene::new(name, kind, TABLES).await;
        scene.rows = 13;
        scene.write(RULES);
        let changes: Vec<Change> = (0..30).flat_map(every_kind).collect();
        scene.publish(&changes).await;
        scene.publish_bytes("goods", Change::headers(), "{").await;
        let report = scene.run().await;
        let delivered = changes.len() as u64 + 1;
        let of = |word: &str| report.sum(word);
        assert_eq!(
            [of("applied"), of("kept-current"), of("duplicate"), of("regressed"), of("echo"), of("unlisted")],
            [90, 30, 30, 30, 30, 30],
            "{report:?}"
        );
        assert_eq!((of("dead-lettered"), of("deleted")), (31, 30), "{report:?}");
        let audit = scene.audit().await;
        assert_eq!((audit.lanes[0].delivered, audit.lanes[0].sum), (delivered, delivered));
        let letters = format!("SELECT count(*) FROM {}", scene.sidecar("dead_letter"));
        assert_eq!(scene.column(&letters).await, ["31"], "each dead letter is durable in the sink");
    }
}

async fn rows(scene: &Scene) -> Vec<String> {
    let query = "SELECT 'goods ' || id || ' ' || note || ' ' || version FROM goods \
                 UNION ALL SELECT 'last ' || id || ' ' || note || ' ' || version FROM last ORDER BY 1";
    scene.column(query).await
}

#[tokio::test]
async fn promise_02_no_double_effect() {
    for (name, kind) in [("twice_sqlite", Kind::Sqlite), ("twice_postgres", Kind::Postgres)] {
        let mut scene = Scene::new(name, kind, TABLES).await;
        // Few enough that the dead letters of a batch are no storm.
        scene.rows = 50;
        scene.write(RULES);
        let changes: Vec<Change> = (0..30).flat_map(every_kind).filter(|c| c.source() != "here").collect();
        scene.publish(&changes).await;
        scene.run().await;
        let once = rows(&scene).await;
        assert_eq!(once.len(), 30, "30 rows of `goods`, none of `last`: {once:?}");
        // The publisher restarts from before, and sends everything again with new sequences.
        scene.publish(&changes).await;
        let report = scene.run().await;
        assert_eq!(rows(&scene).await, once);
        assert_eq!(
            (report.sum("applied"), report.sum("deleted"), report.sum("kept-current")),
            (0, 0, 0),
            "{report:?}"
        );
        scene.audit().await;
    }
}

#[tokio::test]
async fn promise_03_key_order() {
    // Under `take-incoming` the last change of a key stands, so any disorder shows. The change before the last of
    // every third key cannot be written, and holds back nobody.
    let changes: Vec<Change> = (1..=40_u64)
        .flat_map(|round| {
            (1..=25_u64).map(move |id| {
                let change = write("east", round * 100 + id, "last", id, round);
                if round == 39 && id % 3 == 0 {
                    change.with("after", json!({"id": id, "version": null}))
                } else {
                    change
                }
            })
        })
        .collect();
    for rows in [1, 7, 64, 1000] {
        let mut scene = Scene::new(&format!("order_{rows}"), Kind::Sqlite, TABLES).await;
        scene.rows = rows;
        scene.write(RULES);
        scene.publish(&changes).await;
        let report = scene.run().await;
        assert_eq!((report.sum("applied"), report.sum("dead-lettered")), (992, 8), "batches of {rows}");
        let wrong = "SELECT id FROM last WHERE version <> 40 OR note <> 'east ' || (4000 + id)";
        assert_eq!(scene.column(wrong).await, Vec::<String>::new(), "batches of {rows}");
        assert_eq!(scene.column("SELECT count(*) FROM last").await, ["25"]);
    }
}

#[tokio::test]
async fn promise_12_no_loops() {
    let rules = format!("{RULES}origin_column = \"note\"\n");
    for (name, kind) in [("loops_sqlite", Kind::Sqlite), ("loops_postgres", Kind::Postgres)] {
        let scene = Scene::new(name, kind, TABLES).await;
        scene.write(&rules);
        let changes = [
            // It began here and comes back by another region's stream.
            write("east", 1, "goods", 1, 9).with("origin", json!("here")),
            // It passed here before.
            write("east", 2, "goods", 2, 9).with("hops", json!(["west", "here"])),
            // The row itself says that we wrote it.
            write("east", 3, "last", 3, 9).with("after", json!({"id": 3, "note": "here", "version": 9})),
            // Passed others, and is new to us.
            write("east", 4, "goods", 4, 9).with("hops", json!(["west"])),
        ];
        scene.publish(&changes).await;
        // A relay tells in the header which regions it has passed.
        let relayed = write("east", 5, "goods", 5, 9);
        let mut headers = Change::headers();
        headers.insert("Reconverge-Hops", "west, here");
        scene.publish_bytes("goods", headers, relayed.payload()).await;
        let report = scene.run().await;
        assert_eq!((report.sum("echo"), report.sum("applied")), (4, 1), "{report:?}");
        assert_eq!(rows(&scene).await, ["goods 4 east 4 9"]);
        scene.audit().await;
    }
}
