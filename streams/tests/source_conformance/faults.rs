//! What goes wrong while a reader reads from a real server: it ends with a doubt, and nothing is lost or repeated by
//! opening anew after the last message that was handed on.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use reconverge_streams::source::{Delivery, Reader, Source, SourceError};
use tokio::time::Instant;

use crate::world::{JetStream, PATIENCE, World, limits, numbered, read_through, read_to_failure, sequences};

/// Opens after the last of `all` until a reader gets to `through`, whatever fails on the way; how often it failed.
async fn persevere(world: &JetStream, all: &mut Vec<Delivery>, through: u64) -> usize {
    let (begun, mut failures) = (Instant::now(), 0);
    while all.last().is_none_or(|last| last.sequence < through) {
        assert!(begun.elapsed() < PATIENCE * 2, "at {:?} after {failures} failures", all.last());
        let after = all.last().map_or(0, |last| last.sequence);
        let mut reader = match world.source().open(0, after).await {
            Ok(reader) => reader,
            Err(SourceError::Unreachable(_) | SourceError::Doubt(_)) => {
                failures += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            Err(other) => panic!("{other:?}"),
        };
        while all.last().is_none_or(|last| last.sequence < through) {
            match reader.next(&limits(50, 1 << 20, 50)).await {
                Ok(pulled) => all.extend(pulled.deliveries),
                Err(SourceError::Unreachable(_) | SourceError::Doubt(_)) => {
                    failures += 1;
                    break;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    failures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_restarted_loses_and_repeats_nothing() {
    let mut world = JetStream::start().await;
    // So large that most of it has not been sent when the server dies.
    let messages: Vec<_> = (0..3000).map(|n: u32| (0, Bytes::from(n.to_be_bytes().repeat(1000)))).collect();
    world.fill(&messages).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    let mut all = reader.next(&limits(50, 1 << 20, 1000)).await.unwrap().deliveries;
    world.server.kill().unwrap();
    let (rest, error) = read_to_failure(&mut reader).await;
    all.extend(rest);
    assert!(matches!(error, SourceError::Unreachable(_) | SourceError::Doubt(_)), "{error:?}");
    assert!(all.len() < 3000);
    world.server.restart().unwrap();
    persevere(&world, &mut all, 3000).await;
    assert_eq!(sequences(&all), (1..=3000).collect::<Vec<_>>());
    for (delivery, (_, payload)) in all.iter().zip(&messages) {
        assert_eq!(delivery.payload, payload);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_restart_under_a_waiting_reader_is_noticed() {
    let mut world = JetStream::start().await;
    world.fill(&numbered(10)).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    let mut all = read_through(&mut reader, 10).await.unwrap();
    world.server.restart().unwrap();
    let (rest, error) = read_to_failure(&mut reader).await;
    assert!(rest.is_empty());
    assert!(matches!(error, SourceError::Unreachable(_) | SourceError::Doubt(_)), "{error:?}");
    let mut world_again = world.source().inspect().await;
    let begun = Instant::now();
    while world_again.is_err() && begun.elapsed() < PATIENCE {
        world_again = world.source().inspect().await;
    }
    world.fill(&numbered(10)).await;
    persevere(&world, &mut all, 20).await;
    assert_eq!(sequences(&all), (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_consumer_that_someone_deletes_is_a_doubt() {
    let world = JetStream::start().await;
    world.fill(&numbered(10)).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    let mut all = read_through(&mut reader, 10).await.unwrap();
    let [name] = &world.consumers().await[..] else { panic!("one consumer") };
    assert!(name.starts_with("pipe_main-p0-"), "{name}");
    world.stream().await.delete_consumer(name).await.unwrap();
    world.fill(&numbered(10)).await;
    let begun = Instant::now();
    let (rest, error) = read_to_failure(&mut reader).await;
    assert!(rest.is_empty());
    assert!(matches!(error, SourceError::Doubt(_)), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    // A reader that failed does not come back.
    assert!(matches!(reader.next(&limits(1, 1, 1)).await, Err(SourceError::Doubt(_))));
    persevere(&world, &mut all, 20).await;
    assert_eq!(sequences(&all), (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_deleted_stream_ends_the_reader() {
    let world = JetStream::start().await;
    world.fill(&numbered(10)).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    assert_eq!(read_through(&mut reader, 10).await.unwrap().len(), 10);
    world.context.delete_stream("CDC").await.unwrap();
    let (_, error) = read_to_failure(&mut reader).await;
    assert!(matches!(error, SourceError::Doubt(_)), "{error:?}");
    assert!(matches!(world.source().open(0, 10).await, Err(SourceError::Setup { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_is_a_doubt_after_two_seconds() {
    let world = JetStream::start().await;
    world.fill(&numbered(1)).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    assert_eq!(read_through(&mut reader, 1).await.unwrap().len(), 1);
    let id = world.server.id().unwrap().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    signal("-STOP");
    let begun = Instant::now();
    let (rest, error) = read_to_failure(&mut reader).await;
    signal("-CONT");
    assert!(rest.is_empty() && matches!(error, SourceError::Doubt(_)), "{error:?}");
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&begun.elapsed()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_was_left_alone_for_long_reads_on() {
    let world = JetStream::start().await;
    world.fill(&numbered(200)).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    let mut all = reader.next(&limits(10, 1 << 20, 500)).await.unwrap().deliveries;
    // Longer than the silence that would be a doubt: heartbeats have come while nobody looked.
    tokio::time::sleep(Duration::from_secs(4)).await;
    all.extend(read_through(&mut reader, 200).await.unwrap());
    assert_eq!(sequences(&all), (1..=200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_above_a_limit_that_was_lowered_are_read() {
    let mut world = JetStream::start().await;
    let sizes = [10, 700_000, 10, 700_000, 700_000, 10];
    world.fill(&sizes.map(|size| (0, Bytes::from(vec![b'x'; size])))).await;
    let folder = world.server.folder().to_path_buf();
    world.server.stop().unwrap();
    let server = reconverge_servers::NatsServer::builder()
        .folder(&folder)
        .config("max_payload: 65536")
        .start()
        .unwrap();
    let source = crate::world::connect(&server.url(), "CDC").await.unwrap();
    let mut reader = source.open(0, 0).await.unwrap();
    let mut found = Vec::new();
    let begun = Instant::now();
    // Few bytes, so that no pull has room for the large ones by the batch's own limit.
    while found.len() < sizes.len() && begun.elapsed() < PATIENCE {
        let pulled = reader.next(&limits(100, 1000, 50)).await.unwrap();
        found.extend(pulled.deliveries.iter().map(|delivery| delivery.payload.len()));
    }
    assert_eq!(found, sizes);
}

#[tokio::test]
async fn a_closed_reader_leaves_no_consumer() {
    let world = JetStream::start().await;
    world.fill(&numbered(1)).await;
    let reader = world.source().open(0, 0).await.unwrap();
    let other = world.source().open(1, 0).await.unwrap();
    assert_eq!(world.consumers().await.len(), 2);
    drop((reader, other));
    let gone = async {
        while !world.consumers().await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("deleted when dropped");
}
