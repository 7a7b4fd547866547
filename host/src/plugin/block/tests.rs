//! What is written is read back, and whatever else is given is refused or read without harm.

use std::{fs, ops::Range, path::Path};

use proptest::prelude::*;
use reconverge_streams::{
    columns::{Cells, Column, State},
    logical::{Layout, Logical},
};
use serde_json::Value;

use super::{Answered, BadAnswer, BlockWriter, Rows, Wanted, check};
use crate::plugin::bindings::base::reconverge::plugin::types::Answer;

/// An answer that writes one column, verdict 2 for each row.
pub(in crate::plugin) struct Answering(Answer);

impl Answering {
    /// The answer as the host reads it.
    pub(in crate::plugin) fn checked(&self, column: &Column) -> Answered<'_> {
        check(&self.0, column.len(), &[Wanted::of(column.logical())], usize::MAX).unwrap()
    }
}

pub(in crate::plugin) fn answer_of(column: &Column) -> Answering {
    Answering(Answer {
        verdict: vec![2; column.len()],
        reason: vec![],
        reasons: vec![],
        block: block_of(&[column]),
    })
}

fn block_of(columns: &[&Column]) -> Vec<u8> {
    let mut writer = BlockWriter::default();
    let rows = columns[0].len();
    writer.start(columns.len(), rows, 1 << 20);
    for column in columns {
        writer.column(column, Rows::Run(0..rows));
    }
    writer.finish().unwrap().to_vec()
}

/// A column of any layout and states.
pub(in crate::plugin) fn arbitrary_column(rows: Range<usize>) -> impl Strategy<Value = Column> {
    let types = [Logical::Bool, Logical::Int, Logical::Float, Logical::Text, Logical::Bytes];
    let cell = (0u8..8, any::<i64>(), ".{0,5}");
    (proptest::sample::select(types.to_vec()), proptest::collection::vec(cell, rows)).prop_map(
        |(logical, cells)| {
            let mut column = Column::new(logical);
            for (state, number, words) in cells {
                match state {
                    0 => column.push_state(State::Null),
                    2 => column.push_state(State::Unavailable),
                    3 => column.push_state(State::NoRow),
                    4 => column.push_state(State::Missing),
                    _ => match logical {
                        Logical::Bool => column.push_bit(number < 0),
                        Logical::Int => column.push_int(number),
                        Logical::Float => column.push_float(f64::from_bits(number.cast_unsigned())),
                        _ => column.push_bytes(words.as_bytes()),
                    },
                }
            }
            column
        },
    )
}

fn answer(verdict: Vec<u8>, reason: Vec<u8>, reasons: usize, block: Vec<u8>) -> Answer {
    Answer { verdict, reason, reasons: vec!["old".into(); reasons], block }
}

fn refusal(answer: &Answer, rows: usize, writes: &[Logical]) -> BadAnswer {
    let writes: Vec<Wanted> = writes.iter().map(|logical| Wanted::of(*logical)).collect();
    check(answer, rows, &writes, 4096).unwrap_err()
}

/// A block of heads and whatever stands behind them.
fn forged(heads: &[[u32; 4]], rest: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for word in [u32::try_from(heads.len()).unwrap(), 16].iter().chain(heads.iter().flatten()) {
        block.extend_from_slice(&word.to_le_bytes());
    }
    block.extend_from_slice(rest);
    block
}

#[test]
fn lists_that_do_not_fit_the_rows_are_refused() {
    assert_eq!(
        refusal(&answer(vec![1; 2], vec![], 0, vec![]), 3, &[]),
        BadAnswer::Verdicts { found: 2, rows: 3 }
    );
    assert_eq!(
        refusal(&answer(vec![1; 4], vec![], 0, vec![]), 3, &[]),
        BadAnswer::Verdicts { found: 4, rows: 3 }
    );
    let reasons = answer(vec![1; 3], vec![0; 2], 0, vec![]);
    assert_eq!(refusal(&reasons, 3, &[]), BadAnswer::ReasonNumbers { found: 2, rows: 3 });
    let number = answer(vec![1; 3], vec![0, 2, 3], 2, vec![]);
    assert_eq!(refusal(&number, 3, &[]), BadAnswer::ReasonNumber { number: 3, reasons: 2 });
    assert_eq!(refusal(&answer(vec![1], vec![1], 256, vec![]), 1, &[]), BadAnswer::TooManyReasons(256));
    let large = answer(vec![1], vec![], 0, vec![0; 4096]);
    assert_eq!(refusal(&large, 1, &[]), BadAnswer::TooLarge { found: 4097, max: 4096 });
}

