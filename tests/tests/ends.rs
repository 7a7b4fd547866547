//! The ends of a lane under trouble: a sink that takes nothing makes the source wait and memory not grow; servers that
//! are killed, restarted, stopped or that take a right away are waited for, and the lane goes on by itself with the
//! same end. Health says which end it is and in which state.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use std::time::Duration;

use futures_util::TryStreamExt;
use reconverge_capture::Database;
use reconverge_servers::{NatsServer, Postgres};
use reconverge_tests::{Change, Kind, Running, Scene, free_port, held_up, http, jetstream};
use serde_json::{Value, json};

const TABLE: &str = "CREATE TABLE goods (id bigint PRIMARY KEY NOT NULL, note text);";

/// How long to wait for what another process does.
const PATIENCE: Duration = Duration::from_secs(120);

fn rules(port: u16) -> String {
    format!("[[table]]\nname = \"goods\"\nkey = [\"id\"]\n\n[metrics]\nlisten = \"127.0.0.1:{port}\"\n")
}

fn changes(commits: std::ops::RangeInclusive<u64>, note: &str) -> Vec<Change> {
    let of = |id: u64| Change::write("east", id, "goods", json!({"id": id}), json!({"id": id, "note": note}));
    commits.map(of).collect()
}

/// The first lane's health.
fn health(port: u16) -> Value {
    let answer = http(port, "/ready");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    serde_json::from_str::<Value>(body).unwrap()["lanes"][0].clone()
}

