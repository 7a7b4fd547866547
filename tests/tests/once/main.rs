//! Once in effect, under everything that makes a change come twice or seem to: repetitions of sources without
//! positions. Each on PostgreSQL and SQLite where it can be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

mod epochs;
mod failover;
mod repeats;
mod transactions;
