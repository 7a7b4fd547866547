//! The command line from outside: the compiled program, its words, its JSON and its exit codes. No server is
//! needed; what a running pipeline prints is shown by the end-to-end tests.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helper ends the test by panicking")]

#[path = "../guests/mod.rs"]
mod guests;

mod errors;
mod help;
mod program;
mod records;
mod sink;
mod workbench;
