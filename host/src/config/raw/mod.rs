//! `pipeline.toml` as it is written: step one of two.
//!
//! Names, shapes and defaults, and nothing checked that needs two values at once. Unknown keys are refused.
//! The comments on the fields are the descriptions in `docs/pipeline.schema.json` and in
//! `docs/configuration.md`, so they speak to the writer of the file. What must be there but is missing is
//! `None` here: the checks report it together with everything else.

mod limits;
mod plugin;
mod source;
mod table;

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::choices::{LocalWrites, LogFormat, SinkKind};
use super::located::At;
use super::quantity::Period;

pub(super) use limits::{Lease, Limits, Retry};
pub(super) use plugin::Plugin;
pub(super) use source::{Debezium, Source, Sources};
pub(super) use table::{DependsOn, PayloadSchema, Policy, Table};

/// The configuration of one Reconverge pipeline: which changes are read, by which rules they meet the rows
/// that stand, and where they go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "pipeline.toml")]
pub(super) struct File {
    /// Who this pipeline is.
    #[schemars(required)]
    pub pipeline: Option<At<Identity>>,
    /// The stream that the changes come from: a table, or an array of tables (`[[source]]`, each with a
    /// `name`).
    #[schemars(required)]
    pub source: Option<At<Sources>>,
    /// Where the changes go.
    #[schemars(required)]
    pub sink: Option<At<Sink>>,
    /// The limits; each has a default.
    #[serde(default)]
    pub limits: Limits,
    /// The tables that are taken over; a change of another table is counted as `unlisted`.
    #[schemars(required)]
    pub table: Option<Vec<At<Table>>>,
    /// Lanes beside `main`.
    #[serde(default)]
    pub lane: Vec<At<Lane>>,
    /// WebAssembly plugins. Within a stage they run in the order of the file.
    #[serde(default)]
    pub plugin: Vec<At<Plugin>>,
    /// Hot reload of plugins.
    pub reload: Option<At<Reload>>,
    /// Metrics and health; off unless configured.
    pub metrics: Option<Metrics>,
    /// The log.
    #[serde(default)]
    pub log: Log,
}

/// Who this pipeline is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    /// Name of the pipeline: part of the checkpoint's and of the consumers' names. Letters, digits, `-` and
    /// `_`.
    #[schemars(required)]
    pub name: Option<At<String>>,
    /// The region where this process and its sink live. A change that began here is never written here again.
    #[schemars(required)]
    pub region: Option<At<String>>,
}

/// Where the changes go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sink {
    /// What kind of sink; where it is left out the scheme of `url` tells.
    pub kind: Option<At<SinkKind>>,
    /// `postgres://user:${PG_PASSWORD}@host/database`, `sqlite://path/to/file.db` or a path, relative to this
    /// file's folder. `${NAME}` is taken from the environment, and a password may come only from there.
    #[schemars(required)]
    pub url: Option<At<String>>,
    /// The schema that the tables stand in (PostgreSQL only).
    #[schemars(extend("default" = "public"))]
    pub schema: Option<At<String>>,
    /// May the application write to these tables too?
    #[serde(default)]
    pub local_writes: LocalWrites,
}

/// A lane beside `main`: its own consumer, connection and checkpoint.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Lane {
    /// Name of the lane. Letters, digits, `-` and `_`.
    #[schemars(required)]
    pub name: Option<At<String>>,
    /// Lanes that go before: this one commits only what they have resolved up to. Leave it out for
    /// `depends_on` alone.
    #[serde(default)]
    pub after: Vec<At<String>>,
    /// Pauses while a lane before it lags more than this.
    pub yield_lag: Option<At<Period>>,
}

/// Hot reload of plugins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reload {
    /// Watch the plugin files and load what changes: for staging. In production use `reconverge plugin
    /// deploy`.
    #[serde(default)]
    pub watch: bool,
    /// Recent batches that a new generation is tried on before it goes live.
    #[serde(default = "shadow_batches")]
    pub shadow_batches: u32,
    /// Changes of those batches that a changed file may decide otherwise than the live generation; any number where it
    /// is left out.
    pub max_diff: Option<u64>,
    /// Calls to a new generation's plugins that may fail, in a shadow run and in each batch of its trial.
    #[serde(default)]
    pub max_faults: u64,
    /// How long a new generation is on trial after it went live: where it fails too often in one batch, that batch is
    /// decided by the one before and the new one is taken back.
    pub trial: Option<At<Period>>,
    /// Follow `reconverge plugin deploy`: run what the server of the first source has deployed for this pipeline.
    #[serde(default = "follow")]
    pub follow: bool,
    /// Public keys (minisign, base64) of those who may sign plugins. Where there is one, a plugin that none of them has
    /// signed is not loaded; the signature of a file stands beside it in `FILE.minisig`.
    #[serde(default)]
    pub trusted_keys: Vec<String>,
}

fn follow() -> bool {
    true
}

fn shadow_batches() -> u32 {
    20
}

/// Metrics and health.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Metrics {
    /// Address and port of Prometheus metrics (`/metrics`), `/live` and `/ready`, such as `127.0.0.1:9464`.
    #[serde(deserialize_with = "address")]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom("not an address and port; write it like \"127.0.0.1:9464\""))
}

/// The log.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    /// Lines for people, or one JSON object a line.
    pub format: LogFormat,
}
