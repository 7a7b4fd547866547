//! The lane in a world where everything fails on purpose, and where time and chance are parameters: the same seed
//! gives the same run, to the call.
//!
//! What runs is the product's own loop ([`reconverge::lane`]), decoder and resolve, on models of both ends: a stream
//! and a database in memory, each wrapped in [`faults`] that fail, delay or kill the process before or after any
//! call. Beside it a serial oracle takes the same messages, commit by commit. In reading order: [`random`],
//! [`scenario`] (what happens, made from a seed), [`wire`] (its messages as bytes), [`faults`] and the two ends
//! [`source`] and [`sink`], [`place`] (databases), [`process`], [`single`] (one lane alone), [`truth`] (what must hold at each step), [`world`]
//! (a run), [`shrink`] (the smallest scenario that still fails).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a simulator that cannot go on is a failed test")]

pub mod random;
pub mod scenario;
pub mod wire;
pub mod faults;
pub mod source;
pub mod sink;
pub mod place;
pub mod stages;
pub mod process;
pub mod single;
pub mod truth;
pub mod world;
pub mod shrink;
