//! A component of a core module whose toolchain knows no WIT: C, Go, AssemblyScript. Its exports get the names of the
//! interface, it gets the description of its world, and imports of WASI preview 1 that a toolchain cannot leave out
//! are answered by a stub inside the component: a constant clock, the same random bytes each time, no files, no
//! arguments, nothing written. So no access is given and two runs are alike. Part of `plugin build` alone.

use std::collections::BTreeSet;

use wasm_encoder::{ExportSection, RawSection};
use wasmparser::{ExternalKind, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{
    artifact::{self, Artifact, Surface},
    program::interface,
    unfit::Unfit,
};
use crate::config::Stage;

/// The interface, as it stands in `wit/`.
pub const WIT: &str = include_str!("../../../wit/plugin.wit");
/// What answers the calls of WASI preview 1.
const STUB: &str = include_str!("wasi_stub.wat");
/// The module that WASI preview 1 is imported from.
const WASI: &str = "wasi_snapshot_preview1";

/// The file of a plugin as a pipeline takes it: a component, made of a core module where `bytes` are one. A core
/// module without a description exports `describe`, `open`, `run` and `cabi_realloc` by these plain names.
///
/// # Errors
/// It imports what no plugin is given, or does not fit the interface.
pub fn componentize(bytes: Vec<u8>, stage: Stage) -> Result<Vec<u8>, Unfit> {
    if Parser::is_component(&bytes) {
        return Artifact::of(bytes).map(|artifact| artifact.component);
    }
    let surface = Surface::of(&bytes)?;
    let wasi = format!("{WASI}.");
    let refused = |name: &&String| !artifact::is_given(name) && !name.starts_with(&wasi);
    let refused: Vec<String> = surface.imports.iter().filter(refused).cloned().collect();
    if !refused.is_empty() {
        return Err(Unfit::Imports(refused));
    }
    let needs_stub = surface.imports.iter().any(|name| name.starts_with(&wasi));
    let module = if surface.is_described { bytes } else { described(&bytes, stage)? };
    let encode = |cause: String| Unfit::Encode(cause);
    let mut encoder = ComponentEncoder::default();
    let mut made = encoder.validate(true).module(&module).map_err(|cause| encode(format!("{cause:#}")))?;
    if needs_stub {
        let stub = wat::parse_str(STUB).expect("the stub is right");
        made = made.adapter(WASI, &stub).map_err(|cause| encode(format!("{cause:#}")))?;
    }
    let component = made.encode().map_err(|cause| encode(format!("{cause:#}")))?;
    Artifact::of(component).map(|artifact| artifact.component)
}

/// The module with the interface's names and the description of its world.
fn described(module: &[u8], stage: Stage) -> Result<Vec<u8>, Unfit> {
    let mut renamed = renamed(module, stage)?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", WIT).expect("wit/plugin.wit parses");
    let world = resolve
        .select_world(&[package], Some(&format!("{}-plugin", interface(stage))))
        .expect("every stage has its world");
    embed_component_metadata(&mut renamed, &resolve, world, StringEncoding::UTF8, false)
        .map_err(|cause| Unfit::Encode(format!("{cause:#}")))?;
    Ok(renamed)
}

/// The module with `describe`, `open` and `run` called as the interface calls them; all else as it was.
fn renamed(module: &[u8], stage: Stage) -> Result<Vec<u8>, Unfit> {
    let damaged = |cause: wasmparser::BinaryReaderError| Unfit::Damaged(cause.to_string());
    let mut made = wasm_encoder::Module::new();
    let mut missing: BTreeSet<&str> = ["cabi_realloc", "describe", "memory", "open", "run"].into();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(damaged)?;
        if let Payload::ExportSection(section) = &payload {
            let mut exports = ExportSection::new();
            for export in section.clone() {
                let export = export.map_err(damaged)?;
                missing.remove(export.name);
                exports.export(&name(export.name, stage), kind(export.kind), export.index);
            }
            made.section(&exports);
        } else if let Some((id, range)) = payload.as_section() {
            let bytes = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
            let bytes = bytes.and_then(|(from, to)| module.get(from..to));
            made.section(&RawSection { id, data: bytes.expect("the parser read it from there") });
        }
    }
    if missing.is_empty() {
        return Ok(made.finish());
    }
    let missing: Vec<&str> = missing.into_iter().collect();
    Err(Unfit::Encode(format!("it does not export {}", missing.join(", "))))
}

fn name(plain: &str, stage: Stage) -> String {
    match plain {
        "describe" | "open" => format!("reconverge:plugin/lifecycle@0.1.0#{plain}"),
        "run" => format!("reconverge:plugin/{}@0.1.0#run", interface(stage)),
        other => other.to_owned(),
    }
}

fn kind(kind: ExternalKind) -> wasm_encoder::ExportKind {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => wasm_encoder::ExportKind::Func,
        ExternalKind::Table => wasm_encoder::ExportKind::Table,
        ExternalKind::Memory => wasm_encoder::ExportKind::Memory,
        ExternalKind::Global => wasm_encoder::ExportKind::Global,
        ExternalKind::Tag => wasm_encoder::ExportKind::Tag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with these imports that exports what a plugin must.
    fn module(imports: &str, exports: &str) -> Vec<u8> {
        let text = format!(
            r#"(module {imports} (memory (export "memory") 1)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 8)
                (func (export "describe") (result i32) i32.const 0)
                (func (export "open") (param i32 i32 i32 i32) (result i32) i32.const 0) {exports})"#
        );
        wat::parse_str(text).unwrap()
    }

    const RUN: &str = r#"(func (export "run") (param i32 i32 i32 i32) (result i32) i32.const 0)"#;

    #[test]
    fn plain_names_become_those_of_the_interface() {
        for stage in [Stage::Merge, Stage::Filter, Stage::Residency, Stage::Mapping] {
            let component = componentize(module("", RUN), stage).unwrap();
            assert_eq!(Artifact::of(component).unwrap().stages, [stage]);
        }
    }

    #[test]
    fn wasi_is_answered_inside_and_nothing_else_is() {
        let wasi = r#"(import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_open" (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#;
        let component = componentize(module(wasi, RUN), Stage::Merge).unwrap();
        let surface = Surface::of(&component).unwrap();
        assert!(surface.imports.iter().all(|name| artifact::is_given(name)), "{:?}", surface.imports);
        let error = componentize(module(r#"(import "env" "now" (func))"#, RUN), Stage::Merge).unwrap_err();
        assert_eq!(error.to_string(), "it imports what no plugin is given: env.now");
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = componentize(module("", ""), Stage::Merge).unwrap_err();
        assert!(error.to_string().ends_with("it does not export run"), "{error}");
    }
}
