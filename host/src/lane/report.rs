//! What a run came to, for people and for `--json`. The ledger in the sink is the truth; this is one run's share.

use std::collections::BTreeMap;

use reconverge_streams::disposition::Counts;
use serde::Serialize;

use crate::{plan::Plan, resolve::Resolved};

/// Dispositions of one run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunReport {
    /// Batches committed.
    pub batches: u64,
    /// Changes delivered.
    pub changes: u64,
    /// Rows met that the application had written.
    pub local_writes: u64,
    /// By table, then by disposition. Messages without a table stand under `(none)`.
    pub tables: BTreeMap<String, BTreeMap<&'static str, u64>>,
}

impl RunReport {
    /// Adds a committed batch, and tells the metrics.
    pub(super) fn add(&mut self, resolved: &Resolved, plan: &Plan) {
        self.batches += 1;
        self.local_writes += resolved.local_writes;
        for (table, counts) in &resolved.counts {
            let name = table.map_or("(none)", |t| plan.table(t).shape.name.as_str());
            self.changes += counts.sum();
            self.add_counts(name, counts);
        }
        for (table, from, to) in &resolved.reclassified {
            let row = self.tables.entry(plan.table(*table).shape.name.clone()).or_default();
            // What an earlier run counted is not this one's to move.
            if let Some(n) = row.get_mut(from.word()).filter(|n| **n > 0) {
                *n -= 1;
                *row.entry(to.word()).or_default() += 1;
            }
            row.retain(|_, n| *n > 0);
        }
        metrics::counter!("reconverge_repeats_total", "told_by" => "window")
            .increment(resolved.repeats_told_by_window);
        metrics::counter!("reconverge_repeats_total", "told_by" => "sink")
            .increment(resolved.repeats_told_by_sink);
        for ((table, kind, outcome), n) in &resolved.conflicts {
            metrics::counter!(
                "reconverge_conflicts_total",
                "table" => plan.table(*table).shape.name.clone(),
                "kind" => *kind,
                "outcome" => outcome.word()
            )
            .increment(*n);
        }
        metrics::counter!("reconverge_batches_total").increment(1);
        metrics::counter!("reconverge_local_writes_total").increment(resolved.local_writes);
    }

    fn add_counts(&mut self, table: &str, counts: &Counts) {
        let row = self.tables.entry(table.to_owned()).or_default();
        for (disposition, n) in counts.present() {
            *row.entry(disposition.word()).or_default() += n;
            metrics::counter!(
                "reconverge_changes_total",
                "table" => table.to_owned(),
                "disposition" => disposition.word()
            )
            .increment(n);
        }
    }

    /// Adds another lane's report.
    pub fn merge(&mut self, other: &RunReport) {
        self.batches += other.batches;
        self.changes += other.changes;
        self.local_writes += other.local_writes;
        for (table, counts) in &other.tables {
            let row = self.tables.entry(table.clone()).or_default();
            for (disposition, n) in counts {
                *row.entry(disposition).or_default() += n;
            }
        }
    }
}
