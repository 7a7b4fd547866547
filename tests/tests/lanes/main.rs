//! Partitions, named lanes, several sources, and several processes that share them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

mod parallel;
mod barrier;
mod sharing;
mod plan;
mod backlog;
mod family;
