//! The cells of a batch, by column: decoded once, handed to plugins and to the sink without a detour over rows.
//!
//! A cell has a [`State`] and, where that is `Value`, a value in its column's [`Layout`]. Nothing here
//! converts or compares; [`crate::text`] and [`crate::canonical`] do.

use crate::logical::{Layout, Logical};

/// What is known of a cell. The first four are the states of a plugin's block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// SQL null.
    Null = 0,
    /// A value.
    Value = 1,
    /// The row is there; the source did not send this cell (an unchanged big column).
    Unavailable = 2,
    /// There is no such row: `after` of a delete, `before` of an insert, `current` of nothing.
    NoRow = 3,
    /// The source's table has no such column. A plugin sees it as unavailable.
    Missing = 4,
}

impl State {
    fn of(byte: u8) -> State {
        match byte {
            0 => State::Null,
            1 => State::Value,
            2 => State::Unavailable,
            3 => State::NoRow,
            _ => State::Missing,
        }
    }

    /// Whether the source said what the cell is: a value or null.
    #[must_use]
    pub fn is_sent(self) -> bool {
        matches!(self, State::Null | State::Value)
    }
}

/// The values of a column. A cell whose state is not `Value` is zero or empty.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// One byte per row, 0 or 1.
    Bits(Vec<u8>),
    /// Integers, timestamps, dates, times.
    Int64(Vec<i64>),
    /// Floats.
    Float64(Vec<f64>),
    /// `offsets` has rows + 1 entries, the first 0; cell i is `data[offsets[i]..offsets[i + 1]]`.
    Packed {
        /// Where each cell begins, and at the end where the last one ends.
        offsets: Vec<u32>,
        /// The bytes of all cells.
        data: Vec<u8>,
    },
}

/// One column of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    logical: Logical,
    states: Vec<u8>,
    cells: Cells,
}

impl Column {
    /// An empty column.
    #[must_use]
    pub fn new(logical: Logical) -> Self {
        let cells = match logical.layout() {
            Layout::Bits => Cells::Bits(Vec::new()),
            Layout::Int64 => Cells::Int64(Vec::new()),
            Layout::Float64 => Cells::Float64(Vec::new()),
            Layout::Packed => Cells::Packed { offsets: vec![0], data: Vec::new() },
        };
        Column { logical, states: Vec::new(), cells }
    }

    /// What its cells mean.
    #[must_use]
    pub fn logical(&self) -> Logical {
        self.logical
    }

    /// How many cells it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// The states, one byte per row: the numbers of [`State`].
    #[must_use]
    pub fn states(&self) -> &[u8] {
        &self.states
    }

    /// The values, for who copies whole columns.
    #[must_use]
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// The state of row `i`.
    #[must_use]
    pub fn state(&self, i: usize) -> State {
        State::of(self.states[i])
    }

    /// The bit of row `i`; false where the layout is another or the state is not `Value`.
    #[must_use]
    pub fn bit(&self, i: usize) -> bool {
        matches!(&self.cells, Cells::Bits(v) if v[i] != 0)
    }

    /// The integer of row `i`; 0 where the layout is another or the state is not `Value`.
    #[must_use]
    pub fn int(&self, i: usize) -> i64 {
        if let Cells::Int64(v) = &self.cells { v[i] } else { 0 }
    }

    /// The float of row `i`; 0 where the layout is another or the state is not `Value`.
    #[must_use]
    pub fn float(&self, i: usize) -> f64 {
        if let Cells::Float64(v) = &self.cells { v[i] } else { 0.0 }
    }

    /// The bytes of row `i`; empty where the layout is another or the state is not `Value`.
    #[must_use]
    pub fn bytes(&self, i: usize) -> &[u8] {
        match &self.cells {
            Cells::Packed { offsets, data } => &data[offsets[i] as usize..offsets[i + 1] as usize],
            _ => &[],
        }
    }

    /// The text of row `i`; empty where it is no UTF-8, which only [`Logical::Bytes`] and
    /// [`Logical::Uuid`] may be.
    #[must_use]
    pub fn text(&self, i: usize) -> &str {
        std::str::from_utf8(self.bytes(i)).unwrap_or_default()
    }

    /// Appends a cell without a value.
    pub fn push_state(&mut self, state: State) {
        debug_assert!(state != State::Value, "a value is pushed as one");
        self.states.push(state as u8);
        match &mut self.cells {
            Cells::Bits(v) => v.push(0),
            Cells::Int64(v) => v.push(0),
            Cells::Float64(v) => v.push(0.0),
            Cells::Packed { offsets, data } => offsets.push(end_of(data)),
        }
    }

    /// Appends a bit.
    ///
    /// # Panics
    /// When the layout is another; so do the other `push_` functions.
    pub fn push_bit(&mut self, value: bool) {
        let Cells::Bits(v) = &mut self.cells else { mismatch(self.logical, Layout::Bits) };
        v.push(u8::from(value));
        self.states.push(State::Value as u8);
    }

    /// Appends an integer, timestamp, date or time.
    pub fn push_int(&mut self, value: i64) {
        let Cells::Int64(v) = &mut self.cells else { mismatch(self.logical, Layout::Int64) };
        v.push(value);
        self.states.push(State::Value as u8);
    }

    /// Appends a float.
    pub fn push_float(&mut self, value: f64) {
        let Cells::Float64(v) = &mut self.cells else { mismatch(self.logical, Layout::Float64) };
        v.push(value);
        self.states.push(State::Value as u8);
    }

