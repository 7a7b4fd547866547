//! The closed sets of words that the file may use.
//!
//! Both steps share them: the raw form reads the word, the checked plan carries it on. A word stands here
//! only if nothing but itself is needed to understand it (policies have arguments and their own file).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives each variant the word that the file uses for it, for messages.
macro_rules! words {
    ($($set:ident { $($variant:ident => $word:literal),+ $(,)? })+) => {$(
        impl fmt::Display for $set {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }
    )+};
}

/// How the changes in the stream are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Reconverge's own envelope; its `Content-Type` header tells JSON from MessagePack.
    #[default]
    Native,
    /// Debezium's envelope as JSON, with or without schemas.
    DebeziumJson,
    /// Debezium's envelope as MessagePack.
    DebeziumMsgpack,
}

/// How the source writes byte columns as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BinaryText {
    /// Base64 with the standard alphabet, Debezium's `bytes` and `base64`.
    #[default]
    Base64,
    /// Base64 with the alphabet for URLs, Debezium's `base64-url-safe`.
    Base64UrlSafe,
    /// Two hexadecimal digits a byte, Debezium's `hex`.
    Hex,
}

/// What to do where the stream was trimmed past the checkpoint, rolled back or recreated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnHole {
    /// Record it, raise the alarm and stop.
    #[default]
    Halt,
    /// Record it, raise the alarm and go on.
    Continue,
}

/// What kind of place the changes go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SinkKind {
    /// A PostgreSQL database.
    Postgres,
    /// An SQLite file.
    Sqlite,
    /// Another JetStream stream.
    Relay,
}

/// Whether the application may write to the sink's tables too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LocalWrites {
    /// Its rows are contestants like any other.
    #[default]
    Expected,
    /// Its rows raise an alarm.
    Forbidden,
}

/// How a delete takes part in a table's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Deletes {
    /// By the order columns of its before image, which the tombstone keeps.
    Ordered,
    /// It beats everything concurrent; the key returns by a later write of the source that deleted it.
    #[default]
    Win,
}

/// What a delete or an update carries of the row before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BeforeImages {
    /// Only the key; what stands in the other columns is filler (`REPLICA IDENTITY DEFAULT`).
    #[default]
    Key,
    /// The whole row (`REPLICA IDENTITY FULL`).
    Full,
}

/// What is kept of the row that loses a contest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Archive {
    /// Nothing but the decision.
    #[default]
    None,
    /// The row, in the decision.
    Loser,
}

/// What becomes of a standing row whose change a filter or residency plugin lets go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Leaves {
    /// If the change wins, the sink holds no row.
    #[default]
    Delete,
    /// The change is dropped and nothing else happens: for tables of events.
    Keep,
}

/// What becomes of a row whose parent is known not to come: it was deleted, does not belong here, or is a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Orphans {
    /// Kept beside, outside of `limits.parked`; it comes in if the parent comes after all.
    #[default]
    Keep,
    /// It becomes a dead letter, and stands no more.
    DeadLetter,
    /// It is in the sink, with null in the columns that name the parent.
    WithoutReference,
}

/// Where in the chain a plugin runs, in the order of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// May this row leave its region?
    Residency,
    /// Is this change wanted?
    Filter,
    /// What does the row look like here?
    Mapping,
    /// Which of two rows stands?
    Merge,
}

/// Whether a generation of a merge plugin that breaks the merge laws is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Laws {
    /// The laws are not checked when the plugin is loaded.
    #[default]
    Unchecked,
    /// A generation that breaks them is refused.
    Required,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Line,
    /// One JSON object a line.
    Json,
}

words! {
    Format { Native => "native", DebeziumJson => "debezium-json", DebeziumMsgpack => "debezium-msgpack" }
    SinkKind { Postgres => "postgres", Sqlite => "sqlite", Relay => "relay" }
    Stage { Residency => "residency", Filter => "filter", Mapping => "mapping", Merge => "merge" }
}