/// Waits until the lane's health is as `wanted` says.
async fn until(port: u16, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let looked = async {
        loop {
            let health = health(port);
            if wanted(&health) {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let Ok(health) = tokio::time::timeout(PATIENCE, looked).await else {
        panic!("never {what}: {}", health(port));
    };
    health
}

fn state(health: &Value, end: &str) -> String {
    health["ends"][end]["state"].as_str().unwrap_or_default().to_owned()
}

/// It runs, and both ends work.
async fn until_well(port: u16) {
    let well =
        |h: &Value| h["state"] == "running" && ["source", "sink"].iter().all(|end| state(h, end) == "closed");
    until(port, "well", well).await;
}

async fn ends_well(scene: &Scene, running: Running, last: u64) {
    running.stopped().await;
    let rows = scene.column("SELECT count(*) FROM goods").await;
    assert_eq!(rows, [last.to_string()]);
    let audit = scene.audit().await;
    assert_eq!((audit.lanes[0].delivered, audit.lanes[0].sum), (last, last));
}

#[tokio::test]
async fn a_sink_that_takes_nothing_makes_the_source_wait() {
    let scene = Scene::new("held_up", Kind::Postgres, TABLE).await;
    let port = free_port();
    scene.write(&rules(port));
    scene.publish(&changes(1..=5, "small")).await;
    let running = scene.start(&["run"]);
    scene.until_committed(5).await;
    let (blocker, waits) = held_up(&scene).await;
    // A hundred and fifty megabytes, of which a lane may hold thirty-two.
    let big = "x".repeat(30_000);
    for first in (6..=5005).step_by(500) {
        scene.publish(&changes(first..=first + 499, &big)).await;
    }
    waits.until_it_waits().await;
    let before = running.memory_bytes();
    // It is told to be silent after five seconds: by then everything that would be pulled has been.
    until(port, "silent", |h| h["ends"]["sink"]["silent_s"].as_u64().is_some_and(|s| s >= 6)).await;
    let grown = running.memory_bytes();
    assert!(grown < before.max(100 << 20) + (96 << 20), "{before} grew to {grown}");
    let stream = scene.jetstream.get_stream(&scene.stream).await.unwrap();
    let consumers: Vec<_> = stream.consumers().try_collect().await.unwrap();
    let waiting = consumers.iter().map(|consumer| consumer.num_pending).max().unwrap();
    assert!(waiting > 2500, "{waiting} messages of 5000 wait at the server, the others were pulled");
    let told = http(port, "/metrics");
    assert!(told.contains("reconverge_in_flight_bytes{lane=\"held-up/main/main/0\"}"), "{told}");
    let status = scene.call(&["status"]).await.done().stdout;
    assert!(status.contains("the sink has not answered for"), "{status}");
    drop(blocker);
    scene.until_committed(5005).await;
    until_well(port).await;
    ends_well(&scene, running, 5005).await;
}

#[tokio::test]
async fn a_database_that_is_restarted_is_waited_for() {
    let mut server = Postgres::temporary().unwrap();
    let mut scene = Scene::new("restarted", Kind::Sqlite, TABLE).await;
    scene.sink = Database::Postgres(server.create_database("restarted").unwrap());
    scene.sink.execute(TABLE).await.unwrap();
    scene.rows = 20;
    let port = free_port();
    scene.write(&rules(port));
    scene.publish(&changes(1..=500, "before")).await;
    let running = scene.start(&["run", "--owner", "same"]);
    scene.until_committed(100).await;
    server.restart().unwrap();
    scene.until_committed(500).await;
    until_well(port).await;
    // Away for longer: its breaker opens, and the source is not the one to blame.
    server.kill().unwrap();
    scene.publish(&changes(501..=1000, "after")).await;
    let open = until(port, "open", |h| state(h, "sink") == "open").await;
    assert_eq!((open["state"].as_str(), state(&open, "source").as_str()), (Some("waiting"), "closed"));
    assert!(open["ends"]["sink"]["failures"].as_u64() >= Some(3), "{open}");
    assert!(http(port, "/ready").starts_with("HTTP/1.0 503"), "a lane that waits is not ready");
    let told = http(port, "/metrics");
    let gauge = "reconverge_end_state{lane=\"restarted/main/main/0\",end=\"sink\"}";
    assert!(told.contains(&format!("{gauge} 2")) || told.contains(&format!("{gauge} 1")), "{told}");
    server.restart().unwrap();
    scene.until_committed(1000).await;
    until_well(port).await;
    let talk = running.talk();
    for event in ["end.opened", "end.half_open", "end.closed"] {
        assert!(talk.contains(event), "{event} is not in {talk}");
    }
    ends_well(&scene, running, 1000).await;
}

#[tokio::test]
async fn a_broker_that_is_killed_is_waited_for() {
    let mut server = NatsServer::temporary().unwrap();
    let mut scene = Scene::on(&server, "killed_broker", Kind::Sqlite, TABLE).await;
    scene.rows = 20;
    let port = free_port();
    scene.write(&rules(port));
    scene.publish(&changes(1..=500, "before")).await;
    let running = scene.start(&["run"]);
    scene.until_committed(100).await;
    server.kill().unwrap();
    let open = until(port, "open", |h| state(h, "source") == "open").await;
    assert_eq!((open["state"].as_str(), state(&open, "sink").as_str()), (Some("waiting"), "closed"));
    server.restart().unwrap();
    scene.jetstream = jetstream(&server).await;
    scene.until_committed(500).await;
    scene.publish(&changes(501..=600, "after")).await;
    scene.until_committed(600).await;
    until_well(port).await;
    ends_well(&scene, running, 600).await;
}

/// A server that is stopped answers nothing and ends no connection.
#[tokio::test]
async fn a_database_that_does_not_answer_is_told() {
    let server = Postgres::temporary().unwrap();
    let mut scene = Scene::new("stopped_database", Kind::Sqlite, TABLE).await;
    scene.sink = Database::Postgres(server.create_database("stopped").unwrap());
    scene.sink.execute(TABLE).await.unwrap();
    let port = free_port();
    scene.write(&rules(port));
    scene.publish(&changes(1..=5, "before")).await;
    let running = scene.start(&["run"]);
    scene.until_committed(5).await;
    server.signal("STOP").unwrap();
    scene.publish(&changes(6..=50, "after")).await;
    let silent = until(port, "silent", |h| h["ends"]["sink"]["silent_s"].is_u64()).await;
    assert_eq!(state(&silent, "source"), "closed", "{silent}");
    server.signal("CONT").unwrap();
    scene.until_committed(50).await;
    until_well(port).await;
    ends_well(&scene, running, 50).await;
}

/// Somebody deletes the consumer, as an operator who tidies up would.
#[tokio::test]
async fn a_consumer_that_is_deleted_is_made_anew() {
    let scene = Scene::new("no_consumer", Kind::Sqlite, TABLE).await;
    let port = free_port();
    scene.write(&rules(port));
    scene.publish(&changes(1..=5, "before")).await;
    let running = scene.start(&["run"]);
    scene.until_committed(5).await;
    let stream = scene.jetstream.get_stream(&scene.stream).await.unwrap();
    let names: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
    assert_eq!(names.len(), 1, "{names:?}");
    stream.delete_consumer(&names[0]).await.unwrap();
    scene.publish(&changes(6..=50, "after")).await;
    scene.until_committed(50).await;
    until_well(port).await;
    ends_well(&scene, running, 50).await;
}

/// A right is taken away while the lane runs, and given back: the lane says what is missing, waits and goes on.
#[tokio::test]
async fn a_right_that_is_taken_away_is_waited_for() {
    let users = |denied: &str| {
        format!(
            "authorization {{ users = [ {{ user: \"all\", password: \"secret\" }}, \
             {{ user: \"lane\", password: \"secret\", permissions: {{ publish: {{ deny: [{denied}] }} }} }} ] }}"
        )
    };
    let mut server = NatsServer::builder().config(&users("\"nothing\"")).start().unwrap();
    let address = server.url().replace("nats://", "");
    let mut scene = Scene::new("no_right", Kind::Sqlite, TABLE).await;
    let everything =
        async_nats::ConnectOptions::with_user_and_password("all".to_owned(), "secret".to_owned());
    scene.jetstream = async_nats::jetstream::new(everything.connect(&address).await.unwrap());
    reconverge_capture::create_stream(&scene.jetstream, "NO_RIGHT", &["no_right.>"]).await.unwrap();
    let port = free_port();
    // A password in the file is refused: it comes from the environment.
    scene.nats = format!("nats://{address}");
    scene.write(&rules(port));
    scene.publish(&changes(1..=5, "before")).await;
    let words: [(&str, &str); 2] = [("NATS_USER", "lane"), ("NATS_PASSWORD", "secret")];
    let running = scene.start_with(&["run"], &words);
    scene.until_committed(5).await;
    server.reload(&users("\"$JS.API.CONSUMER.>\"")).unwrap();
    scene.publish(&changes(6..=50, "after")).await;
    let denied = |h: &Value| {
        h["ends"]["source"]["error"]
            .as_str()
            .is_some_and(|error| error.contains("may not") || error.contains("not permitted"))
    };
    until(port, "denied", denied).await;
    server.reload(&users("\"nothing\"")).unwrap();
    scene.until_committed(50).await;
    until_well(port).await;
    running.stopped().await;
    assert_eq!(scene.column("SELECT count(*) FROM goods").await, ["50"]);
}
