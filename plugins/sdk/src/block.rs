//! Reading a block: the columns of a batch, in place.
//!
//! The first thing that happens to a batch inside a plugin. All lengths and offsets are checked when a column
//! is opened, once, so that rows need no checks of their own and a wrong block is an error, never a wrong read.
//! Nothing here copies a cell, and nothing here knows what a cell means; [`crate::field`] does.

use crate::kind::Kind;

/// What is known of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// SQL null.
    Null = 0,
    /// A value.
    Value = 1,
    /// The row is there; the source did not send this cell.
    Unavailable = 2,
    /// There is no such row.
    NoRow = 3,
}

/// Why a block cannot be read. Each is a fault of whoever wrote the block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The block ends inside its own head.
    #[error("the block ends inside its head")]
    Head,
    /// The block has another number of columns than the contract.
    #[error("the block has {found} columns, the contract {wanted}")]
    Columns {
        /// Columns of the block.
        found: usize,
        /// Columns of the contract.
        wanted: usize,
    },
    /// There is no such column.
    #[error("column {0} is not in the block")]
    NoColumn(usize),
    /// A column is laid out otherwise than its logical type says.
    #[error("column {column} is of kind {found}, not {wanted:?}")]
    Kind {
        /// Which column.
        column: usize,
        /// The kind in the block.
        found: u32,
        /// The kind of the logical type.
        wanted: Kind,
    },
    /// States, cells or data reach beyond the block, or begin at an odd place.
    #[error("column {column}: {part} are outside of the block or not aligned")]
    Bounds {
        /// Which column.
        column: usize,
        /// `states`, `cells` or `data`.
        part: &'static str,
    },
    /// Offsets of packed cells do not begin at 0, or fall.
    #[error("column {0}: offsets do not begin at 0 or fall")]
    Offsets(usize),
    /// A state is none of 0 to 3.
    #[error("column {0}: a state is none of 0 to 3")]
    State(usize),
    /// Text is not UTF-8.
    #[error("column {0}: text is not UTF-8")]
    Text(usize),
}

/// A block of `rows` rows. See `wit/plugin.wit` for its layout.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    bytes: &'a [u8],
    rows: usize,
    columns: usize,
    head_bytes: usize,
    /// The host has checked that text is UTF-8.
    text_is_checked: bool,
}

/// Bytes of a column's head that this version reads.
pub(crate) const HEAD_BYTES: usize = 16;

impl<'a> Block<'a> {
    /// Reads the head of a block that may hold anything. Text is checked when its column is opened.
    ///
    /// # Errors
    /// The block is shorter than its head.
    pub fn read(bytes: &'a [u8], rows: usize) -> Result<Self, BlockError> {
        let (Some(columns), Some(head_bytes)) = (word(bytes, 0), word(bytes, 4)) else {
            return Err(BlockError::Head);
        };
        let heads = columns.checked_mul(head_bytes).and_then(|n| n.checked_add(8));
        if head_bytes < HEAD_BYTES || heads.is_none_or(|end| end > bytes.len()) {
            return Err(BlockError::Head);
        }
        Ok(Block { bytes, rows, columns, head_bytes, text_is_checked: false })
    }

    /// Reads the head of a block that the host made, whose text is then not checked a second time. (Checking
    /// it again was 60 % of a merge plugin's time.)
    ///
    /// # Errors
    /// The block is shorter than its head.
    ///
    /// # Safety
    /// Every cell with state 1 of a column that the contract asks for as text, json, decimal or an array is
    /// UTF-8. The host vouches for that in `wit/plugin.wit`.
    pub unsafe fn read_checked(bytes: &'a [u8], rows: usize) -> Result<Self, BlockError> {
        Ok(Block { text_is_checked: true, ..Block::read(bytes, rows)? })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Refuses a block with another number of columns than the contract has.
    ///
    /// # Errors
    /// [`BlockError::Columns`].
    pub fn expect_columns(&self, wanted: usize) -> Result<(), BlockError> {
        if self.columns == wanted { Ok(()) } else { Err(BlockError::Columns { found: self.columns, wanted }) }
    }

    /// Opens column `k` as bits.
    ///
    /// # Errors
    /// The column is of another kind or not inside the block; so do the other functions that open one.
    pub fn bits(&self, k: usize) -> Result<Bits<'a>, BlockError> {
        let head = self.head(k, Kind::Bits)?;
        Ok(Bits { states: self.states(k, head)?, cells: self.part(k, "cells", head.cells, 1, 1)? })
    }

