//! Source transactions stay whole within a lane: who reads the sink never sees half of one, whatever the size of a
//! batch. One that alone exceeds a batch is let go in parts, and that is said.

use std::time::Duration;

use reconverge_tests::{Change, Kind, Scene};
use serde_json::json;

const TABLES: &str = "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, version bigint NOT NULL);";
const RULES: &str = "[[table]]\nname = \"goods\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\n";
const ROWS: u64 = 7;

/// Change `n` of transaction `number`, which sets all rows to that version.
fn change(number: u64, n: u64, rows: u64, ends: bool) -> Change {
    let row = json!({"id": n, "version": number});
    let txn = json!({"id": format!("t{number}"), "n": n, "end": ends && n == rows});
    Change::write("shop", number, "goods", json!({"id": n}), row)
        .with("pos", json!({"source": "shop", "commit": number.to_string(), "ordinal": n}))
        .with("txn", txn)
}

fn transaction(number: u64, rows: u64, ends: bool) -> impl Iterator<Item = Change> {
    (1..=rows).map(move |n| change(number, n, rows, ends))
}

/// The versions that stand, and how many rows.
async fn seen(scene: &Scene) -> (Vec<u64>, u64) {
    let query = "SELECT min(version), max(version), count(*) FROM goods";
    let row = scene.texts(query).await.remove(0);
    let number = |at: usize| row[at].as_ref().and_then(|text| text.parse::<u64>().ok());
    let mut versions: Vec<u64> = [number(0), number(1)].into_iter().flatten().collect();
    versions.dedup();
    (versions, number(2).unwrap_or_default())
}

async fn never_half(name: &str, kind: Kind, ends: bool) {
    let mut scene = Scene::new(name, kind, TABLES).await;
    // No multiple of a transaction's rows.
    scene.rows = 25;
    scene.write(RULES);
    let last = 300;
    scene.publish(&(1..=last).flat_map(|t| transaction(t, ROWS, ends)).collect::<Vec<_>>()).await;
    let running = scene.start(&["run", "--until-caught-up", "--json"]);
    let reads = async {
        let mut different = 0;
        let mut before = 0;
        loop {
            let (versions, rows) = seen(&scene).await;
            assert!(
                versions.len() <= 1 && (rows == 0 || rows == ROWS),
                "half a transaction: {versions:?}, {rows} rows"
            );
            let now = versions.first().copied().unwrap_or_default();
            different += u64::from(now != before);
            before = now;
            if now == last {
                return different;
            }
        }
    };
    let Ok(different) = tokio::time::timeout(Duration::from_secs(120), reads).await else {
        panic!("the last transaction never came: {}", running.talk());
    };
    assert!(different > 2, "the reader was to see the sink on its way");
    let report: reconverge_tests::Report = running.ended().await.done().json();
    assert_eq!(report.sum("applied"), last * ROWS);
    scene.audit().await;
}

#[tokio::test]
async fn sqlite_is_never_seen_with_half_a_transaction() {
    never_half("whole_sqlite", Kind::Sqlite, true).await;
}

#[tokio::test]
async fn postgres_is_never_seen_with_half_a_transaction() {
    never_half("whole_postgres", Kind::Postgres, true).await;
}

#[tokio::test]
async fn transactions_whose_ends_are_not_marked_stay_whole() {
    never_half("whole_unmarked", Kind::Postgres, false).await;
}

/// A publisher that is slow in the middle of a transaction: what it has sent waits for the rest.
#[tokio::test]
async fn half_a_transaction_waits_for_its_rest() {
    let scene = Scene::new("whole_slow", Kind::Sqlite, TABLES).await;
    scene.write(RULES);
    let running = scene.start(&["run", "--json"]);
    let first = *scene.publish(&transaction(1, ROWS, true).collect::<Vec<_>>()).await.last().unwrap();
    scene.until_committed(first).await;
    let half: Vec<Change> = transaction(2, ROWS, true).take(3).collect();
    scene.publish(&half).await;
    // Longer than a pull's patience of 250 ms, which is when half a transaction of an unknown end goes on.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(seen(&scene).await, (vec![1], ROWS));
    let rest: Vec<Change> = transaction(2, ROWS, true).skip(3).collect();
    let last = *scene.publish(&rest).await.last().unwrap();
    scene.until_committed(last).await;
    assert_eq!(seen(&scene).await, (vec![2], ROWS));
    running.signal("TERM").await;
    let ended = running.ended().await.done();
    assert!(!ended.stderr.contains("transaction.cut"), "{}", ended.stderr);
}

/// Bounded: a transaction of more rows than a batch may have goes on in parts, counted once and warned of.
#[tokio::test]
async fn a_transaction_that_exceeds_a_batch_is_let_go_and_said() {
    let mut scene = Scene::new("whole_big", Kind::Sqlite, TABLES).await;
    scene.rows = 25;
    scene.write(RULES);
    let changes: Vec<Change> = transaction(1, ROWS, true)
        .chain(transaction(2, 90, true))
        .chain(transaction(3, ROWS, true))
        .collect();
    scene.publish(&changes).await;
    let ended = scene.call(&["run", "--until-caught-up", "--json"]).await.done();
    let report: reconverge_tests::Report = ended.json();
    assert_eq!(report.sum("applied"), 2 * ROWS + 90);
    assert!(report.batches >= 5, "90 rows are at least four batches of 25: {report:?}");
    assert_eq!(ended.stderr.matches("transaction.cut").count(), 1, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("transaction=\"t2\"") && ended.stderr.contains("limits"),
        "{}",
        ended.stderr
    );
    scene.audit().await;
}
