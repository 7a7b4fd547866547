//! The connection to a NATS server: made once by a source and shared by its readers.
//!
//! It refuses servers that are too old, counts the times that the connection was lost (a reader that sees the
//! count move is in doubt), and passes on the permissions that the server refused, which a request would
//! otherwise only notice as silence. It never gives up reconnecting: whether to wait is the lane's decision.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, Event, ServerError};
use tokio::sync::broadcast;

use crate::source::SourceError;

/// How long a connection may take before the server counts as unreachable.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The first server that filters a consumer by several subjects; older ones ignore the list in silence.
const OLDEST_SERVER: (u64, u64) = (2, 10);

/// Refused permissions that a request may be late to hear of.
const REFUSALS_KEPT: usize = 16;

/// How to reach a NATS server. `Debug` hides what is secret.
#[derive(Clone, Default)]
pub struct ConnectOptions {
    /// One url, or several with commas between.
    pub url: String,
    /// Name of the connection, for the operator of the server.
    pub name: Option<String>,
    /// File with a user's credentials (JWT and seed).
    pub creds: Option<PathBuf>,
    /// User name.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// Token.
    pub token: Option<String>,
    /// File with an nkey seed.
    pub nkey: Option<PathBuf>,
    /// File with the client's certificate.
    pub cert: Option<PathBuf>,
    /// File with the key of the certificate.
    pub key: Option<PathBuf>,
    /// File with the certificate authority.
    pub ca: Option<PathBuf>,
    /// Start TLS before the server's greeting.
    pub tls_first: bool,
    /// Prefix of inbox subjects, `_INBOX` where none.
    pub inbox_prefix: Option<String>,
    /// JetStream domain.
    pub jetstream_domain: Option<String>,
    /// Prefix of JetStream's API, `$JS.API` where none; goes before the domain.
    pub jetstream_api_prefix: Option<String>,
}

impl ConnectOptions {
    /// Only a url; everything else as the server takes it from strangers.
    #[must_use]
    pub fn at(url: impl Into<String>) -> ConnectOptions {
        ConnectOptions { url: url.into(), ..ConnectOptions::default() }
    }

    /// The urls without the secrets that may stand in them.
    #[must_use]
    pub fn shown_url(&self) -> String {
        let shown = |url: &str| match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            (None, Some((_, host))) => host.to_owned(),
            _ => url.to_owned(),
        };
        self.url.split(',').map(|url| shown(url.trim())).collect::<Vec<_>>().join(",")
    }

    fn api_prefix(&self) -> String {
        match (&self.jetstream_api_prefix, &self.jetstream_domain) {
            (Some(prefix), _) => prefix.trim_end_matches('.').to_owned(),
            (None, Some(domain)) => format!("$JS.{domain}.API"),
            (None, None) => "$JS.API".to_owned(),
        }
    }

    async fn client(&self) -> Result<async_nats::ConnectOptions, SourceError> {
        let mut client = async_nats::ConnectOptions::new()
            .name(self.name.as_deref().unwrap_or("reconverge"))
            .connection_timeout(CONNECT_MAX);
        if let Some(creds) = &self.creds {
            let read = client.credentials_file(creds).await;
            client = read.map_err(|cause| unreadable("credentials", creds, &cause))?;
        }
        if let Some(nkey) = &self.nkey {
            let seed = tokio::fs::read_to_string(nkey).await;
            client = client.nkey(seed.map_err(|cause| unreadable("nkey", nkey, &cause))?.trim().to_owned());
        }
        if let Some(token) = &self.token {
            client = client.token(token.clone());
        }
        if let Some(user) = &self.user {
            client = client.user_and_password(user.clone(), self.password.clone().unwrap_or_default());
        }
        if let Some(ca) = &self.ca {
            client = client.add_root_certificates(ca.clone()).require_tls(true);
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            client = client.add_client_certificate(cert.clone(), key.clone());
        }
        if self.tls_first {
            client = client.tls_first();
        }
        if let Some(prefix) = &self.inbox_prefix {
            client = client.custom_inbox_prefix(prefix);
        }
        Ok(client)
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("url", &self.shown_url())
            .field("user", &self.user)
            .field("creds", &self.creds)
            .field("nkey", &self.nkey)
            .finish_non_exhaustive()
    }
}

