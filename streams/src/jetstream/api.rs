//! Requests to JetStream's API: JSON out, JSON in, and why one failed. Used when a reader is opened or closed and for
//! single messages, never once per event.
//!
//! A request ends within [`ANSWER_MAX`], and at once where the server says that the user may not make it.

use std::time::Duration;

use async_nats::{HeaderMap, Message, Request, RequestErrorKind};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::broadcast;

use super::connect::{Connection, Refusal};
use crate::source::SourceError;

/// How long the server may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// JetStream's number for "stream not found".
pub(super) const STREAM_NOT_FOUND: u64 = 10059;
/// JetStream's number for "no message found".
pub(super) const NO_MESSAGE_FOUND: u64 = 10037;
/// JetStream's number for "consumer not found".
pub(super) const CONSUMER_NOT_FOUND: u64 = 10014;
/// JetStream's numbers for a work queue whose messages another consumer takes already.
pub(super) const WORK_QUEUE_TAKEN: [u64; 2] = [10099, 10100];
/// JetStream's numbers for "not enabled", for the server and for the account.
const NOT_ENABLED: [u64; 2] = [10076, 10039];

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// The server refused the request in JetStream's own words.
    #[error("{words} (code {code})")]
    Refused { code: u64, words: String },
    /// The user may not publish to the request's subject, or not subscribe to the inbox for its answer.
    #[error("not permitted to {} `{}`", if .0.publish { "publish to" } else { "subscribe to" }, .0.subject)]
    Denied(Refusal),
    /// Nobody listens there.
    #[error("nobody answers there")]
    NobodyThere,
    /// The connection failed, or no answer came in time.
    #[error("{0}")]
    NoAnswer(String),
    /// An answer came that is not understood.
    #[error("the answer is not understood: {0}")]
    Malformed(String),
}

impl ApiError {
    /// Whether JetStream refused with one of these numbers.
    pub fn is_refusal(&self, codes: &[u64]) -> bool {
        matches!(self, ApiError::Refused { code, .. } if codes.contains(code))
    }

    /// For the user: `doing` is what failed, as in "reading the stream `S`".
    pub fn into_source_error(self, connection: &Connection, doing: &str) -> SourceError {
        let setup = |what: String, hint: &str| SourceError::Setup { what, hint: hint.to_owned() };
        match &self {
            ApiError::Denied(refusal) => {
                let verb = if refusal.publish { "publish" } else { "subscribe" };
                let subject = &refusal.subject;
                SourceError::Setup {
                    what: format!("{doing} failed: the NATS user is {self}"),
                    hint: format!("grant the user permission to {verb} to `{subject}`"),
                }
            }
            // Where JetStream has answered before, it is starting, or the way to its domain is cut: that passes.
            ApiError::NobodyThere if connection.stands() && !connection.has_jetstream() => {
                setup(format!("{doing} failed: JetStream is not enabled at {}", connection.url), NO_JETSTREAM)
            }
            ApiError::Refused { code, .. } if NOT_ENABLED.contains(code) => {
                setup(format!("{doing} failed: JetStream is not enabled at {}", connection.url), NO_JETSTREAM)
            }
            // JetStream answers 503 while it has no leader or is starting up: that passes.
            ApiError::Refused { code: 10008 | 10009 | 503, .. } => {
                SourceError::Unreachable(format!("{doing} failed: {self}"))
            }
            ApiError::Refused { .. } => setup(
                format!("{doing} failed: {self}"),
                "the words are JetStream's own; look at the stream's configuration with `nats stream info`",
            ),
            ApiError::NobodyThere | ApiError::NoAnswer(_) | ApiError::Malformed(_) => {
                connection.unreachable(format_args!("{doing} failed: {self}"))
            }
        }
    }
}

const NO_JETSTREAM: &str = "enable it in the server's configuration (`jetstream {}`, or `nats-server -js`) and for the account, \
     or give the domain or API prefix under which it stands";

#[derive(Deserialize)]
struct Failed {
    error: FailedWhy,
}

#[derive(Deserialize)]
struct FailedWhy {
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// Sends `body` to `verb` (`STREAM.INFO.S`) below the API's prefix.
pub(super) async fn call<T: DeserializeOwned>(
    connection: &Connection,
    verb: &str,
    body: &serde_json::Value,
) -> Result<T, ApiError> {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    request(connection, format!("{}.{verb}", connection.api_prefix), None, body).await
}

/// Sends a request to any subject that JetStream answers, and reads the answer.
pub(super) async fn request<T: DeserializeOwned>(
    connection: &Connection,
    subject: String,
    headers: Option<HeaderMap>,
    body: Bytes,
) -> Result<T, ApiError> {
    // Subscribed before the request is out, so that no refusal of it is missed.
    let mut refusals = connection.refusals();
    let mut asked = Request::new().payload(body).timeout(Some(ANSWER_MAX));
    if let Some(headers) = headers {
        asked = asked.headers(headers);
    }
    let answer = tokio::select! {
        answer = connection.client.send_request(subject.clone(), asked) => answer,
        refusal = refusal_of(&mut refusals, &subject) => return Err(ApiError::Denied(refusal)),
    };
    match answer {
        Ok(message) => {
            connection.answer_came();
            read(&message)
        }
        Err(error) => Err(match error.kind() {
            RequestErrorKind::NoResponders => ApiError::NobodyThere,
            RequestErrorKind::TimedOut => {
                ApiError::NoAnswer(format!("no answer within {} s", ANSWER_MAX.as_secs()))
            }
            RequestErrorKind::InvalidSubject
            | RequestErrorKind::MaxPayloadExceeded
            | RequestErrorKind::Other => ApiError::NoAnswer(error.to_string()),
        }),
    }
}

fn read<T: DeserializeOwned>(message: &Message) -> Result<T, ApiError> {
    if let Ok(Failed { error }) = serde_json::from_slice::<Failed>(&message.payload) {
        let code = if error.err_code == 0 { error.code } else { error.err_code };
        return Err(ApiError::Refused { code, words: error.description });
    }
    serde_json::from_slice(&message.payload).map_err(|error| ApiError::Malformed(error.to_string()))
}

/// Waits until the server refuses `subject`, or a subscription (only inboxes are subscribed to here).
async fn refusal_of(refusals: &mut broadcast::Receiver<Refusal>, subject: &str) -> Refusal {
    loop {
        match refusals.recv().await {
            Ok(refusal) if !refusal.publish || refusal.subject == subject => return refusal,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            // The sender lives in the connection, which the caller holds.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
