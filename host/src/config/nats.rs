//! How to reach a NATS server: the file first, then `NATS_*` variables, then a context of the `nats` tool.
//!
//! A context that nobody named (the one selected in `nats/context.txt`) counts only where nothing names a
//! server: its credentials are never sent to a server that it was not made for.
//!
//! Source of the names: the `nats` command line and orbit.go's `natscontext`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use super::environment::Environment;
use super::secret::ConnectionUrl;

/// Where a server is looked for when nothing says where it is, as the `nats` tool does.
const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

/// Everything that a NATS client needs to connect. `Debug` hides what is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsOptions {
    /// One url, or several with commas between.
    pub url: ConnectionUrl,
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
    /// Prefix of inbox subjects, `_INBOX` where none.
    pub inbox_prefix: Option<String>,
    /// JetStream domain.
    pub jetstream_domain: Option<String>,
    /// Prefix of JetStream's API, `$JS.API` where none.
    pub jetstream_api_prefix: Option<String>,
    /// Start TLS before the server's greeting.
    pub tls_first: bool,
}

impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "(hidden)");
        f.debug_struct("NatsOptions")
            .field("url", &self.url)
            .field("creds", &self.creds)
            .field("user", &self.user)
            .field("password", &hidden(&self.password))
            .field("token", &hidden(&self.token))
            .field("nkey", &self.nkey)
            .field("cert", &self.cert)
            .field("key", &self.key)
            .field("ca", &self.ca)
            .field("inbox_prefix", &self.inbox_prefix)
            .field("jetstream_domain", &self.jetstream_domain)
            .field("jetstream_api_prefix", &self.jetstream_api_prefix)
            .field("tls_first", &self.tls_first)
            .finish()
    }
}

/// What the pipeline file says about a server; urls are interpolated and paths are joined already.
#[derive(Clone, Debug, Default)]
pub struct FromFile {
    /// `url`
    pub url: Option<String>,
    /// `context`
    pub context: Option<String>,
    /// `creds`
    pub creds: Option<PathBuf>,
    /// `ca`
    pub ca: Option<PathBuf>,
    /// `cert`
    pub cert: Option<PathBuf>,
    /// `key`
    pub key: Option<PathBuf>,
    /// `inbox_prefix`
    pub inbox_prefix: Option<String>,
    /// `jetstream_domain`
    pub jetstream_domain: Option<String>,
    /// `jetstream_api_prefix`
    pub jetstream_api_prefix: Option<String>,
    /// `tls_first`
    pub tls_first: Option<bool>,
}

/// Why a context cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ContextError {
    /// There is no file for it, or it cannot be read.
    #[error("the NATS context `{name}` cannot be read from {}: {cause}", path.display())]
    Unreadable {
        /// Name of the context.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
        /// What the operating system says.
        cause: String,
    },
    /// The file is not what the `nats` tool writes.
    #[error("the NATS context `{name}` in {} is not understood: {cause}", path.display())]
    Malformed {
        /// Name of the context.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the JSON reader says, without values.
        cause: String,
    },
    /// It uses what this client cannot do.
    #[error("the NATS context `{name}` uses `{setting}`, which is not supported")]
    Unsupported {
        /// Name of the context.
        name: String,
        /// The field.
        setting: &'static str,
    },
    /// The name leads out of the folder of contexts.
    #[error("`{name}` is no name of a NATS context")]
    BadName {
        /// The name.
        name: String,
    },
    /// Neither `XDG_CONFIG_HOME` nor `HOME` is set.
    #[error("the NATS context `{name}` cannot be found: neither XDG_CONFIG_HOME nor HOME is set")]
    NoHome {
        /// Name of the context.
        name: String,
    },
}

/// A context as the `nats` tool stores it; an empty text is as good as none.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    url: String,
    creds: String,
    user: String,
    password: String,
    token: String,
    nkey: String,
    cert: String,
    key: String,
    ca: String,
    nsc: String,
    user_jwt: String,
    socks_proxy: String,
    inbox_prefix: String,
    jetstream_domain: String,
    jetstream_api_prefix: String,
    tls_first: bool,
}