fn unreadable(kind: &str, path: &std::path::Path, cause: &std::io::Error) -> SourceError {
    SourceError::Setup {
        what: format!("the NATS {kind} file {} cannot be read: {cause}", path.display()),
        hint: "give the path of a file that this process may read".to_owned(),
    }
}

/// A permission that the server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Whether it was to publish; else to subscribe.
    pub publish: bool,
    /// The subject, with the queue group where there is one.
    pub subject: String,
}

impl Refusal {
    /// Reads `Permissions Violation for Publish to "subject"`.
    fn read(words: &str) -> Option<Refusal> {
        let (_, tail) = words.split_once("ermissions Violation for ")?;
        let (verb, tail) = tail.split_once(" to \"")?;
        let (subject, _) = tail.split_once('"')?;
        Some(Refusal { publish: verb == "Publish", subject: subject.to_owned() })
    }
}

/// A live connection. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub client: Client,
    /// `$JS.API`, or what stands in its place.
    pub api_prefix: String,
    /// Where it leads, for messages.
    pub url: String,
    losses: Arc<AtomicU64>,
    refusals: broadcast::Sender<Refusal>,
    /// Whether JetStream has answered anything: then it is there, and a silence passes.
    answered: Arc<AtomicBool>,
}

impl Connection {
    /// Connects, or says within [`CONNECT_MAX`] (per server) why not.
    pub async fn open(options: &ConnectOptions) -> Result<Connection, SourceError> {
        let (losses, refusals) = (Arc::new(AtomicU64::new(0)), broadcast::channel(REFUSALS_KEPT).0);
        let (lost, refused) = (Arc::clone(&losses), refusals.clone());
        let heard = move |event: Event| {
            match &event {
                Event::Disconnected => {
                    lost.fetch_add(1, Ordering::Release);
                    tracing::warn!("nats connection lost");
                }
                Event::ServerError(ServerError::Other(words)) => {
                    // Nobody listening is fine: the refusal is of interest to the request that it met.
                    Refusal::read(words).map(|refusal| refused.send(refusal).ok());
                    tracing::debug!(error = %words, "nats server error");
                }
                _ => tracing::debug!(event = %event, "nats connection event"),
            }
            std::future::ready(())
        };
        let client = options.client().await?.event_callback(heard);
        let urls: Vec<&str> = options.url.split(',').map(str::trim).collect();
        let client = client.connect(&urls[..]).await.map_err(|error| not_connected(options, &error))?;
        let version = client.server_info().version;
        check_version(&version, &options.shown_url())?;
        Ok(Connection {
            client,
            api_prefix: options.api_prefix(),
            url: options.shown_url(),
            losses,
            refusals,
            answered: Arc::default(),
        })
    }

