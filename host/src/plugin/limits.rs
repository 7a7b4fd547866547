//! What a plugin may use: memory, fuel, time, answers, log lines. Read before each call and each instance;
//! nothing here measures.

use std::time::Duration;

const MIB: usize = 1 << 20;

/// Bytes of a plugin file that is read, where nobody says otherwise.
pub(crate) const ARTIFACT_BYTES: u64 = 64 << 20;

/// The limits of one plugin; the same for all plugins of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all memories of an instance, and of the block that it is given.
    pub memory_bytes: usize,
    /// Fuel of a call, whatever its rows.
    pub fuel_base: u64,
    /// Fuel of a call for each of its rows. 100,000 leaves room for a script.
    pub fuel_per_row: u64,
    /// Fuel of starting an instance, of `describe` and of `open`, each.
    pub fuel_open: u64,
    /// Bytes that an answer may have over twice its block.
    pub answer_bytes: usize,
    /// When a call is stopped whatever fuel it has left: the last resort, since it depends on the machine.
    pub deadline: Duration,
    /// Log lines of a plugin in a second; the others are counted.
    pub log_lines_per_second: u32,
    /// Bytes of a log line, a reason or an error text; the rest is cut off.
    pub text_bytes: usize,
    /// Keep log lines of plugins that see rows which residency has not passed. They may hold those rows.
    pub log_before_residency: bool,
    /// Bytes of a plugin file.
    pub artifact_bytes: u64,
    /// Instances that may live at the same time; a pipeline's is made from its lanes and plugins.
    pub instances: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory_bytes: 128 * MIB,
            fuel_base: 10_000_000,
            fuel_per_row: 100_000,
            fuel_open: 1_000_000_000,
            answer_bytes: MIB,
            deadline: Duration::from_secs(5),
            log_lines_per_second: 100,
            text_bytes: 1024,
            log_before_residency: false,
            artifact_bytes: ARTIFACT_BYTES,
            instances: 64,
        }
    }
}

impl Limits {
    /// Fuel of a call with so many rows.
    pub(super) fn fuel(&self, rows: usize) -> u64 {
        self.fuel_base.saturating_add(self.fuel_per_row.saturating_mul(rows as u64))
    }

    /// Most bytes of an answer to a block of so many bytes.
    pub(super) fn answer_bytes_max(&self, block: usize) -> usize {
        block.saturating_mul(2).saturating_add(self.answer_bytes)
    }
}
