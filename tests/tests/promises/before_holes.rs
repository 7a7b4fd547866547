//! Promise 11, before a loss is one: what a mirror still has is read from it, and an alarm comes before the stream lets
//! go.

use std::time::Duration;

use async_nats::jetstream::stream;
use reconverge_capture::create_stream;
use reconverge_tests::{Kind, Scene, free_port, held_up, http};
use serde_json::Value;

use crate::honesty::{RULES, TABLE, accept_open, changes, hole, holes, ids, purge, refused, write_with};

/// What the stream lost stands in a mirror: it is read there, and nothing is missing. What the mirror has lost too is
/// told from it.
#[tokio::test]
async fn promise_11_honest_holes_filled_by_a_mirror() {
    for (name, kind) in [("mirrored_sqlite", Kind::Sqlite), ("mirrored_postgres", Kind::Postgres)] {
        let mut scene = Scene::new(name, kind, TABLE).await;
        scene.rows = 7;
        let mirror = format!("{}_MIRROR", scene.stream);
        let origin = stream::Source { name: scene.stream.clone(), ..stream::Source::default() };
        let config =
            stream::Config { name: mirror.clone(), mirror: Some(origin), ..stream::Config::default() };
        let mut standing_by = scene.jetstream.create_stream(config).await.unwrap();
        write_with(&scene, &format!("mirrors = [{mirror:?}]"));
        scene.publish(&changes(1..=5)).await;
        scene.run().await;
        scene.publish(&changes(6..=100)).await;
        while standing_by.info().await.unwrap().state.last_sequence < 100 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        purge(&scene, 81).await;
        let ended = scene.call(&["run", "--until-caught-up", "--json"]).await.done();
        assert_eq!(ended.json::<reconverge_tests::Report>().sum("applied"), 95, "{}", ended.stderr);
        assert_eq!(ids(&scene).await, (1..=100).collect::<Vec<_>>());
        assert_eq!(holes(&scene).await, [hole(["trimmed", "6", "80", "filled", "passed", &mirror, "null"])]);

        scene.publish(&changes(101..=200)).await;
        while standing_by.info().await.unwrap().state.last_sequence < 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        purge(&scene, 191).await;
        standing_by.purge().sequence(121).await.unwrap();
        refused(&scene, &["begins at sequence 191", "holes accept "]).await;
        let two = hole(["trimmed", "101", "120", "open", "waits", "null", "null"]);
        assert_eq!(holes(&scene).await[0], two, "only what the mirror has not is missing");
        accept_open(&scene).await;
        assert_eq!(scene.run().await.sum("applied"), 80);
        assert_eq!(ids(&scene).await, (1..=100).chain(121..=200).collect::<Vec<_>>());
        assert_eq!(
            holes(&scene).await[0],
            hole(["trimmed", "121", "190", "filled", "passed", &mirror, "null"])
        );
    }
}

/// A stream that is no mirror, though somebody says so, fills nothing.
#[tokio::test]
async fn promise_11_honest_holes_not_filled_by_another_stream() {
    let scene = Scene::new("no_mirror", Kind::Sqlite, TABLE).await;
    let other = "NO_MIRROR_OTHER";
    create_stream(&scene.jetstream, other, &["no_mirror_other.>"]).await.unwrap();
    for _ in 0..40 {
        scene
            .jetstream
            .publish("no_mirror_other.east.0.public.goods", "{}".into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    // Its filters match nothing there, which is told before anything else.
    write_with(&scene, &format!("mirrors = [{other:?}]"));
    let ended = scene.call(&["run", "--until-caught-up"]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("holds nothing that matches"), "{}", ended.stderr);
    // One that holds such subjects under numbers of its own is found out by its messages.
    let origin = stream::Source { name: scene.stream.clone(), ..stream::Source::default() };
    let gathered = stream::Config {
        name: "NO_MIRROR_GATHERED".to_owned(),
        sources: Some(vec![origin]),
        subjects: vec!["no_mirror_extra".to_owned()],
        ..stream::Config::default()
    };
    let mut gathered = scene.jetstream.create_stream(gathered).await.unwrap();
    scene.jetstream.publish("no_mirror_extra", "shifts the numbers".into()).await.unwrap().await.unwrap();
    write_with(&scene, "mirrors = [\"NO_MIRROR_GATHERED\"]");
    scene.publish(&changes(1..=5)).await;
    scene.run().await;
    scene.publish(&changes(6..=40)).await;
    while gathered.info().await.unwrap().state.last_sequence < 41 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    purge(&scene, 31).await;
    let told = refused(&scene, &["begins at sequence 31"]).await;
    assert!(told.stderr.contains("mirror.is_none"), "{}", told.stderr);
}

/// While the sink takes nothing the stream fills up: the alarm comes before the hole.
#[tokio::test]
async fn promise_11_honest_holes_alarm_before_they_are() {
    let mut scene = Scene::new("filling", Kind::Postgres, TABLE).await;
    scene.rows = 5;
    let mut config = scene.jetstream.get_stream(&scene.stream).await.unwrap().cached_info().config.clone();
    config.max_messages = 100;
    scene.jetstream.update_stream(config).await.unwrap();
    let port = free_port();
    scene.write(&format!("{RULES}\n[metrics]\nlisten = \"127.0.0.1:{port}\"\n"));
    scene.publish(&changes(1..=5)).await;
    let running = scene.start(&["run", "--log", "json"]);
    scene.until_committed(5).await;
    assert!(http(port, "/ready").contains("\"state\":\"running\""), "{}", http(port, "/ready"));
    assert!(!http(port, "/ready").contains("alarms"), "{}", http(port, "/ready"));
    let (blocker, waits) = held_up(&scene).await;
    scene.publish(&changes(6..=65)).await;
    waits.until_it_waits().await;
    let looked = async {
        while !http(port, "/ready").contains("of its limit of messages") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looked).await.expect("an alarm");
    let told = http(port, "/metrics");
    let alarm = "reconverge_alarm{lane=\"filling/main/main/0\",alarm=\"retention\"} 1";
    assert!(told.contains(alarm), "{told}");
    assert!(told.contains("reconverge_retention_used_ratio"), "{told}");
    let status: Value = scene.call(&["status", "--json"]).await.done().json();
    assert!(
        status["alarms"][0].as_str().is_some_and(|alarm| alarm.contains("60 % of its limit")),
        "{status}"
    );
    assert!(running.talk().contains("retention.near"), "{}", running.talk());
    drop(blocker);
    scene.until_committed(65).await;
    let cleared = async {
        while http(port, "/ready").contains("alarms") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), cleared).await.expect("the alarm is cleared");
    running.stopped().await;
}