#[test]
fn blocks_that_lie_are_refused() {
    let (int, text, bits) = ([Logical::Int], [Logical::Text], [Logical::Bool]);
    let bounds = |part| BadAnswer::Bounds { column: 0, part };
    let mut falls = Vec::new();
    for offset in [0u32, 2, 1] {
        falls.extend_from_slice(&offset.to_le_bytes());
    }
    falls.extend_from_slice(b"ab");
    let mut late = falls.clone();
    late[0] = 1;
    let mut far = falls.clone();
    far[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut bad_text = falls.clone();
    bad_text[8] = 2;
    bad_text[12] = 0xff;
    for (block, writes, told) in [
        (vec![1, 0, 0], &int[..], BadAnswer::Head),
        (forged(&[], &[]), &int, BadAnswer::Columns { found: 0, wanted: 1 }),
        (forged(&[[2, 0, 24, 0]], &[0; 16]), &[], BadAnswer::Columns { found: 1, wanted: 0 }),
        (vec![1, 0, 0, 0, 16, 0, 0, 0, 2, 0, 0, 0], &int, BadAnswer::Head),
        (vec![1, 0, 0, 0, 12, 0, 0, 0], &int, BadAnswer::Head),
        (forged(&[[3, 0, 24, 0]], &[0; 16]), &int, BadAnswer::Kind { column: 0, found: 3, wanted: 2 }),
        (forged(&[[9, 0, 24, 0]], &[0; 16]), &int, BadAnswer::Kind { column: 0, found: 9, wanted: 2 }),
        (forged(&[[2, 0, 24, 0]], &[0; 15]), &int, bounds("cells")),
        (forged(&[[2, 0, 25, 0]], &[0; 32]), &int, bounds("cells")),
        (forged(&[[2, 0, u32::MAX - 7, 0]], &[0; 16]), &int, bounds("cells")),
        (forged(&[[2, 40, 24, 0]], &[0; 16]), &int, bounds("states")),
        (forged(&[[2, 40, 24, 0]], &[3; 18]), &int, BadAnswer::State { column: 0, state: 3 }),
        (forged(&[[1, 0, 24, 0]], &[0, 2]), &bits, BadAnswer::Bit(0)),
        (forged(&[[4, 0, 24, 36]], &falls), &text, BadAnswer::Offsets(0)),
        (forged(&[[4, 0, 24, 36]], &late), &text, BadAnswer::Offsets(0)),
        (forged(&[[4, 0, 24, 36]], &far), &text, bounds("data")),
        (forged(&[[4, 0, 24, 36]], &falls[..8]), &text, bounds("cells")),
        (forged(&[[4, 0, 24, 36]], &bad_text), &text, BadAnswer::Text(0)),
    ] {
        assert_eq!(refusal(&answer(vec![2; 2], vec![], 0, block), 2, writes), told);
    }
}

#[test]
fn an_answer_that_writes_nothing_needs_no_block() {
    let plain = answer(vec![1, 0], vec![0, 2], 2, vec![]);
    let answered = check(&plain, 2, &[Wanted::of(Logical::Int)], 100).unwrap();
    assert!(answered.columns.is_empty());
    assert_eq!((answered.reason(0), answered.reason(1)), (None, Some(1)));
    let bytes = answer(
        vec![2; 2],
        vec![],
        0,
        forged(&[[4, 0, 24, 36]], &[0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xfe]),
    );
    assert!(check(&bytes, 2, &[Wanted::of(Logical::Bytes)], 100).is_ok(), "bytes need not be text");
}

/// The golden blocks, which all languages' readers and writers share: name, description and bytes.
fn golden() -> Vec<(String, Value, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/golden");
    let mut blocks = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let about = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            blocks.push((name, about, fs::read(path.with_extension("bin")).unwrap()));
        }
    }
    assert!(blocks.len() >= 20, "there are golden blocks");
    blocks
}

