//! Tests without a host: opens a plugin, hands it rows, and shows its answer row by row.
//!
//! The rows go through the same block that a host writes, so contract, reading and answering are all tested.
//! A rule of two rows needs none of this: the function stays an ordinary function, so call it.
//!
//! ```
//! # use reconverge_sdk::{filter, Columns, Filtered};
//! use reconverge_sdk::{Table, stage::Filter, testing::{self, Row}};
//!
//! #[derive(Columns)]
//! struct Call<'a> { state: &'a str }
//!
//! #[filter(name = "open-calls")]
//! fn keep(call: &Call) -> Filtered {
//!     if call.state == "closed" { Filtered::drop() } else { Filtered::keep() }
//! }
//!
//! let calls = Table::new("calls", &["id"], &[("id", "int"), ("state", "text")], "");
//! let mut plugin = testing::open::<keep>("", &[calls]).unwrap();
//! let answer = plugin.run::<Filter>(0, &[Row::new().after("state", "open"), Row::new().after("state", "closed")]);
//! assert_eq!(answer.unwrap().verdicts, [1, 0]);
//! ```

use std::{cell::RefCell, collections::BTreeMap};

use crate::{
    any::{AnyCell, AnyColumn},
    bindings::base::reconverge::plugin::types::{Answer, ColumnSpec, Contract},
    block::{Block, BlockError},
    kind::Kind,
    log::Level,
    plugin::{Batch, Plugin, Stage, Table},
    writer::BlockWriter,
};

/// A cell of a test's row or of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Null.
    Null,
    /// Not sent; in an answer: left as it is.
    Unavailable,
    /// There is no such row.
    NoRow,
    /// A bool.
    Bool(bool),
    /// An int, timestamp, date or time.
    Int(i64),
    /// A float.
    Float(f64),
    /// Text, json, a decimal or an array.
    Text(String),
    /// Bytes or a uuid.
    Bytes(Vec<u8>),
}

macro_rules! cell_from {
    ($($type:ty => $variant:ident;)+) => {$(
        impl From<$type> for Cell {
            fn from(cell: $type) -> Self {
                Cell::$variant(cell.into())
            }
        }
    )+};
}

cell_from! { bool => Bool; i64 => Int; f64 => Float; &str => Text; String => Text; &[u8] => Bytes; Vec<u8> => Bytes; }

impl Cell {
    fn as_any(&self) -> AnyCell<'_> {
        match self {
            Cell::Null => AnyCell::Null,
            Cell::Unavailable => AnyCell::Unsent,
            Cell::NoRow => AnyCell::NoRow,
            Cell::Bool(value) => AnyCell::Bool(*value),
            Cell::Int(value) => AnyCell::Int(*value),
            Cell::Float(value) => AnyCell::Float(*value),
            Cell::Text(value) => AnyCell::Text(value),
            Cell::Bytes(value) => AnyCell::Bytes(value),
        }
    }
}

impl From<AnyCell<'_>> for Cell {
    fn from(cell: AnyCell<'_>) -> Self {
        match cell {
            AnyCell::Null => Cell::Null,
            AnyCell::Unsent => Cell::Unavailable,
            AnyCell::NoRow => Cell::NoRow,
            AnyCell::Bool(value) => Cell::Bool(value),
            AnyCell::Int(value) => Cell::Int(value),
            AnyCell::Float(value) => Cell::Float(value),
            AnyCell::Text(value) => Cell::Text(value.into()),
            AnyCell::Bytes(value) => Cell::Bytes(value.into()),
        }
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(cell: Option<T>) -> Self {
        cell.map_or(Cell::Null, Into::into)
    }
}

/// A change of a test. A column that is not named arrives as unavailable where its side has cells, as no such
/// row where it has none; a fact that is not named arrives as null.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    cells: BTreeMap<(&'static str, String), Cell>,
    deleted: bool,
}

impl Row {
    /// A change of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Row::default()
    }

    /// A delete: the columns of `after` that are not named, all but the key, have no row.
    #[must_use]
    pub fn delete() -> Self {
        Row { deleted: true, ..Row::default() }.meta("operation", "d")
    }

    /// A cell of the row after the change.
    #[must_use]
    pub fn after(self, column: &str, cell: impl Into<Cell>) -> Self {
        self.with("after", column, cell.into())
    }

    /// A cell of the row before the change.
    #[must_use]
    pub fn before(self, column: &str, cell: impl Into<Cell>) -> Self {
        self.with("before", column, cell.into())
    }

    /// A cell of the row in the sink.
    #[must_use]
    pub fn current(self, column: &str, cell: impl Into<Cell>) -> Self {
        self.with("current", column, cell.into())
    }

    /// A fact.
    #[must_use]
    pub fn meta(self, name: &str, cell: impl Into<Cell>) -> Self {
        self.with("meta", name, cell.into())
    }

    fn with(mut self, side: &'static str, column: &str, cell: Cell) -> Self {
        self.cells.insert((side, column.into()), cell);
        self
    }

    fn cell(&self, spec: &ColumnSpec) -> Cell {
        let of_side = |(side, name): &(&'static str, String)| *side == spec.side && *name == spec.name;
        if let Some((_, cell)) = self.cells.iter().find(|(place, _)| of_side(place)) {
            return cell.clone();
        }
        let has_side = self.cells.keys().any(|(side, _)| *side == spec.side);
        match spec.side.as_str() {
            "meta" => Cell::Null,
            "after" if self.deleted => Cell::NoRow,
            _ if has_side => Cell::Unavailable,
            _ => Cell::NoRow,
        }
    }
}