    /// Appends bytes; of a UTF-8 type the caller vouches for UTF-8. The bytes of one column are bounded
    /// by a batch's bytes, far below 4 GiB.
    pub fn push_bytes(&mut self, value: &[u8]) {
        let Cells::Packed { offsets, data } = &mut self.cells else { mismatch(self.logical, Layout::Packed) };
        data.extend_from_slice(value);
        offsets.push(end_of(data));
        self.states.push(State::Value as u8);
    }

    /// Appends a copy of row `i` of a column of the same layout.
    pub fn push_from(&mut self, other: &Column, i: usize) {
        let state = other.state(i);
        if state != State::Value {
            return self.push_state(state);
        }
        match &other.cells {
            Cells::Bits(v) => self.push_bit(v[i] != 0),
            Cells::Int64(v) => self.push_int(v[i]),
            Cells::Float64(v) => self.push_float(v[i]),
            Cells::Packed { .. } => self.push_bytes(other.bytes(i)),
        }
    }

    /// Appends a copy of its own row `i`.
    pub fn push_copy(&mut self, i: usize) {
        self.states.push(self.states[i]);
        match &mut self.cells {
            Cells::Bits(v) => v.push(v[i]),
            Cells::Int64(v) => v.push(v[i]),
            Cells::Float64(v) => v.push(v[i]),
            Cells::Packed { offsets, data } => {
                data.extend_from_within(offsets[i] as usize..offsets[i + 1] as usize);
                offsets.push(end_of(data));
            }
        }
    }

    /// Makes room for so many more cells; of packed ones for where they end, not for their bytes.
    pub fn reserve(&mut self, rows: usize) {
        self.states.reserve(rows);
        match &mut self.cells {
            Cells::Bits(v) => v.reserve(rows),
            Cells::Int64(v) => v.reserve(rows),
            Cells::Float64(v) => v.reserve(rows),
            Cells::Packed { offsets, .. } => offsets.reserve(rows),
        }
    }

    /// Drops all cells from row `rows` on: how a row that did not decode is taken back.
    pub fn truncate(&mut self, rows: usize) {
        if rows >= self.states.len() {
            return;
        }
        self.states.truncate(rows);
        match &mut self.cells {
            Cells::Bits(v) => v.truncate(rows),
            Cells::Int64(v) => v.truncate(rows),
            Cells::Float64(v) => v.truncate(rows),
            Cells::Packed { offsets, data } => {
                offsets.truncate(rows + 1);
                data.truncate(offsets[rows] as usize);
            }
        }
    }
}

fn end_of(data: &[u8]) -> u32 {
    u32::try_from(data.len()).expect("a batch is bounded far below 4 GiB")
}

#[expect(
    clippy::panic,
    reason = "a layout is fixed by the column's logical type; a wrong push is a bug of ours, not input"
)]
fn mismatch(logical: Logical, wanted: Layout) -> ! {
    panic!("a {logical} column is not laid out as {wanted:?}")
}

/// Some columns of the same number of rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// The columns, in the order of the table's shape unless said otherwise.
    pub columns: Vec<Column>,
    rows: usize,
}

impl Columns {
    /// Empty columns of the given types.
    #[must_use]
    pub fn new(types: impl IntoIterator<Item = Logical>) -> Self {
        Columns { columns: types.into_iter().map(Column::new).collect(), rows: 0 }
    }

    /// How many rows are complete.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Makes room for so many more rows.
    pub fn reserve(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.reserve(rows));
    }

    /// Says that one cell was pushed to every column.
    pub fn end_row(&mut self) {
        self.rows += 1;
        debug_assert!(self.columns.iter().all(|c| c.len() == self.rows), "a cell in every column");
    }

    /// Appends a row in which every cell has the same state.
    pub fn push_row_of(&mut self, state: State) {
        for column in &mut self.columns {
            column.push_state(state);
        }
        self.end_row();
    }

    /// Appends a copy of row `i` of columns of the same types.
    pub fn push_row_from(&mut self, other: &Columns, i: usize) {
        for (to, from) in self.columns.iter_mut().zip(&other.columns) {
            to.push_from(from, i);
        }
        self.end_row();
    }

    /// Takes back whatever was pushed after the last complete row.
    pub fn abandon_row(&mut self) {
        for column in &mut self.columns {
            column.truncate(self.rows);
        }
    }

    /// Drops all rows from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        self.rows = self.rows.min(rows);
        self.abandon_row();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_did_not_decode_leaves_nothing() {
        let mut c = Columns::new([Logical::Int, Logical::Text]);
        c.columns[0].push_int(7);
        c.columns[1].push_bytes(b"seven");
        c.end_row();
        c.columns[0].push_int(8);
        c.columns[1].push_bytes(b"half");
        c.abandon_row();
        c.push_row_of(State::Unavailable);
        assert_eq!((c.rows(), c.columns[1].bytes(0), c.columns[1].bytes(1)), (2, &b"seven"[..], &b""[..]));
        assert_eq!(c.columns[0].state(1), State::Unavailable);
    }

    #[test]
    fn copies_keep_state_and_value() {
        let mut from = Columns::new([Logical::Float, Logical::Bool]);
        from.columns[0].push_float(f64::NAN);
        from.columns[1].push_state(State::Missing);
        from.end_row();
        let mut to = Columns::new([Logical::Float, Logical::Bool]);
        to.push_row_from(&from, 0);
        assert!(to.columns[0].float(0).is_nan());
        assert_eq!(to.columns[1].state(0), State::Missing);
    }
}
