//! `[limits]` as it is written, with every default.

use std::num::{NonZeroU32, NonZeroU64};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::located::At;
use crate::config::quantity::{Period, Size};

/// The limits; each has a default.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Limits {
    /// How much goes into one transaction.
    pub batch: Batch,
    /// Payload bytes that a process may hold at a time, shared out among its lanes: each reads ahead and decodes
    /// ahead while a batch is written, and batches get smaller where their share is. A lane holds at least two
    /// messages of the server's largest size.
    pub in_flight: At<Size>,
    /// How much may be kept beside. Over it the lane stops pulling, and alarms.
    pub parked: Parked,
    /// Rows that may leave the sink in one transaction because their parents do, theirs included. Over it the lane stops,
    /// with nothing of the batch written: they cannot go in parts, as no row may be there without its parent.
    pub leaving: NonZeroU32,
    /// The longest payload that is decoded; a longer one is dead-lettered.
    pub value_bytes: At<Size>,
    /// How far a commit time may be ahead of the stream's own time; a change that is further ahead waits.
    pub clock_skew: Period,
    /// How often a failed batch is tried again, and when.
    pub retry: At<Retry>,
    /// How long a process that falls silent keeps its lanes.
    pub lease: At<Lease>,
    /// What a plugin may use.
    pub plugin: Plugin,
    /// How long things are kept that are of use for a time.
    pub keep: Keep,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: Batch::default(),
            in_flight: At::nowhere(Size::mib(64)),
            parked: Parked::default(),
            leaving: NonZeroU32::new(1_000_000).expect("a million is not zero"),
            value_bytes: At::nowhere(Size::mib(16)),
            clock_skew: Period::seconds(10),
            retry: At::nowhere(Retry::default()),
            lease: At::nowhere(Lease::default()),
            plugin: Plugin::default(),
            keep: Keep::default(),
        }
    }
}

/// How long things are kept that are of use for a time.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Keep {
    /// Days that conflicts stay in the history.
    pub history_days: NonZeroU32,
    /// How long the tombstone of a row that is gone stays at least. It stays longer where a source has not passed it. A
    /// change that is older than a tombstone that went is dead-lettered as too old.
    pub tombstones: Period,
}

impl Default for Keep {
    fn default() -> Self {
        let history_days = NonZeroU32::new(30).expect("thirty is not zero");
        Self { history_days, tombstones: Period::seconds(7 * 24 * 3600) }
    }
}

/// How much goes into one transaction.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Batch {
    /// Changes in a batch, at most. More than 1,000 are taken only where the stream has them and as long as a
    /// transaction takes less than a quarter of a second. Only a source transaction that alone is larger exceeds it.
    pub rows: NonZeroU32,
    /// Payload bytes in a batch, at most.
    pub bytes: At<Size>,
    /// How long the first change of a batch waits for others, in milliseconds.
    pub linger_ms: u32,
}

impl Default for Batch {
    fn default() -> Self {
        let rows = NonZeroU32::new(8000).expect("eight thousand is not zero");
        Self { rows, bytes: At::nowhere(Size::mib(8)), linger_ms: 5 }
    }
}

/// How much may be kept beside.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Parked {
    /// Rows kept beside, at most.
    pub rows: u64,
    /// How long a row may be kept beside.
    pub age: Period,
}

impl Default for Parked {
    fn default() -> Self {
        Self { rows: 100_000, age: Period::seconds(24 * 3600) }
    }
}

/// How often a failed batch is tried again, and when. Pauses are up to a quarter shorter, drawn for each lane.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Retry {
    /// Tries, the first included.
    pub tries: NonZeroU32,
    /// Pause before the second try, in milliseconds.
    pub first_ms: u64,
    /// The longest pause, in milliseconds.
    pub max_ms: u64,
    /// What each pause is longer by.
    pub factor: f64,
}

impl Default for Retry {
    fn default() -> Self {
        let tries = NonZeroU32::new(5).expect("five is not zero");
        Self { tries, first_ms: 500, max_ms: 8000, factor: 2.0 }
    }
}

/// How long a process that falls silent keeps its lanes.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Lease {
    /// After so long without a sign of life its lanes may be taken by another process.
    pub stale: Period,
    /// How often a process gives a sign of life; at most half of `stale`.
    pub heartbeat: Period,
}

impl Default for Lease {
    fn default() -> Self {
        Self { stale: Period::seconds(15), heartbeat: Period::seconds(5) }
    }
}

/// What a plugin may use.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Plugin {
    /// Memory of one instance.
    pub memory: At<Size>,
    /// Instructions (fuel) of one call, whatever its rows. Must be equal in all regions: it decides which
    /// rows are dead-lettered.
    pub fuel_base: NonZeroU64,
    /// Instructions (fuel) of one call, for each row. Must be equal in all regions.
    pub fuel_per_row: u64,
    /// Bytes that an answer may have beyond twice its input.
    pub output: Size,
    /// The last resort: seconds after which a call is stopped, whatever its fuel.
    pub deadline_s: NonZeroU32,
}

impl Default for Plugin {
    fn default() -> Self {
        Self {
            memory: At::nowhere(Size::mib(64)),
            fuel_base: NonZeroU64::new(10_000_000).expect("ten million is not zero"),
            fuel_per_row: 100_000,
            output: Size::mib(1),
            deadline_s: NonZeroU32::new(5).expect("five is not zero"),
        }
    }
}
