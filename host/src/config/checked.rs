//! The checked plan: what the engine is built from.
//!
//! Every name in it is resolved, every default filled in, tables and lanes stand in the order in which they
//! take effect. A `Pipeline` comes only from `load` and `parse`; what the servers and the plugins
//! know better (columns, contracts) is checked against it later, by `problem` and `column_problems`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use super::choices::{
    Archive, BeforeImages, BinaryText, Deletes, Format, Laws, Leaves, LocalWrites, LogFormat, OnHole,
    Orphans, Stage,
};
use super::nats::NatsOptions;
use super::policy::Policy;
use super::problem::{Problem, Text};
use super::secret::ConnectionUrl;
use super::subjects::SubjectPattern;

/// A whole pipeline, checked.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// The region where this process and its sink live.
    pub region: String,
    /// The streams that it reads; at least one.
    pub sources: Vec<Source>,
    /// Where the changes go.
    pub sink: Sink,
    /// The limits.
    pub limits: Limits,
    /// The tables in the order in which they take effect: by priority, parents before children.
    pub tables: Vec<Table>,
    /// The lanes, each behind those that it comes after; `main` first where it comes after none.
    pub lanes: Vec<Lane>,
    /// The plugins in the order of the file; see [`Pipeline::chain`].
    pub plugins: Vec<Plugin>,
    /// Hot reload.
    pub reload: Reload,
    /// Where metrics and health are served; `None` is nowhere.
    pub metrics: Option<SocketAddr>,
    /// How the log is written.
    pub log: LogFormat,
    /// What is doubtful but runs.
    pub warnings: Vec<Problem>,
    pub(super) text: Text,
}

/// A stream that changes are read from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name; `main` where there is one source without a name.
    pub name: String,
    /// How to reach its server.
    pub nats: NatsOptions,
    /// Name of the stream.
    pub stream: String,
    /// Where the subjects say what.
    pub subjects: SubjectPattern,
    /// Number of partitions, at least 1.
    pub partitions: u32,
    /// How changes are written.
    pub format: Format,
    /// The origin of all its changes, where the format does not carry one.
    pub origin: Option<String>,
    /// Streams that stand in for it.
    pub mirrors: Vec<String>,
    /// What to do about a hole.
    pub on_hole: OnHole,
    /// The share of the stream's limits at which what is not applied raises an alarm; above 0, at most 1.
    pub retention_alarm: f64,
    /// What Debezium's messages do not say.
    pub debezium: Debezium,
    /// Where it stands in the file.
    pub span: Range<usize>,
}

/// Settings of the Debezium connector that its messages do not carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debezium {
    /// The text that stands where a big column was not sent.
    pub unavailable_value: String,
    /// How byte columns are written.
    pub binary: BinaryText,
}

/// Where the changes go.
#[derive(Clone, Debug)]
pub struct Sink {
    /// The place itself.
    pub target: SinkTarget,
    /// Whether the application may write there too.
    pub local_writes: LocalWrites,
    /// Where `url` stands in the file, for problems in reaching it.
    pub span: Range<usize>,
}

/// The kinds of sinks with what each needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkTarget {
    /// A PostgreSQL database.
    Postgres {
        /// How to connect.
        url: ConnectionUrl,
        /// The schema of the tables.
        schema: String,
    },
    /// An SQLite file.
    Sqlite {
        /// The file; absolute if the pipeline file's folder is.
        path: PathBuf,
    },
    /// Another stream.
    Relay {
        /// The server.
        url: ConnectionUrl,
    },
}

/// The limits, each with its unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Changes in a batch, at least 1.
    pub batch_rows: usize,
    /// Payload bytes in a batch, at least 1.
    pub batch_bytes: u64,
    /// Payload bytes that a process may hold at a time.
    pub in_flight_bytes: u64,
    /// How long the first change of a batch waits for others.
    pub linger: Duration,
    /// Rows kept beside.
    pub parked_rows: u64,
    /// How long a row is kept beside.
    pub parked_age: Duration,
    /// Rows that may leave the sink with their parents in one transaction, at least 1.
    pub leaving: u32,
    /// Bytes of one payload.
    pub value_bytes: u64,
    /// How far a commit time may be ahead of the stream's time.
    pub clock_skew: Duration,
    /// When a failed batch is tried again.
    pub retry: Retry,
    /// How long a process that falls silent keeps its lanes.
    pub lease: Lease,
    /// What a plugin may use.
    pub plugin: PluginLimits,
    /// Days that conflicts stay in the history, at least 1.
    pub history_days: u32,
    /// How long tombstones stay at least.
    pub tombstones: Duration,
}

/// When a failed batch is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Tries, the first included; at least 1.
    pub tries: u32,
    /// Pause before the second try.
    pub first: Duration,
    /// The longest pause; at least `first`.
    pub max: Duration,
    /// What each pause is longer by; at least 1.
    pub factor: f32,
}

/// How long a process that falls silent keeps its lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// After so long without a sign of life its lanes may be taken.
    pub stale: Duration,
    /// How often it gives one; at most half of `stale`.
    pub heartbeat: Duration,
}

