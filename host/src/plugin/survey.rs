//! What a plugin file says of itself before anything of it runs: for `plugin inspect`, also of files that no pipeline
//! would take.

use std::path::Path;

use wasmparser::Parser;

use super::{
    artifact::{self, STAGES, Surface},
    digest::Digest,
    program::interface,
    unfit::{PluginError, Unfit},
};
use crate::config::Stage;

/// See the module.
#[derive(Clone, Debug)]
pub struct Survey {
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Its size.
    pub bytes: usize,
    /// Whether it is a component, or a core module of which the host makes one.
    pub is_component: bool,
    /// All that it imports, by name.
    pub imports: Vec<Import>,
    /// The stages that it exports, in the order of the chain.
    pub stages: Vec<Stage>,
}

/// Something that a plugin imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its interface; of a core module `module.name`.
    pub name: String,
    /// Whether the host gives it. A plugin that imports anything else is refused.
    pub is_given: bool,
}

/// Looks at a file of at most `bytes_max` bytes.
///
/// # Errors
/// It cannot be read, or is no WebAssembly.
pub fn survey(path: &Path, bytes_max: u64) -> Result<Survey, PluginError> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    artifact::read(path, bytes_max).and_then(|bytes| of(&bytes)).map_err(|why| PluginError::new(&name, why))
}

fn of(bytes: &[u8]) -> Result<Survey, Unfit> {
    let is_component = Parser::is_component(bytes);
    if !is_component && !Parser::is_core_wasm(bytes) {
        return Err(Unfit::NotWasm(artifact::looks_like(bytes)));
    }
    let surface = Surface::of(bytes)?;
    let import = |name: String| Import { is_given: artifact::is_given(&name), name };
    let exports = |stage: &Stage| surface.exports.iter().any(|name| artifact::is(name, interface(*stage)));
    Ok(Survey {
        digest: Digest::of(bytes),
        bytes: bytes.len(),
        is_component,
        stages: STAGES.into_iter().filter(exports).collect(),
        imports: surface.imports.into_iter().map(import).collect(),
    })
}
