//! `[[table]]` as it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::config::choices::{Archive, BeforeImages, Deletes, Leaves, Orphans};
use crate::config::located::At;

/// One table and its rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Table {
    /// Name of the table in the source, with or without its schema: `orders`, `public.orders`.
    #[schemars(required)]
    pub name: Option<At<String>>,
    /// Name of the table in the sink, where it differs.
    pub target: Option<At<String>>,
    /// The key's columns in the sink, in their order.
    #[schemars(required)]
    pub key: Option<At<Vec<At<String>>>>,
    /// What the source calls the key's columns, in the order of `key`, where it differs.
    pub key_from: Option<At<Vec<At<String>>>>,
    /// Order inside a batch, lowest first: parents low, children high.
    #[serde(default = "first")]
    pub priority: At<u32>,
    /// Parents: a row is in the sink only while each row that it names is. A table may name itself, as a tree does: a
    /// row is then in the sink while all rows above it are.
    #[serde(default)]
    pub depends_on: Vec<At<DependsOn>>,
    /// What becomes of a row whose parent is known not to come (deleted, filtered, suppressed, a dead letter): `keep` it
    /// apart in case it comes after all, make a `dead-letter` of it, or let it in `without-reference`, with null in the
    /// columns that name the parent.
    #[schemars(extend("default" = "keep"))]
    pub orphans: Option<At<Orphans>>,
    /// The lane that carries this table.
    #[schemars(extend("default" = "main"))]
    pub lane: Option<At<String>>,
    /// Who stands where two changes meet: `none` (one writer, no versions kept), `keep-current`,
    /// `take-incoming`, `lww:commit-time`, `lww:hlc` (hybrid logical clocks of the events), `lww:COLUMN`,
    /// `max:COLUMN`, `max:COLUMN,COLUMN` (compared in that order), `origin-priority:REGION,REGION` (first
    /// wins), `vector` (vector clocks of the events), `column-merge` (each column by itself),
    /// `counter:COLUMN,COLUMN` (sums), or `{ plugin = "NAME" }`. The last three before it take an order for
    /// what they leave open: `column-merge by lww:updated_at`.
    #[schemars(extend("default" = "lww:commit-time"))]
    pub policy: Option<At<Policy>>,
    /// How a delete takes part: `ordered` by the columns of its before image (needs `before_images =
    /// "full"`), or `win`: it beats everything concurrent.
    #[schemars(extend("default" = "win"))]
    pub deletes: Option<At<Deletes>>,
    /// What updates and deletes carry of the row before them: `full` with `REPLICA IDENTITY FULL`, else
    /// `key`.
    #[serde(default)]
    pub before_images: BeforeImages,
    /// What is kept of the row that loses.
    #[schemars(extend("default" = "none"))]
    pub archive: Option<At<Archive>>,
    /// What becomes of a standing row whose change a filter or residency plugin lets go: `keep` is for tables
    /// of events.
    #[schemars(extend("default" = "delete"))]
    pub leaves: Option<At<Leaves>>,
    /// The column that names the region that wrote the row, where the database cannot leave our own writes
    /// out of its changes.
    pub origin_column: Option<At<String>>,
    /// Versions of the payload.
    pub schema: Option<At<PayloadSchema>>,
    /// Words that plugins bind to.
    #[serde(default)]
    pub tags: Vec<At<String>>,
    /// What is to be said of single columns.
    #[serde(default)]
    pub columns: BTreeMap<At<String>, Column>,
}

fn first() -> At<u32> {
    At::nowhere(0)
}

/// A parent of a table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct DependsOn {
    /// The parent's name, as its own `[[table]]` gives it.
    pub table: At<String>,
    /// The child's columns that hold the parent's key, in the order of the parent's `key`. A null in one of
    /// them names no parent.
    pub columns: At<Vec<At<String>>>,
}

/// Versions of a table's payload.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct PayloadSchema {
    /// The version that the sink's table has.
    pub version: Option<At<NonZeroU32>>,
    /// Versions that are taken; `version` alone where it is left out.
    pub accept: Option<At<Vec<At<NonZeroU32>>>>,
    /// File with a JSON Schema of the row, relative to this file's folder. A row that breaks it is
    /// dead-lettered.
    pub json_schema: Option<At<String>>,
}

/// What is to be said of one column.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Column {
    /// Words that plugins bind to.
    #[serde(default)]
    pub tags: Vec<At<String>>,
}

/// A policy in words, or the name of a plugin.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum Policy {
    Words(
        #[schemars(regex(
            pattern = r"^(none|keep-current|take-incoming|(lww|max|origin-priority):.+|(vector|column-merge|counter:.+)( by (lww|max|origin-priority):.+)?)$"
        ))]
        String,
    ),
    Plugin(ByPlugin),
}

/// A merge plugin decides.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ByPlugin {
    /// Name of a merge plugin.
    pub plugin: At<String>,
}

/// Written by hand because serde's untagged enums forget the places of the values inside.
impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordsOrPlugin;
        impl<'de> Visitor<'de> for WordsOrPlugin {
            type Value = Policy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a policy such as \"lww:updated_at\" or { plugin = \"name\" }")
            }

            fn visit_str<E: Error>(self, words: &str) -> Result<Policy, E> {
                Ok(Policy::Words(words.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Policy, A::Error> {
                ByPlugin::deserialize(MapAccessDeserializer::new(map)).map(Policy::Plugin)
            }
        }
        deserializer.deserialize_any(WordsOrPlugin)
    }
}
