//! Reading an answer: nothing in it is believed. Every length, offset, state and text is checked before a verdict
//! or a written cell is looked at; one that does not hold is a fault of the whole call.

use reconverge_streams::{
    columns::State,
    logical::{Layout, Logical},
};

use super::{HEAD_BYTES, START_BYTES};
use crate::plugin::bindings::base::reconverge::plugin::types::Answer;

/// Reasons that an answer may list; their numbers have one byte.
const REASONS_MAX: usize = 255;

/// How a written column has to lie in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Wanted {
    layout: Layout,
    is_utf8: bool,
}

impl Wanted {
    /// A column of this type.
    pub(in crate::plugin) fn of(logical: Logical) -> Self {
        Wanted { layout: logical.layout(), is_utf8: logical.is_utf8() }
    }
}

/// Why an answer is not taken. Numbers only: what a plugin wrote may be a row's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::plugin) enum BadAnswer {
    #[error("it lies outside of the plugin's memory, is not UTF-8 or is far too large")]
    Unreadable,
    #[error("it has {found} bytes, more than the {max} that its input allows")]
    TooLarge { found: usize, max: usize },
    #[error("{found} verdicts for {rows} rows")]
    Verdicts { found: usize, rows: usize },
    #[error("{found} reason numbers for {rows} rows")]
    ReasonNumbers { found: usize, rows: usize },
    #[error("{0} reasons, more than {REASONS_MAX}")]
    TooManyReasons(usize),
    #[error("reason number {number} of {reasons}")]
    ReasonNumber { number: u8, reasons: usize },
    #[error("the block ends inside its head, or its heads have fewer than {HEAD_BYTES} bytes")]
    Head,
    #[error("{found} written columns, the contract has {wanted}")]
    Columns { found: usize, wanted: usize },
    #[error("written column {column} is of kind {found}, its type of kind {wanted}")]
    Kind { column: usize, found: u32, wanted: u32 },
    #[error("written column {column}: {part} outside of the block or not aligned")]
    Bounds { column: usize, part: &'static str },
    #[error("written column {column}: state {state}; a written cell is 0 null, 1 value or 2 left as it is")]
    State { column: usize, state: u8 },
    #[error("written column {0}: a bit that is neither 0 nor 1")]
    Bit(usize),
    #[error("written column {0}: offsets do not begin at 0, or fall")]
    Offsets(usize),
    #[error("written column {0}: text that is not UTF-8")]
    Text(usize),
}

/// An answer that holds.
#[derive(Debug)]
pub(in crate::plugin) struct Answered<'a> {
    /// One per row.
    pub(in crate::plugin) verdicts: &'a [u8],
    reason: &'a [u8],
    /// What the reason numbers stand for, from 1.
    pub(in crate::plugin) reasons: &'a [String],
    /// One per column of the contract's `writes`; none where the answer writes nothing.
    pub(in crate::plugin) columns: Vec<WrittenColumn<'a>>,
}

impl Answered<'_> {
    /// Index of the row's reason in `reasons`.
    pub(in crate::plugin) fn reason(&self, row: usize) -> Option<usize> {
        usize::from(*self.reason.get(row)?).checked_sub(1)
    }
}

/// A written column whose bytes have been checked.
#[derive(Debug)]
pub(in crate::plugin) struct WrittenColumn<'a> {
    states: &'a [u8],
    cells: WrittenCells<'a>,
}

#[derive(Debug)]
enum WrittenCells<'a> {
    Bits(&'a [u8]),
    Eights(&'a [[u8; 8]]),
    Packed { offsets: &'a [[u8; 4]], data: &'a [u8] },
}

impl<'a> WrittenColumn<'a> {
    /// Null, a value, or unavailable: left as it is.
    pub(in crate::plugin) fn state(&self, row: usize) -> State {
        match self.states.get(row) {
            None | Some(1) => State::Value,
            Some(0) => State::Null,
            Some(_) => State::Unavailable,
        }
    }

    /// The bit of a column of bits.
    pub(in crate::plugin) fn bit(&self, row: usize) -> bool {
        matches!(self.cells, WrittenCells::Bits(cells) if cells[row] != 0)
    }

    /// The eight bytes of a number.
    pub(in crate::plugin) fn eight(&self, row: usize) -> [u8; 8] {
        if let WrittenCells::Eights(cells) = self.cells { cells[row] } else { [0; 8] }
    }

    /// The bytes of a packed cell.
    pub(in crate::plugin) fn bytes(&self, row: usize) -> &'a [u8] {
        match self.cells {
            WrittenCells::Packed { offsets, data } => &data[offset(offsets[row])..offset(offsets[row + 1])],
            _ => &[],
        }
    }
}

