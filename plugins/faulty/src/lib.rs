//! A plugin that breaks the rules of the interface, one at a time, so that hosts can be tested against it. It is a
//! filter and a merge: where nothing makes it misbehave, it keeps every row and takes every incoming one.
//!
//! `mode` says which rule it breaks. With a `marker` it does so only in a batch in which a row's text contains the
//! marker, so that a test can poison one row of many.

use std::{hint::black_box, iter::repeat_n};

use reconverge_sdk::{
    Answer, AnswerBuilder, Batch, BlockWriter, Contract, Descriptor, Kind, Plugin, Stage, Table, column,
    config, contract, log, stage,
};

/// What to break, and when.
#[config]
#[derive(Debug, Default)]
#[serde(default)]
struct Config {
    /// Which rule.
    mode: Mode,
    /// Only in batches in which the text read contains this. Left out: always.
    marker: Option<String>,
    /// The text column that is read. Left out: `note`, else `notes`, else the first text column beside the key.
    column: Option<String>,
}

/// How to misbehave.
#[config]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// Not at all.
    #[default]
    None,
    /// Trap.
    Trap,
    /// Never come back.
    Loop,
    /// Take memory until there is none.
    Allocate,
    /// Call itself until the stack is full.
    Recurse,
    /// Write 100,000 long lines, then answer rightly.
    FloodLog,
    /// Answer with an error of the call.
    Error,
    /// Answer with one verdict too few.
    VerdictShort,
    /// Answer with one verdict too many.
    VerdictLong,
    /// Answer with a verdict that no stage knows.
    VerdictUnknown,
    /// Fail the marked rows by verdict, as a good plugin would.
    VerdictFailed,
    /// Answer with one reason too many.
    ReasonLong,
    /// Name a reason that is not in the list.
    ReasonOutOfRange,
    /// Give more than 255 reasons.
    ReasonsMany,
    /// Write a column that the contract does not declare.
    WriteUndeclared,
    /// Write a block that ends inside its head.
    BlockHead,
    /// Write a column of another kind than its logical type's.
    BlockKind,
    /// Write cells that lie outside of the block.
    BlockBounds,
    /// Write offsets that fall.
    BlockOffsets,
    /// Write a state that there is not.
    BlockState,
    /// Write text that is not UTF-8.
    BlockText,
    /// Answer with 64 MiB.
    AnswerHuge,
    /// Trap in `open`.
    OpenTrap,
    /// Answer `open` with an error.
    OpenError,
    /// Ask for a table that was not given.
    OpenTable,
    /// Ask for a column that the table does not have.
    OpenColumn,
    /// Ask to write a key column.
    OpenKey,
}

#[derive(Debug)]
struct Faulty {
    config: Config,
}

impl Plugin for Faulty {
    fn describe() -> Descriptor {
        Descriptor {
            name: "faulty".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            config_schema: config::schema::<Config>(),
            extensions: String::new(),
        }
    }

    fn open(config: &str, tables: &[Table]) -> Result<(Self, Vec<Contract>), String> {
        let config: Config = config::read(config)?;
        match config.mode {
            Mode::OpenTrap => trap(),
            Mode::OpenError => return Err("faulty was told to refuse".into()),
            _ => {}
        }
        let mut contracts = Vec::new();
        for (k, table) in tables.iter().enumerate() {
            let text = config.text_column(table)?;
            let read = if config.mode == Mode::OpenColumn { "no_such_column" } else { text };
            let write = if config.mode == Mode::OpenKey {
                table.key.first().map_or(text, String::as_str)
            } else {
                text
            };
            let k = if config.mode == Mode::OpenTable { k + tables.len() } else { k };
            contracts.push(contract(
                k,
                vec![column("after", read, "text", true)],
                vec![column("after", write, "text", true)],
            ));
        }
        Ok((Faulty { config }, contracts))
    }
}

impl Config {
    fn text_column<'t>(&'t self, table: &'t Table) -> Result<&'t str, String> {
        if let Some(column) = &self.column {
            return Ok(column);
        }
        let mut texts =
            table.columns.iter().filter(|(name, logical)| logical == "text" && !table.key.contains(name));
        let first = texts.clone().next();
        let note = texts.find(|(name, _)| name == "note" || name == "notes");
        note.or(first)
            .map(|(name, _)| name.as_str())
            .ok_or_else(|| format!("table {} has no text column", table.name))
    }
}

