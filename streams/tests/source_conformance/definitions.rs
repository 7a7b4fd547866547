//! `run --ensure` and the files in `streams/definitions/`: a real server takes them, and they do what they say.

use bytes::Bytes;
use reconverge_servers::NatsServer;
use reconverge_streams::headers::Headers;
use reconverge_streams::jetstream::{
    ConnectOptions, Ensured, FilterPattern, JetStreamSource, StreamDefinition,
};
use reconverge_streams::source::Source;
use serde_json::Value;

use crate::world::{JetStream, World, read_through, setup};

#[tokio::test]
async fn ensure_creates_what_is_missing_and_leaves_what_is_there() {
    let server = NatsServer::temporary().unwrap();
    let options = ConnectOptions::at(server.url());
    let filters = FilterPattern::parse("cdc.us.{partition}.>").unwrap();
    let wanted = StreamDefinition::new("CDC_US", filters.subjects());
    assert_eq!(wanted.ensure(&options).await.unwrap(), Ensured::Created);
    let other = StreamDefinition { bytes_max: Some(1000), ..wanted.clone() };
    assert_eq!(other.ensure(&options).await.unwrap(), Ensured::Found);
    let source = JetStreamSource::connect(&options, "CDC_US", filters).await.unwrap();
    assert_eq!(
        source.publish("cdc.us.0.public.t", &Headers::default(), Bytes::from(vec![0; 2000])).await.unwrap(),
        1
    );
    let overlapping = StreamDefinition { name: "CDC_EU".to_owned(), ..wanted };
    let (what, hint) = setup(overlapping.ensure(&options).await.unwrap_err());
    assert!(what.contains("CDC_EU") && hint.contains("`CDC_US`"), "{what}: {hint}");
}

#[tokio::test]
async fn a_full_stream_refuses_the_publisher_and_keeps_what_was_not_read() {
    let server = NatsServer::temporary().unwrap();
    let options = ConnectOptions::at(server.url());
    let filters = FilterPattern::parse("cdc.us.{partition}.>").unwrap();
    let small =
        StreamDefinition { bytes_max: Some(10_000), ..StreamDefinition::new("CDC", filters.subjects()) };
    small.ensure(&options).await.unwrap();
    let source = JetStreamSource::connect(&options, "CDC", filters).await.unwrap();
    let mut refused = 0;
    for _ in 0..20 {
        match source.publish("cdc.us.0.public.t", &Headers::default(), Bytes::from(vec![0; 1000])).await {
            Ok(_) => assert_eq!(refused, 0),
            Err(error) => {
                assert!(error.to_string().contains("maximum bytes exceeded"), "{error}");
                refused += 1;
            }
        }
    }
    let facts = source.inspect().await.unwrap();
    assert_eq!((facts.first, facts.last), (1, 20 - refused));
    assert!(refused > 5);
}

async fn create(world: &JetStream, definition: &str) -> Value {
    let mut config: Value = serde_json::from_str(definition).unwrap();
    // The test's server is not a cluster of three with 100 GiB of room.
    config["num_replicas"] = Value::from(1);
    config["max_bytes"] = Value::from(1 << 20);
    world.context.delete_stream("CDC").await.unwrap();
    let name = config["name"].as_str().unwrap().to_owned();
    let answer: Value = world.context.request(format!("STREAM.CREATE.{name}"), &config).await.unwrap();
    assert!(answer["error"].is_null(), "{answer}");
    answer["config"].clone()
}

#[tokio::test]
async fn the_definition_of_a_stream_is_taken_by_the_server() {
    let world = JetStream::start().await;
    let config = create(&world, include_str!("../../definitions/cdc.json")).await;
    assert_eq!((&config["discard"], &config["retention"]), (&Value::from("new"), &Value::from("limits")));
    let filters = FilterPattern::parse("cdc.us-east-1.{partition}.>").unwrap();
    let options = ConnectOptions::at(world.server.url());
    assert!(JetStreamSource::connect(&options, "CDC_US", filters).await.is_ok());
}

#[tokio::test]
async fn the_partitioned_definition_cuts_by_key_and_keeps_a_key_together() {
    let world = JetStream::start().await;
    create(&world, include_str!("../../definitions/cdc-partitioned.json")).await;
    let filters = FilterPattern::parse("cdc.us-east-1.{partition}.>").unwrap();
    let options = ConnectOptions::at(world.server.url());
    let source = JetStreamSource::connect(&options, "CDC_US", filters).await.unwrap();
    for n in 0..200 {
        let subject = format!("raw.us-east-1.public.shifts.{}", n % 40);
        source.publish(&subject, &Headers::default(), Bytes::from((n % 40).to_string())).await.unwrap();
    }
    let (mut keys, mut used) = (Vec::new(), 0);
    for partition in 0..8 {
        let mut reader = source.open(partition, 0).await.unwrap();
        let all = read_through(&mut reader, 200).await.unwrap();
        let prefix = format!("cdc.us-east-1.{partition}.public.shifts");
        assert!(all.iter().all(|delivery| delivery.subject.starts_with(&prefix)));
        let mut here: Vec<Bytes> = all.into_iter().map(|delivery| delivery.payload).collect();
        here.sort();
        here.dedup();
        used += usize::from(!here.is_empty());
        keys.extend(here);
    }
    // Each key in one partition, and the keys spread.
    assert_eq!(keys.len(), 40);
    assert!(used > 4, "{used}");
}

#[tokio::test]
async fn subjects_that_begin_with_a_wildcard_are_refused_with_what_to_do() {
    let server = NatsServer::temporary().unwrap();
    let options = ConnectOptions::at(server.url());
    for pattern in ["{source}.{partition}.>", ">"] {
        let Ok(filters) = FilterPattern::parse(pattern) else { continue };
        let wanted = StreamDefinition::new("CDC", filters.subjects());
        let (what, hint) = setup(wanted.ensure(&options).await.unwrap_err());
        assert!(what.contains("wildcard as their first word") && hint.contains("--ensure"), "{what}: {hint}");
    }
}
