//! How near a stream's limits are to what a lane has not applied yet: the alarm before the hole. Asked beside the
//! lane's work, so that it is told also while the sink takes nothing, which is when it matters.

use std::{convert::Infallible, time::Duration};

use jiff::Timestamp;
use reconverge_streams::{
    position::Micros,
    source::{Source, SourceError, StreamFacts},
};

use super::{Progress, alarms};

/// Between two questions to the stream.
const EVERY: Duration = Duration::from_secs(5);

/// An alarm is cleared below this share of the threshold, so that it does not flutter.
const CLEARED_BELOW: f64 = 0.9;

/// The limit that is nearest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// `age`, `bytes` or `messages`.
    pub limit: &'static str,
    /// The share of it that is used: at 1 the stream lets go what is not applied (or takes nothing more, where its
    /// discard policy is `new`).
    pub used: f64,
    /// Whether the stream then refuses what is published, rather than let go.
    pub refuses: bool,
}

/// The nearest of a stream's limits to what stands behind `sequence`; none where it has no limit, where nothing is left
/// to apply, or where it lets go what was acknowledged. `oldest` is the stream's time of the oldest message that is not
/// applied, as far as it is known; both times in microseconds since 1970.
#[must_use]
pub fn near(facts: &StreamFacts, sequence: u64, oldest: Option<Micros>, now: Micros) -> Option<Near> {
    let bounds = &facts.bounds;
    let behind = facts.last.saturating_sub(sequence).min(bounds.messages);
    if behind == 0 || !facts.keeps_acknowledged {
        return None;
    }
    // What is not applied may be of other partitions, or smaller than the rest: an upper bound, and an average.
    let (behind, messages, bytes) = (number(behind), number(bounds.messages), number(bounds.bytes));
    let of_messages = if bounds.refuses_new { messages } else { behind };
    let of_bytes = if bounds.refuses_new { bytes } else { bytes * behind / messages };
    let near = |limit, used, refuses| Near { limit, used, refuses };
    let age = bounds
        .age_max
        .zip(oldest)
        .map(|(max, oldest)| near("age", signed(now.saturating_sub(oldest).max(0)) / signed(max), false));
    let bytes = bounds.bytes_max.map(|max| near("bytes", of_bytes / number(max), bounds.refuses_new));
    let messages =
        bounds.messages_max.map(|max| near("messages", of_messages / number(max), bounds.refuses_new));
    [age, bytes, messages].into_iter().flatten().max_by(|one, other| one.used.total_cmp(&other.used))
}

#[expect(clippy::cast_precision_loss, reason = "a share of a limit; counts stay below 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "a share of a limit; microseconds stay below 2^53")]
fn signed(micros: Micros) -> f64 {
    micros as f64
}

impl Near {
    /// For people.
    #[must_use]
    pub fn words(&self, stream: &str) -> String {
        let percent = self.used * 100.0;
        let end = if self.refuses { "it takes nothing more" } else { "it loses what is not applied" };
        format!("stream {stream} is at {percent:.0} % of its limit of {}, at 100 % {end}", self.limit)
    }
}

