//! Write Reconverge plugins in Rust: a struct is the contract, a function decides.
//!
//! ```
//! use reconverge_sdk::{merge, Columns, Verdict};
//!
//! /// The struct is the contract: the host hands over these two columns of both rows, and no others.
//! /// Declared order is the order of comparison.
//! #[derive(Columns, PartialEq, PartialOrd)]
//! struct Shift<'a> {
//!     modification_epoch: i64,
//!     region_source: &'a str,
//! }
//!
//! /// Called for every change that meets a current row. Ties, first inserts and deletes are the host's.
//! #[merge(name = "wfm-schedules")]
//! fn decide(incoming: &Shift, current: &Shift) -> Verdict {
//!     if incoming > current {
//!         Verdict::take_incoming().archive_loser()
//!     } else {
//!         Verdict::keep_current().because("older modification_epoch").archive_loser()
//!     }
//! }
//! # let (new, old) = (Shift { modification_epoch: 2, region_source: "eu" }, Shift { modification_epoch: 1, region_source: "us" });
//! # assert_eq!(decide(&new, &old), Verdict::take_incoming().archive_loser());
//! ```
//!
//! `Cargo.toml` needs `crate-type = ["cdylib"]` and this crate, and `cargo build --release --target
//! wasm32-unknown-unknown` makes a file that a pipeline can name. On your own machine the function stays an
//! ordinary function: `cargo test` needs no host, no wasm and no servers.
//!
//! # The life of a batch in a plugin
//!
//! 1. [`component`] takes what the host hands over; [`plugin`] says what a plugin is, asks for and answers;
//!    [`mod@config`] reads its configuration, [`pattern`] its patterns of table names.
//! 2. [`block`] reads the columns in place; [`kind`] says how cells lie, [`value`] and [`field`] what they mean, [`any`]
//!    where that is known only when the plugin is opened.
//! 3. [`columns`] makes rows of them, [`rows`] asks the author's function about each; a merge may be told more
//!    by a [`contest`].
//! 4. [`verdict`] is what the function answers, [`answer`] collects it, [`writer`] holds the written columns.
//! 5. [`log`] is the only thing that a plugin can call; [`testing`] stands in for the host.
//!
//! # What a rule may ask for
//!
//! - Columns: the fields of a [`derive@Columns`] struct. `Option<T>` may be null, [`Sent<T>`](Sent) may not have
//!   been sent; a plain `T` that is null or not sent fails its change (verdict 255 with the column's name), never
//!   the batch.
//! - Facts: fields with `#[meta("origin")]` and its like; in a merge a [`Contest`].
//! - Configuration: a further parameter `config: &Config`, of a type with `#[config]`. Its JSON Schema goes into
//!   the descriptor, so that the host refuses a wrong configuration before the plugin sees it.
//! - The table: a further parameter `table: &Table`, with its name, key, columns and [`Tags`].
//!
//! # Whole columns, and contracts made from the tables
//!
//! A plugin that serves any table, or wants columns rather than rows, implements [`Plugin`] and [`Stage`] itself:
//!
//! ```
//! use reconverge_sdk::{
//!     block::{Column, State}, column, contract, stage::Filter, Answer, AnswerBuilder, Batch, Contract, Descriptor,
//!     Plugin, Stage, Table,
//! };
//!
//! /// Keeps the rows of any table whose first column is not null.
//! struct FirstColumn;
//!
//! impl Plugin for FirstColumn {
//!     fn describe() -> Descriptor {
//!         Descriptor { name: "first-column".into(), version: "0.1.0".into(), config_schema: String::new(), extensions: String::new() }
//!     }
//!     fn open(_: &str, tables: &[Table]) -> Result<(Self, Vec<Contract>), String> {
//!         let contracts = tables.iter().enumerate().map(|(k, table)| {
//!             let (name, _) = table.columns.first().ok_or_else(|| format!("table {} has no columns", table.name))?;
//!             Ok(contract(k, vec![column("after", name, "text", true)], vec![]))
//!         });
//!         Ok((FirstColumn, contracts.collect::<Result<_, String>>()?))
//!     }
//! }
//!
//! impl Stage<Filter> for FirstColumn {
//!     fn run(&mut self, batch: &Batch) -> Result<Answer, String> {
//!         let texts = batch.block.texts(0).map_err(|error| error.to_string())?;
//!         let mut answer = AnswerBuilder::new(batch.block.rows(), 1);
//!         for row in 0..batch.block.rows() {
//!             if texts.state(row) == State::Null {
//!                 answer.set(row, 0);
//!                 answer.because(row, "no first column");
//!             }
//!         }
//!         Ok(answer.finish())
//!     }
//! }
//!
//! reconverge_sdk::export!(FirstColumn: filter);
//! ```
//!
//! So are several stages in one component, and one crate has one `export!` (the stage attributes write one).

// Generated code names this crate by its name, also inside of it.
extern crate self as reconverge_sdk;

#[allow(
    missing_docs,
    clippy::all,
    unused_qualifications,
    reason = "made by wit-bindgen from wit/plugin.wit, where it is documented"
)]
#[doc(hidden)]
pub mod bindings;
pub mod component;
pub mod plugin;
pub mod config;
pub mod pattern;
pub mod block;
pub mod kind;
pub mod value;
pub mod field;
pub mod any;
pub mod columns;
pub mod rows;
pub mod contest;
pub mod verdict;
pub mod answer;
pub mod writer;
pub mod log;
pub mod testing;

#[doc(hidden)]
pub use schemars;
#[doc(hidden)]
pub use serde;
#[doc(hidden)]
pub use wit_bindgen;

pub use reconverge_sdk_derive::{Columns, Writes, config, filter, mapping, merge, residency};

pub use answer::AnswerBuilder;
pub use any::{AnyCell, AnyColumn};
pub use bindings::base::reconverge::plugin::types::{Answer, ColumnSpec, Contract, Descriptor};
pub use block::{Block, BlockError};
pub use columns::{Cell, Columns, Gap, NoWrites, Writes, column, contract};
pub use contest::Contest;
pub use field::{Field, Sent};
pub use kind::Kind;
pub use pattern::Pattern;
pub use plugin::{Batch, Plugin, Stage, Table, Tags, stage};
pub use value::{Date, Decimal, Json, TextArray, Time, Timestamp, Uuid};
pub use verdict::{Filtered, Mapped, Outcome, Placed, Verdict};
pub use writer::BlockWriter;

/// The Rust of the pages that teach writing a plugin, compiled with the documentation's tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../README.md")]
    struct Readme;

    #[doc = include_str!("../../../docs/plugins/README.md")]
    struct Plugins;

    #[doc = include_str!("../../../docs/merging.md")]
    struct Merging;
}