    /// Opens column `k` as 64-bit integers.
    ///
    /// # Errors
    /// As [`Block::bits`].
    pub fn ints(&self, k: usize) -> Result<Ints<'a>, BlockError> {
        Ok(Ints(self.eights(k, Kind::Int64)?))
    }

    /// Opens column `k` as 64-bit floats.
    ///
    /// # Errors
    /// As [`Block::bits`].
    pub fn floats(&self, k: usize) -> Result<Floats<'a>, BlockError> {
        Ok(Floats(self.eights(k, Kind::Float64)?))
    }

    /// Opens column `k` as packed bytes.
    ///
    /// # Errors
    /// As [`Block::bits`]; offsets that do not begin at 0 or fall.
    pub fn packed(&self, k: usize) -> Result<Packed<'a>, BlockError> {
        let head = self.head(k, Kind::Packed)?;
        let states = self.states(k, head)?;
        let size = self.rows.checked_add(1).and_then(|n| n.checked_mul(4));
        let list = size.and_then(|size| self.range(head.cells, size, 4));
        let list = list.ok_or(BlockError::Bounds { column: k, part: "cells" })?;
        let (offsets, _) = list.as_chunks::<4>();
        // One pass without branches, so that it runs as fast as the memory.
        let falls = offsets.windows(2).fold(false, |bad, w| bad | (offset(w[0]) > offset(w[1])));
        if falls || offset(offsets[0]) != 0 {
            return Err(BlockError::Offsets(k));
        }
        let data = self.range(head.data, offset(offsets[self.rows]), 1);
        let data = data.ok_or(BlockError::Bounds { column: k, part: "data" })?;
        Ok(Packed { states, offsets, data })
    }

    /// Opens column `k` as text.
    ///
    /// # Errors
    /// As [`Block::packed`]; text that is not UTF-8, unless the host has checked it.
    pub fn texts(&self, k: usize) -> Result<Texts<'a>, BlockError> {
        let packed = self.packed(k)?;
        let is_text = |i| std::str::from_utf8(packed.get(i)).is_ok();
        if !self.text_is_checked && !(0..self.rows).all(is_text) {
            return Err(BlockError::Text(k));
        }
        Ok(Texts(packed))
    }

    fn head(&self, k: usize, wanted: Kind) -> Result<Head, BlockError> {
        if k >= self.columns {
            return Err(BlockError::NoColumn(k));
        }
        let at = 8 + k * self.head_bytes;
        let word = |n: usize| word(self.bytes, at + 4 * n).ok_or(BlockError::Head);
        let (kind, head) = (word(0)?, Head { states: word(1)?, cells: word(2)?, data: word(3)? });
        if kind != wanted as usize {
            return Err(BlockError::Kind { column: k, found: kind as u32, wanted });
        }
        Ok(head)
    }

    fn states(&self, k: usize, head: Head) -> Result<&'a [u8], BlockError> {
        if head.states == 0 {
            return Ok(&[]);
        }
        let states = self.part(k, "states", head.states, 1, 1)?;
        if states.iter().fold(0, |most, &s| most.max(s)) > State::NoRow as u8 {
            return Err(BlockError::State(k));
        }
        Ok(states)
    }

    fn eights(&self, k: usize, kind: Kind) -> Result<Eights<'a>, BlockError> {
        let head = self.head(k, kind)?;
        let (cells, _) = self.part(k, "cells", head.cells, 8, 8)?.as_chunks::<8>();
        Ok(Eights { states: self.states(k, head)?, cells })
    }

    /// `width` bytes per row from `at` on.
    fn part(
        &self,
        column: usize,
        part: &'static str,
        at: usize,
        width: usize,
        align: usize,
    ) -> Result<&'a [u8], BlockError> {
        let bytes = self.rows.checked_mul(width).and_then(|size| self.range(at, size, align));
        bytes.ok_or(BlockError::Bounds { column, part })
    }

    fn range(&self, at: usize, size: usize, align: usize) -> Option<&'a [u8]> {
        if !at.is_multiple_of(align) {
            return None;
        }
        self.bytes.get(at..at.checked_add(size)?)
    }
}

