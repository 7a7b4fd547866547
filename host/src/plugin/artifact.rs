//! A plugin file: bytes to a component that imports nothing but `log`, or the reason why not. Before compiling,
//! since compiling a hostile file costs most. Nothing here runs a plugin.

use std::{collections::BTreeSet, fs::File, io::Read, path::Path};

use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use super::{digest::Digest, program::interface, unfit::Unfit};
use crate::config::Stage;

/// All interfaces of a plugin begin so.
const PACKAGE: &str = "reconverge:plugin/";
/// The versions of the interface that this host speaks.
const SPOKEN: &str = "0.1.";
/// In the order of the chain.
pub(super) const STAGES: [Stage; 4] = [Stage::Residency, Stage::Filter, Stage::Mapping, Stage::Merge];

/// A plugin file that may be compiled.
#[derive(Debug)]
pub(super) struct Artifact {
    /// Of the file as it is.
    pub(super) digest: Digest,
    /// The component; made here where the file is a core module.
    pub(super) component: Vec<u8>,
    /// The stages that it exports, in the order of the chain.
    pub(super) stages: Vec<Stage>,
}

impl Artifact {
    /// Reads a file of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// It cannot be read, or is none of ours.
    pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Self, Unfit> {
        Artifact::of(read(path, bytes_max)?)
    }

    /// Takes bytes as they are in a file.
    ///
    /// # Errors
    /// They are no plugin of ours.
    pub(super) fn of(bytes: Vec<u8>) -> Result<Self, Unfit> {
        let digest = Digest::of(&bytes);
        let component = if Parser::is_core_wasm(&bytes) {
            encode(&bytes)?
        } else if Parser::is_component(&bytes) {
            bytes
        } else {
            return Err(Unfit::NotWasm(looks_like(&bytes)));
        };
        let surface = Surface::of(&component)?;
        refuse_imports(surface.imports)?;
        let others = surface.exports.iter().filter(|name| name.starts_with(PACKAGE) && !is_spoken(name));
        let others: Vec<String> = others.cloned().collect();
        if !others.is_empty() {
            return Err(Unfit::Version(others));
        }
        let exports = |name: &str| surface.exports.iter().any(|export| is(export, name));
        if !exports("lifecycle") {
            return Err(Unfit::NoLifecycle);
        }
        let stages = STAGES.into_iter().filter(|stage| exports(interface(*stage))).collect();
        Ok(Artifact { digest, component, stages })
    }
}

/// The bytes of a file of at most `bytes_max` of them.
///
/// # Errors
/// It cannot be read, or is larger.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Unfit> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Unfit::Unreadable)?;
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(Unfit::Unreadable)?;
    if bytes.len() as u64 > bytes_max { Err(Unfit::TooLarge { limit: bytes_max }) } else { Ok(bytes) }
}

/// Makes the component of a core module that was built with wit-bindgen.
fn encode(module: &[u8]) -> Result<Vec<u8>, Unfit> {
    let surface = Surface::of(module)?;
    refuse_imports(surface.imports)?;
    if !surface.is_described {
        return Err(Unfit::NoDescription);
    }
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder.validate(true).module(module).and_then(ComponentEncoder::encode);
    encoded.map_err(|cause| Unfit::Encode(format!("{cause:#}")))
}

fn refuse_imports(imports: BTreeSet<String>) -> Result<(), Unfit> {
    let (ours, others): (Vec<String>, Vec<String>) =
        imports.into_iter().partition(|name| name.starts_with(PACKAGE));
    let (spoken, unspoken): (Vec<String>, Vec<String>) = ours.into_iter().partition(|name| is_spoken(name));
    let unknown = spoken.into_iter().filter(|name| !is(name, "types") && !is(name, "log"));
    let refused: Vec<String> = others.into_iter().chain(unknown).collect();
    if !refused.is_empty() {
        Err(Unfit::Imports(refused))
    } else if !unspoken.is_empty() {
        Err(Unfit::Version(unspoken))
    } else {
        Ok(())
    }
}

/// Whether a plugin is given what it imports by this name.
pub(super) fn is_given(name: &str) -> bool {
    is_spoken(name) && (is(name, "types") || is(name, "log"))
}

/// Whether `name` is the interface `word` of our package, of whatever version.
pub(super) fn is(name: &str, word: &str) -> bool {
    let rest = name.strip_prefix(PACKAGE).unwrap_or_default();
    rest.split_once('@').is_some_and(|(interface, _)| interface == word)
}

fn is_spoken(name: &str) -> bool {
    name.split_once('@').is_some_and(|(_, version)| version.starts_with(SPOKEN))
}

