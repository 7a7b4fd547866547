//! Plugins in the host, with real guests: what each stage does to a batch, and what a bad plugin costs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "../guests/mod.rs"]
mod guests;

mod faults;
mod fixture;
mod hostile;
mod opening;
mod reference;
mod schedules;
mod stages;
