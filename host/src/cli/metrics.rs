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
    gauge("reconverge_lane_sequence", &["lane"], "Stream sequence up to which everything has a disposition"),
    gauge(
        "reconverge_lane_newest_change_seconds",
        &["lane"],
        "Source commit time of the newest change applied, seconds since 1970: time() minus it is the lag",
    ),
    gauge("reconverge_lane_running", &["lane"], "1 while the lane is claimed and works, else 0"),
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
