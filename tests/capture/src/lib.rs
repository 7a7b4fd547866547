//! Recorded change streams for the demo and the end-to-end tests, in the order of their use: a recording is read,
//! published as it was recorded, and when the product has run, the sink's rows are read as text and compared with
//! what must stand.
//!
//! Nothing here is a part of the product, and nothing here uses a part of it: what is compared with the product's
//! work does not read values by the product's own code.

mod recording;
mod publish;
mod form;
mod rows;
mod database;
mod compare;
pub mod split_brain;

pub use compare::{Difference, How, differences};
pub use database::Database;
pub use form::Form;
pub use publish::{create_stream, publish};
pub use recording::{Message, recorded};
pub use rows::{Row, Rows, Table};
