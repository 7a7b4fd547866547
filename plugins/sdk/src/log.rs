//! Lines for the host's log, which limits and escapes them. Put ids and counts in a line, no row values.
//!
//! Outside of a component lines are kept for tests: [`crate::testing::logged`].

pub use crate::bindings::base::reconverge::plugin::log::Level;

/// Writes a line.
pub fn write(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::base::reconverge::plugin::log::write(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::keep_line(level, message);
}

/// Writes a line of level `info`.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Writes a line of level `warn`.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}
