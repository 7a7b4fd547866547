//! Plugins in the host, with real guests: what each stage does to a batch, and what a bad plugin costs.

#[path = "../guests/mod.rs"]
mod guests;

mod faults;
mod fixture;
mod opening;
mod schedules;
mod stages;