/// Checks an answer for `rows` rows under a contract that writes `writes`. `bytes_max` bounds all of it.
///
/// # Errors
/// The first rule of `wit/plugin.wit` that it breaks.
pub(in crate::plugin) fn check<'a>(
    answer: &'a Answer,
    rows: usize,
    writes: &[Wanted],
    bytes_max: usize,
) -> Result<Answered<'a>, BadAnswer> {
    let Answer { verdict, reason, reasons, block } = answer;
    let words: usize = reasons.iter().map(String::len).sum();
    let found = verdict.len() + reason.len() + words + block.len();
    if found > bytes_max {
        return Err(BadAnswer::TooLarge { found, max: bytes_max });
    }
    if verdict.len() != rows {
        return Err(BadAnswer::Verdicts { found: verdict.len(), rows });
    }
    if !reason.is_empty() && reason.len() != rows {
        return Err(BadAnswer::ReasonNumbers { found: reason.len(), rows });
    }
    if reasons.len() > REASONS_MAX {
        return Err(BadAnswer::TooManyReasons(reasons.len()));
    }
    let greatest = reason.iter().copied().max().unwrap_or(0);
    if usize::from(greatest) > reasons.len() {
        return Err(BadAnswer::ReasonNumber { number: greatest, reasons: reasons.len() });
    }
    Ok(Answered {
        verdicts: verdict,
        reason,
        reasons,
        columns: Block { bytes: block, rows }.columns(writes)?,
    })
}

struct Block<'a> {
    bytes: &'a [u8],
    rows: usize,
}

impl<'a> Block<'a> {
    fn columns(&self, writes: &[Wanted]) -> Result<Vec<WrittenColumn<'a>>, BadAnswer> {
        if self.bytes.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.word(0)? as usize;
        // A later version may have longer heads; what it adds is skipped.
        let head_bytes = self.word(4)? as usize;
        if head_bytes < HEAD_BYTES {
            return Err(BadAnswer::Head);
        }
        if found != writes.len() {
            return Err(BadAnswer::Columns { found, wanted: writes.len() });
        }
        let column = |(k, wanted): (usize, &Wanted)| {
            let head = k
                .checked_mul(head_bytes)
                .and_then(|at| at.checked_add(START_BYTES))
                .ok_or(BadAnswer::Head)?;
            self.column(k, head, *wanted)
        };
        writes.iter().enumerate().map(column).collect()
    }

    fn column(&self, column: usize, head: usize, wanted: Wanted) -> Result<WrittenColumn<'a>, BadAnswer> {
        let [kind, state, cells, data] = [0, 4, 8, 12].map(|at| self.word(head + at));
        let (kind, state, cells, data) = (kind?, state?, cells?, data?);
        if kind != wanted.layout as u32 {
            return Err(BadAnswer::Kind { column, found: kind, wanted: wanted.layout as u32 });
        }
        let part =
            |part, at, bytes, align| self.part(at, bytes, align).ok_or(BadAnswer::Bounds { column, part });
        let rows = self.rows as u64;
        let states = if state == 0 { &[] } else { part("states", state, rows, 1)? };
        if let Some(&state) = states.iter().find(|&&state| state > State::Unavailable as u8) {
            return Err(BadAnswer::State { column, state });
        }
        let cells = match wanted.layout {
            Layout::Bits => WrittenCells::Bits(part("cells", cells, rows, 1)?),
            Layout::Int64 | Layout::Float64 => {
                WrittenCells::Eights(part("cells", cells, rows * 8, 8)?.as_chunks().0)
            }
            Layout::Packed => {
                let offsets = part("cells", cells, (rows + 1) * 4, 4)?.as_chunks::<4>().0;
                let falls = offsets.windows(2).any(|pair| offset(pair[0]) > offset(pair[1]));
                if falls || offset(offsets[0]) != 0 {
                    return Err(BadAnswer::Offsets(column));
                }
                let bytes = offset(offsets[self.rows]) as u64;
                WrittenCells::Packed { offsets, data: part("data", data, bytes, 1)? }
            }
        };
        let written = WrittenColumn { states, cells };
        self.check_cells(column, &written, wanted)?;
        Ok(written)
    }

    fn check_cells(
        &self,
        column: usize,
        written: &WrittenColumn<'_>,
        wanted: Wanted,
    ) -> Result<(), BadAnswer> {
        let mut values = (0..self.rows).filter(|&row| written.state(row) == State::Value);
        match written.cells {
            WrittenCells::Bits(cells) if values.any(|row| cells[row] > 1) => Err(BadAnswer::Bit(column)),
            WrittenCells::Packed { .. }
                if wanted.is_utf8 && values.any(|row| std::str::from_utf8(written.bytes(row)).is_err()) =>
            {
                Err(BadAnswer::Text(column))
            }
            _ => Ok(()),
        }
    }

    fn part(&self, at: u32, bytes: u64, align: u32) -> Option<&'a [u8]> {
        let end = u64::from(at).checked_add(bytes)?;
        let (from, to) = (usize::try_from(at).ok()?, usize::try_from(end).ok()?);
        if at.is_multiple_of(align) { self.bytes.get(from..to) } else { None }
    }

    fn word(&self, at: usize) -> Result<u32, BadAnswer> {
        let word = self.bytes.get(at..).and_then(<[u8]>::first_chunk);
        word.map(|word| u32::from_le_bytes(*word)).ok_or(BadAnswer::Head)
    }
}

fn offset(word: [u8; 4]) -> usize {
    u32::from_le_bytes(word) as usize
}
