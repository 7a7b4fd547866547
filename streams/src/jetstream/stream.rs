//! What a stream says of itself, and whether a pipeline can be bound to it. Asked when a source connects, when a
//! reader opens, and every few seconds by the guard of a reader; it changes nothing.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::api::{self, ApiError, STREAM_NOT_FOUND};
use super::connect::Connection;
use super::subjects::overlap;
use crate::position::Micros;
use crate::source::{SourceError, StreamBounds, StreamFacts};

/// Names of other streams that an error shows at most.
const NAMES_SHOWN: usize = 20;

/// The part of `STREAM.INFO` that matters here.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct StreamInfo {
    pub config: StreamConfig,
    #[serde(deserialize_with = "timestamp")]
    pub created: Timestamp,
    pub state: StreamState,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct StreamConfig {
    pub name: String,
    #[serde(default)]
    pub subjects: Vec<String>,
    pub retention: Retention,
    /// The sequence that the stream was made to begin at.
    #[serde(default)]
    pub first_seq: u64,
    #[serde(default)]
    pub mirror: Option<Value>,
    #[serde(default)]
    pub sources: Option<Value>,
    #[serde(default)]
    pub subject_transform: Option<Value>,
    #[serde(default)]
    pub consumer_limits: ConsumerLimits,
    /// Nanoseconds; 0 for no bound.
    #[serde(default)]
    pub max_age: i64,
    /// -1 for no bound, as in the two below.
    #[serde(default)]
    pub max_bytes: i64,
    #[serde(default)]
    pub max_msgs: i64,
    #[serde(default)]
    pub max_msgs_per_subject: i64,
    #[serde(default)]
    pub discard: Discard,
}

/// What a full stream does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Discard {
    /// It lets the oldest go.
    #[default]
    Old,
    /// It refuses what is published.
    New,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ConsumerLimits {
    /// Nanoseconds; 0 for none.
    pub inactive_threshold: u64,
    /// 0 for none.
    pub max_ack_pending: i64,
}

/// When a stream lets a message go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Retention {
    /// When its limits say so, whoever has read it.
    Limits,
    /// When every consumer has acknowledged it; at once where there is none.
    Interest,
    /// When its one consumer has acknowledged it.
    WorkQueue,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct StreamState {
    pub messages: u64,
    pub first_seq: u64,
    pub last_seq: u64,
    /// RFC 3339, of the first message.
    #[serde(default)]
    pub first_ts: Option<String>,
    #[serde(default)]
    pub num_deleted: u64,
    #[serde(default)]
    pub bytes: u64,
}

impl StreamState {
    /// First sequence that is there; `last + 1` where none is.
    pub fn first(&self) -> u64 {
        if self.messages == 0 { self.last_seq + 1 } else { self.first_seq }
    }

    /// The time of that message, microseconds since 1970.
    fn first_at(&self) -> Option<Micros> {
        let at: Timestamp = self.first_ts.as_ref()?.parse().ok()?;
        (self.messages > 0).then(|| at.as_microsecond())
    }
}

impl StreamInfo {
    /// When it was made, microseconds since 1970.
    pub fn created(&self) -> Micros {
        self.created.as_microsecond()
    }

    pub fn facts(&self) -> StreamFacts {
        StreamFacts {
            name: self.config.name.clone(),
            created: self.created(),
            first: self.state.first(),
            first_at: self.state.first_at(),
            last: self.state.last_seq,
            keeps_acknowledged: self.config.retention == Retention::Limits,
            deleted: self.state.num_deleted,
            mirror_of: self.config.mirror.as_ref().and_then(|m| m["name"].as_str().map(str::to_owned)),
            bounds: self.bounds(),
        }
    }

    fn bounds(&self) -> StreamBounds {
        let set = |bound: i64| u64::try_from(bound).ok().filter(|bound| *bound > 0);
        StreamBounds {
            bytes: self.state.bytes,
            messages: self.state.messages,
            age_max: Some(self.config.max_age / 1000).filter(|age| *age > 0),
            bytes_max: set(self.config.max_bytes),
            messages_max: set(self.config.max_msgs),
            per_subject_max: set(self.config.max_msgs_per_subject),
            refuses_new: self.config.discard == Discard::New,
        }
    }

    /// Refuses to read on from `after` where what follows is gone, or where the stream does not reach that far.
    /// Other retentions than by limits let go what was acknowledged, of any partition: there the first sequence
    /// says nothing.
    pub fn check_holds(&self, after: u64) -> Result<(), SourceError> {
        let (first, last) = (self.state.first(), self.state.last_seq);
        let never_given = first <= self.config.first_seq;
        if self.config.retention == Retention::Limits && after + 1 < first && !never_given {
            return Err(SourceError::Trimmed { wanted: after + 1, first });
        }
        // A stream that begins at a high number has `last` before it while it is empty.
        if after > last {
            return Err(SourceError::Doubt(format!(
                "the stream `{}` ends at sequence {last}, before {after}: it was rolled back or made anew",
                self.config.name
            )));
        }
        Ok(())
    }

    /// Refuses filters that no subject of the stream can match. A stream that takes messages over from others, or
    /// renames them, does not say what it holds and is not judged.
    pub fn check_filters(&self, filters: &[String]) -> Result<(), SourceError> {
        let config = &self.config;
        if config.mirror.is_some() || config.sources.is_some() || config.subject_transform.is_some() {
            return Ok(());
        }
        let unmatched =
            filters.iter().find(|filter| !config.subjects.iter().any(|held| overlap(held, filter)));
        match unmatched {
            None => Ok(()),
            Some(filter) => Err(SourceError::Setup {
                what: format!("the stream `{}` holds nothing that matches `{filter}`", config.name),
                hint: format!(
                    "it takes the subjects {}; correct `subjects` of [source], or choose another stream",
                    quoted(&config.subjects)
                ),
            }),
        }
    }
}