impl Stage<stage::Filter> for Faulty {
    fn run(&mut self, batch: &Batch<'_>) -> Result<Answer, String> {
        answer(&self.config, batch)
    }
}

impl Stage<stage::Merge> for Faulty {
    fn run(&mut self, batch: &Batch<'_>) -> Result<Answer, String> {
        answer(&self.config, batch)
    }
}

/// 1 is both "keep" and "take incoming".
const RIGHT: u8 = 1;

fn answer(config: &Config, batch: &Batch<'_>) -> Result<Answer, String> {
    let (block, rows) = (&batch.block, batch.block.rows());
    let texts = block.texts(0).map_err(|error| error.to_string())?;
    let is_marked =
        |row: &usize| config.marker.as_ref().is_none_or(|marker| texts.get(*row).contains(marker.as_str()));
    let marked: Vec<usize> = (0..rows).filter(is_marked).collect();
    let mut answer = AnswerBuilder::new(rows, RIGHT);
    if marked.is_empty() {
        return Ok(answer.finish());
    }
    match config.mode {
        Mode::Trap => trap(),
        Mode::Loop => spin(),
        Mode::Allocate => allocate(),
        Mode::Recurse => _ = recurse(black_box(0)),
        Mode::FloodLog => (0..100_000).for_each(|_| log::warn(&"flood ".repeat(200))),
        Mode::Error => return Err("faulty was told to fail the call".into()),
        Mode::VerdictFailed => {
            marked.iter().for_each(|&row| answer.fail(row, "faulty was told to fail this change"))
        }
        Mode::VerdictUnknown => marked.iter().for_each(|&row| answer.set(row, 99)),
        _ => {}
    }
    Ok(lie(config.mode, answer.finish(), rows))
}

fn lie(mode: Mode, mut answer: Answer, rows: usize) -> Answer {
    let text: &mut dyn FnMut(&[u8]) -> Vec<u8> = &mut |cell| written(Kind::Packed, rows, cell);
    match mode {
        Mode::VerdictShort => _ = answer.verdict.pop(),
        Mode::VerdictLong => answer.verdict.push(RIGHT),
        Mode::ReasonLong => answer.reason = vec![0; rows + 1],
        Mode::ReasonOutOfRange => {
            (answer.reason, answer.reasons) = (vec![2; rows], vec!["the only one".into()])
        }
        Mode::ReasonsMany => answer.reasons = repeat_n("one of many".into(), 256).collect(),
        Mode::WriteUndeclared => {
            let mut block = BlockWriter::new(rows, &[Kind::Packed, Kind::Packed]);
            (0..rows).for_each(|row| block.packed(1, row, b"undeclared"));
            answer.block = block.finish();
        }
        Mode::BlockHead => answer.block = vec![1, 0, 0],
        Mode::BlockKind => answer.block = written(Kind::Int64, rows, b""),
        Mode::BlockBounds => answer.block = patched(text(b"cell"), 16, &u32::MAX.to_le_bytes()),
        // The second offset of the list, which begins behind the head.
        Mode::BlockOffsets => answer.block = patched(text(b"cell"), 28, &(u32::MAX / 2).to_le_bytes()),
        // The offset of the states: they begin at the column's head then, and its first byte is 4, the kind.
        Mode::BlockState => answer.block = patched(text(b"\xc8"), 12, &8u32.to_le_bytes()),
        Mode::BlockText => answer.block = text(b"\xff\xfe"),
        Mode::AnswerHuge => answer.block = vec![0; 64 << 20],
        _ => return answer,
    }
    if !answer.block.is_empty() {
        answer.verdict.fill(2);
    }
    answer
}

/// A block of one column, the same cell in each row.
fn written(kind: Kind, rows: usize, cell: &[u8]) -> Vec<u8> {
    let mut block = BlockWriter::new(rows, &[kind]);
    for row in 0..rows {
        match kind {
            Kind::Packed => block.packed(0, row, cell),
            _ => block.int(0, row, 7),
        }
    }
    block.finish()
}

