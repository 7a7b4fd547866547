//! `[source]` and `[[source]]` as they are written.

use std::fmt;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::choices::{BinaryText, Format, OnHole};
use crate::config::located::At;

/// One source, or several with names.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum Sources {
    One(Box<Source>),
    Many(Vec<At<Source>>),
}

/// Written by hand because serde's untagged enums forget the places of the values inside.
impl<'de> Deserialize<'de> for Sources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Sources;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table [source] or an array of tables [[source]]")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Sources, A::Error> {
                Box::<Source>::deserialize(MapAccessDeserializer::new(map)).map(Sources::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Sources, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Sources::Many)
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

/// A JetStream stream that changes are read from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Source {
    /// Name of the source: part of the checkpoint's name. Needed in `[[source]]`; `main` where there is one
    /// source.
    pub name: Option<At<String>>,
    /// Address of the NATS server. Else `NATS_URL`, else the context. `${NAME}` is taken from the
    /// environment, and a password or token may come only from there.
    pub url: Option<At<String>>,
    /// File with NATS credentials, relative to this file's folder. Else `NATS_CREDS`, else the context.
    pub creds: Option<At<String>>,
    /// Name of a context of the `nats` command line. Else `NATS_CONTEXT`; the selected context counts where
    /// nothing names a server.
    pub context: Option<At<String>>,
    /// File with the certificate authority that signed the server's certificate, relative to this file's
    /// folder.
    pub ca: Option<At<String>>,
    /// File with the client's certificate, relative to this file's folder.
    pub cert: Option<At<String>>,
    /// File with the key of the client's certificate, relative to this file's folder.
    pub key: Option<At<String>>,
    /// Start TLS before the server's greeting.
    pub tls_first: Option<bool>,
    /// Prefix of the inbox subjects, for accounts that allow no other.
    pub inbox_prefix: Option<At<String>>,
    /// JetStream domain, for leaf nodes. Not together with `jetstream_api_prefix`.
    pub jetstream_domain: Option<At<String>>,
    /// Prefix of JetStream's API, for imported accounts.
    pub jetstream_api_prefix: Option<At<String>>,
    /// Name of the stream. It is only bound to, never changed.
    #[schemars(required)]
    pub stream: Option<At<String>>,
    /// The subjects of the changes. `{source}`, `{partition}`, `{schema}` and `{table}` stand for one token
    /// each, `*` for any token, `>` for all that follow: `cdc.{source}.{partition}.>`, from Debezium
    /// `{source}.{schema}.{table}`.
    #[schemars(required)]
    pub subjects: Option<At<String>>,
    /// Number of partitions; fixed for the life of the pipeline.
    #[serde(default = "one")]
    pub partitions: At<NonZeroU32>,
    /// How the changes are written.
    #[serde(default)]
    pub format: Format,
    /// The origin of the changes, for formats that do not carry it.
    pub origin: Option<At<String>>,
    /// Streams with the same messages under the same sequences (JetStream's mirrors keep them), at the same
    /// server: what the stream lost before it was applied is read from the first that has it.
    #[serde(default)]
    pub mirrors: Vec<At<String>>,
    /// What to do where the stream was trimmed past the checkpoint, rolled back or recreated, and no mirror has
    /// what is missing. It is recorded and raises an alarm either way.
    #[serde(default)]
    pub on_hole: OnHole,
    /// The share of the stream's limits (age, bytes, messages) at which what is not applied yet raises an alarm;
    /// at 1 the stream lets it go.
    #[serde(default = "half")]
    pub retention_alarm: At<f64>,
    /// What cannot be told from Debezium's messages.
    pub debezium: Option<At<Debezium>>,
}

fn half() -> At<f64> {
    At::nowhere(0.5)
}

fn one() -> At<NonZeroU32> {
    At::nowhere(NonZeroU32::MIN)
}

/// Settings of the Debezium connector that its messages do not carry.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Debezium {
    /// The connector's `unavailable.value.placeholder`: the text that stands where a big column was not sent.
    pub unavailable_value: String,
    /// The connector's `binary.handling.mode`: how byte columns are written.
    pub binary: BinaryText,
}

impl Default for Debezium {
    fn default() -> Self {
        Self { unavailable_value: "__debezium_unavailable_value".to_owned(), binary: BinaryText::default() }
    }
}