/// Watches for as long as the lane lives.
pub(super) async fn watch<S: Source>(source: &S, progress: &Progress, threshold: f64) -> Infallible {
    loop {
        if let Some(sequence) = progress.known_sequence() {
            match look(source, sequence).await {
                Ok((facts, near)) => tell(progress, &facts.name, near, threshold),
                // The lane meets the same, and tells it.
                Err(error) => tracing::debug!(lane = progress.lane(), %error, "retention.unknown"),
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn look<S: Source>(source: &S, sequence: u64) -> Result<(StreamFacts, Option<Near>), SourceError> {
    let facts = source.inspect().await?;
    let next = sequence.max(facts.first.saturating_sub(1)) + 1;
    let oldest = if facts.bounds.age_max.is_some() && next <= facts.last {
        source.fetch(next).await?.map(|message| message.published_at)
    } else {
        None
    };
    let near = near(&facts, sequence, oldest, Timestamp::now().as_microsecond());
    Ok((facts, near))
}

fn tell(progress: &Progress, stream: &str, near: Option<Near>, threshold: f64) {
    let lane = progress.lane();
    let used = near.map_or(0.0, |near| near.used);
    metrics::gauge!("reconverge_retention_used_ratio", "lane" => lane.to_owned()).set(used);
    if let Some(near) = near.filter(|near| near.used >= threshold) {
        let is_new = progress.alarms().raise(lane, alarms::RETENTION, near.words(stream));
        if is_new {
            let percent = near.used * 100.0;
            tracing::error!(lane, stream, limit = near.limit, percent, "retention.near");
        }
    } else if used < threshold * CLEARED_BELOW && progress.alarms().clear(lane, alarms::RETENTION) {
        tracing::info!(lane, stream, "retention.clear");
    }
}

#[cfg(test)]
mod tests {
    use reconverge_streams::source::StreamBounds;

    use super::*;

    fn facts(bounds: StreamBounds) -> StreamFacts {
        let bounds = StreamBounds { bytes: 1000, messages: 100, ..bounds };
        StreamFacts {
            name: "S".into(),
            created: 0,
            first: 901,
            first_at: Some(0),
            last: 1000,
            keeps_acknowledged: true,
            deleted: 0,
            mirror_of: None,
            bounds,
        }
    }

    /// What it shows, bounds, sequence, time of the oldest, and the limit and percent that are to be told.
    type Case<'a> = (&'a str, &'a StreamBounds, u64, Option<Micros>, Option<(&'a str, u32)>);

    #[test]
    fn the_nearest_limit_is_told() {
        let none = StreamBounds::default();
        let messages = StreamBounds { messages_max: Some(200), ..none.clone() };
        let bytes = StreamBounds { bytes_max: Some(2000), ..messages.clone() };
        let age = StreamBounds { age_max: Some(1_000_000), ..bytes.clone() };
        let full = StreamBounds { refuses_new: true, ..messages.clone() };
        let cases: [Case<'_>; 9] = [
            ("no limit, no alarm", &none, 0, Some(0), None),
            ("nothing left to apply", &age, 1000, Some(0), None),
            ("half of the messages stand, all unapplied", &messages, 900, None, Some(("messages", 50))),
            (
                "a checkpoint before the stream's first counts what is there",
                &messages,
                5,
                None,
                Some(("messages", 50)),
            ),
            ("twenty unapplied of two hundred", &messages, 980, None, Some(("messages", 10))),
            ("bytes by their average", &bytes, 980, None, Some(("messages", 10))),
            ("age beats both", &age, 980, Some(250_000), Some(("age", 75))),
            ("a message from the future is not old", &age, 980, Some(2_000_000), Some(("messages", 10))),
            ("a stream that refuses is as full as it is", &full, 999, None, Some(("messages", 50))),
        ];
        for (case, bounds, sequence, oldest, expected) in cases {
            let found = near(&facts(bounds.clone()), sequence, oldest, 1_000_000);
            let shown = found.map(|near| (near.limit, format!("{:.0}", near.used * 100.0)));
            let expected = expected.map(|(limit, percent)| (limit, percent.to_string()));
            // Of two that are equal the last one is told; either is right.
            assert_eq!(
                shown.as_ref().map(|(_, percent)| percent),
                expected.as_ref().map(|(_, percent)| percent),
                "{case}: {shown:?}"
            );
            if case != "bytes by their average" {
                assert_eq!(shown, expected, "{case}");
            }
        }
    }

    #[test]
    fn bytes_are_told_where_they_are_nearest() {
        let bounds =
            StreamBounds { bytes_max: Some(1100), messages_max: Some(10_000), ..StreamBounds::default() };
        let found = near(&facts(bounds), 900, None, 0).unwrap();
        assert_eq!((found.limit, format!("{:.2}", found.used)), ("bytes", "0.91".to_owned()));
        assert!(found.words("S").contains("91 % of its limit of bytes"), "{}", found.words("S"));
    }

    #[test]
    fn streams_that_let_go_what_was_acknowledged_are_not_judged() {
        let bounds = StreamBounds { messages_max: Some(10), ..StreamBounds::default() };
        assert_eq!(near(&StreamFacts { keeps_acknowledged: false, ..facts(bounds) }, 0, None, 0), None);
    }
}