/// RFC 3339, as the server writes it.
pub(super) fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// Asks for a stream that must be there.
pub(super) async fn find(connection: &Connection, name: &str) -> Result<StreamInfo, SourceError> {
    check_name(name)?;
    match info(connection, name).await {
        Ok(info) => Ok(info),
        Err(error) if error.is_refusal(&[STREAM_NOT_FOUND]) => Err(missing(connection, name).await),
        Err(error) => Err(error.into_source_error(connection, &format!("looking at the stream `{name}`"))),
    }
}

/// Asks for a stream.
pub(super) async fn info(connection: &Connection, name: &str) -> Result<StreamInfo, ApiError> {
    api::call(connection, &format!("STREAM.INFO.{name}"), &Value::Null).await
}

/// The names of all streams of the account, or of those that take `subject`.
pub(super) async fn names(connection: &Connection, subject: Option<&str>) -> Result<Vec<String>, ApiError> {
    #[derive(Deserialize)]
    struct Names {
        #[serde(default)]
        streams: Option<Vec<String>>,
    }
    let asked = subject.map_or(json!({}), |subject| json!({ "subject": subject }));
    let found: Names = api::call(connection, "STREAM.NAMES", &asked).await?;
    Ok(found.streams.unwrap_or_default())
}

pub(super) fn check_name(name: &str) -> Result<(), SourceError> {
    let bad = |c: char| matches!(c, '.' | '*' | '>' | '/' | '\\') || c.is_whitespace() || c.is_control();
    if !name.is_empty() && !name.contains(bad) {
        return Ok(());
    }
    Err(SourceError::Setup {
        what: format!("`{name}` is no name of a stream"),
        hint: "a stream's name has no dot, blank, slash, `*` or `>`".to_owned(),
    })
}

async fn missing(connection: &Connection, name: &str) -> SourceError {
    // Listing may be forbidden; the stream is missing all the same.
    let mut there = names(connection, None).await.unwrap_or_default();
    there.sort_by_key(|other| distance(other, name));
    there.truncate(NAMES_SHOWN);
    let near = there.first().filter(|other| distance(other, name) <= name.len().div_ceil(3));
    let make = "`reconverge run --ensure` creates it";
    let hint = match near {
        Some(near) => format!("did you mean `{near}`? Else {make}"),
        None if there.is_empty() => make.to_owned(),
        None => format!("{make}; the streams that exist are {}", quoted(&there)),
    };
    SourceError::Setup { what: format!("there is no stream `{name}` at {}", connection.url), hint }
}

/// How many letters differ, capitals apart.
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.to_lowercase(), other.to_lowercase());
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

pub(super) fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(config: &Value, state: (u64, u64, u64)) -> StreamInfo {
        let mut whole = json!({ "name": "CDC", "subjects": ["cdc.>"], "retention": "limits" });
        for (name, value) in config.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let (messages, first_seq, last_seq) = state;
        let state = json!({ "messages": messages, "first_seq": first_seq, "last_seq": last_seq, "bytes": 1 });
        serde_json::from_value(
            json!({ "config": whole, "created": "2026-11-24T10:00:00.000001Z", "state": state }),
        )
        .unwrap()
    }

    #[test]
    fn what_is_gone_is_told_from_what_never_was() {
        let limits = json!({});
        let late = json!({ "first_seq": 1000 });
        let queue = json!({ "retention": "workqueue" });
        for (config, state, after, answer) in [
            (&limits, (0, 0, 0), 0, "sound"),
            (&limits, (10, 1, 10), 0, "sound"),
            (&limits, (5, 6, 10), 5, "sound"),
            (&limits, (5, 6, 10), 4, "trimmed"),
            (&limits, (0, 11, 10), 10, "sound"),
            (&limits, (0, 11, 10), 9, "trimmed"),
            (&limits, (10, 1, 10), 11, "doubt"),
            (&late, (0, 1000, 999), 0, "sound"),
            (&late, (3, 1000, 1002), 0, "sound"),
            (&late, (2, 1001, 1002), 0, "trimmed"),
            (&queue, (5, 6, 10), 2, "sound"),
        ] {
            let told = match info(config, state).check_holds(after) {
                Ok(()) => "sound",
                Err(SourceError::Trimmed { wanted, first }) => {
                    assert_eq!((wanted, first), (after + 1, state.1));
                    "trimmed"
                }
                Err(SourceError::Doubt(_)) => "doubt",
                Err(other) => panic!("{other}"),
            };
            assert_eq!(told, answer, "{config} {state:?} after {after}");
        }
    }

    #[test]
    fn filters_are_judged_only_where_the_stream_says_what_it_holds() {
        let wrong = ["other.0.>".to_owned()];
        assert!(info(&json!({}), (0, 0, 0)).check_filters(&["cdc.us.0.>".to_owned()]).is_ok());
        let error = info(&json!({}), (0, 0, 0)).check_filters(&wrong).unwrap_err();
        let SourceError::Setup { what, hint } = error else { panic!("{error}") };
        assert!(what.contains("`other.0.>`") && hint.contains("`cdc.>`"), "{what}: {hint}");
        for elsewhere in
            [json!({"mirror": {"name": "A"}}), json!({"sources": [{}]}), json!({"subject_transform": {}})]
        {
            assert!(info(&elsewhere, (0, 0, 0)).check_filters(&wrong).is_ok(), "{elsewhere}");
        }
    }

    #[test]
    fn near_names_are_found() {
        assert_eq!(distance("CDC_US", "cdc_us"), 0);
        assert_eq!(distance("CDC_US", "CDC-US"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
