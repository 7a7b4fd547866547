//! The block: the columns of a batch, or of an answer, in one run of bytes as `wit/plugin.wit` lays them out.
//! [`BlockWriter`] makes what a plugin is given; [`check`] reads what it gives back, which may be anything.

mod answer;
mod hostile;
mod writer;
#[cfg(test)]
pub(super) mod tests;

pub(super) use answer::{Answered, BadAnswer, Wanted, WrittenColumn, check};
pub use hostile::answer_holds;
pub(super) use writer::{BlockWriter, Rows};

/// Bytes of a column's head.
const HEAD_BYTES: usize = 16;
/// Bytes before the first head.
const START_BYTES: usize = 8;
