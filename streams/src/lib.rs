//! The two ends of Reconverge: where change events come from, and where rows go.
//!
//! In the order in which an event meets them:
//!
//! 1. [`source`] delivers the messages of one partition of a stream, in order, from a sequence on.
//! 2. [`columns`] holds the cells of a batch; [`logical`], [`text`] and [`canonical`] say what a cell is,
//!    how it is written as text, and as the bytes that ties and keys are compared by.
//! 3. [`sink`] hands out lanes, opens a batch's transaction and returns what stands ([`standing`]),
//!    takes what was decided ([`writes`]) and commits it with the [`checkpoint`].
//!    Events of sources without positions are told by their ids ([`event`]); positions begin anew with an [`epoch`].
//! 4. [`roster`] is what the processes that share the lanes tell each other.
//! 5. [`records`] reads the sidecar tables for people: status, history, dead letters.
//!
//! Nothing here knows a plugin, a policy or wasmtime: deciding is the host's.

pub mod names;
pub mod logical;
pub mod columns;
pub mod text;
pub mod canonical;
pub mod keys;
pub mod table;
pub mod position;
pub mod event;
pub mod epoch;
pub mod headers;
pub mod source;
pub mod disposition;
pub mod checkpoint;
pub mod hole;
pub mod standing;
pub mod family;
pub mod waiting;
pub mod by_hand;
pub mod retention;
pub mod writes;
pub mod sink;
pub mod roster;
pub mod records;

pub mod jetstream;
pub mod memory;
pub mod postgres;
pub mod sqlite;
