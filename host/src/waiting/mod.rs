//! Changes that wait on time: of a source whose clock is ahead, and of a table that is paused. Stands between residency
//! and filter, before the transaction.
//!
//! Pure. [`hold`] takes out of a batch what has to wait, as `message` writes it down; [`Queue`] knows what waits on the
//! lane and says what is due; [`storm`] tells when a table should be paused. The rule is one: **a change that waits has
//! not arrived yet.** It passes no gate and is compared with nothing until it is released; a later change of its key
//! waits behind it, so that a key's changes are decided in stream order and end as if nobody had waited.

mod hold;
mod message;
mod queue;
mod storm;

pub use self::{
    hold::{hold, holds_nothing},
    message::{Passage, Stored},
    queue::Queue,
    storm::{Storm, storm},
};