/// A golden column: as the description has it.
fn golden_column(about: &Value) -> Column {
    let logical: Logical = about["logical"].as_str().unwrap().parse().unwrap();
    let mut column = Column::new(logical);
    for cell in about["cells"].as_array().unwrap() {
        match cell {
            Value::Null => column.push_state(State::Null),
            Value::Object(state) if state["state"] == "unavailable" => column.push_state(State::Unavailable),
            Value::Object(_) => column.push_state(State::NoRow),
            Value::Bool(bit) => column.push_bit(*bit),
            cell => {
                let words = cell.as_str().unwrap();
                let from_hex = |at: usize| u8::from_str_radix(&words[2 * at..2 * at + 2], 16).unwrap();
                match logical.layout() {
                    Layout::Int64 => column.push_int(words.parse().unwrap()),
                    Layout::Float64 => column.push_float(words.parse().unwrap()),
                    Layout::Packed if logical.is_utf8() => column.push_bytes(words.as_bytes()),
                    _ => column.push_bytes(&(0..words.len() / 2).map(from_hex).collect::<Vec<_>>()),
                }
            }
        }
    }
    column
}

#[test]
fn golden_blocks_are_written_and_read() {
    let blocks = golden();
    let rows_of = |about: &Value| usize::try_from(about["rows"].as_u64().unwrap()).unwrap();
    for (name, about, bytes) in &blocks {
        let base = about["base"].as_str();
        let described = base.map_or(about, |base| &blocks.iter().find(|block| block.0 == base).unwrap().1);
        let columns: Vec<Column> =
            described["columns"].as_array().unwrap().iter().map(golden_column).collect();
        let rows =
            about["rows"].as_u64().map_or_else(|| rows_of(described), |rows| usize::try_from(rows).unwrap());
        let wanted: Vec<Wanted> = columns.iter().map(|column| Wanted::of(column.logical())).collect();
        let given = answer(vec![2; rows], vec![], 0, bytes.clone());
        let checked = check(&given, rows, &wanted, usize::MAX);
        if about["readable"] == false {
            assert!(checked.is_err(), "{name} must be refused");
            continue;
        }
        if about["head_bytes"].is_null() {
            let mut writer = BlockWriter::default();
            writer.start(columns.len(), rows, usize::MAX);
            columns.iter().for_each(|column| writer.column(column, Rows::Run(0..rows)));
            assert_eq!(writer.finish().unwrap(), bytes, "{name}");
        }
        if columns.iter().any(|column| column.states().contains(&(State::NoRow as u8))) {
            assert!(
                matches!(checked, Err(BadAnswer::State { state: 3, .. })),
                "{name}: no answer writes `no such row`"
            );
            continue;
        }
        let answered = checked.unwrap_or_else(|error| panic!("{name}: {error}"));
        for (column, read) in columns.iter().zip(&answered.columns) {
            for row in 0..rows {
                assert_eq!(
                    (read.state(row), read.bytes(row)),
                    (column.state(row), column.bytes(row)),
                    "{name}"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(column in arbitrary_column(0..20)) {
        let has_no_row = column.states().contains(&(State::NoRow as u8));
        let given = answer_of(&column);
        let wanted = [Wanted::of(column.logical())];
        let checked = check(&given.0, column.len(), &wanted, usize::MAX);
        prop_assert_eq!(checked.is_err(), has_no_row, "a written cell is never `no such row`");
        let Ok(answered) = checked else { return Ok(()) };
        for row in 0..column.len() {
            let read = &answered.columns[0];
            let state = if column.state(row) == State::Missing { State::Unavailable } else { column.state(row) };
            prop_assert_eq!(read.state(row), state);
            let eight = match column.cells() {
                Cells::Int64(cells) => cells[row].to_le_bytes(),
                Cells::Float64(cells) => cells[row].to_le_bytes(),
                _ => [0; 8],
            };
            prop_assert_eq!((read.bit(row), read.eight(row), read.bytes(row)), (column.bit(row), eight, column.bytes(row)));
        }
    }

    #[test]
    fn a_forged_block_is_refused_or_read_within_its_bounds(
        column in arbitrary_column(0..12),
        edits in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..6),
        cut in any::<u16>(),
        as_type in 0usize..5,
    ) {
        let types = [Logical::Bool, Logical::Int, Logical::Float, Logical::Text, Logical::Bytes];
        let mut given = answer_of(&column);
        let block = &mut given.0.block;
        for (at, byte) in edits {
            let at = usize::from(at) % block.len();
            block[at] = byte;
        }
        block.truncate(block.len() - usize::from(cut) % 4);
        let rows = column.len();
        if let Ok(answered) = check(&given.0, rows, &[Wanted::of(types[as_type])], usize::MAX) {
            for read in &answered.columns {
                for row in 0..rows {
                    let known = (read.state(row), read.bit(row), read.eight(row), read.bytes(row).len());
                    prop_assert!(known.3 <= given.0.block.len());
                }
            }
        }
    }
}
