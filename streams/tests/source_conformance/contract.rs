//! What every source promises. Each function is one promise; `main.rs` runs it in every world.

use std::time::Duration;

use bytes::Bytes;
use reconverge_streams::headers::Headers;
use reconverge_streams::source::{Reader, Source, SourceError};
use tokio::time::{Instant, timeout};

use crate::world::{PATIENCE, World, limits, numbered, read_through, read_to_failure, sequences, subject};

pub async fn messages_come_in_order_and_as_they_were_published(world: &impl World) {
    let headers: Headers = [("Nats-Msg-Id", "us/0/1/1"), ("B", "2")].into_iter().collect();
    world.source().publish(&subject(0), &headers, Bytes::from_static(b"first")).await.unwrap();
    world.fill(&[(0, Bytes::from_static(b"")), (0, Bytes::from_static(b"third"))]).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    let all = read_through(&mut reader, 3).await.unwrap();
    assert_eq!(sequences(&all), [1, 2, 3]);
    assert!(all.iter().all(|delivery| *delivery.subject == *subject(0)));
    assert_eq!(
        all.iter().map(|delivery| &delivery.payload[..]).collect::<Vec<_>>(),
        [&b"first"[..], b"", b"third"]
    );
    assert_eq!(all[0].header("Nats-Msg-Id"), Some("us/0/1/1"));
    assert_eq!(all[0].header("B"), Some("2"));
    assert!(all[1].headers.is_empty());
    // 2020: micros, not nanos or seconds. (Messages that the world filled in may have the world's own time.)
    assert!((1_577_836_800_000_000..10_000_000_000_000_000).contains(&all[0].published_at));
}

pub async fn reading_begins_after_the_sequence_that_was_asked_for(world: &impl World) {
    world.fill(&numbered(50)).await;
    for after in [0, 1, 49, 50] {
        let mut reader = world.source().open(0, after).await.unwrap();
        let all = read_through(&mut reader, 50).await.unwrap();
        assert_eq!(sequences(&all), (after + 1..=50).collect::<Vec<_>>(), "after {after}");
    }
}

pub async fn a_batch_ends_at_its_rows(world: &impl World) {
    world.fill(&numbered(250)).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    let mut expected = 1;
    for rows in [1, 7, 100, 1, 141] {
        let pulled = reader.next(&limits(rows, 1 << 20, 5000)).await.unwrap();
        assert_eq!(sequences(&pulled.deliveries), (expected..expected + rows as u64).collect::<Vec<_>>());
        expected += rows as u64;
        assert_eq!(pulled.scanned, expected - 1);
    }
}

pub async fn a_batch_ends_at_its_bytes(world: &impl World) {
    let thousand = (0..10).map(|_| (0, Bytes::from(vec![b'x'; 1000]))).collect::<Vec<_>>();
    world.fill(&thousand).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    let mut found = Vec::new();
    for batch in [3, 3, 3, 1] {
        let pulled = reader.next(&limits(100, 3999, 500)).await.unwrap();
        assert_eq!(pulled.deliveries.len(), batch);
        found.extend(sequences(&pulled.deliveries));
    }
    assert_eq!(found, (1..=10).collect::<Vec<_>>());
}

pub async fn a_message_larger_than_the_limit_comes_alone(world: &impl World) {
    let sizes = [10, 900_000, 10, 10];
    world.fill(&sizes.map(|size| (0, Bytes::from(vec![b'x'; size])))).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    for expected in [vec![1], vec![2], vec![3, 4]] {
        let pulled = reader.next(&limits(100, 1000, 500)).await.unwrap();
        assert_eq!(sequences(&pulled.deliveries), expected);
        assert_eq!(pulled.scanned, expected[expected.len() - 1]);
    }
}

pub async fn a_quiet_partition_learns_how_far_it_has_looked(world: &impl World) {
    world.fill(&numbered(20)).await;
    let mut reader = world.source().open(7, 0).await.unwrap();
    assert!(read_through(&mut reader, 20).await.unwrap().is_empty());
    // Also of what comes while it is quiet.
    world.fill(&numbered(20)).await;
    assert!(read_through(&mut reader, 40).await.unwrap().is_empty());
    world.fill(&[(7, Bytes::from_static(b"ours")), (0, Bytes::from_static(b"not"))]).await;
    assert_eq!(sequences(&read_through(&mut reader, 42).await.unwrap()), [41]);
}