pub(super) fn looks_like(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "an empty file",
        [b'(', ..] => "WebAssembly text",
        [0x1f, 0x8b, ..] => "a gzip file",
        [0x7f, b'E', b'L', b'F', ..] => "a native program",
        [0, b'a', b's', b'm', ..] => "WebAssembly of an unknown version",
        _ if bytes.is_ascii() => "text",
        _ => "other binary data",
    }
}

/// What a module or component says of itself, at its outermost level.
#[derive(Debug, Default)]
pub(super) struct Surface {
    /// Interfaces that a component imports; of a core module the interface or `module.name`.
    pub(super) imports: BTreeSet<String>,
    pub(super) exports: BTreeSet<String>,
    /// A core module with wit-bindgen's description of its component.
    pub(super) is_described: bool,
}

impl Surface {
    pub(super) fn of(bytes: &[u8]) -> Result<Self, Unfit> {
        let mut surface = Surface::default();
        surface.scan(bytes).map_err(|cause| Unfit::Damaged(cause.to_string()))?;
        Ok(surface)
    }

    fn scan(&mut self, bytes: &[u8]) -> Result<(), wasmparser::BinaryReaderError> {
        let mut depth = 0u32;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                _ if depth > 0 => {}
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        let is_ours = import.module.starts_with(PACKAGE);
                        self.imports.insert(if is_ours {
                            import.module.into()
                        } else {
                            format!("{}.{}", import.module, import.name)
                        });
                    }
                }
                Payload::ComponentImportSection(section) => {
                    for import in section {
                        self.imports.insert(import?.name.name.into());
                    }
                }
                Payload::ComponentExportSection(section) => {
                    for export in section {
                        self.exports.insert(export?.name.name.into());
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        // A function of an interface; the name of the interface is what a component has.
                        let name = export?.name;
                        self.exports.insert(name.split_once('#').map_or(name, |(whole, _)| whole).into());
                    }
                }
                Payload::CustomSection(section) => {
                    self.is_described |= section.name().starts_with("component-type")
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> String {
        Artifact::of(bytes.to_vec()).unwrap_err().to_string()
    }

    /// A core module with one import, of a function without parameters and results.
    fn importing(module: &str, name: &str) -> Vec<u8> {
        let mut import = vec![1, u8::try_from(module.len()).unwrap()];
        import.extend_from_slice(module.as_bytes());
        import.push(u8::try_from(name.len()).unwrap());
        import.extend_from_slice(name.as_bytes());
        import.extend_from_slice(&[0, 0]);
        let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02".to_vec();
        bytes.push(u8::try_from(import.len()).unwrap());
        bytes.extend_from_slice(&import);
        bytes
    }

    #[test]
    fn other_files_are_told_apart() {
        for (bytes, told) in [
            (&b""[..], "it begins like an empty file"),
            (b"(module)", "it begins like WebAssembly text"),
            (b"\x1f\x8b\x08", "it begins like a gzip file"),
            (b"hello", "it begins like text"),
            (b"\0asm\x07\0\0\0", "WebAssembly of an unknown version"),
            (b"\0asm\x01\0\0\0\x01", "damaged or cut off"),
            (b"\0asm\x01\0\0\0", "a core module without the description of a component"),
            (b"\0asm\x0d\0\x01\0", "it exports no `reconverge:plugin/lifecycle`"),
        ] {
            assert!(refusal(bytes).contains(told), "{bytes:?}: {}", refusal(bytes));
        }
    }

    #[test]
    fn imports_other_than_log_are_refused_by_name() {
        for (module, told) in [
            ("wasi_snapshot_preview1", "it imports what no plugin is given: wasi_snapshot_preview1.f"),
            (
                "reconverge:plugin/clock@0.1.0",
                "it imports what no plugin is given: reconverge:plugin/clock@0.1.0",
            ),
            ("reconverge:plugin/log@0.2.0", "another version of the interface: reconverge:plugin/log@0.2.0"),
            ("reconverge:plugin/log@0.1.3", "without the description"),
        ] {
            assert!(
                refusal(&importing(module, "f")).contains(told),
                "{module}: {}",
                refusal(&importing(module, "f"))
            );
        }
    }

    #[test]
    fn a_file_over_the_limit_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0; 11]).unwrap();
        assert!(matches!(Artifact::read(file.path(), 10), Err(Unfit::TooLarge { limit: 10 })));
        assert!(matches!(Artifact::read(file.path(), 11), Err(Unfit::NotWasm(_))));
        assert!(matches!(Artifact::read(Path::new("/nowhere.wasm"), 11), Err(Unfit::Unreadable(_))));
    }
}
