//! Reconverge: your merge rule as a WASM plugin, in the very transaction that writes the row.
//!
//! The life of an event, which is also the order of the modules:
//!
//! pull -> [`decode`] -> residency, filter, mapping ([`plugin`], behind [`stages`]; what waits on time: [`waiting`])
//! -> [ claim -> standing -> gate -> [`resolve`] -> write -> commit ] -> release ([`lane`])
//!
//! Beside it: [`laws`] and [`rehearse`] run the same engine into a [`scratch`] sink, to try a rule before it decides.

pub mod config;
pub mod plan;
pub mod clock;
pub mod epochs;
pub mod batch;
pub mod decode;
pub mod stages;
pub mod plugin;
pub mod waiting;
pub mod resolve;
pub mod baseline;
pub mod generation;
pub mod lane;
pub mod contests;
pub mod workbench;
pub mod scratch;
pub mod laws;
pub mod rehearse;
pub mod assemble;
pub mod cli;
