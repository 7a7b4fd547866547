//! Writing a block: the columns that an answer puts in place.
//!
//! The last thing that happens to a batch inside a plugin, where it writes at all. A cell that is not written
//! stays as it is (state 2). The layout is the host's: per column states, cells, data, in the contract's order.

use crate::{
    block::{HEAD_BYTES, State},
    kind::Kind,
};

/// A block being written. Cells may be put in any order, and put again.
#[derive(Clone, Debug)]
pub struct BlockWriter {
    rows: usize,
    columns: Vec<Cells>,
}

#[derive(Clone, Debug)]
struct Cells {
    kind: Kind,
    states: Vec<u8>,
    /// Bits, or the eight bytes of a number; of packed cells where the bytes lie in `data`.
    fixed: Vec<[u8; 8]>,
    data: Vec<u8>,
}

impl BlockWriter {
    /// A block of `rows` rows in which no cell is written yet.
    #[must_use]
    pub fn new(rows: usize, kinds: &[Kind]) -> Self {
        let cells = |&kind| Cells {
            kind,
            states: vec![State::Unavailable as u8; rows],
            fixed: vec![[0; 8]; rows],
            data: Vec::new(),
        };
        BlockWriter { rows, columns: kinds.iter().map(cells).collect() }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Puts a state other than a value.
    ///
    /// # Panics
    /// Where `column` or `row` is out of range; so do the other functions that put a cell, also where the
    /// column is of another kind. Both are fixed by the contract: such a call is a bug of the plugin.
    pub fn state(&mut self, column: usize, row: usize, state: State) {
        debug_assert!(state != State::Value, "a value is put as one");
        self.columns[column].states[row] = state as u8;
        self.columns[column].fixed[row] = [0; 8];
    }

    /// Puts null.
    pub fn null(&mut self, column: usize, row: usize) {
        self.state(column, row, State::Null);
    }

    /// Puts a bit.
    pub fn bit(&mut self, column: usize, row: usize, value: bool) {
        self.put(column, row, Kind::Bits, [u8::from(value), 0, 0, 0, 0, 0, 0, 0]);
    }

    /// Puts an integer, timestamp, date or time.
    pub fn int(&mut self, column: usize, row: usize, value: i64) {
        self.put(column, row, Kind::Int64, value.to_le_bytes());
    }

    /// Puts a float.
    pub fn float(&mut self, column: usize, row: usize, value: f64) {
        self.put(column, row, Kind::Float64, value.to_le_bytes());
    }

    /// Puts bytes; for a column of text they are UTF-8, which the host checks.
    pub fn packed(&mut self, column: usize, row: usize, value: &[u8]) {
        let cells = &mut self.columns[column];
        let span = [index(cells.data.len()), index(value.len())];
        cells.data.extend_from_slice(value);
        let mut place = [0; 8];
        place[..4].copy_from_slice(&span[0]);
        place[4..].copy_from_slice(&span[1]);
        self.put(column, row, Kind::Packed, place);
    }

    fn put(&mut self, column: usize, row: usize, kind: Kind, value: [u8; 8]) {
        let cells = &mut self.columns[column];
        assert!(cells.kind == kind, "column {column} is of kind {:?}, not {kind:?}", cells.kind);
        cells.fixed[row] = value;
        cells.states[row] = State::Value as u8;
    }

    /// The bytes of the block.
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        let mut bytes = vec![0; 8 + self.columns.len() * HEAD_BYTES];
        bytes[..4].copy_from_slice(&index(self.columns.len()));
        bytes[4..8].copy_from_slice(&index(HEAD_BYTES));
        for (k, cells) in self.columns.iter().enumerate() {
            let [states, at, data] = cells.append(&mut bytes);
            let head = [(cells.kind as u32).to_le_bytes(), states, at, data];
            bytes[8 + k * HEAD_BYTES..][..HEAD_BYTES].copy_from_slice(head.as_flattened());
        }
        bytes
    }
}

impl Cells {
    /// Appends states, cells and data; returns where each begins.
    fn append(&self, bytes: &mut Vec<u8>) -> [[u8; 4]; 3] {
        let mut states = 0;
        if self.states.iter().any(|&s| s != State::Value as u8) {
            states = bytes.len();
            bytes.extend_from_slice(&self.states);
        }
        let align = match self.kind {
            Kind::Bits => 1,
            Kind::Int64 | Kind::Float64 => 8,
            Kind::Packed => 4,
        };
        bytes.resize(bytes.len().next_multiple_of(align), 0);
        let at = bytes.len();
        let mut data = 0;
        match self.kind {
            Kind::Bits => bytes.extend(self.fixed.iter().map(|cell| cell[0])),
            Kind::Int64 | Kind::Float64 => bytes.extend_from_slice(self.fixed.as_flattened()),
            Kind::Packed => data = self.append_packed(bytes),
        }
        [index(states), index(at), index(data)]
    }

    fn append_packed(&self, bytes: &mut Vec<u8>) -> usize {
        let mut end = 0;
        bytes.extend_from_slice(&index(end));
        for cell in &self.fixed {
            end += span(cell).len();
            bytes.extend_from_slice(&index(end));
        }
        let data = bytes.len();
        for cell in &self.fixed {
            bytes.extend_from_slice(&self.data[span(cell)]);
        }
        data
    }
}

fn span(cell: &[u8; 8]) -> std::ops::Range<usize> {
    let [a, b, c, d, e, f, g, h] = *cell;
    let at = u32::from_le_bytes([a, b, c, d]) as usize;
    at..at + u32::from_le_bytes([e, f, g, h]) as usize
}

fn index(n: usize) -> [u8; 4] {
    u32::try_from(n).expect("an answer is bounded far below 4 GiB").to_le_bytes()
}
