//! The server-side half of a reader. Made when a reader opens and gone when it closes; it keeps no progress that
//! anyone relies on.
//!
//! | stream's retention | acknowledgement | consumer |
//! |---|---|---|
//! | limits | none | in memory, deleted with the reader, else after [`IDLE_MAX`] |
//! | interest | all up to one | on file and left behind: it is what keeps the messages. The next reader makes its own before it deletes this one |
//! | work queue | each | in memory; there can be only one, so the next reader deletes what a dead one left |

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::api::{self, ApiError, CONSUMER_NOT_FOUND, WORK_QUEUE_TAKEN};
use super::connect::Connection;
use super::stream::{Retention, StreamConfig};
use crate::source::SourceError;

/// How long a throw-away consumer outlives a reader that could not delete it.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// After how long the server would deliver again what was not released; a reader takes that for a doubt.
const ACK_WAIT: Duration = Duration::from_secs(3600);
/// Longest prefix of a consumer's name.
const PREFIX_MAX: usize = 100;
/// Length of the random end of a name.
const SUFFIX: usize = 12;

/// Whose consumer it is and what it reads.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Pipeline and lane; see [`sanitized`].
    pub prefix: String,
    pub partition: u32,
    pub filters: Vec<String>,
    pub after: u64,
}

impl Wanted {
    /// The beginning of the names of all consumers of this lane and partition.
    fn stem(&self) -> String {
        format!("{}-p{}-", self.prefix, self.partition)
    }
}

/// What may stand in a consumer's name.
pub(super) fn sanitized(prefix: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    prefix.chars().take(PREFIX_MAX).map(letter).collect()
}

/// A consumer on the server. Dropping it deletes it, where that loses nothing; that may fail, and then it goes by
/// itself after [`IDLE_MAX`].
#[derive(Debug)]
pub(super) struct Consumer {
    connection: Connection,
    stream: String,
    name: String,
    retention: Retention,
    /// Messages that waited for it when it was made.
    pub pending: u64,
}

impl Consumer {
    /// Makes a consumer that begins after `wanted.after` (on a work queue: with the first message that is left).
    pub async fn create(
        connection: &Connection,
        stream: &StreamConfig,
        wanted: &Wanted,
    ) -> Result<Consumer, SourceError> {
        let doing = format!("making a consumer on the stream `{}`", stream.name);
        let mut made = create(connection, stream, wanted).await;
        if stream.retention == Retention::WorkQueue
            && made.as_ref().is_err_and(|error| error.is_refusal(&WORK_QUEUE_TAKEN))
        {
            delete_others(connection, &stream.name, &wanted.stem(), None).await;
            made = create(connection, stream, wanted).await;
        }
        let consumer = made.map_err(|error| {
            if error.is_refusal(&WORK_QUEUE_TAKEN) {
                return SourceError::Setup {
                    what: format!("{doing} failed: another consumer takes its messages"),
                    hint: "a work queue gives each message to one consumer: delete the other one, or read from a \
                           stream with retention by limits"
                        .to_owned(),
                };
            }
            error.into_source_error(connection, &doing)
        })?;
        if stream.retention == Retention::Interest {
            delete_others(connection, &stream.name, &wanted.stem(), Some(&consumer.name)).await;
        }
        tracing::debug!(stream = %stream.name, consumer = %consumer.name, after = wanted.after, "consumer created");
        Ok(consumer)
    }

    /// Where pulls are sent.
    pub fn pull_subject(&self) -> String {
        format!("{}.CONSUMER.MSG.NEXT.{}.{}", self.connection.api_prefix, self.stream, self.name)
    }

