//! An instance of a plugin, and the calls to it. Fuel, deadline and limits are set for each call. After a fault
//! an instance is dead: [`super::contain`] drops it and starts another.

use wasmtime::{ResourceLimiter, Store};

use super::{
    bindings::{
        base::{
            Base,
            reconverge::plugin::{
                log::{self, Level},
                types,
            },
        },
        filter::FilterPlugin,
        mapping::MappingPlugin,
        merge::MergePlugin,
        residency::ResidencyPlugin,
    },
    block::BadAnswer,
    fault::Fault,
    log::PluginLog,
    program::{Program, RunIndices},
};
use std::sync::Arc;

pub(super) use super::bindings::base::{
    exports::reconverge::plugin::lifecycle::{Contract, Descriptor, Table},
    reconverge::plugin::types::Answer,
};

/// Elements of all tables of an instance together; function pointers, of which Python has some ten thousand.
const TABLE_ELEMENTS_MAX: usize = 200_000;
/// What the host may copy of an answer beyond its limit: the heads of its lists. The answer itself is measured
/// exactly when it is there.
const ANSWER_SLACK: usize = 64 << 10;

/// What the host keeps beside an instance.
#[derive(Debug)]
pub(super) struct Guest {
    log: Arc<PluginLog>,
    has_seen_rows: bool,
    memory_bytes: usize,
    memory_max: usize,
    memory_refused: bool,
    table_elements: usize,
}

impl types::Host for Guest {}

impl log::Host for Guest {
    fn write(&mut self, level: Level, message: String) {
        self.log.write(level, &message, self.has_seen_rows);
    }
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let all = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        self.memory_refused |= all > self.memory_max;
        if all <= self.memory_max {
            self.memory_bytes = all;
        }
        Ok(all <= self.memory_max)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_refused = true;
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.table_elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        Ok(self.table_elements <= TABLE_ELEMENTS_MAX)
    }
}

/// See the module.
pub(super) struct Instance {
    store: Store<Guest>,
    lifecycle: Base,
    run: Run,
}

/// The export of the stage.
enum Run {
    Residency(ResidencyPlugin),
    Filter(FilterPlugin),
    Mapping(MappingPlugin),
    Merge(MergePlugin),
}

impl Instance {
    /// Starts an instance that has not been opened.
    pub(super) fn start(program: &Program) -> Result<Self, Fault> {
        let (engine, limits) = (&program.engine, program.engine.limits());
        let guest = Guest {
            log: Arc::clone(&program.log),
            has_seen_rows: false,
            memory_bytes: 0,
            memory_max: limits.memory_bytes,
            memory_refused: false,
            table_elements: 0,
        };
        let mut store = Store::new(engine.wasmtime(), guest);
        store.limiter(|guest| guest);
        refuel(&mut store, limits.fuel_open, engine.deadline_ticks(), limits.answer_bytes);
        let started = program.pre.instantiate(&mut store).and_then(|instance| {
            let lifecycle = program.lifecycle.load(&mut store, &instance)?;
            let run = match &program.run {
                RunIndices::Residency(indices) => Run::Residency(indices.load(&mut store, &instance)?),
                RunIndices::Filter(indices) => Run::Filter(indices.load(&mut store, &instance)?),
                RunIndices::Mapping(indices) => Run::Mapping(indices.load(&mut store, &instance)?),
                RunIndices::Merge(indices) => Run::Merge(indices.load(&mut store, &instance)?),
            };
            Ok((lifecycle, run))
        });
        match started {
            Ok((lifecycle, run)) => Ok(Instance { store, lifecycle, run }),
            Err(error) => Err(match Fault::of(&error, store.data().memory_refused) {
                Fault::BadAnswer(_) => Fault::NoInstance(format!("{error:#}")),
                fault => fault,
            }),
        }
    }

    /// Bytes of all its memories.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().memory_bytes
    }

    /// Fuel that the last call left over.
    pub(super) fn fuel_left(&self) -> u64 {
        self.store.get_fuel().expect("the engine counts fuel")
    }

    /// What the plugin says of itself.
    pub(super) fn describe(&mut self) -> Result<Descriptor, Fault> {
        let said = self.lifecycle.reconverge_plugin_lifecycle().call_describe(&mut self.store);
        said.map_err(|error| self.fault(&error))
    }

    /// Opens the plugin. The outer error is a fault, the inner one the plugin's own words.
    pub(super) fn open(
        &mut self,
        config: &str,
        tables: &[Table],
    ) -> Result<Result<Vec<Contract>, String>, Fault> {
        let said = self.lifecycle.reconverge_plugin_lifecycle().call_open(&mut self.store, config, tables);
        said.map_err(|error| self.fault(&error))
    }

    /// Gives the plugin a block of rows. The answer is not checked but for its size.
    pub(super) fn run(
        &mut self,
        program: &Program,
        table: u32,
        rows: usize,
        block: &[u8],
    ) -> Result<Answer, Fault> {
        let limits = program.engine.limits();
        let answer_max = limits.answer_bytes_max(block.len());
        refuel(&mut self.store, limits.fuel(rows), program.engine.deadline_ticks(), answer_max);
        let guest = self.store.data_mut();
        guest.has_seen_rows = true;
        guest.memory_refused = false;
        let count = u32::try_from(rows).map_err(|_| Fault::Memory)?;
        let store = &mut self.store;
        let said = match &self.run {
            Run::Residency(plugin) => {
                plugin.reconverge_plugin_residency().call_run(store, table, count, block)
            }
            Run::Filter(plugin) => plugin.reconverge_plugin_filter().call_run(store, table, count, block),
            Run::Mapping(plugin) => plugin.reconverge_plugin_mapping().call_run(store, table, count, block),
            Run::Merge(plugin) => plugin.reconverge_plugin_merge().call_run(store, table, count, block),
        };
        match said {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(text)) if text.len() > answer_max => Err(Fault::BadAnswer(BadAnswer::Unreadable)),
            Ok(Err(text)) => Err(Fault::Plugin(super::words::tame(&text, limits.text_bytes))),
            Err(error) => Err(self.fault(&error)),
        }
    }

    fn fault(&self, error: &wasmtime::Error) -> Fault {
        Fault::of(error, self.store.data().memory_refused)
    }
}

/// Sets what the next call may use.
fn refuel(store: &mut Store<Guest>, fuel: u64, ticks: u64, answer_max: usize) {
    store.set_fuel(fuel).expect("the engine counts fuel");
    store.set_epoch_deadline(ticks);
    store.set_hostcall_fuel(answer_max.saturating_add(ANSWER_SLACK));
}