#[derive(Clone, Copy)]
struct Head {
    states: usize,
    cells: usize,
    data: usize,
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|w| u32::from_le_bytes(*w) as usize)
}

#[inline]
fn offset(word: [u8; 4]) -> usize {
    u32::from_le_bytes(word) as usize
}

#[inline]
fn state_at(states: &[u8], i: usize) -> State {
    // No states: every row has a value.
    match states.get(i) {
        None | Some(1) => State::Value,
        Some(0) => State::Null,
        Some(2) => State::Unavailable,
        Some(_) => State::NoRow,
    }
}

/// A column that can say what is known of a cell, whatever its kind.
pub trait Column {
    /// What is known of the cell of row `i`.
    fn state(&self, i: usize) -> State;
}

/// A column of bits.
#[derive(Clone, Copy, Debug)]
pub struct Bits<'a> {
    states: &'a [u8],
    cells: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Eights<'a> {
    states: &'a [u8],
    cells: &'a [[u8; 8]],
}

/// A column of 64-bit integers: ints, timestamps, dates, times.
#[derive(Clone, Copy, Debug)]
pub struct Ints<'a>(Eights<'a>);

/// A column of 64-bit floats.
#[derive(Clone, Copy, Debug)]
pub struct Floats<'a>(Eights<'a>);

/// A column of packed bytes.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    states: &'a [u8],
    /// rows + 1 of them, the first 0, never falling, the last the length of `data`.
    offsets: &'a [[u8; 4]],
    data: &'a [u8],
}

/// A column of packed text. There is one only where every cell is UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a>(Packed<'a>);

impl Column for Bits<'_> {
    #[inline]
    fn state(&self, i: usize) -> State {
        state_at(self.states, i)
    }
}

impl Column for Ints<'_> {
    #[inline]
    fn state(&self, i: usize) -> State {
        state_at(self.0.states, i)
    }
}

impl Column for Floats<'_> {
    #[inline]
    fn state(&self, i: usize) -> State {
        state_at(self.0.states, i)
    }
}

impl Column for Packed<'_> {
    #[inline]
    fn state(&self, i: usize) -> State {
        state_at(self.states, i)
    }
}

impl Column for Texts<'_> {
    #[inline]
    fn state(&self, i: usize) -> State {
        self.0.state(i)
    }
}

impl Bits<'_> {
    /// The bit of row `i`; false where the state is not a value.
    #[must_use]
    #[inline]
    pub fn get(&self, i: usize) -> bool {
        self.cells[i] != 0
    }
}

impl Ints<'_> {
    /// The integer of row `i`; 0 where the state is not a value.
    #[must_use]
    #[inline]
    pub fn get(&self, i: usize) -> i64 {
        i64::from_le_bytes(self.0.cells[i])
    }
}

impl Floats<'_> {
    /// The float of row `i`; 0 where the state is not a value.
    #[must_use]
    #[inline]
    pub fn get(&self, i: usize) -> f64 {
        f64::from_le_bytes(self.0.cells[i])
    }
}

impl<'a> Packed<'a> {
    /// The bytes of row `i`; empty where the state is not a value.
    #[must_use]
    #[inline]
    pub fn get(&self, i: usize) -> &'a [u8] {
        let (from, to) = (offset(self.offsets[i]), offset(self.offsets[i + 1]));
        // SAFETY: `Block::packed`, which alone makes a `Packed`, has checked that offsets never fall and that the
        // last of them is the length of `data`.
        unsafe { self.data.get_unchecked(from..to) }
    }
}

impl<'a> Texts<'a> {
    /// The text of row `i`; empty where the state is not a value.
    #[must_use]
    #[inline]
    pub fn get(&self, i: usize) -> &'a str {
        // SAFETY: a `Texts` is made by `Block::texts` alone, which has checked every cell of this column, or
        // whose block was made by `Block::read_checked`, whose caller vouches for it. The bytes are borrowed
        // for 'a, so that nobody changes them in between.
        unsafe { std::str::from_utf8_unchecked(self.0.get(i)) }
    }
}