pub async fn partitions_are_read_apart_and_together_are_the_stream(world: &impl World) {
    let messages: Vec<(u32, Bytes)> =
        (0..300_u32).map(|n| ((n * n + n / 7) % 4, Bytes::from(n.to_string()))).collect();
    world.fill(&messages).await;
    let mut together = Vec::new();
    for partition in 0..4 {
        let mut reader = world.source().open(partition, 0).await.unwrap();
        let all = read_through(&mut reader, 300).await.unwrap();
        assert!(all.iter().all(|delivery| *delivery.subject == *subject(partition)));
        together.extend(all);
    }
    together.sort_by_key(|delivery| delivery.sequence);
    assert_eq!(sequences(&together), (1..=300).collect::<Vec<_>>());
    for (delivery, (_, payload)) in together.iter().zip(&messages) {
        assert_eq!(delivery.payload, payload);
    }
}

pub async fn waiting_ends_with_the_linger_and_with_a_message(world: &impl World) {
    let mut reader = world.source().open(0, 0).await.unwrap();
    let begun = Instant::now();
    let pulled = reader.next(&limits(10, 1000, 50)).await.unwrap();
    assert!(pulled.deliveries.is_empty() && pulled.scanned == 0);
    assert!((Duration::from_millis(45)..Duration::from_secs(2)).contains(&begun.elapsed()));
    // A message that comes while it waits is handed on when the linger after it is over, not at the end of the wait.
    let (asked, one) = (limits(1, 1000, 20_000), numbered(1));
    let (pulled, ()) = timeout(PATIENCE, async { tokio::join!(reader.next(&asked), world.fill(&one)) })
        .await
        .expect("woken by the message");
    assert_eq!(sequences(&pulled.unwrap().deliveries), [1]);
    assert!(begun.elapsed() < Duration::from_secs(15));
}

pub async fn an_aborted_call_leaves_the_reader_in_doubt(world: &impl World) {
    let mut reader = world.source().open(0, 0).await.unwrap();
    assert!(timeout(Duration::from_millis(20), reader.next(&limits(1, 1, 5000))).await.is_err());
    let error = reader.next(&limits(1, 1, 1)).await.unwrap_err();
    assert!(matches!(error, SourceError::Doubt(_)), "{error}");
}

pub async fn what_was_trimmed_before_opening_is_reported(world: &impl World) {
    world.fill(&numbered(100)).await;
    world.trim(61).await;
    let error = world.source().open(0, 50).await.err().expect("51 to 60 are gone");
    assert!(matches!(error, SourceError::Trimmed { wanted: 51, first: 61 }), "{error:?}");
    let mut reader = world.source().open(0, 60).await.unwrap();
    assert_eq!(sequences(&read_through(&mut reader, 100).await.unwrap()), (61..=100).collect::<Vec<_>>());
    world.trim(101).await;
    let error = world.source().open(0, 99).await.err().expect("100 is gone");
    assert!(matches!(error, SourceError::Trimmed { wanted: 100, first: 101 }), "{error:?}");
    assert!(world.source().open(0, 100).await.is_ok());
}

pub async fn what_is_purged_while_reading_is_reported(world: &impl World) {
    // Large enough that most of it is still at the server when it is purged.
    let messages: Vec<_> = (0..4000).map(|_| (0, Bytes::from(vec![b'x'; 5000]))).collect();
    world.fill(&messages).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    let mut all = reader.next(&limits(10, 1 << 20, 500)).await.unwrap().deliveries;
    assert_eq!(all.len(), 10);
    world.trim(4001).await;
    world.fill(&numbered(3)).await;
    let (rest, error) = read_to_failure(&mut reader).await;
    all.extend(rest);
    let SourceError::Trimmed { wanted, first: 4001 } = error else { panic!("{error:?}") };
    assert!(wanted < 4001);
    // What was handed on before is whole, and nothing from behind the hole is among it.
    assert_eq!(sequences(&all), (1..wanted).collect::<Vec<_>>());
}

