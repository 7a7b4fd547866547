//! Servers that ask who comes, and connections that nobody else reads: passwords, tokens, nkeys, credentials files, TLS.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use nkeys::KeyPair;
use reconverge_servers::{Authority, NatsServer, scratch};
use reconverge_streams::headers::Headers;
use reconverge_streams::jetstream::{ConnectOptions, FilterPattern, JetStreamSource, StreamDefinition};
use reconverge_streams::source::{Source, SourceError};
use serde_json::{Value, json};

use crate::world::{PATTERN, read_through, setup, subject};

/// Makes a stream, publishes and reads back: all that a source does on its connection.
async fn works(options: &ConnectOptions) {
    let filters = FilterPattern::parse(PATTERN).unwrap();
    StreamDefinition::new("CDC", filters.subjects()).ensure(options).await.unwrap();
    let source = JetStreamSource::connect(options, "CDC", filters).await.unwrap();
    let sequence = source.publish(&subject(0), &Headers::default(), Bytes::from_static(b"it")).await.unwrap();
    let mut reader = source.open(0, sequence - 1).await.unwrap();
    let read = read_through(&mut reader, sequence).await.unwrap();
    assert_eq!(read.last().map(|delivery| &delivery.payload[..]), Some(&b"it"[..]));
}

/// What a source says that cannot connect.
async fn refused(options: &ConnectOptions) -> SourceError {
    let filters = FilterPattern::parse(PATTERN).unwrap();
    JetStreamSource::connect(options, "CDC", filters).await.unwrap_err()
}

/// That it was turned away, and what is said about it.
async fn turned_away(options: &ConnectOptions) {
    let (what, hint) = setup(refused(options).await);
    assert!(what.contains("refused the credentials") && hint.contains("NATS_CREDS"), "{what}: {hint}");
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn a_password_and_an_nkey_open_the_door_and_nothing_else_does() {
    let folder = scratch("nkeys").unwrap();
    let user = KeyPair::new_user();
    let server = NatsServer::builder()
        .config(&format!(
            "authorization {{ users: [{{ user: app, password: \"s3cret\" }}, {{ nkey: {} }}] }}",
            user.public_key()
        ))
        .start()
        .unwrap();
    let with_password = |word: &str| ConnectOptions {
        user: Some("app".into()),
        password: Some(word.into()),
        ..ConnectOptions::at(server.url())
    };
    works(&with_password("s3cret")).await;
    let nkey = |pair: &KeyPair, name: &str| ConnectOptions {
        // As an editor leaves it, with a line's end.
        nkey: Some(write(folder.path(), name, &format!("{}\n", pair.seed().unwrap()))),
        ..ConnectOptions::at(server.url())
    };
    works(&nkey(&user, "user.nk")).await;
    turned_away(&ConnectOptions::at(server.url())).await;
    turned_away(&with_password("guess")).await;
    turned_away(&nkey(&KeyPair::new_user(), "stranger.nk")).await;
    let missing =
        ConnectOptions { nkey: Some(folder.path().join("none.nk")), ..ConnectOptions::at(server.url()) };
    let (what, _) = setup(refused(&missing).await);
    assert!(what.contains("none.nk cannot be read"), "{what}");
}

#[tokio::test]
async fn a_token_opens_the_door() {
    let server = NatsServer::builder().config("authorization { token: \"s3cret\" }").start().unwrap();
    let with = |token: &str| ConnectOptions { token: Some(token.into()), ..ConnectOptions::at(server.url()) };
    works(&with("s3cret")).await;
    turned_away(&with("guess")).await;
}

/// A JWT as nsc makes it: claims of `subject`, signed by `issuer`.
fn jwt(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let claims = json!({
        "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(), "name": name, "sub": subject.public_key(), "nats": nats,
    });
    let signed = format!("{head}.{}", part(&claims));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn account(name: &str, operator: &KeyPair, account: &KeyPair, jetstream: bool) -> String {
    let store = if jetstream { -1 } else { 0 };
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": store, "disk_storage": store, "streams": store, "consumer": store,
    });
    jwt(operator, account, name, &json!({ "type": "account", "version": 2, "limits": limits }))
}

#[tokio::test]
async fn a_credentials_file_opens_the_door_of_an_operator() {
    let folder = scratch("creds").unwrap();
    let (operator, system, team) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let nats = json!({ "type": "operator", "version": 2, "system_account": system.public_key() });
    let server = NatsServer::builder()
        .config(&format!(
            "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}",
            jwt(&operator, &operator, "operator", &nats),
            system.public_key(),
            system.public_key(),
            account("system", &operator, &system, false),
            team.public_key(),
            account("team", &operator, &team, true)
        ))
        .start()
        .unwrap();
    let creds = |signer: &KeyPair, name: &str| {
        let user = KeyPair::new_user();
        let nats = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            jwt(signer, &user, name, &nats),
            user.seed().unwrap()
        );
        ConnectOptions {
            creds: Some(write(folder.path(), &format!("{name}.creds"), &text)),
            ..ConnectOptions::at(server.url())
        }
    };
    works(&creds(&team, "app")).await;
    turned_away(&creds(&KeyPair::new_account(), "stranger")).await;
    turned_away(&ConnectOptions::at(server.url())).await;
}

#[tokio::test]
async fn tls_is_with_whom_the_authority_vouches_for() {
    let folder = scratch("tls").unwrap();
    let (ours, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let (certificate, key) = ours.certify("127.0.0.1").unwrap().write(folder.path(), "server").unwrap();
    let ca = write(folder.path(), "ca.pem", ours.pem());
    for (extra, first) in [("", false), ("verify: true", false), ("handshake_first: \"200ms\"", true)] {
        let server = NatsServer::builder()
            .config(&format!(
                "tls {{ cert_file: {certificate:?}, key_file: {key:?}, ca_file: {ca:?}\n{extra} }}"
            ))
            .start()
            .unwrap();
        let mut options = ConnectOptions { ca: Some(ca.clone()), ..ConnectOptions::at(server.url()) };
        options.tls_first = first;
        if extra.starts_with("verify") {
            let (what, _) = setup(refused(&options).await);
            assert!(what.contains("TLS"), "a client without a certificate: {what}");
            let (certificate, key) =
                ours.certify("reconverge").unwrap().write(folder.path(), "client").unwrap();
            (options.cert, options.key) = (Some(certificate), Some(key));
        }
        works(&options).await;
        options.ca = Some(write(folder.path(), "other.pem", other.pem()));
        let (what, hint) = setup(refused(&options).await);
        assert!(
            what.contains("no TLS connection") && hint.contains("certificate authority"),
            "{what}: {hint}"
        );
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_where_tls_is_asked_for() {
    let folder = scratch("plain").unwrap();
    let ca = write(folder.path(), "ca.pem", Authority::new().unwrap().pem());
    let server = NatsServer::temporary().unwrap();
    let options = ConnectOptions { ca: Some(ca), ..ConnectOptions::at(server.url()) };
    let (what, _) = setup(refused(&options).await);
    assert!(what.contains("no TLS connection"), "{what}");
}
