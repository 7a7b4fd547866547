//! Contests in a file: changes beside what stands for their keys, and what a plugin is to say of them. Written by
//! an author as golden cases, or taken from a running pipeline by `reconverge capture`; read by `plugin test`, and
//! by whoever else tries a plugin without a stream and a sink. Not part of the life of an event.
//!
//! The format, `docs/plugins/contests.md` in full: a file of JSON lines. The first is the head, each of the others a
//! contest; empty lines mean nothing.
//!
//! ```json
//! {"contests":1,"stage":"merge","tables":[{"name":"schedules","key":["id"],"columns":{"id":"int","epoch":"int"}}]}
//! {"name":"newer","incoming":{"after":{"id":1,"epoch":42}},"current":{"row":{"epoch":41}},"expect":{"verdict":"take"}}
//! ```
//!
//! `incoming` is the envelope of a change as a stream carries it, with defaults for what a case does not care about;
//! it goes through the host's own decoder. In reading order: `file` is what is written, `scene` decodes it and
//! asks the plugin by the host's own stage (`plan`, `meeting`), [`decision`] is what comes of a contest, and [`golden`]
//! holds that against what is written down.

pub mod decision;
pub mod file;
mod plan;
pub mod scene;
mod meeting;
pub mod golden;
pub mod bench;

pub use decision::{By, Decision};
pub use file::{ContestFile, ContestsError, Current, Entry, Head, TableHead};
pub use scene::{Outcome, Scene};
