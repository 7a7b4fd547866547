//! What the end-to-end tests stand on, in the order of their use: servers that a test binary shares, guests built
//! from their sources, changes as a publisher would write them, a scene (a stream, a sink and a pipeline file of one
//! test) and what stands around it, the program under test, and what its commands tell.
//!
//! The tests see the product as a user does: its program, a pipeline file, a stream and a database. Fixtures fail
//! by panicking, since a fixture that fails is a failed test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a fixture that fails is a failed test")]

mod servers;
mod guests;
mod change;
mod program;
mod told;
mod scene;
mod lanes;
mod outside;
mod split_brain;
pub mod albums;

pub use change::{Change, micros};
pub use guests::guest;
pub use lanes::{Lanes, delivered, shares};
pub use outside::{Blocker, Waits, free_port, held_up, http};
pub use program::{Ended, Running, program};
pub use scene::{Kind, Scene};
pub use servers::{jetstream, nats, postgres};
pub use split_brain::{expected_dispositions, split_brain};
pub use told::{Audit, Checkpoint, Decision, Found, Lane, Letter, Report};
