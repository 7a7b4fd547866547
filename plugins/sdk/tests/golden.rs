//! The golden blocks of `plugins/golden`: this SDK writes them byte for byte, reads from them what their descriptions
//! say, and reads nothing from the broken ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read its own data fails")]

use std::{env, fs, path::Path};

use reconverge_sdk::{AnyCell, AnyColumn, Block, BlockError, BlockWriter, Kind};
use serde_json::Value;

struct Golden {
    name: String,
    description: Value,
    /// That of the block itself, or of the one that it was broken from.
    whole: Value,
}

impl Golden {
    fn read(name: &str) -> Self {
        let read = |name: &str| -> Value {
            let text = fs::read_to_string(path(name, "json")).unwrap();
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        let description = read(name);
        let whole = description["base"].as_str().map_or_else(|| description.clone(), read);
        Golden { name: name.into(), description, whole }
    }

    fn rows(&self) -> usize {
        let rows = self.description.get("rows").unwrap_or(&self.whole["rows"]);
        rows.as_u64().unwrap() as usize
    }

    fn columns(&self) -> impl Iterator<Item = (&str, &[Value])> {
        let columns = self.whole["columns"].as_array().unwrap();
        columns.iter().map(|c| (c["logical"].as_str().unwrap(), c["cells"].as_array().unwrap().as_slice()))
    }

    /// The block that the description asks for.
    fn build(&self) -> Vec<u8> {
        let kinds: Vec<Kind> = self.columns().map(|(logical, _)| Kind::of(logical).unwrap()).collect();
        let rows = self.whole["rows"].as_u64().unwrap() as usize;
        let mut block = BlockWriter::new(rows, &kinds);
        for (k, (logical, cells)) in self.columns().enumerate() {
            assert_eq!(cells.len(), rows, "{} column {k}", self.name);
            for (row, cell) in cells.iter().enumerate() {
                with_cell(cell, logical, |cell| cell.put(&mut block, k, row));
            }
        }
        let mut bytes =
            lengthen_heads(block.finish(), self.whole["head_bytes"].as_u64().unwrap_or(16) as usize);
        for damage in self.description["damage"].as_array().into_iter().flatten() {
            let (at, patch) = (damage["at"].as_u64().unwrap() as usize, hex(damage["hex"].as_str().unwrap()));
            bytes[at..at + patch.len()].copy_from_slice(&patch);
        }
        if let Some(length) = self.description["cut"].as_u64() {
            bytes.truncate(length as usize);
        }
        bytes
    }
}

fn path(name: &str, extension: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden").join(name).with_extension(extension)
}

fn all() -> Vec<Golden> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden")).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    let jsons = files.filter(|file| file.extension().is_some_and(|e| e == "json"));
    let mut names: Vec<String> =
        jsons.map(|file| file.file_stem().unwrap().to_str().unwrap().into()).collect();
    names.sort();
    names.iter().map(|name| Golden::read(name)).collect()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// Hands on the cell that a description means.
fn with_cell<T>(cell: &Value, logical: &str, then: impl FnOnce(AnyCell<'_>) -> T) -> T {
    match cell {
        Value::Null => then(AnyCell::Null),
        Value::Object(_) if cell["state"] == "unavailable" => then(AnyCell::Unsent),
        Value::Object(_) if cell["state"] == "no-row" => then(AnyCell::NoRow),
        Value::Bool(value) => then(AnyCell::Bool(*value)),
        Value::String(value) => match Kind::of(logical).unwrap() {
            Kind::Int64 => then(AnyCell::Int(value.parse().unwrap())),
            Kind::Float64 => then(AnyCell::Float(value.parse().unwrap())),
            _ if Kind::is_text(logical) => then(AnyCell::Text(value)),
            _ => then(AnyCell::Bytes(&hex(value))),
        },
        other => panic!("{other} is no cell"),
    }
}

/// The block as a later version might write it, with longer heads.
fn lengthen_heads(block: Vec<u8>, head_bytes: usize) -> Vec<u8> {
    let columns = u32::from_le_bytes(block[..4].try_into().unwrap()) as usize;
    let longer = (head_bytes - 16) * columns;
    assert!(longer.is_multiple_of(8), "cells stay aligned");
    let mut bytes = [&block[..4], &(head_bytes as u32).to_le_bytes()].concat();
    for head in block[8..8 + 16 * columns].chunks_exact(16) {
        bytes.extend_from_slice(&head[..4]);
        for offset in head[4..].chunks_exact(4) {
            let offset = u32::from_le_bytes(offset.try_into().unwrap());
            let moved = if offset == 0 { 0 } else { offset + longer as u32 };
            bytes.extend_from_slice(&moved.to_le_bytes());
        }
        bytes.resize(bytes.len() + head_bytes - 16, 0xee);
    }
    bytes.extend_from_slice(&block[8 + 16 * columns..]);
    bytes
}

fn open<'a>(bytes: &'a [u8], golden: &Golden) -> Result<Vec<AnyColumn<'a>>, BlockError> {
    let block = Block::read(bytes, golden.rows())?;
    block.expect_columns(golden.columns().count())?;
    golden.columns().enumerate().map(|(k, (logical, _))| AnyColumn::open(&block, k, logical)).collect()
}

/// Equal, with floats by their bits: NaN is what was written, and -0 is not 0.
fn assert_same(found: AnyCell<'_>, wanted: AnyCell<'_>, place: &str) {
    match (found, wanted) {
        (AnyCell::Float(a), AnyCell::Float(b)) => assert_eq!(a.to_bits(), b.to_bits(), "{place}"),
        _ => assert_eq!(found, wanted, "{place}"),
    }
}

#[test]
fn the_files_are_what_their_descriptions_say() {
    for golden in all() {
        let (built, file) = (golden.build(), path(&golden.name, "bin"));
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, &built).unwrap();
        }
        assert!(fs::read(&file).unwrap() == built, "{}: the file differs; see golden/README.md", golden.name);
    }
}

#[test]
fn each_cell_is_read_as_described() {
    let readable = |golden: &Golden| golden.description["readable"] != false;
    let mut cells_read = 0;
    for golden in all().into_iter().filter(readable) {
        let bytes = fs::read(path(&golden.name, "bin")).unwrap();
        let columns = open(&bytes, &golden).unwrap_or_else(|e| panic!("{}: {e}", golden.name));
        for (column, (logical, cells)) in columns.iter().zip(golden.columns()) {
            for (row, cell) in cells.iter().enumerate() {
                let place = format!("{} {logical} row {row}", golden.name);
                with_cell(cell, logical, |wanted| assert_same(column.get(row), wanted, &place));
                cells_read += 1;
            }
        }
    }
    assert!(cells_read > 100, "the golden blocks were found");
}

#[test]
fn a_broken_block_is_an_error() {
    let broken: Vec<Golden> =
        all().into_iter().filter(|golden| golden.description["readable"] == false).collect();
    assert!(broken.len() > 10, "the golden blocks were found");
    for golden in broken {
        let bytes = fs::read(path(&golden.name, "bin")).unwrap();
        assert!(open(&bytes, &golden).is_err(), "{} was read", golden.name);
    }
}
