//! The only import: a plugin's lines in the host's log. Rate-limited and cut, for a plugin may flood it; and shut
//! for plugins that see rows which residency has not passed yet, for a line may hold such a row.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{bindings::base::reconverge::plugin::log::Level, limits::Limits, words};

/// The log of one plugin; all of its instances share it, so that a fresh one has no fresh allowance.
#[derive(Debug)]
pub(super) struct PluginLog {
    plugin: Arc<str>,
    lines_per_second: u32,
    line_bytes: usize,
    /// Lines that are written after the plugin has seen rows are dropped.
    shut_for_rows: bool,
    second: Mutex<Second>,
    written: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Second {
    began: Instant,
    lines: u32,
    dropped: u64,
}

impl PluginLog {
    pub(super) fn new(plugin: Arc<str>, limits: &Limits, sees_unpassed_rows: bool) -> Self {
        PluginLog {
            plugin,
            lines_per_second: limits.log_lines_per_second,
            line_bytes: limits.text_bytes,
            shut_for_rows: sees_unpassed_rows && !limits.log_before_residency,
            second: Mutex::new(Second { began: Instant::now(), lines: 0, dropped: 0 }),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Lines written and dropped so far.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.written.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }

    /// A line of the plugin. `has_seen_rows`: the instance was given rows already.
    pub(super) fn write(&self, level: Level, line: &str, has_seen_rows: bool) {
        if (has_seen_rows && self.shut_for_rows) || !self.admit(Instant::now()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.written.fetch_add(1, Ordering::Relaxed);
        let (plugin, line) = (&*self.plugin, words::tame(line, self.line_bytes));
        match level {
            Level::Debug => tracing::debug!(target: "plugin", plugin, line, "plugin log"),
            Level::Info => tracing::info!(target: "plugin", plugin, line, "plugin log"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, line, "plugin log"),
            Level::Error => tracing::error!(target: "plugin", plugin, line, "plugin log"),
        }
    }

    fn admit(&self, now: Instant) -> bool {
        let mut second = self.second.lock().expect("no holder panics");
        if now.duration_since(second.began) >= Duration::from_secs(1) {
            if second.dropped > 0 {
                let (plugin, lines) = (&*self.plugin, second.dropped);
                tracing::warn!(target: "plugin", plugin, lines, "plugin log lines dropped");
            }
            *second = Second { began: now, lines: 0, dropped: 0 };
        }
        let admitted = second.lines < self.lines_per_second;
        second.lines += u32::from(admitted);
        second.dropped += u64::from(!admitted);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(sees_unpassed_rows: bool) -> PluginLog {
        PluginLog::new(
            "p".into(),
            &Limits { log_lines_per_second: 3, ..Limits::default() },
            sees_unpassed_rows,
        )
    }

    #[test]
    fn a_second_has_so_many_lines_and_the_next_has_them_again() {
        let log = log(false);
        let now = Instant::now();
        let admitted = |at| (0..5).filter(|_| log.admit(at)).count();
        assert_eq!(admitted(now), 3);
        assert_eq!(admitted(now + Duration::from_millis(400)), 0);
        assert_eq!(admitted(now + Duration::from_secs(2)), 3);
    }

    #[test]
    fn lines_about_rows_that_residency_has_not_passed_are_counted_only() {
        let log = log(true);
        log.write(Level::Info, "opened", false);
        log.write(Level::Info, "a row with a secret", true);
        assert_eq!(log.counts(), (1, 1));
    }
}