/// An answer, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The verdicts.
    pub verdicts: Vec<u8>,
    /// Their reasons.
    pub reasons: Vec<Option<String>>,
    /// Of each row the written cells in the order of the contract's `writes`; empty where nothing is written.
    pub written: Vec<Vec<Cell>>,
}

/// A plugin that was opened.
#[derive(Debug)]
pub struct Opened<P> {
    plugin: P,
    /// What it asked for.
    pub contracts: Vec<Contract>,
}

/// Opens a plugin as a host does.
///
/// # Errors
/// What the plugin says.
pub fn open<P: Plugin>(config: &str, tables: &[Table]) -> Result<Opened<P>, String> {
    let (plugin, contracts) = P::open(config, tables)?;
    Ok(Opened { plugin, contracts })
}

impl<P> Opened<P> {
    /// Hands rows of a table to a stage.
    ///
    /// # Errors
    /// What the plugin says of the call; an answer that breaks the rules of the interface.
    ///
    /// # Panics
    /// Where the plugin asked for nothing of that table, or a row's cell is not of the type asked for.
    pub fn run<S>(&mut self, table: usize, rows: &[Row]) -> Result<Answered, String>
    where
        P: Stage<S>,
    {
        let of_table = |c: &&Contract| c.table as usize == table;
        let contract = self.contracts.iter().find(of_table).expect("the plugin has a contract for the table");
        let bytes = block_of(&contract.reads, rows);
        let block = Block::read(&bytes, rows.len()).map_err(|e| e.to_string())?;
        let answer = self.plugin.run(&Batch { table, block })?;
        answered(&answer, &contract.writes, rows.len())
    }
}

/// The block of the columns `reads` of some rows.
///
/// # Panics
/// Where a cell is not of the logical type asked for.
#[must_use]
pub fn block_of(reads: &[ColumnSpec], rows: &[Row]) -> Vec<u8> {
    let kind = |spec: &ColumnSpec| Kind::of(&spec.logical).expect("a logical type that the SDK knows");
    let kinds: Vec<Kind> = reads.iter().map(kind).collect();
    let mut block = BlockWriter::new(rows.len(), &kinds);
    for (k, spec) in reads.iter().enumerate() {
        for (i, row) in rows.iter().enumerate() {
            row.cell(spec).as_any().put(&mut block, k, i);
        }
    }
    block.finish()
}

/// Reads column `k` of a block as a logical type.
///
/// # Errors
/// The column is of another kind, or wrong.
pub fn cells_of(block: &Block<'_>, k: usize, logical: &str) -> Result<Vec<Cell>, BlockError> {
    let column = AnyColumn::open(block, k, logical)?;
    Ok((0..block.rows()).map(|i| column.get(i).into()).collect())
}

fn answered(answer: &Answer, writes: &[ColumnSpec], rows: usize) -> Result<Answered, String> {
    if answer.verdict.len() != rows {
        return Err(format!("{} verdicts for {rows} rows", answer.verdict.len()));
    }
    if !answer.reason.is_empty() && answer.reason.len() != rows {
        return Err(format!("{} reasons for {rows} rows", answer.reason.len()));
    }
    let reason = |i| match answer.reason.get(i).copied().unwrap_or(0) {
        0 => Ok(None),
        n => match answer.reasons.get(usize::from(n) - 1) {
            Some(reason) => Ok(Some(reason.clone())),
            None => Err(format!("row {i} names reason {n} of {}", answer.reasons.len())),
        },
    };
    Ok(Answered {
        verdicts: answer.verdict.clone(),
        reasons: (0..rows).map(reason).collect::<Result<_, _>>()?,
        written: written(&answer.block, writes, rows).map_err(|e| format!("written block: {e}"))?,
    })
}

fn written(block: &[u8], writes: &[ColumnSpec], rows: usize) -> Result<Vec<Vec<Cell>>, BlockError> {
    if block.is_empty() {
        return Ok(vec![Vec::new(); rows]);
    }
    let block = Block::read(block, rows)?;
    block.expect_columns(writes.len())?;
    let columns = writes.iter().enumerate().map(|(k, spec)| cells_of(&block, k, &spec.logical));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let row = |i: usize| {
        let cells: Vec<Cell> = columns.iter().map(|column| column[i].clone()).collect();
        if cells.iter().all(|cell| *cell == Cell::Unavailable) { Vec::new() } else { cells }
    };
    Ok((0..rows).map(row).collect())
}

thread_local! {
    static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

#[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "a component writes to its host"))]
pub(crate) fn keep_line(level: Level, message: &str) {
    LINES.with_borrow_mut(|lines| lines.push((level, message.into())));
}

/// The lines that plugins of this thread wrote since the last call.
#[must_use]
pub fn logged() -> Vec<(Level, String)> {
    LINES.take()
}
