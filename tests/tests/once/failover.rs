//! A sink that is older than it was: failed over to a replica that lagged, or put back from a copy. Rows and checkpoint
//! went back together, so what is applied again has no second effect.

use reconverge_capture::Database;
use reconverge_tests::{Change, Kind, Scene};
use serde_json::{Value, json};
use tokio_postgres::NoTls;

const TABLE: &str = "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);";
const RULES: &str = "[[table]]\nname = \"goods\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\n";

/// Writes and deletes of ten keys by a source with positions, and writes of ten others by one with event ids only.
fn changes(commits: std::ops::RangeInclusive<u64>) -> Vec<Change> {
    let of = |commit: u64| {
        let id = commit % 10;
        let (key, row) = (json!({"id": id}), json!({"id": id, "version": commit}));
        let placed = match commit % 7 {
            0 => Change::delete("shop", commit, "goods", key, Value::Null),
            _ => Change::write("shop", commit, "goods", key, row),
        };
        let id = 100 + id;
        let row = json!({"id": id, "version": commit});
        let told = Change::write("till", commit, "goods", json!({"id": id}), row).without("pos");
        [placed, told.with("event_id", json!(format!("t{commit}")))]
    };
    commits.flat_map(of).collect()
}

async fn rows(scene: &Scene) -> Vec<String> {
    scene.column("SELECT id || ' ' || version FROM goods ORDER BY id").await
}

/// What a clean run ends with.
async fn clean(name: &str) -> Vec<String> {
    let scene = Scene::new(name, Kind::Sqlite, TABLE).await;
    scene.write(RULES);
    scene.publish(&changes(1..=60)).await;
    scene.run().await;
    rows(&scene).await
}

/// Runs statements on the server beside the scene's database, one by one: no session may be in that.
async fn beside(url: &str, statements: &[String]) {
    let (server, _) = url.rsplit_once('/').unwrap();
    let (client, connection) = tokio_postgres::connect(&format!("{server}/postgres"), NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    for statement in statements {
        client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// Keeps everybody out of a database, and waits until nobody is in.
fn closed(name: &str) -> [String; 2] {
    [
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        format!(
            "DO $$ BEGIN LOOP PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'; \
             EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = '{name}'); PERFORM pg_sleep(0.01); \
             PERFORM pg_stat_clear_snapshot(); END LOOP; END $$"
        ),
    ]
}

#[tokio::test]
async fn postgres_that_failed_over_to_an_older_replica() {
    let name = "failed_over";
    let scene = Scene::new(name, Kind::Postgres, TABLE).await;
    scene.write(RULES);
    let url = scene.sink.url();
    let running = scene.start(&["run", "--json"]);
    let early = *scene.publish(&changes(1..=30)).await.last().unwrap();
    scene.until_committed(early).await;
    let mut copy = closed(name).to_vec();
    copy.push(format!("CREATE DATABASE {name}_replica TEMPLATE {name}"));
    copy.push(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
    beside(&url, &copy).await;
    let late = *scene.publish(&changes(31..=60)).await.last().unwrap();
    scene.until_committed(late).await;
    let mut fail_over = closed(name).to_vec();
    fail_over.push(format!("ALTER DATABASE {name} RENAME TO {name}_lost"));
    fail_over.push(format!("ALTER DATABASE {name}_replica RENAME TO {name}"));
    beside(&url, &fail_over).await;
    scene.until_committed(late).await;
    running.signal("TERM").await;
    let ended = running.ended().await.done();
    let told = ended.stderr.lines().find(|line| line.contains("sink.went_back"));
    let told = told.unwrap_or_else(|| panic!("it was to be said: {}", ended.stderr));
    assert!(told.contains(&format!("sequence={early}")) && told.contains(&format!("known={late}")), "{told}");
    assert_eq!(rows(&scene).await, clean("failed_over_clean").await);
    let audit = scene.audit().await;
    assert_eq!((audit.lanes[0].delivered, audit.lanes[0].sum), (120, 120));
}

#[tokio::test]
async fn sqlite_put_back_from_a_copy() {
    let scene = Scene::new("put_back", Kind::Sqlite, TABLE).await;
    scene.write(RULES);
    let Database::Sqlite(file) = &scene.sink else { unreachable!("a scene of SQLite") };
    scene.publish(&changes(1..=30)).await;
    scene.run().await;
    let copy = file.with_extension("copy");
    scene.sink.execute(&format!("VACUUM INTO '{}'", copy.display())).await.unwrap();
    scene.publish(&changes(31..=60)).await;
    scene.run().await;
    for end in ["-wal", "-shm"] {
        let beside = file.with_file_name(format!("{}{end}", file.file_name().unwrap().to_str().unwrap()));
        if beside.exists() {
            std::fs::remove_file(beside).unwrap();
        }
    }
    std::fs::rename(&copy, file).unwrap();
    let report = scene.run().await;
    assert_eq!(report.changes, 60, "what was lost is applied again: {report:?}");
    assert_eq!((report.sum("duplicate"), report.sum("regressed")), (0, 0), "{report:?}");
    assert_eq!(rows(&scene).await, clean("put_back_clean").await);
    let audit = scene.audit().await;
    assert_eq!((audit.lanes[0].delivered, audit.lanes[0].sum), (120, 120));
}
