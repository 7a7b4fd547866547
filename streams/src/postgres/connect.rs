//! A connection to the server: what the URL says, TLS where it demands it, and the settings that make text and
//! time the same on every server.
//!
//! Never prints the URL: it may hold a password.

use std::{str::FromStr, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use tokio_postgres::{Client, Config, Error, NoTls, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::sink::SinkError;

use super::fate;

/// How long to wait for a connection where the URL does not say.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long the server may leave our bytes unacknowledged before the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(30);
/// The oldest server with all that is used (`pg_current_xact_id`, and xid8 cast to xid).
const OLDEST: i32 = 130_000;

/// Text forms are the same whatever the server's defaults. A lock is waited for less long than a lease, and a
/// process that hangs inside a batch gives its locks up.
const SETTINGS: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; \
    SET extra_float_digits = 1; SET bytea_output = 'hex'; SET xmloption = 'content'; \
    SET standard_conforming_strings = on; SET client_encoding = 'UTF8'; SET client_min_messages = 'error'; \
    SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'";

/// The server itself refuses every write of a session that only looks.
const READ_ONLY: &str = "SET default_transaction_read_only = on";

/// A lane looks rows up by key and does nothing else. Without these a plan made while a table was empty would
/// stay: a scan of the whole table for each key, for as long as the statement is prepared.
const LANE_SETTINGS: &str = "SET plan_cache_mode = 'force_generic_plan'; SET enable_seqscan = off; \
    SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";

/// Where and how to connect.
#[derive(Clone)]
pub(super) struct Server {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    is_read_only: bool,
}

impl Server {
    /// Reads a URL or a `key=value` string. `sslmode=require`, `verify-ca` and `verify-full` demand TLS, with the
    /// server's certificate verified against the system's roots or those of `sslrootcert`; everything else
    /// connects without.
    pub(super) fn parse(url: &str) -> Result<Self, SinkError> {
        let (url, roots) = without_root_certificates(url);
        let demanded = url
            .replace("sslmode=verify-full", "sslmode=require")
            .replace("sslmode=verify-ca", "sslmode=require");
        let mut config = Config::from_str(&demanded).map_err(|_| SinkError::Setup {
            what: "the sink's URL is no PostgreSQL URL".into(),
            hint: "write postgres://user:password@host:5432/database?sslmode=require".into(),
        })?;
        if config.get_application_name().is_none() {
            config.application_name("reconverge");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_WAIT);
        }
        config.tcp_user_timeout(SILENCE);
        let tls = match config.get_ssl_mode() {
            SslMode::Disable | SslMode::Prefer => None,
            _ => Some(tls(roots.as_deref())?),
        };
        if tls.is_none() {
            config.ssl_mode(SslMode::Disable);
        }
        Ok(Server { config, tls, is_read_only: false })
    }

    /// The same server, for sessions that cannot write.
    pub(super) fn read_only(self) -> Self {
        Server { is_read_only: true, ..self }
    }

    /// A connection for reads and for the sidecar's upkeep.
    pub(super) async fn connect(&self) -> Result<Client, SinkError> {
        let client = self.open().await.map_err(|e| unreachable_or_setup(&e))?;
        let failed = |e: Error| fate::sink_error(&e, "setting up a session");
        client.batch_execute(SETTINGS).await.map_err(failed)?;
        if self.is_read_only {
            client.batch_execute(READ_ONLY).await.map_err(failed)?;
        }
        let version = client.query_one("SELECT current_setting('server_version_num')::int", &[]).await;
        let version: i32 =
            version.map_err(|e| fate::sink_error(&e, "asking for the server's version"))?.get(0);
        if version < OLDEST {
            return Err(SinkError::Setup {
                what: format!("the server is PostgreSQL {}", version / 10_000),
                hint: "use PostgreSQL 13 or later".into(),
            });
        }
        Ok(client)
    }

    /// A connection for a lane.
    pub(super) async fn connect_lane(&self) -> Result<Client, SinkError> {
        let client = self.connect().await?;
        client
            .batch_execute(LANE_SETTINGS)
            .await
            .map_err(|e| fate::sink_error(&e, "setting up a session"))?;
        Ok(client)
    }

    async fn open(&self) -> Result<Client, Error> {
        // The task ends with the client; what it would say, the client's next call says as well.
        match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(async move { connection.await.ok() });
                Ok(client)
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                tokio::spawn(async move { connection.await.ok() });
                Ok(client)
            }
        }
    }
}

fn unreachable_or_setup(error: &Error) -> SinkError {
    if error.code().is_some() {
        return fate::sink_error(error, "connecting to PostgreSQL");
    }
    // The outer text is only the step; what is underneath (refused, timed out, certificate) is the cause.
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    SinkError::Unreachable(format!("connecting to PostgreSQL: {text}"))
}

/// Takes `sslrootcert`, which the driver does not know, out of a URL's query or of a `key=value` string.
fn without_root_certificates(url: &str) -> (String, Option<String>) {
    let Some(at) = url.find("sslrootcert=") else { return (url.into(), None) };
    let (before, rest) = (&url[..at], &url[at + "sslrootcert=".len()..]);
    let end = rest.find(['&', ' ']).unwrap_or(rest.len());
    let (path, after) = (&rest[..end], rest[end..].trim_start_matches(['&', ' ']));
    let joined = format!("{before}{after}");
    (joined.trim_end_matches(['?', '&', ' ']).into(), Some(path.replace("%2F", "/")))
}

fn tls(roots: Option<&str>) -> Result<MakeRustlsConnect, SinkError> {
    let setup = |what: String| SinkError::Setup {
        what,
        hint: "give the file of the authority's certificates as sslrootcert in the sink's URL".into(),
    };
    let mut store = RootCertStore::empty();
    match roots {
        Some(path) => {
            let unreadable = |e| setup(format!("certificates of sslrootcert: {e}"));
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                let certificate = certificate.map_err(unreadable)?;
                store.add(certificate).map_err(|e| setup(format!("certificates of sslrootcert: {e}")))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() {
        return Err(setup("TLS is demanded and there are no root certificates".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|e| setup(format!("TLS: {e}")))?;
    Ok(MakeRustlsConnect::new(config.with_root_certificates(store).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_certificates_are_taken_out_of_the_url() {
        for (url, rest, path) in [
            ("postgres://h/d?sslrootcert=/a.pem", "postgres://h/d", Some("/a.pem")),
            (
                "postgres://h/d?sslrootcert=%2Fa.pem&sslmode=require",
                "postgres://h/d?sslmode=require",
                Some("/a.pem"),
            ),
            ("postgres://h/d?sslmode=require&sslrootcert=a", "postgres://h/d?sslmode=require", Some("a")),
            ("host=h sslrootcert=a dbname=d", "host=h dbname=d", Some("a")),
            ("postgres://h/d", "postgres://h/d", None),
        ] {
            assert_eq!(without_root_certificates(url), (rest.into(), path.map(Into::into)), "{url}");
        }
    }

    #[test]
    fn a_bad_url_is_refused_without_being_shown() {
        let error =
            Server::parse("postgres://me:secret@host:notaport/db").err().expect("refused").to_string();
        assert!(!error.contains("secret"), "{error}");
        assert!(Server::parse("postgres://h/d?sslmode=disable").unwrap().tls.is_none());
    }
}