/// As many wait after the purge as before it, so that their count tells nothing.
pub async fn what_is_purged_and_filled_up_while_reading_is_reported(world: &impl World) {
    world.fill(&numbered(500)).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    let mut all = reader.next(&limits(5, 1 << 20, 500)).await.unwrap().deliveries;
    assert_eq!(sequences(&all), [1, 2, 3, 4, 5]);
    world.fill(&numbered(2000)).await;
    world.trim(501).await;
    let error = loop {
        match reader.next(&limits(5, 1 << 20, 500)).await {
            Ok(pulled) => {
                assert!(pulled.scanned < 500, "{} is told, and what came before is gone", pulled.scanned);
                all.extend(pulled.deliveries);
            }
            Err(error) => break error,
        }
    };
    let SourceError::Trimmed { wanted, first: 501 } = error else { panic!("{error:?}") };
    assert_eq!(sequences(&all), (1..wanted).collect::<Vec<_>>());
}

pub async fn a_removed_message_in_the_middle_is_no_hole(world: &impl World) {
    world.fill(&numbered(30)).await;
    world.remove(15).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    let all = read_through(&mut reader, 30).await.unwrap();
    assert_eq!(sequences(&all), (1..=30).filter(|n| *n != 15).collect::<Vec<_>>());
    assert_eq!(world.source().inspect().await.unwrap().deleted, 1);
}

pub async fn a_checkpoint_beyond_the_end_is_a_doubt(world: &impl World) {
    world.fill(&numbered(3)).await;
    assert!(matches!(world.source().open(0, 4).await.err(), Some(SourceError::Doubt(_))));
}

pub async fn a_stream_made_anew_ends_its_readers(world: &impl World) {
    world.fill(&numbered(30)).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    assert_eq!(read_through(&mut reader, 30).await.unwrap().len(), 30);
    let before = world.source().inspect().await.unwrap();
    world.recreate().await;
    world.fill(&numbered(30)).await;
    let (all, error) = read_to_failure(&mut reader).await;
    assert!(all.is_empty(), "read on in another stream");
    assert!(matches!(error, SourceError::Doubt(_)), "{error:?}");
    assert_ne!(world.source().inspect().await.unwrap().created, before.created);
}

pub async fn one_message_can_be_fetched(world: &impl World) {
    let headers: Headers = [("A", "x"), ("Traceparent", "00-1")].into_iter().collect();
    world.source().publish(&subject(3), &headers, Bytes::from_static(b"\x00\xffbody")).await.unwrap();
    world.fill(&numbered(2)).await;
    let mut reader = world.source().open(3, 0).await.unwrap();
    let delivered = read_through(&mut reader, 1).await.unwrap().remove(0);
    let fetched = world.source().fetch(1).await.unwrap().expect("it is there");
    assert_eq!(format!("{fetched:?}"), format!("{delivered:?}"));
    assert_eq!(fetched.headers, headers);
    assert!(world.source().fetch(2).await.unwrap().is_some_and(|found| found.headers.is_empty()));
    assert!(world.source().fetch(9).await.unwrap().is_none());
    world.trim(2).await;
    assert!(world.source().fetch(1).await.unwrap().is_none());
}

pub async fn a_published_message_is_there_when_its_sequence_is_told(world: &impl World) {
    for n in 1..=5 {
        let sequence = world
            .source()
            .publish(&subject(0), &Headers::default(), Bytes::from(n.to_string()))
            .await
            .unwrap();
        assert_eq!(sequence, n);
        let found = world.source().fetch(sequence).await.unwrap().expect("the stream holds it");
        assert_eq!(found.payload, n.to_string());
    }
}

pub async fn facts_tell_where_the_stream_begins_and_ends(world: &impl World) {
    let facts = world.source().inspect().await.unwrap();
    assert_eq!((facts.name.as_str(), facts.first, facts.last, facts.deleted), ("CDC", 1, 0, 0));
    world.fill(&numbered(10)).await;
    world.trim(4).await;
    let later = world.source().inspect().await.unwrap();
    assert_eq!((later.first, later.last, later.created), (4, 10, facts.created));
    world.trim(11).await;
    let empty = world.source().inspect().await.unwrap();
    assert_eq!((empty.first, empty.last), (11, 10));
}

pub async fn a_large_backlog_is_read_whole_and_in_order(world: &impl World) {
    const COUNT: usize = 100_000;
    world.fill(&numbered(COUNT)).await;
    let mut reader = world.source().open(0, 0).await.unwrap();
    let all = read_through(&mut reader, COUNT as u64).await.unwrap();
    assert_eq!(all.len(), COUNT);
    for (n, delivery) in all.iter().enumerate() {
        assert_eq!(delivery.payload, (n + 1).to_string());
    }
}