    /// How its messages are released.
    pub fn retention(&self) -> Retention {
        self.retention
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // Without its consumer an interest stream would let go of what has not been read.
        if self.retention == Retention::Interest {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (connection, stream, name) =
            (self.connection.clone(), std::mem::take(&mut self.stream), std::mem::take(&mut self.name));
        if connection.stands() {
            runtime.spawn(async move { delete(&connection, &stream, &name).await });
        }
    }
}

async fn create(
    connection: &Connection,
    stream: &StreamConfig,
    wanted: &Wanted,
) -> Result<Consumer, ApiError> {
    #[derive(Deserialize)]
    struct Made {
        #[serde(default)]
        num_pending: u64,
    }
    let random = Uuid::new_v4().simple().to_string();
    let name = format!("{}{}", wanted.stem(), &random[..SUFFIX]);
    let asked =
        json!({ "stream_name": stream.name, "config": config(stream, wanted, &name), "action": "create" });
    // A single filter stands in the subject too, so that permissions can be granted by filter.
    let verb = match &wanted.filters[..] {
        [filter] => format!("CONSUMER.CREATE.{}.{name}.{filter}", stream.name),
        _ => format!("CONSUMER.CREATE.{}.{name}", stream.name),
    };
    let made: Made = api::call(connection, &verb, &asked).await?;
    Ok(Consumer {
        connection: connection.clone(),
        stream: stream.name.clone(),
        name,
        retention: stream.retention,
        pending: made.num_pending,
    })
}

fn config(stream: &StreamConfig, wanted: &Wanted, name: &str) -> Value {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let mut config = Map::new();
    let mut set = |field: &str, value: Value| config.insert(field.to_owned(), value);
    set("name", json!(name));
    set("description", json!("Reader of a Reconverge lane"));
    set("replay_policy", json!("instant"));
    match &wanted.filters[..] {
        [filter] => set("filter_subject", json!(filter)),
        filters => set("filter_subjects", json!(filters)),
    };
    match stream.retention {
        // A work queue refuses any other beginning; the reader drops what is before.
        Retention::WorkQueue => set("deliver_policy", json!("all")),
        Retention::Limits | Retention::Interest => {
            set("opt_start_seq", json!(wanted.after + 1));
            set("deliver_policy", json!("by_start_sequence"))
        }
    };
    if stream.retention == Retention::Interest {
        set("durable_name", json!(name));
    } else {
        let limit = Duration::from_nanos(stream.consumer_limits.inactive_threshold);
        set("inactive_threshold", json!(nanos(if limit.is_zero() { IDLE_MAX } else { IDLE_MAX.min(limit) })));
        set("mem_storage", json!(true));
    }
    if stream.retention == Retention::Limits {
        set("num_replicas", json!(1));
        set("ack_policy", json!("none"));
        return Value::Object(config);
    }
    set("ack_policy", json!(if stream.retention == Retention::Interest { "all" } else { "explicit" }));
    set("ack_wait", json!(nanos(ACK_WAIT)));
    // The lane's own limits bound what is under way; the server's default of 1000 would throttle large batches.
    if stream.consumer_limits.max_ack_pending == 0 {
        set("max_ack_pending", json!(-1));
    }
    Value::Object(config)
}

/// Deletes this lane's other consumers. What cannot be deleted is left: the lane's claim in the sink is what
/// keeps a second owner from writing.
async fn delete_others(connection: &Connection, stream: &str, stem: &str, but: Option<&str>) {
    #[derive(Deserialize)]
    struct Names {
        #[serde(default)]
        total: usize,
        #[serde(default)]
        consumers: Option<Vec<String>>,
    }
    let (mut found, mut offset) = (Vec::new(), 0);
    loop {
        let verb = format!("CONSUMER.NAMES.{stream}");
        let page = api::call::<Names>(connection, &verb, &json!({ "offset": offset })).await;
        let names = match page {
            Ok(Names { total, consumers: Some(names) }) if !names.is_empty() && offset < total => names,
            Ok(_) => break,
            Err(error) => {
                tracing::warn!(stream, error = %error, "consumers cannot be listed");
                break;
            }
        };
        offset += names.len();
        found.extend(names);
    }
    let ours = |name: &String| name.strip_prefix(stem).is_some_and(|end| end.len() == SUFFIX);
    for name in found.iter().filter(|name| ours(name) && Some(name.as_str()) != but) {
        delete(connection, stream, name).await;
    }
}

async fn delete(connection: &Connection, stream: &str, name: &str) {
    match api::call::<Value>(connection, &format!("CONSUMER.DELETE.{stream}.{name}"), &Value::Null).await {
        Ok(_) => tracing::debug!(stream, consumer = name, "consumer deleted"),
        Err(error) if error.is_refusal(&[CONSUMER_NOT_FOUND]) => {}
        Err(error) => tracing::debug!(stream, consumer = name, error = %error, "consumer not deleted"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_only_what_a_consumers_name_may() {
        assert_eq!(sanitized("us to.eu/main>*"), "us_to_eu_main__");
        assert_eq!(sanitized(&"x".repeat(500)).len(), PREFIX_MAX);
    }

    #[test]
    fn each_retention_has_its_consumer() {
        let wanted =
            Wanted { prefix: "l".to_owned(), partition: 3, filters: vec!["a.3.>".to_owned()], after: 41 };
        for (retention, limits, expected) in [
            ("limits", json!({}), json!(["none", "by_start_sequence", 42, null, null, 300_000_000_000_u64])),
            ("interest", json!({}), json!(["all", "by_start_sequence", 42, "n", -1, null])),
            ("workqueue", json!({}), json!(["explicit", "all", null, null, -1, 300_000_000_000_u64])),
            (
                "workqueue",
                json!({ "max_ack_pending": 50, "inactive_threshold": 1_000_000_000 }),
                json!(["explicit", "all", null, null, null, 1_000_000_000]),
            ),
        ] {
            let stream: StreamConfig = serde_json::from_value(
                json!({ "name": "S", "retention": retention, "consumer_limits": limits }),
            )
            .unwrap();
            let made = config(&stream, &wanted, "n");
            let fields = [
                "ack_policy",
                "deliver_policy",
                "opt_start_seq",
                "durable_name",
                "max_ack_pending",
                "inactive_threshold",
            ];
            assert_eq!(
                Value::Array(fields.map(|field| made[field].clone()).to_vec()),
                expected,
                "{retention}"
            );
            assert_eq!(made["filter_subject"], "a.3.>");
        }
    }
}