    /// How often it was lost since it was made.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// JetStream answered.
    pub fn answer_came(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether JetStream has ever answered on this connection.
    pub fn has_jetstream(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether it stands at this moment.
    pub fn stands(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// The permissions that are refused from now on.
    pub fn refusals(&self) -> broadcast::Receiver<Refusal> {
        self.refusals.subscribe()
    }

    /// The error of an operation that failed because of the connection.
    pub fn unreachable(&self, cause: impl fmt::Display) -> SourceError {
        SourceError::Unreachable(format!("the NATS server at {} does not answer: {cause}", self.url))
    }
}

fn not_connected(options: &ConnectOptions, error: &async_nats::ConnectError) -> SourceError {
    let url = options.shown_url();
    let setup = |what: String, hint: &str| SourceError::Setup { what, hint: hint.to_owned() };
    match error.kind() {
        ConnectErrorKind::Io if is_about_tls(error) => setup(
            format!("no TLS connection to the NATS server at {url}: {error}"),
            "TLS is asked for by the certificate authority or the url: see whether the server has it, and wants it first",
        ),
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => setup(
            format!("the NATS server at {url} refused the credentials"),
            "check NATS_CREDS, NATS_USER and NATS_PASSWORD, or the context that is in use",
        ),
        ConnectErrorKind::ServerParse => setup(
            format!("`{url}` is not the url of a NATS server"),
            "write it as nats://host:4222, several with commas between",
        ),
        ConnectErrorKind::Tls => setup(
            format!("no TLS connection to the NATS server at {url}: {error}"),
            "check the certificate authority, the client's certificate and its key, and whether the server wants TLS first",
        ),
        ConnectErrorKind::Dns
        | ConnectErrorKind::TimedOut
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => {
            SourceError::Unreachable(format!("no NATS server answers at {url}: {error}"))
        }
    }
}

/// Whether what came was no TLS, as from a server that speaks without.
fn is_about_tls(error: &async_nats::ConnectError) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if io.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Refuses a server before [`OLDEST_SERVER`], or one that does not say what it is.
fn check_version(version: &str, url: &str) -> Result<(), SourceError> {
    let mut numbers = version.trim_start_matches('v').split(['.', '-']).map(str::parse::<u64>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Err(SourceError::Setup {
            what: format!(
                "the server at {url} says that its version is `{version}`, which is not understood"
            ),
            hint: "use nats-server 2.10 or newer".to_owned(),
        });
    };
    if (major, minor) >= OLDEST_SERVER {
        return Ok(());
    }
    Err(SourceError::Setup {
        what: format!("the NATS server at {url} is version {version}, which is too old"),
        hint: "use nats-server 2.10 or newer: older ones ignore filters that this source relies on"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_2_10_are_refused() {
        for (version, taken) in [
            ("2.10.0", true),
            ("2.15.1", true),
            ("v2.12.0-RC.1", true),
            ("2.11.0-dev", true),
            ("3.0.0", true),
            ("2.9.25", false),
            ("2.2", false),
            ("1.4.1", false),
            ("", false),
            ("nightly", false),
        ] {
            let answer = check_version(version, "nats://there");
            assert_eq!(answer.is_ok(), taken, "{version}");
            if let Err(error) = answer {
                let SourceError::Setup { what, hint } = error else { panic!("{error}") };
                assert!(what.contains(version) && hint.contains("2.10"), "{what}: {hint}");
            }
        }
    }

    #[test]
    fn refused_permissions_are_read_from_the_servers_words() {
        let publish = r#"Permissions Violation for Publish to "$JS.API.STREAM.INFO.CDC""#;
        assert_eq!(
            Refusal::read(publish),
            Some(Refusal { publish: true, subject: "$JS.API.STREAM.INFO.CDC".to_owned() })
        );
        let subscribe = r#"Permissions Violation for Subscription to "_INBOX.a.*""#;
        assert_eq!(
            Refusal::read(subscribe),
            Some(Refusal { publish: false, subject: "_INBOX.a.*".to_owned() })
        );
        assert_eq!(Refusal::read("Maximum Connections Exceeded"), None);
    }

    #[test]
    fn secrets_in_urls_are_not_shown() {
        let mut options = ConnectOptions::at("nats://app:p@ss@one:4222, two:4222,tok@three");
        options.password = Some("hunter2".to_owned());
        assert_eq!(options.shown_url(), "nats://one:4222,two:4222,three");
        let debug = format!("{options:?}");
        assert!(!debug.contains("p@ss") && !debug.contains("hunter2") && !debug.contains("tok"), "{debug}");
    }

    #[test]
    fn the_api_stands_below_its_prefix_or_domain() {
        let mut options = ConnectOptions::at("there");
        assert_eq!(options.api_prefix(), "$JS.API");
        options.jetstream_domain = Some("leaf".to_owned());
        assert_eq!(options.api_prefix(), "$JS.leaf.API");
        options.jetstream_api_prefix = Some("from.hub.".to_owned());
        assert_eq!(options.api_prefix(), "from.hub");
    }
}
