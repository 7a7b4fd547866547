//! Streams that keep messages until they are acknowledged: a release lets them go, and never one that was not
//! released.

use async_nats::jetstream::stream::RetentionPolicy;
use reconverge_streams::source::{Reader, Source};

use crate::world::{JetStream, PATIENCE, World, limits, numbered, read_through, sequences, setup};

/// Waits until the stream holds `messages`.
async fn holds(world: &JetStream, messages: u64) {
    let waiting = async {
        while world.stream().await.cached_info().state.messages != messages {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the stream lets messages go in time");
}

#[tokio::test]
async fn a_release_lets_an_interest_stream_go_of_what_is_committed() {
    let world = JetStream::with(RetentionPolicy::Interest).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    world.fill(&numbered(100)).await;
    assert_eq!(read_through(&mut reader, 100).await.unwrap().len(), 100);
    holds(&world, 100).await;
    reader.release(40).await;
    holds(&world, 60).await;
    // The next reader takes over what was not released; nothing goes while there is none.
    drop(reader);
    world.fill(&numbered(10)).await;
    let mut reader = world.source().open(0, 40).await.unwrap();
    assert_eq!(world.consumers().await.len(), 1);
    assert_eq!(sequences(&read_through(&mut reader, 110).await.unwrap()), (41..=110).collect::<Vec<_>>());
    reader.release(110).await;
    holds(&world, 0).await;
}

#[tokio::test]
async fn a_work_queue_is_read_from_the_checkpoint_and_let_go_of() {
    let world = JetStream::with(RetentionPolicy::WorkQueue).await;
    world.fill(&numbered(100)).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    let pulled = reader.next(&limits(30, 1 << 20, 500)).await.unwrap();
    assert_eq!(sequences(&pulled.deliveries), (1..=30).collect::<Vec<_>>());
    reader.release(20).await;
    holds(&world, 80).await;
    // Its owner died with 21 to 25 committed and not released; its consumer is still there.
    std::mem::forget(reader);
    let mut reader = world.source().open(0, 25).await.unwrap();
    assert_eq!(sequences(&read_through(&mut reader, 100).await.unwrap()), (26..=100).collect::<Vec<_>>());
    reader.release(100).await;
    holds(&world, 0).await;
}

#[tokio::test]
async fn a_work_queue_that_another_consumer_reads_is_told() {
    let world = JetStream::with(RetentionPolicy::WorkQueue).await;
    let _reader = world.source().named("someone-else").open(0, 0).await.unwrap();
    let (what, hint) = setup(world.source().open(0, 0).await.unwrap_err());
    assert!(what.contains("another consumer") && hint.contains("work queue"), "{what}: {hint}");
    assert!(world.source().open(1, 0).await.is_ok());
}

#[tokio::test]
async fn releases_on_a_stream_by_limits_change_nothing() {
    let world = JetStream::start().await;
    world.fill(&numbered(10)).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    assert_eq!(read_through(&mut reader, 10).await.unwrap().len(), 10);
    reader.release(10).await;
    assert_eq!(world.stream().await.cached_info().state.messages, 10);
}
