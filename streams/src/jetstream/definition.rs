//! The stream that `run --ensure` creates where there is none. Without `--ensure` a source only binds to what is there.
//!
//! An existing stream is never changed: its limits are its owner's.

use std::time::Duration;

use serde_json::{Value, json};

use super::api;
use super::connect::{ConnectOptions, Connection};
use super::stream;
use crate::source::SourceError;

const NAME_IN_USE: u64 = 10058;
const SUBJECTS_OVERLAP: u64 = 10065;
const BAD_CONFIGURATION: u64 = 10052;

/// What a full stream does with a message that comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discard {
    /// It refuses it: the publisher waits, and nothing is lost that no lane has read. The choice of `--ensure`.
    #[default]
    New,
    /// It drops its oldest one, read or not (JetStream's own default). A lane that is too slow meets a hole.
    Old,
}

/// A stream of changes: on file, kept by limits and not by who has read it, so that many pipelines share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDefinition {
    /// Its name.
    pub name: String,
    /// The subjects that it takes.
    pub subjects: Vec<String>,
    /// What happens when it is full.
    pub discard: Discard,
    /// Most bytes that it holds; without it, what the server's store has room for.
    pub bytes_max: Option<u64>,
    /// How long it keeps a message; without it, for ever.
    pub age_max: Option<Duration>,
    /// Servers that hold a copy.
    pub replicas: u8,
    /// Within how long a second message of the same `Nats-Msg-Id` is dropped.
    pub duplicates: Duration,
}

/// What `ensure` found or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// A stream of that name was there, and is as it was.
    Found,
    /// It was created.
    Created,
}

impl StreamDefinition {
    /// A stream without bounds on one server, that refuses what it has no room for.
    #[must_use]
    pub fn new(name: impl Into<String>, subjects: Vec<String>) -> StreamDefinition {
        StreamDefinition {
            name: name.into(),
            subjects,
            discard: Discard::New,
            bytes_max: None,
            age_max: None,
            replicas: 1,
            duplicates: Duration::from_secs(120),
        }
    }

    /// Creates the stream unless one of its name is there.
    ///
    /// # Errors
    /// [`SourceError::Setup`] where the server refuses it, names another stream's subjects or forbids it;
    /// [`SourceError::Unreachable`].
    pub async fn ensure(&self, options: &ConnectOptions) -> Result<Ensured, SourceError> {
        stream::check_name(&self.name)?;
        let connection = Connection::open(options).await?;
        let doing = format!("creating the stream `{}`", self.name);
        match stream::info(&connection, &self.name).await {
            Ok(_) => return Ok(Ensured::Found),
            Err(error) if error.is_refusal(&[api::STREAM_NOT_FOUND]) => {}
            Err(error) => return Err(error.into_source_error(&connection, &doing)),
        }
        let made =
            api::call::<Value>(&connection, &format!("STREAM.CREATE.{}", self.name), &self.config()).await;
        match made {
            Ok(_) => {
                tracing::info!(stream = %self.name, "stream created");
                Ok(Ensured::Created)
            }
            // Someone else was faster.
            Err(error) if error.is_refusal(&[NAME_IN_USE]) => Ok(Ensured::Found),
            Err(error) if error.is_refusal(&[SUBJECTS_OVERLAP]) => Err(self.overlap(&connection).await),
            Err(error) if error.is_refusal(&[BAD_CONFIGURATION]) && self.takes_all_first_words() => {
                Err(self.too_wide())
            }
            Err(error) => Err(error.into_source_error(&connection, &doing)),
        }
    }

    fn config(&self) -> Value {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        json!({
            "name": self.name,
            "description": "Database changes, read by Reconverge",
            "subjects": self.subjects,
            "retention": "limits",
            "storage": "file",
            "discard": match self.discard { Discard::New => "new", Discard::Old => "old" },
            "max_msgs": -1,
            "max_consumers": -1,
            "max_bytes": self.bytes_max.map_or(json!(-1), |bytes| json!(bytes)),
            "max_age": self.age_max.map_or(0, nanos),
            "num_replicas": self.replicas,
            "duplicate_window": nanos(self.duplicates),
            "allow_direct": true,
        })
    }

    /// Whether one of the subjects begins with a wildcard: it matches the server's own (`$JS`, `$SYS`) too.
    fn takes_all_first_words(&self) -> bool {
        self.subjects.iter().any(|subject| subject.starts_with(['*', '>']))
    }

    fn too_wide(&self) -> SourceError {
        SourceError::Setup {
            what: format!(
                "the server does not make a stream `{}` of the subjects {}: with a wildcard as their first word they would \
                 take its own messages too",
                self.name,
                stream::quoted(&self.subjects)
            ),
            hint: "begin [source] subjects with a word of its own, as `cdc.{source}.{partition}.>`, and publish there; \
                   or make the stream yourself with the first words that there are, and leave out --ensure"
                .to_owned(),
        }
    }

    async fn overlap(&self, connection: &Connection) -> SourceError {
        let mut holders = Vec::new();
        for subject in &self.subjects {
            holders.extend(stream::names(connection, Some(subject)).await.unwrap_or_default());
        }
        SourceError::Setup {
            what: format!(
                "the stream `{}` cannot take the subjects {}: others do",
                self.name,
                stream::quoted(&self.subjects)
            ),
            hint: format!(
                "read from the stream that has them ({}), or choose others",
                stream::quoted(&holders)
            ),
        }
    }
}
