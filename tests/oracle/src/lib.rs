//! What must stand, computed the slow way: one change after another, in the order of the stream, with nothing but
//! maps. The engine works in batches, rounds and net effects, and must end the same.
//!
//! Written from the rules alone, apart from the engine: it depends on nothing of it, not even on its words for a
//! value, so that a mistake would have to be made twice. A cell is a whole number or null. In reading order:
//! [`change`] is what arrives, `key` what is known of one key, [`Oracle`] takes one after another, `family` says
//! which rows that stand are in the sink.

pub mod change;
mod key;
mod oracle;
mod family;

pub use self::{
    change::{Cell, Change, Deletes, Fate, Message, Op, Position, Row, Rule, Table},
    oracle::{Key, Oracle},
};