/// What a plugin may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginLimits {
    /// Bytes of memory of an instance; a multiple of a page (64 KiB) is used.
    pub memory_bytes: u64,
    /// Fuel of a call.
    pub fuel_base: u64,
    /// Fuel of a call, for each row.
    pub fuel_per_row: u64,
    /// Bytes of an answer beyond twice its input.
    pub output_bytes: u64,
    /// When a call is stopped, whatever its fuel.
    pub deadline: Duration,
}

/// A table and its rule.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name in the source, with or without a schema.
    pub name: String,
    /// Its name in the sink.
    pub target: String,
    /// The key's columns in the sink; at least one.
    pub key: Vec<String>,
    /// What the source calls them; as many. The same where nothing else was said.
    pub key_from: Vec<String>,
    /// Order inside a batch.
    pub priority: u32,
    /// Its parents.
    pub depends_on: Vec<Dependency>,
    /// What becomes of a row whose parent is known not to come.
    pub orphans: Orphans,
    /// Index into [`Pipeline::lanes`].
    pub lane: usize,
    /// Who stands where two changes meet.
    pub policy: Policy,
    /// How a delete takes part; without meaning where the policy does not order.
    pub deletes: Deletes,
    /// What updates and deletes carry of the row before them.
    pub before_images: BeforeImages,
    /// What is kept of the row that loses.
    pub archive: Archive,
    /// What becomes of a standing row whose change is let go.
    pub leaves: Leaves,
    /// The column that names the region that wrote a row.
    pub origin_column: Option<String>,
    /// Versions of its payload.
    pub schema: PayloadSchema,
    /// Words that plugins bind to.
    pub tags: Vec<String>,
    /// The same for single columns: column to its tags.
    pub column_tags: BTreeMap<String, Vec<String>>,
    /// Where the table's name stands in the file.
    pub span: Range<usize>,
    /// Every column of the sink that the file names, for the check against the sink's table.
    pub(super) named_columns: Vec<NamedColumn>,
}

/// A column that the file names.
#[derive(Clone, Debug)]
pub(super) struct NamedColumn {
    pub name: String,
    pub span: Range<usize>,
}

/// A parent of a table.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// Index into [`Pipeline::tables`].
    pub parent: usize,
    /// The child's columns, as many as the parent's key has and in its order.
    pub columns: Vec<String>,
    /// Where it stands in the file.
    pub span: Range<usize>,
}

/// Versions of a table's payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayloadSchema {
    /// The version that the sink's table has.
    pub version: Option<NonZeroU32>,
    /// Versions that are taken; empty takes all.
    pub accept: Vec<NonZeroU32>,
    /// File with a JSON Schema of the row.
    pub json_schema: Option<PathBuf>,
    /// Where the file's name stands in the pipeline file.
    pub span: Range<usize>,
}

/// A unit of order and ownership.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// Indices into [`Pipeline::lanes`]: it commits only what these have resolved.
    pub after: Vec<usize>,
    /// It pauses while one of them lags more than this.
    pub yield_lag: Option<Duration>,
    /// Where it stands in the file; empty where it does not (`main`).
    pub span: Range<usize>,
}

/// A plugin and what it is bound to.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// Its name in the file.
    pub name: String,
    /// Where its bytes are.
    pub artifact: Artifact,
    /// Where in the chain it runs.
    pub stage: Stage,
    /// The tables that it is given: indices into [`Pipeline::tables`], ascending.
    pub tables: Vec<usize>,
    /// Its configuration, an object.
    pub config: serde_json::Value,
    /// Whether the merge laws are checked before a generation goes live.
    pub laws: Laws,
    /// Golden contests, a file or a folder, that are asked before a generation goes live.
    pub contests: Option<PathBuf>,
    /// Where `path` stands in the file, for problems with the component.
    pub path_span: Range<usize>,
    /// Where `config` stands, else the same as `path_span`.
    pub config_span: Range<usize>,
    /// Where `contests` stands, else the same as `path_span`.
    pub contests_span: Range<usize>,
}

/// Where a plugin's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Artifact {
    /// In a file: a component or a core module.
    File(PathBuf),
    /// In the store, by digest.
    Digest {
        /// Name in the store.
        name: String,
        /// Lower-case hex of its SHA-256, 64 digits.
        sha256: String,
    },
}

/// Hot reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Watch the plugin files.
    pub watch: bool,
    /// Recent batches that a new generation is tried on.
    pub shadow_batches: u32,
    /// Changes that a changed file may decide otherwise; any number for `None`.
    pub max_diff: Option<u64>,
    /// Calls of a new generation that may fail.
    pub max_faults: u64,
    /// How long a new generation is on trial.
    pub trial: Duration,
    /// Whether deployments are followed.
    pub follow: bool,
    /// Public keys of those who may sign plugins (minisign, base64); empty: no signature is asked for.
    pub trusted_keys: Vec<String>,
    /// Where it stands in the file.
    pub span: Range<usize>,
}
