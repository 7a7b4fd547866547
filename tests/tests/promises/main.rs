//! The promises of the design, each with a test of its name. What a promise needs more room for stands in a file of
//! its own beside this one; several have whole test binaries besides (`kill`, `containment`, `local_writes`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

mod before_holes;
mod canaries;
mod convergence;
mod convergence_rules;
mod delivery;
mod honesty;
mod ownership;
mod residency;
mod standing;
