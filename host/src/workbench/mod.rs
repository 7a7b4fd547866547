//! A plugin's folder: made from nothing by `plugin new`, built by `plugin build` with its language's ordinary tools.
//! Not part of the life of an event; nothing here runs a plugin.
//!
//! In reading order: [`manifest`] is what `plugin.toml` says, [`template`] what a new folder holds, `build` what
//! makes the component, with the commands of each language in `toolchain` and the tools looked for in `tool`;
//! `typed` makes the typed row of AssemblyScript, which has no derive.

pub mod manifest;
pub mod template;
mod tool;
mod typed;
mod toolchain;
pub mod build;

pub use build::{BuildError, Built, build};
pub use manifest::{Language, Manifest};
pub use template::{NewError, new};
