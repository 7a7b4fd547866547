//! A set-up that cannot work is told with what to do: each case against a real server, or one that says it is too old.

use std::time::Duration;

use async_nats::jetstream;
use bytes::Bytes;
use reconverge_servers::NatsServer;
use reconverge_streams::headers::Headers;
use reconverge_streams::jetstream::{ConnectOptions, FilterPattern, JetStreamSource};
use reconverge_streams::source::{Reader, Source, SourceError};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::world::{JetStream, PATTERN, World, connect, limits, setup, subject};

async fn connect_as(server: &NatsServer, user: &str, password: &str) -> Result<JetStreamSource, SourceError> {
    let options = ConnectOptions {
        user: Some(user.to_owned()),
        password: Some(password.to_owned()),
        ..ConnectOptions::at(server.url())
    };
    JetStreamSource::connect(&options, "CDC", FilterPattern::parse(PATTERN).unwrap()).await
}

/// A server where `admin` may everything and `reader` what `permissions` say, with the stream `CDC`.
async fn guarded(permissions: &str) -> NatsServer {
    let server = NatsServer::builder()
        .config(&format!(
            "authorization {{ users: [ {{ user: admin, password: a }}, \
             {{ user: reader, password: r, permissions: {{ {permissions} }} }} ] }}"
        ))
        .start()
        .unwrap();
    let options = async_nats::ConnectOptions::with_user_and_password("admin".to_owned(), "a".to_owned());
    let context = jetstream::new(options.connect(server.url()).await.unwrap());
    let config = jetstream::stream::Config {
        name: "CDC".to_owned(),
        subjects: vec!["cdc.>".to_owned()],
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    server
}

#[tokio::test]
async fn a_missing_stream_names_those_that_exist() {
    let world = JetStream::start().await;
    let (what, hint) = setup(connect(&world.server.url(), "CDC_US").await.unwrap_err());
    assert!(what.contains("no stream `CDC_US`"), "{what}");
    assert!(hint.contains("`CDC`") && hint.contains("--ensure"), "{hint}");
    let (_, hint) = setup(connect(&world.server.url(), "cdc1").await.unwrap_err());
    assert!(hint.contains("did you mean `CDC`?"), "{hint}");
    let (what, _) = setup(connect(&world.server.url(), "cdc.us").await.unwrap_err());
    assert!(what.contains("no name of a stream"), "{what}");
}

#[tokio::test]
async fn a_filter_that_nothing_matches_names_the_streams_subjects() {
    let world = JetStream::start().await;
    let wrong = FilterPattern::parse("changes.{partition}.>").unwrap();
    let error = JetStreamSource::connect(&ConnectOptions::at(world.server.url()), "CDC", wrong).await;
    let (what, hint) = setup(error.unwrap_err());
    assert!(what.contains("`changes.*.>`") && hint.contains("`cdc.>`"), "{what}: {hint}");
}

#[tokio::test]
async fn wrong_credentials_are_told() {
    let server = guarded("publish: [\">\"]").await;
    let (what, hint) = setup(connect_as(&server, "reader", "guess").await.unwrap_err());
    assert!(what.contains("refused the credentials"), "{what}");
    assert!(hint.contains("NATS_CREDS") && !format!("{what}{hint}").contains("guess"), "{hint}");
    let missing = ConnectOptions { creds: Some("/no/such.creds".into()), ..ConnectOptions::at(server.url()) };
    let error = JetStreamSource::connect(&missing, "CDC", FilterPattern::parse(PATTERN).unwrap()).await;
    assert!(setup(error.unwrap_err()).0.contains("/no/such.creds"));
}

#[tokio::test]
async fn a_missing_permission_is_named_at_once() {
    let begun = Instant::now();
    let server = guarded("publish: { deny: [\"$JS.API.STREAM.INFO.>\"] }").await;
    let (what, hint) = setup(connect_as(&server, "reader", "r").await.unwrap_err());
    assert!(what.contains("looking at the stream `CDC`"), "{what}");
    assert!(hint.contains("permission to publish to `$JS.API.STREAM.INFO.CDC`"), "{hint}");

    let server = guarded("publish: { deny: [\"$JS.API.CONSUMER.CREATE.>\"] }").await;
    let source = connect_as(&server, "reader", "r").await.unwrap();
    let (_, hint) = setup(source.open(0, 0).await.unwrap_err());
    assert!(hint.contains("publish to `$JS.API.CONSUMER.CREATE.CDC.reconverge-p0-"), "{hint}");

    let server = guarded("subscribe: { deny: [\"_INBOX.>\"] }").await;
    let (_, hint) = setup(connect_as(&server, "reader", "r").await.unwrap_err());
    assert!(hint.contains("permission to subscribe to `_INBOX."), "{hint}");

    let server = guarded("publish: { deny: [\"cdc.>\"] }").await;
    let source = connect_as(&server, "reader", "r").await.unwrap();
    let (_, hint) = setup(source.publish(&subject(0), &Headers::default(), Bytes::new()).await.unwrap_err());
    assert!(hint.contains(&format!("publish to `{}`", subject(0))), "{hint}");
    assert!(begun.elapsed() < Duration::from_secs(15), "not told at once");
}

#[tokio::test]
async fn a_reader_that_may_not_pull_says_so() {
    let server = guarded("publish: { deny: [\"$JS.API.CONSUMER.MSG.NEXT.>\"] }").await;
    let source = connect_as(&server, "reader", "r").await.unwrap();
    let mut reader = source.open(0, 0).await.unwrap();
    let (_, hint) = setup(reader.next(&limits(1, 1, 10_000)).await.unwrap_err());
    assert!(hint.contains("permission to publish"), "{hint}");
}

#[tokio::test]
async fn the_documented_permissions_suffice() {
    let permissions = "publish: [\"$JS.API.STREAM.INFO.CDC\", \"$JS.API.CONSUMER.CREATE.CDC.>\", \
         \"$JS.API.CONSUMER.MSG.NEXT.CDC.*\", \"$JS.API.CONSUMER.DELETE.CDC.*\", \"$JS.API.STREAM.MSG.GET.CDC\", \"cdc.>\"], \
         subscribe: [\"_INBOX.>\"]";
    let server = guarded(permissions).await;
    let source = connect_as(&server, "reader", "r").await.unwrap();
    assert_eq!(source.publish(&subject(0), &Headers::default(), Bytes::from_static(b"x")).await.unwrap(), 1);
    let mut reader = source.open(0, 0).await.unwrap();
    assert_eq!(reader.next(&limits(1, 1000, 5000)).await.unwrap().deliveries.len(), 1);
    assert!(source.fetch(1).await.unwrap().is_some());
}

#[tokio::test]
async fn an_account_without_jetstream_is_told() {
    let server = NatsServer::builder()
        .config("accounts { PLAIN { users: [ { user: plain, password: p } ] } }")
        .start()
        .unwrap();
    let (what, hint) = setup(connect_as(&server, "plain", "p").await.unwrap_err());
    assert!(what.contains("JetStream is not enabled"), "{what}");
    assert!(hint.contains("enable it"), "{hint}");
}

#[tokio::test]
async fn nobody_there_is_told_in_bounded_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap();
    let begun = Instant::now();
    // One that takes the connection and says nothing; and, closed, one that refuses it.
    for listener in [Some(listener), None] {
        let error = connect(&format!("nats://app:secret@{silent}"), "CDC").await.unwrap_err();
        assert!(
            matches!(&error, SourceError::Unreachable(words)
            if words.contains(&silent.to_string()) && !words.contains("secret")),
            "{error:?}"
        );
        drop(listener);
    }
    assert!(begun.elapsed() < Duration::from_secs(25));
}

