//! The WASM plugins: the only place that knows wasmtime. Behind [`crate::stages::Stages`] nobody sees one.
//!
//! Two steps, because the plan needs the contracts and the calls need the plan:
//!
//! 1. [`PluginSet::open`] reads, checks, compiles and opens every plugin against the sink's tables, and tells by
//!    name what the contracts ask for: columns that only the source has, and the order columns of merge.
//! 2. [`PluginSet::chain`] resolves those names against the finished [`crate::plan::Plan`] and gives a
//!    [`PluginChain`] for one lane, with instances of its own.
//!
//! The files in the order in which a batch meets them: `artifact` and `cache` make bytes runnable under the
//! settings of `engine`; `contract` checks what a plugin asks for; `chain` leads a batch through `prepare` and
//! `merge`; `contain` finds the guilty rows of a call that failed; `block` writes what goes in and reads what
//! comes back; `instance` makes the call.

mod limits;
mod engine;
mod digest;
mod artifact;
mod cache;
mod bindings;
mod words;
mod log;
mod fault;
mod unfit;
mod fact;
mod contract;
mod projection;
mod block;
mod program;
mod instance;
mod contain;
mod written;
mod prepare;
mod merge;
mod set;
mod bare;
mod chain;
mod survey;
mod componentize;

pub use bare::{Bare, bare};
#[doc(hidden)]
pub use block::answer_holds;
pub use cache::CompileCache;
pub use chain::{PluginChain, PluginCounts};
pub use componentize::{WIT, componentize};
pub use contract::{Contract, Promises, Reading, Side, Writing};
pub use digest::Digest;
pub use engine::{EngineError, PluginEngine};
pub use fact::Fact;
pub(crate) use limits::ARTIFACT_BYTES;
pub use limits::Limits;
pub use program::{Description, inspect, interface as stage_word};
pub use set::{BoundTable, PluginSet, PluginSpec};
pub use survey::{Import, Survey, survey};
pub use unfit::{PluginError, Unfit};