/// Puts together what the file, the environment and a context say; the first that says something counts.
///
/// # Errors
/// Where a context that counts cannot be read or asks for what is not supported.
pub fn resolve(file: FromFile, environment: &dyn Environment) -> Result<NatsOptions, ContextError> {
    let variable = |name: &str| environment.variable(name);
    let url = file.url.or_else(|| variable("NATS_URL"));
    let named = file.context.or_else(|| variable("NATS_CONTEXT"));
    let selected = || if url.is_none() { selected(environment) } else { None };
    let context = match named.or_else(selected) {
        Some(name) => read_context(&name, environment)?,
        None => Context::default(),
    };
    let home = variable("HOME").map(PathBuf::from);
    let path = |given: Option<PathBuf>, name: &str, stored: &str| {
        given.or_else(|| variable(name).map(PathBuf::from)).or_else(|| expand(stored, home.as_deref()))
    };
    let text = |name: &str, stored: &str| variable(name).or_else(|| some(stored));
    Ok(NatsOptions {
        url: ConnectionUrl::new(url.or_else(|| some(&context.url)).unwrap_or_else(|| DEFAULT_URL.to_owned())),
        creds: path(file.creds, "NATS_CREDS", &context.creds),
        user: text("NATS_USER", &context.user),
        password: text("NATS_PASSWORD", &context.password),
        token: text("NATS_TOKEN", &context.token),
        nkey: path(None, "NATS_NKEY", &context.nkey),
        cert: path(file.cert, "NATS_CERT", &context.cert),
        key: path(file.key, "NATS_KEY", &context.key),
        ca: path(file.ca, "NATS_CA", &context.ca),
        inbox_prefix: file.inbox_prefix.or_else(|| some(&context.inbox_prefix)),
        jetstream_domain: file.jetstream_domain.or_else(|| some(&context.jetstream_domain)),
        jetstream_api_prefix: file.jetstream_api_prefix.or_else(|| some(&context.jetstream_api_prefix)),
        tls_first: file.tls_first.unwrap_or(context.tls_first),
    })
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A stored path; `~/` is the home folder, as the `nats` tool has it.
fn expand(stored: &str, home: Option<&Path>) -> Option<PathBuf> {
    let stored = some(stored)?;
    match (stored.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Some(home.join(rest)),
        _ => Some(PathBuf::from(stored)),
    }
}

fn folder(environment: &dyn Environment) -> Option<PathBuf> {
    let xdg = environment.variable("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = || environment.variable("HOME").map(|home| Path::new(&home).join(".config"));
    xdg.or_else(home).map(|config| config.join("nats"))
}

fn selected(environment: &dyn Environment) -> Option<String> {
    let name = environment.file(&folder(environment)?.join("context.txt")).ok()?;
    some(name.trim())
}

fn read_context(name: &str, environment: &dyn Environment) -> Result<Context, ContextError> {
    if name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(ContextError::BadName { name: name.to_owned() });
    }
    let folder = folder(environment).ok_or_else(|| ContextError::NoHome { name: name.to_owned() })?;
    let path = folder.join("context").join(format!("{name}.json"));
    let text = match environment.file(&path) {
        Ok(text) => text,
        Err(cause) => {
            return Err(ContextError::Unreadable { name: name.to_owned(), path, cause: cause.to_string() });
        }
    };
    let context: Context = match serde_json::from_str(&text) {
        Ok(context) => context,
        // serde_json's words may quote a value, and a value may be a password.
        Err(error) => {
            let cause = format!("line {} column {}", error.line(), error.column());
            return Err(ContextError::Malformed { name: name.to_owned(), path, cause });
        }
    };
    let unsupported =
        [("nsc", &context.nsc), ("user_jwt", &context.user_jwt), ("socks_proxy", &context.socks_proxy)];
    match unsupported.iter().find(|(_, value)| !value.is_empty()) {
        Some((setting, _)) => Err(ContextError::Unsupported { name: name.to_owned(), setting }),
        None => Ok(context),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::World;
    use super::{ContextError, FromFile, resolve};

    const STAGING: &str = r#"{"description": "", "url": "nats://staging:4222", "user": "app", "password": "hunter2",
        "creds": "~/staging.creds", "inbox_prefix": "_INBOX_app", "jetstream_domain": "leaf", "tls_first": true,
        "jetstream_event_prefix": ""}"#;

    fn world() -> World {
        World::default()
            .with("HOME", "/home/a")
            .file("/home/a/.config/nats/context.txt", "staging\n")
            .file("/home/a/.config/nats/context/staging.json", STAGING)
            .file("/home/a/.config/nats/context/nsc.json", r#"{"nsc": "nsc://op/acc/user"}"#)
            .file("/home/a/.config/nats/context/bad.json", r#"{"password": 7}"#)
            .file("/xdg/nats/context/other.json", r#"{"url": "nats://other:4222"}"#)
    }

    fn url(file: Option<&str>, world: &World) -> String {
        let file = FromFile { url: file.map(str::to_owned), ..FromFile::default() };
        resolve(file, world).unwrap().url.expose().to_owned()
    }

    #[test]
    fn the_first_that_names_a_server_counts() {
        let with_url = world().with("NATS_URL", "nats://env:4222");
        let with_context = world().with("NATS_CONTEXT", "other").with("XDG_CONFIG_HOME", "/xdg");
        assert_eq!(url(Some("nats://file:4222"), &with_url), "nats://file:4222");
        assert_eq!(url(None, &with_url), "nats://env:4222");
        assert_eq!(url(None, &with_context), "nats://other:4222");
        assert_eq!(url(None, &world()), "nats://staging:4222");
        assert_eq!(url(None, &World::default()), "nats://127.0.0.1:4222");
    }

    #[test]
    fn a_context_brings_its_settings_and_its_secrets_stay_hidden() {
        let options = resolve(FromFile::default(), &world()).unwrap();
        assert_eq!(options.creds.as_deref(), Some("/home/a/staging.creds".as_ref()));
        assert_eq!(options.password.as_deref(), Some("hunter2"));
        assert_eq!(options.inbox_prefix.as_deref(), Some("_INBOX_app"));
        assert_eq!(options.jetstream_domain.as_deref(), Some("leaf"));
        assert!(options.tls_first);
        assert!(!format!("{options:?}").contains("hunter2"));
    }

    #[test]
    fn the_selected_context_gives_no_credentials_to_another_server() {
        let file = FromFile { url: Some("nats://elsewhere:4222".to_owned()), ..FromFile::default() };
        let options = resolve(file, &world()).unwrap();
        assert_eq!((options.user, options.password, options.creds), (None, None, None));
    }

    #[test]
    fn a_context_that_cannot_be_used_is_named() {
        let wrong = |name: &str| {
            let file = FromFile { context: Some(name.to_owned()), ..FromFile::default() };
            resolve(file, &world()).unwrap_err()
        };
        assert!(matches!(wrong("gone"), ContextError::Unreadable { name, .. } if name == "gone"));
        assert!(matches!(wrong("bad"), ContextError::Malformed { cause, .. } if !cause.contains('7')));
        assert_eq!(wrong("nsc"), ContextError::Unsupported { name: "nsc".to_owned(), setting: "nsc" });
        assert_eq!(wrong("../up"), ContextError::BadName { name: "../up".to_owned() });
    }
}
