//! How much a lane keeps beside: told as a metric and as an alarm, and held against `limits.parked`. Over the limit the
//! lane stops pulling. Orphaned rows are told and stand outside of the limit: nobody expects their parents.

use std::{collections::BTreeSet, time::Duration};

use reconverge_streams::{position::Micros, waiting::Depth};
use tokio::time::Instant;

use crate::plan::Plan;

use super::{Progress, alarms};

/// Rows of a table that wait for one reason, from which on somebody should know.
const ALARM_ROWS: u64 = 1000;
/// The pause between two counts is at least this, and so many times as long as a count takes.
const PAUSE: Duration = Duration::from_secs(1);
const TIMES_AS_LONG: u32 = 20;

/// `limits.parked`.
#[derive(Clone, Copy, Debug)]
pub struct ParkedLimits {
    /// Rows and changes that may wait.
    pub rows: u64,
    /// How long one may.
    pub age: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Depths {
    limits: ParkedLimits,
    next: Option<Instant>,
    /// Rows at the last count, and all that were kept since: at least as many as there are.
    at_most: u64,
    alarmed: BTreeSet<(String, String)>,
    over: Option<String>,
}

impl Depths {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(limits: ParkedLimits) -> Self {
        Depths { limits, next: None, at_most: 0, alarmed: BTreeSet::new(), over: None }
    }

    /// Whether it is time to count.
    pub(super) fn is_due(&self) -> bool {
        self.at_most >= self.limits.rows || self.next.is_none_or(|next| next <= Instant::now())
    }

    /// Whether the last count found nothing.
    pub(super) fn is_clear(&self) -> bool {
        self.at_most == 0 && self.alarmed.is_empty() && self.over.is_none()
    }

    /// So many were kept by a batch.
    pub(super) fn grew_by(&mut self, rows: usize) {
        self.at_most = self.at_most.saturating_add(rows as u64);
    }

    /// Why the lane may not pull; `None`: it may.
    pub(super) fn over(&self) -> Option<&str> {
        self.over.as_deref()
    }

    /// Takes over what was counted at `now` by a count that took `took`.
    pub(super) fn counted(
        &mut self,
        found: &[Depth],
        now: Micros,
        took: Duration,
        plan: &Plan,
        (lane, progress): (&str, &Progress),
    ) {
        self.next = Some(Instant::now() + PAUSE.max(took * TIMES_AS_LONG));
        let limited = || found.iter().filter(|d| d.why != "orphaned");
        self.at_most = limited().map(|d| d.rows).sum();
        let oldest = limited().map(|d| d.oldest_at).min();
        let over = self.why_over(oldest, now);
        match (&over, &self.over) {
            (Some(why), None) => tracing::error!(lane, rows = self.at_most, why, "parked.over_limit"),
            (None, Some(_)) => tracing::info!(lane, rows = self.at_most, "parked.within_limit"),
            _ => {}
        }
        self.over = over;
        self.tell(found, plan, lane, progress);
    }

    fn why_over(&self, oldest: Option<Micros>, now: Micros) -> Option<String> {
        let ParkedLimits { rows, age } = self.limits;
        if self.at_most >= rows.max(1) {
            return Some(format!("{} rows wait, limits.parked.rows is {rows}", self.at_most));
        }
        let oldest = now.saturating_sub(oldest?) / 1_000_000;
        (u64::try_from(oldest).is_ok_and(|seconds| seconds > age.as_secs()))
            .then(|| format!("a row has waited for {oldest} s, limits.parked.age is {} s", age.as_secs()))
    }

    fn tell(&mut self, found: &[Depth], plan: &Plan, lane: &str, progress: &Progress) {
        let mut many: Vec<String> = Vec::new();
        let gauge = |table: &str, why: &str, rows: u64| {
            let labels = [("lane", lane), ("table", table), ("why", why)]
                .map(|(name, value)| metrics::Label::new(name, value.to_owned()));
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            metrics::gauge!("reconverge_parked", labels.to_vec()).set(rows as f64);
        };
        for table in &plan.tables {
            for why in ["parent", "orphaned", "skew", "paused"] {
                let rows = found.iter().find(|d| d.table == table.id && d.why == why).map_or(0, |d| d.rows);
                let name = table.shape.name.as_str();
                gauge(name, why, rows);
                let of = (name.to_owned(), why.to_owned());
                if rows < ALARM_ROWS {
                    self.alarmed.remove(&of);
                    continue;
                }
                if self.alarmed.insert(of) {
                    tracing::warn!(lane, table = name, why, rows, "parked.many");
                }
                many.push(format!("table {name}: {rows} wait ({why})"));
            }
        }
        many.extend(self.over.clone());
        if many.is_empty() {
            progress.alarms().clear(lane, alarms::PARKED);
        } else {
            progress.alarms().raise(lane, alarms::PARKED, many.join("; "));
        }
    }
}

#[cfg(test)]
mod tests {
    use reconverge_streams::table::TableId;

    use super::*;

    fn counted(depths: &[(&str, u64, Micros)], now: Micros) -> Depths {
        let limits = ParkedLimits { rows: 100, age: Duration::from_secs(60) };
        let mut kept = Depths::new(limits);
        let found: Vec<Depth> = depths
            .iter()
            .map(|&(why, rows, oldest_at)| Depth { table: TableId(0), why: why.into(), rows, oldest_at })
            .collect();
        kept.at_most = found.iter().filter(|d| d.why != "orphaned").map(|d| d.rows).sum();
        let oldest = found.iter().filter(|d| d.why != "orphaned").map(|d| d.oldest_at).min();
        kept.over = kept.why_over(oldest, now);
        kept
    }

    #[test]
    fn rows_and_age_are_limited_and_orphans_are_not() {
        for (depths, over) in [
            (&[][..], false),
            (&[("parent", 99, 0)], false),
            (&[("parent", 60, 0), ("paused", 40, 0)], true),
            (&[("orphaned", 5000, 0)], false),
            (&[("skew", 1, -1_000_000)], true),
            (&[("orphaned", 1, -1_000_000), ("skew", 1, 0)], false),
        ] {
            assert_eq!(counted(depths, 60_000_000).over().is_some(), over, "{depths:?}");
        }
    }

    #[test]
    fn what_a_batch_keeps_is_counted_before_the_next_count() {
        let mut kept = counted(&[("parent", 90, 0)], 0);
        kept.next = Some(Instant::now() + Duration::from_secs(600));
        assert!(!kept.is_due());
        kept.grew_by(10);
        assert!(kept.is_due(), "it may be over the limit");
    }
}
