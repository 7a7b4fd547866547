//! The list of metrics: the one place that says which there are and what they mean. The engine counts under these
//! names; a test sees that it uses no other.

use ::metrics::{describe_counter, describe_gauge, describe_histogram};

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// The present value.
    Gauge,
    /// A distribution.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: MetricKind,
    /// Its labels. No label carries a value of a row.
    pub labels: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], meaning: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels, meaning }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], meaning: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, meaning }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], meaning: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram, labels, meaning }
}

/// All metrics that the engine has.
pub const METRICS: &[Metric] = &[
    counter(
        "reconverge_changes_total",
        &["table", "disposition"],
        "Changes committed by this process, by table and by what became of them",
    ),
    counter("reconverge_batches_total", &[], "Transactions committed by this process"),
    counter("reconverge_local_writes_total", &[], "Rows met that the application had written"),
    counter("reconverge_generations_taken_total", &["lane"], "Swaps of a lane to another plugin generation"),
    histogram(
        "reconverge_generation_pause_seconds",
        &["lane"],
        "How long a swap to another generation kept a lane from its next batch",
    ),
    counter(
        "reconverge_reloads_refused_total",
        &["plugin"],
        "New plugin artifacts that did not become a generation, or not the live one",
    ),
    counter(
        "reconverge_source_suspicions_total",
        &["source"],
        "Changes at a lower position and with a later commit time than their key has seen: was the source restored?",
    ),
    counter(
        "reconverge_transactions_cut_total",
        &["why"],
        "Source transactions that became visible in parts: larger than a batch may be (limits), or their source fell silent",
    ),
    counter(
        "reconverge_sink_went_back_total",
        &["lane"],
        "Times that the sink was found older than this process had left it",
    ),
    counter(
        "reconverge_repeats_total",
        &["told_by"],
        "Changes without a position whose event was seen before: told by the window in memory, or by the sink",
    ),
    counter("reconverge_tombstones_removed_total", &[], "Tombstones and absences that went after their time"),
    counter(
        "reconverge_conflicts_total",
        &["table", "kind", "outcome"],
        "Conflicts by what met what and what became of the change; update_missing and delete_missing are not in the history",
    ),
    gauge(
        "reconverge_sources_passed_seconds",
        &[],
        "Commit time that every source of every lane has passed, seconds since 1970: tombstones behind it may go",
    ),
    gauge("reconverge_lane_sequence", &["lane"], "Stream sequence up to which everything has a disposition"),
    gauge(
        "reconverge_lane_newest_change_seconds",
        &["lane"],
        "Source commit time of the newest change applied, seconds since 1970: time() minus it is the lag",
    ),
    counter(
        "reconverge_lane_barrier_wait_ms_total",
        &["lane"],
        "Milliseconds that the lane waited for the lanes that go before it",
    ),
    gauge("reconverge_members", &[], "Processes that share the pipeline's lanes, this one included"),
    gauge(
        "reconverge_parked",
        &["lane", "table", "why"],
        "Rows and changes kept beside: parent, orphaned, skew, paused",
    ),
    counter("reconverge_tables_paused_total", &["table"], "Times that this process paused a table"),
    gauge("reconverge_lane_running", &["lane"], "1 while the lane is claimed and works, else 0"),
    counter(
        "reconverge_holes_total",
        &["lane", "kind"],
        "Holes met that nobody had accepted: the stream lost what was not applied, or is another one",
    ),
    gauge(
        "reconverge_retention_used_ratio",
        &["lane"],
        "Share of the stream's nearest limit that is used by what is not applied: at 1 it is lost",
    ),
    gauge(
        "reconverge_end_state",
        &["lane", "end"],
        "Circuit breaker of the source or the sink: 0 closed (it works), 1 half-open (being tried), 2 open (left alone)",
    ),
    counter(
        "reconverge_end_failures_total",
        &["lane", "end"],
        "Failed calls and checks of the source or the sink",
    ),
    gauge(
        "reconverge_in_flight_bytes",
        &["lane"],
        "Payload bytes that are decoded and not committed; the reader may hold two batches more",
    ),
    gauge("reconverge_alarm", &["lane", "alarm"], "1 while the alarm stands, else 0"),
];

/// Tells the recorder what each metric means, so that `/metrics` says it.
pub(super) fn describe() {
    for metric in METRICS {
        match metric.kind {
            MetricKind::Counter => describe_counter!(metric.name, metric.meaning),
            MetricKind::Gauge => describe_gauge!(metric.name, metric.meaning),
            MetricKind::Histogram => describe_histogram!(metric.name, metric.meaning),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn read(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "cli" && name != "target") {
                read(&path, text);
            } else if path.extension().is_some_and(|end| end == "rs") {
                text.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }

    /// Names in `metrics::counter!("..")` and its like.
    fn counted() -> BTreeSet<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut text = String::new();
        read(&root.join("src"), &mut text);
        read(&root.join("../streams/src"), &mut text);
        let calls = ["counter!(", "gauge!(", "histogram!("];
        let after = calls.iter().flat_map(|call| text.split(call).skip(1));
        after
            .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_list_is_what_is_counted() {
        let listed: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
        assert_eq!(listed, counted());
    }

    #[test]
    fn names_follow_the_custom_of_prometheus() {
        for metric in METRICS {
            assert!(metric.name.starts_with("reconverge_"), "{}", metric.name);
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == MetricKind::Counter,
                "{}",
                metric.name
            );
        }
    }
}