#[tokio::test]
async fn a_server_before_2_10_is_refused() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let old = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let info = r#"INFO {"server_id":"OLD","version":"2.9.25","go":"go1.20","host":"0.0.0.0","port":4222,"headers":true,"max_payload":1048576,"proto":1,"jetstream":true}"#;
        stream.write_all(format!("{info}\r\nPONG\r\n").as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let (what, hint) = setup(connect(&format!("nats://{address}"), "CDC").await.unwrap_err());
    assert!(what.contains("2.9.25") && what.contains("too old"), "{what}");
    assert!(hint.contains("2.10"), "{hint}");
    old.abort();
}

#[tokio::test]
async fn publishing_where_no_stream_or_another_one_takes_it_is_told() {
    let world = JetStream::start().await;
    let other = jetstream::stream::Config {
        name: "OTHER".to_owned(),
        subjects: vec!["other.>".to_owned()],
        ..Default::default()
    };
    world.context.create_stream(other).await.unwrap();
    let (what, _) =
        setup(world.source().publish("nowhere.x", &Headers::default(), Bytes::new()).await.unwrap_err());
    assert!(what.contains("no stream takes"), "{what}");
    let (what, _) =
        setup(world.source().publish("other.x", &Headers::default(), Bytes::new()).await.unwrap_err());
    assert!(what.contains("`OTHER` took it"), "{what}");
    let bad: Headers = [("A B", "x")].into_iter().collect();
    let (what, _) = setup(world.source().publish(&subject(0), &bad, Bytes::new()).await.unwrap_err());
    assert!(what.contains("`A B`"), "{what}");
}