fn patched(mut block: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    block[at..at + bytes.len()].copy_from_slice(bytes);
    block
}

#[expect(clippy::panic, reason = "to trap is what this is for")]
fn trap() -> ! {
    panic!("faulty was told to trap")
}

fn spin() {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn allocate() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1u8; 1 << 20]));
    }
}

#[expect(unconditional_recursion, reason = "to fill the stack is what this is for")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(frame[0] + 1).wrapping_add(frame[63])
}

reconverge_sdk::export!(Faulty: filter, merge);

#[cfg(test)]
mod tests {
    use super::*;
    use reconverge_sdk::{
        stage::{Filter, Merge},
        testing::{self, Opened, Row},
    };

    fn open(config: &str) -> Result<Opened<Faulty>, String> {
        let columns = [("id", "text"), ("name", "text"), ("note", "text")];
        testing::open::<Faulty>(config, &[Table::new("t", &["id"], &columns, "")])
    }

    fn rows() -> [Row; 3] {
        ["fine", "a trap here", "fine"].map(|note| Row::new().after("note", note))
    }

    #[test]
    fn it_behaves_unless_told_otherwise() {
        let mut plugin = open("").unwrap();
        assert_eq!(plugin.contracts[0].reads[0].name, "note");
        assert_eq!(plugin.run::<Filter>(0, &rows()).unwrap().verdicts, [1, 1, 1]);
        assert_eq!(plugin.run::<Merge>(0, &rows()).unwrap().verdicts, [1, 1, 1]);
    }

    #[test]
    fn a_marker_makes_it_misbehave_for_marked_batches_alone() {
        let mut plugin = open(r#"{"mode": "error", "marker": "trap"}"#).unwrap();
        assert!(plugin.run::<Filter>(0, &rows()).is_err());
        assert_eq!(plugin.run::<Filter>(0, &rows()[..1]).unwrap().verdicts, [1]);
        let mut plugin = open(r#"{"mode": "verdict-failed", "marker": "trap"}"#).unwrap();
        assert_eq!(plugin.run::<Merge>(0, &rows()).unwrap().verdicts, [1, 255, 1]);
    }

    #[test]
    fn each_lie_is_one() {
        for (mode, error) in [
            ("verdict-short", "2 verdicts for 3 rows"),
            ("verdict-long", "4 verdicts for 3 rows"),
            ("reason-long", "4 reasons for 3 rows"),
            ("reason-out-of-range", "row 0 names reason 2 of 1"),
            ("write-undeclared", "written block: the block has 2 columns, the contract 1"),
            ("block-head", "written block: the block ends inside its head"),
            ("block-kind", "written block: column 0 is of kind 2, not Packed"),
            ("block-bounds", "written block: column 0: cells are outside of the block or not aligned"),
            ("block-offsets", "written block: column 0: offsets do not begin at 0 or fall"),
            ("block-state", "written block: column 0: a state is none of 0 to 3"),
            ("block-text", "written block: column 0: text is not UTF-8"),
        ] {
            let mut plugin = open(&format!(r#"{{"mode": "{mode}"}}"#)).unwrap();
            assert_eq!(plugin.run::<Filter>(0, &rows()), Err(error.into()), "{mode}");
        }
    }

    #[test]
    fn it_writes_many_lines_and_answers() {
        let mut plugin = open(r#"{"mode": "flood-log", "marker": "trap"}"#).unwrap();
        assert_eq!(plugin.run::<Filter>(0, &rows()).unwrap().verdicts, [1, 1, 1]);
        assert_eq!(testing::logged().len(), 100_000);
    }

    #[test]
    fn open_can_go_wrong_too() {
        assert_eq!(open(r#"{"mode": "open-error"}"#).unwrap_err(), "faulty was told to refuse");
        assert_eq!(open(r#"{"mode": "open-table"}"#).unwrap().contracts[0].table, 1);
        assert_eq!(open(r#"{"mode": "open-column"}"#).unwrap().contracts[0].reads[0].name, "no_such_column");
        assert_eq!(open(r#"{"mode": "open-key"}"#).unwrap().contracts[0].writes[0].name, "id");
        assert!(open(r#"{"mode": "sleep"}"#).unwrap_err().contains("unknown variant `sleep`"));
    }
}
