//! Cells whose type is known when the plugin is opened, not when it is compiled: for plugins that serve any table.

use crate::{
    block::{Bits, Block, BlockError, Column, Floats, Ints, Packed, State, Texts},
    kind::Kind,
    writer::BlockWriter,
};

/// A column of any kind, opened.
#[derive(Clone, Copy, Debug)]
pub enum AnyColumn<'a> {
    /// bool
    Bits(Bits<'a>),
    /// int, timestamp, date, time
    Ints(Ints<'a>),
    /// float
    Floats(Floats<'a>),
    /// text, json, decimal, arrays
    Texts(Texts<'a>),
    /// bytes, uuid, and whatever this SDK does not know
    Packed(Packed<'a>),
}

/// What a column of any kind holds for a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AnyCell<'a> {
    /// Null.
    Null,
    /// Not sent; as a written cell: left as it is.
    Unsent,
    /// There is no such row.
    NoRow,
    /// A bool.
    Bool(bool),
    /// An int, timestamp, date or time.
    Int(i64),
    /// A float.
    Float(f64),
    /// Text, json, a decimal or an array.
    Text(&'a str),
    /// Bytes or a uuid.
    Bytes(&'a [u8]),
}

impl<'a> AnyColumn<'a> {
    /// Opens column `k` as a logical type.
    ///
    /// # Errors
    /// The column does not fit it.
    pub fn open(block: &Block<'a>, k: usize, logical: &str) -> Result<Self, BlockError> {
        Ok(match Kind::of(logical) {
            Some(Kind::Bits) => AnyColumn::Bits(block.bits(k)?),
            Some(Kind::Int64) => AnyColumn::Ints(block.ints(k)?),
            Some(Kind::Float64) => AnyColumn::Floats(block.floats(k)?),
            Some(Kind::Packed) if Kind::is_text(logical) => AnyColumn::Texts(block.texts(k)?),
            Some(Kind::Packed) | None => AnyColumn::Packed(block.packed(k)?),
        })
    }

    /// The cell of row `i`.
    #[must_use]
    pub fn get(&self, i: usize) -> AnyCell<'a> {
        match (self.state(i), self) {
            (State::Null, _) => AnyCell::Null,
            (State::Unavailable, _) => AnyCell::Unsent,
            (State::NoRow, _) => AnyCell::NoRow,
            (State::Value, AnyColumn::Bits(column)) => AnyCell::Bool(column.get(i)),
            (State::Value, AnyColumn::Ints(column)) => AnyCell::Int(column.get(i)),
            (State::Value, AnyColumn::Floats(column)) => AnyCell::Float(column.get(i)),
            (State::Value, AnyColumn::Texts(column)) => AnyCell::Text(column.get(i)),
            (State::Value, AnyColumn::Packed(column)) => AnyCell::Bytes(column.get(i)),
        }
    }
}

impl Column for AnyColumn<'_> {
    fn state(&self, i: usize) -> State {
        match self {
            AnyColumn::Bits(column) => column.state(i),
            AnyColumn::Ints(column) => column.state(i),
            AnyColumn::Floats(column) => column.state(i),
            AnyColumn::Texts(column) => column.state(i),
            AnyColumn::Packed(column) => column.state(i),
        }
    }
}

impl AnyCell<'_> {
    /// Puts the cell into a block.
    ///
    /// # Panics
    /// Where the column is of another kind.
    pub fn put(self, block: &mut BlockWriter, column: usize, row: usize) {
        match self {
            AnyCell::Null => block.null(column, row),
            AnyCell::Unsent => block.state(column, row, State::Unavailable),
            AnyCell::NoRow => block.state(column, row, State::NoRow),
            AnyCell::Bool(value) => block.bit(column, row, value),
            AnyCell::Int(value) => block.int(column, row, value),
            AnyCell::Float(value) => block.float(column, row, value),
            AnyCell::Text(value) => block.packed(column, row, value.as_bytes()),
            AnyCell::Bytes(value) => block.packed(column, row, value),
        }
    }
}
