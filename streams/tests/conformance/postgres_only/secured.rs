//! Connections that nobody else reads: a server with a certificate, and whom its authority does not vouch for.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
};

use reconverge_servers::{Authority, Postgres, scratch};
use reconverge_streams::{
    postgres::PostgresSink,
    sink::{Sink, SinkError},
};

/// A server that takes TLS, certified for its address. The files lie with its data and are its own.
fn with_certificate(authority: &Authority) -> Postgres {
    let server = Postgres::temporary().expect("a server");
    let data = server.folder().join("data");
    let owner = fs::metadata(&data).expect("the data's folder");
    let (certificate, key) =
        authority.certify("127.0.0.1").and_then(|it| it.write(&data, "tls")).expect("a certificate");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a key of its own");
    for file in [&certificate, &key] {
        chown(file, Some(owner.uid()), Some(owner.gid())).expect("the server's files");
    }
    for setting in ["ssl_cert_file = 'tls.pem'", "ssl_key_file = 'tls.key'", "ssl = on"] {
        server.execute("postgres", &format!("ALTER SYSTEM SET {setting}")).expect("a setting");
    }
    server.execute("postgres", "SELECT pg_reload_conf()").expect("a reload");
    server
}

#[tokio::test]
async fn tls_is_with_whom_the_authority_vouches_for() {
    let folder = scratch("pg-tls").expect("a folder");
    let (ours, other) = (Authority::new().expect("one"), Authority::new().expect("another"));
    let server = with_certificate(&ours);
    let url = server.create_database("secured").expect("a database");
    let root = |authority: &Authority, name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, authority.pem()).expect("a file");
        format!("{url}?sslmode=verify-full&sslrootcert={}", path.display())
    };
    // Reload is a signal: the server takes it when it comes to it.
    let mut sink = PostgresSink::connect(&root(&ours, "ours.pem")).await;
    for _ in 0..200 {
        if sink.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        sink = PostgresSink::connect(&root(&ours, "ours.pem")).await;
    }
    let sink = sink.expect("a connection");
    sink.prepare().await.expect("it is read and written through");
    let (client, connection) =
        tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("without TLS too");
    drop(tokio::spawn(connection));
    let secured = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                   WHERE s.ssl AND a.datname = 'secured'";
    let count: i64 = client.query_one(secured, &[]).await.expect("a count").get(0);
    assert!(count > 0, "the sink's connection is one by TLS");
    let refused =
        PostgresSink::connect(&root(&other, "other.pem")).await.map(drop).expect_err("not vouched for");
    assert!(
        matches!(&refused, SinkError::Setup { .. } | SinkError::Unreachable(_))
            && refused.to_string().contains("certificate"),
        "{refused}"
    );
    let plain = Postgres::temporary().expect("a server without TLS");
    let asked = plain.create_database("plain").expect("a database") + "?sslmode=require";
    let refused = PostgresSink::connect(&asked).await.map(drop).expect_err("no TLS there");
    assert!(refused.to_string().to_lowercase().contains("tls"), "{refused}");
}
