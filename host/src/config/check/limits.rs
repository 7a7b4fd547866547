//! Checks `[limits]`.

use std::time::Duration;

use super::Checker;
use crate::config::checked::{Lease, Limits, PluginLimits, Retry};
use crate::config::located::At;
use crate::config::quantity::Size;
use crate::config::raw;

/// Below one page of memory no plugin starts.
const PAGE_BYTES: u64 = 64 << 10;

/// The shortest pause between two signs of life.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);
/// Less than this is no room for the messages of a server with default limits (1 MiB).
const IN_FLIGHT_LEAST: u64 = 4 << 20;

impl Checker<'_> {
    pub(super) fn limits(&mut self, limits: &raw::Limits) -> Limits {
        self.at_least(&limits.batch.bytes, 1, "batch.bytes");
        self.at_least(&limits.in_flight, IN_FLIGHT_LEAST, "in_flight");
        self.at_least(&limits.value_bytes, 1, "value_bytes");
        self.at_least(&limits.plugin.memory, PAGE_BYTES, "plugin.memory");
        let plugin = &limits.plugin;
        Limits {
            batch_rows: usize::try_from(limits.batch.rows.get()).unwrap_or(usize::MAX),
            batch_bytes: limits.batch.bytes.bytes,
            in_flight_bytes: limits.in_flight.bytes,
            linger: Duration::from_millis(u64::from(limits.batch.linger_ms)),
            parked_rows: limits.parked.rows,
            parked_age: limits.parked.age.duration,
            leaving: limits.leaving.get(),
            value_bytes: limits.value_bytes.bytes,
            clock_skew: limits.clock_skew.duration,
            retry: self.retry(&limits.retry),
            lease: self.lease(&limits.lease),
            history_days: limits.keep.history_days.get(),
            tombstones: limits.keep.tombstones.duration,
            plugin: PluginLimits {
                memory_bytes: plugin.memory.bytes,
                fuel_base: plugin.fuel_base.get(),
                fuel_per_row: plugin.fuel_per_row,
                output_bytes: plugin.output.bytes,
                deadline: Duration::from_secs(u64::from(plugin.deadline_s.get())),
            },
        }
    }

    fn at_least(&mut self, size: &At<Size>, least: u64, what: &str) {
        if size.bytes < least {
            self.refuse(size.span(), format!("`limits.{what}` is too small"))
                .label(format!("at least {least} bytes"))
                .help("leave it out for the default");
        }
    }

    fn lease(&mut self, lease: &At<raw::Lease>) -> Lease {
        let (stale, heartbeat) = (lease.stale.duration, lease.heartbeat.duration);
        if heartbeat < HEARTBEAT_MIN {
            self.refuse(lease.span(), "`limits.lease.heartbeat` is too short")
                .label("at least 100 ms")
                .help("each is a write to the sink; 5s is the default");
        } else if heartbeat > stale / 2 {
            self.refuse(lease.span(), "`limits.lease.heartbeat` is more than half of `stale`")
                .label("one late sign of life would cost the lanes")
                .help("such as lease = { stale = \"15s\", heartbeat = \"5s\" }");
        }
        Lease { stale, heartbeat }
    }

    fn retry(&mut self, retry: &At<raw::Retry>) -> Retry {
        if !(1.0..=100.0).contains(&retry.factor) {
            self.refuse(retry.span(), "`limits.retry.factor` is not between 1 and 100")
                .help("2.0 doubles each pause");
        }
        if retry.max_ms < retry.first_ms {
            self.refuse(retry.span(), "`limits.retry.max_ms` is less than `first_ms`")
                .help("the longest pause is at least the first");
        }
        Retry {
            tries: retry.tries.get(),
            first: Duration::from_millis(retry.first_ms),
            max: Duration::from_millis(retry.max_ms),
            factor: retry.factor as f32,
        }
    }
}
