//! The one wasmtime engine of a process, and the clock that stops calls. Made once at the start; a lane only
//! borrows it. It compiles and runs nothing by itself.
//!
//! The settings are those under which two regions decide alike: fuel in place of time, NaNs in one form, no
//! relaxed SIMD, no threads. Changing one of them changes what plugins of two versions of this host may answer.

use std::{sync::Arc, thread, time::Duration};

use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::{cache::CompileCache, limits::Limits};

/// How often the clock of deadlines ticks; a deadline is late by two ticks at most.
const TICK: Duration = Duration::from_millis(10);
/// Stack of a guest: a quarter of what a thread of the host has.
const STACK_BYTES: usize = 512 << 10;
/// Core instances and tables of one component. Python's has more than a hundred.
const PARTS_PER_COMPONENT: u32 = 256;
/// Tables of one component. Python's has some dozen.
const TABLES_PER_COMPONENT: u32 = 64;
/// Core instances and tables that all components together may have: eight for each, or two of Python.
const PARTS_MIN: u32 = 512;

/// Compiles and runs plugins. One per process is enough, and clones share it.
#[derive(Clone)]
pub struct PluginEngine(Arc<Inner>);

struct Inner {
    engine: Engine,
    limits: Limits,
    cache: CompileCache,
}

/// Why there is no engine: the machine lacks something.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refuses the settings on this machine.
    #[error("the WASM engine does not start: {0}")]
    Settings(String),
    /// No thread for the clock of deadlines.
    #[error("the clock of the WASM engine does not start: {0}")]
    Clock(#[from] std::io::Error),
}

impl EngineError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            EngineError::Settings(_) => {
                "run on x86-64 or 64-bit ARM, with at least 1 GiB of address space (`ulimit -v`)"
            }
            EngineError::Clock(_) => "raise the number of threads that this user may have (`ulimit -u`)",
        }
    }
}

impl PluginEngine {
    /// Starts an engine and its clock. The clock's thread ends with the last clone of the engine.
    ///
    /// Instances come from a pool, which makes a new one cost microseconds; where the machine has too little
    /// address space for the pool they are made one by one.
    ///
    /// # Errors
    /// [`EngineError`]: the machine lacks something.
    pub fn start(limits: Limits, cache: CompileCache) -> Result<Self, EngineError> {
        let engine = Engine::new(&settings(Some(&limits))).or_else(|cause| {
            tracing::warn!(error = %format!("{cause:#}"), "plugin pool unavailable");
            Engine::new(&settings(None)).map_err(|cause| EngineError::Settings(format!("{cause:#}")))
        })?;
        let weak = engine.weak();
        thread::Builder::new().name("plugin-clock".into()).spawn(move || tick(&weak))?;
        Ok(PluginEngine(Arc::new(Inner { engine, limits, cache })))
    }

    /// The limits of its plugins.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(super) fn wasmtime(&self) -> &Engine {
        &self.0.engine
    }

    pub(super) fn cache(&self) -> &CompileCache {
        &self.0.cache
    }

    /// The deadline in ticks: at least one whole tick from now.
    pub(super) fn deadline_ticks(&self) -> u64 {
        let ticks = self.0.limits.deadline.as_millis().div_ceil(TICK.as_millis());
        u64::try_from(ticks).unwrap_or(u64::MAX / 2).saturating_add(1)
    }
}

/// Raises the epoch as long as there is an engine.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, which does nothing but wait; no runtime is held up"
)]
fn tick(engine: &EngineWeak) {
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine);
        thread::sleep(TICK);
    }
}

fn settings(pool: Option<&Limits>) -> Config {
    let mut config = Config::new();
    config
        // A call is three times cheaper without; we need no async functions of components.
        .concurrency_support(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        // Threads are off by the features that wasmtime is built with.
        .max_wasm_stack(STACK_BYTES)
        // Only the kind of a trap is told, never a backtrace.
        .wasm_backtrace_max_frames(None);
    if let Some(limits) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(limits)));
    }
    config
}

fn pooling(limits: &Limits) -> PoolingAllocationConfig {
    let parts = limits.instances.saturating_mul(8).max(PARTS_MIN);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(limits.instances)
        .total_memories(limits.instances)
        .total_core_instances(parts)
        .total_tables(parts)
        .max_core_instances_per_component(PARTS_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_memory_size(limits.memory_bytes);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_at_least_a_whole_tick() {
        for (millis, ticks) in [(0, 1), (1, 2), (10, 2), (5000, 501)] {
            let limits = Limits { deadline: Duration::from_millis(millis), ..Limits::default() };
            let engine = PluginEngine::start(limits, CompileCache::off()).unwrap();
            assert_eq!(engine.deadline_ticks(), ticks, "{millis} ms");
        }
    }
}
