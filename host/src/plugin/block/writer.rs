//! Writing a block: columns of a batch to bytes, into a buffer that is used again and again. Whole runs of rows
//! are copied at once. Nothing is converted here but [`State::Missing`], which a plugin sees as unavailable.

use std::ops::Range;

use reconverge_streams::{
    columns::{Cells, Column, State},
    logical::Layout,
};

use super::{HEAD_BYTES, START_BYTES};

/// Rows of a column that go into a block, in order.
#[derive(Clone, Debug)]
pub(in crate::plugin) enum Rows<'a> {
    /// A run.
    Run(Range<usize>),
    /// These.
    Picked(&'a [u32]),
}

/// See the module.
#[derive(Debug, Default)]
pub(in crate::plugin) struct BlockWriter {
    bytes: Vec<u8>,
    rows: usize,
    /// Where the head of the next column goes.
    head: usize,
    bytes_max: usize,
    is_full: bool,
}

impl BlockWriter {
    /// Begins a block of at most `bytes_max` bytes, itself at most 4 GiB, since offsets have 32 bits.
    pub(in crate::plugin) fn start(&mut self, columns: usize, rows: usize, bytes_max: usize) {
        let heads = START_BYTES + columns * HEAD_BYTES;
        self.rows = rows;
        self.head = START_BYTES;
        self.bytes_max = bytes_max.min(u32::MAX as usize);
        self.is_full = false;
        self.bytes.clear();
        self.bytes.resize(heads, 0);
        self.put(0, columns);
        self.put(4, HEAD_BYTES);
    }

    /// The block; `None` where it would be larger than it may be.
    pub(in crate::plugin) fn finish(&self) -> Option<&[u8]> {
        (!self.is_full).then_some(&self.bytes)
    }

    /// Appends rows of a column.
    pub(in crate::plugin) fn column(&mut self, column: &Column, rows: Rows<'_>) {
        match rows {
            Rows::Run(run) => self.run(column, run),
            Rows::Picked(rows) => {
                let rows = rows.iter().map(|&row| row as usize);
                let states = column.states();
                let state = self.states(rows.clone().map(|row| states[row]));
                match column.cells() {
                    Cells::Bits(cells) => self.bits(state, rows.map(|row| cells[row])),
                    Cells::Int64(cells) => {
                        self.eights(Layout::Int64, state, rows.map(|row| cells[row].to_le_bytes()))
                    }
                    Cells::Float64(cells) => {
                        self.eights(Layout::Float64, state, rows.map(|row| cells[row].to_le_bytes()));
                    }
                    Cells::Packed { offsets, data } => {
                        let cell = |row: usize| &data[offsets[row] as usize..offsets[row + 1] as usize];
                        self.packed(state, rows.map(cell));
                    }
                }
            }
        }
    }

    /// Appends cells of columns of this layout; `None` is unavailable.
    pub(in crate::plugin) fn mixed<'c>(
        &mut self,
        layout: Layout,
        cells: impl ExactSizeIterator<Item = Option<(&'c Column, usize)>> + Clone,
    ) {
        let of =
            |cell: Option<(&'c Column, usize)>| cell.map_or(State::Unavailable as u8, |(c, i)| c.states()[i]);
        let state = self.states(cells.clone().map(of));
        match layout {
            Layout::Bits => self.bits(state, cells.map(|cell| cell.is_some_and(|(c, i)| c.bit(i)).into())),
            Layout::Int64 => {
                self.eights(layout, state, cells.map(|cell| cell.map_or(0, |(c, i)| c.int(i)).to_le_bytes()));
            }
            Layout::Float64 => {
                self.eights(
                    layout,
                    state,
                    cells.map(|cell| cell.map_or(0.0, |(c, i)| c.float(i)).to_le_bytes()),
                );
            }
            Layout::Packed => self.packed(state, cells.map(|cell| cell.map_or(&[][..], |(c, i)| c.bytes(i)))),
        }
    }

    /// Appends a column in which every cell has this state, which is not `Value`.
    pub(in crate::plugin) fn nothing(&mut self, layout: Layout, state: State) {
        let state = self.states(std::iter::repeat_n(state as u8, self.rows));
        match layout {
            Layout::Bits => self.bits(state, std::iter::repeat_n(0, self.rows)),
            Layout::Int64 | Layout::Float64 => {
                self.eights(layout, state, std::iter::repeat_n([0; 8], self.rows))
            }
            Layout::Packed => self.packed(state, std::iter::repeat_n(&[][..], self.rows)),
        }
    }

    fn run(&mut self, column: &Column, run: Range<usize>) {
        let state = self.states(column.states()[run.clone()].iter().copied());
        match column.cells() {
            Cells::Bits(cells) => self.bits(state, cells[run].iter().copied()),
            Cells::Int64(cells) => {
                self.eights(Layout::Int64, state, cells[run].iter().map(|cell| cell.to_le_bytes()))
            }
            Cells::Float64(cells) => {
                self.eights(Layout::Float64, state, cells[run].iter().map(|cell| cell.to_le_bytes()));
            }
            Cells::Packed { offsets, data } => {
                let offsets = &offsets[run.start..=run.end];
                let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
                let bytes = &data[first as usize..last as usize];
                if !self.fits(4 * offsets.len() + 4 + bytes.len()) {
                    return;
                }
                let cells = self.room(4 * offsets.len(), 4);
                let (slots, _) = self.bytes[cells..].as_chunks_mut::<4>();
                for (slot, offset) in slots.iter_mut().zip(offsets) {
                    *slot = (offset - first).to_le_bytes();
                }
                let at = self.bytes.len();
                self.bytes.extend_from_slice(bytes);
                self.close(Layout::Packed, state, cells, at);
            }
        }
    }

    /// Appends the states; 0, and nothing, where every cell has a value.
    fn states(&mut self, states: impl Iterator<Item = u8> + Clone) -> usize {
        const VALUE: u8 = State::Value as u8;
        // One pass without branches, so that it runs as fast as the memory.
        if states.clone().fold(0, |other, state| other | (state ^ VALUE)) == 0 || !self.fits(self.rows) {
            return 0;
        }
        let at = self.bytes.len();
        let told = |state| if state == State::Missing as u8 { State::Unavailable as u8 } else { state };
        self.bytes.extend(states.map(told));
        at
    }

    fn bits(&mut self, state: usize, cells: impl Iterator<Item = u8>) {
        if self.fits(self.rows) {
            let at = self.bytes.len();
            self.bytes.extend(cells);
            self.close(Layout::Bits, state, at, 0);
        }
    }

    fn eights(&mut self, layout: Layout, state: usize, cells: impl Iterator<Item = [u8; 8]>) {
        if self.fits(self.rows * 8 + 8) {
            let at = self.room(self.rows * 8, 8);
            let (slots, _) = self.bytes[at..].as_chunks_mut::<8>();
            for (slot, cell) in slots.iter_mut().zip(cells) {
                *slot = cell;
            }
            self.close(layout, state, at, 0);
        }
    }

    fn packed<'c>(&mut self, state: usize, cells: impl Iterator<Item = &'c [u8]> + Clone) {
        let offsets = (self.rows + 1) * 4;
        let bytes: usize = cells.clone().map(<[u8]>::len).sum();
        if !self.fits(offsets + 4 + bytes) {
            return;
        }
        let at = self.room(offsets, 4);
        let (slots, _) = self.bytes[at + 4..].as_chunks_mut::<4>();
        let mut end = 0;
        for (slot, cell) in slots.iter_mut().zip(cells.clone()) {
            end += cell.len();
            *slot = word(end);
        }
        let data = self.bytes.len();
        self.bytes.resize(data + bytes, 0);
        let mut rest = &mut self.bytes[data..];
        for cell in cells {
            let (to, after) = rest.split_at_mut(cell.len());
            put(to, cell);
            rest = after;
        }
        self.close(Layout::Packed, state, at, data);
    }

    fn fits(&mut self, more: usize) -> bool {
        self.is_full |= self.bytes.len().saturating_add(more) > self.bytes_max;
        !self.is_full
    }

    /// Room for so many bytes at a multiple of `align`; says where.
    fn room(&mut self, bytes: usize, align: usize) -> usize {
        let at = self.bytes.len().next_multiple_of(align);
        self.bytes.resize(at + bytes, 0);
        at
    }

    fn close(&mut self, layout: Layout, state: usize, cells: usize, data: usize) {
        for (k, value) in [layout as usize, state, cells, data].into_iter().enumerate() {
            self.put(self.head + 4 * k, value);
        }
        self.head += HEAD_BYTES;
    }

    fn put(&mut self, at: usize, value: usize) {
        self.bytes[at..at + 4].copy_from_slice(&word(value));
    }
}

/// Copies a cell. Most are of a few bytes, for which two moves that overlap cost less than a call.
fn put(to: &mut [u8], cell: &[u8]) {
    match (cell.first_chunk::<8>(), cell.last_chunk::<8>()) {
        (Some(first), Some(last)) if cell.len() <= 16 => {
            to[..8].copy_from_slice(first);
            let at = to.len() - 8;
            to[at..].copy_from_slice(last);
        }
        _ => to.copy_from_slice(cell),
    }
}

fn word(value: usize) -> [u8; 4] {
    u32::try_from(value).expect("`fits` has kept the block below 4 GiB").to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reconverge_streams::logical::Logical;

    use super::{super::tests::arbitrary_column, *};

    fn written(columns: usize, rows: usize, write: impl FnOnce(&mut BlockWriter)) -> Vec<u8> {
        let mut writer = BlockWriter::default();
        writer.start(columns, rows, 1 << 20);
        write(&mut writer);
        writer.finish().unwrap().to_vec()
    }

    #[test]
    fn a_block_is_laid_out_as_the_interface_says() {
        let mut epoch = Column::new(Logical::Int);
        epoch.push_int(41);
        epoch.push_state(State::Missing);
        let mut note = Column::new(Logical::Text);
        note.push_bytes(b"ab");
        note.push_bytes("é".as_bytes());
        let block = written(2, 2, |writer| {
            writer.column(&epoch, Rows::Run(0..2));
            writer.column(&note, Rows::Run(0..2));
        });
        let mut wanted = Vec::new();
        for word in [2u32, 16, 2, 40, 48, 0, 4, 0, 64, 76] {
            wanted.extend_from_slice(&word.to_le_bytes());
        }
        wanted.extend_from_slice(&[1, 2, 0, 0, 0, 0, 0, 0]);
        wanted.extend_from_slice(&41i64.to_le_bytes());
        wanted.extend_from_slice(&[0; 8]);
        for offset in [0u32, 2, 4] {
            wanted.extend_from_slice(&offset.to_le_bytes());
        }
        wanted.extend_from_slice("abé".as_bytes());
        assert_eq!(block, wanted);
    }

    #[test]
    fn a_block_that_would_be_too_large_is_none() {
        let mut column = Column::new(Logical::Bytes);
        column.push_bytes(&[7; 100]);
        for (bytes_max, fits) in [(131, false), (140, true)] {
            for rows in [Rows::Run(0..1), Rows::Picked(&[0])] {
                let mut writer = BlockWriter::default();
                writer.start(1, 1, bytes_max);
                writer.column(&column, rows);
                assert_eq!(writer.finish().is_some(), fits, "{bytes_max}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_run_equals_the_same_rows_picked_or_mixed(column in arbitrary_column(0..20), cut in any::<(u8, u8)>()) {
            let n = column.len();
            let (a, b) = (usize::from(cut.0) % (n + 1), usize::from(cut.1) % (n + 1));
            let run = a.min(b)..a.max(b);
            let picked: Vec<u32> = run.clone().map(|row| u32::try_from(row).unwrap()).collect();
            let by_run = written(1, run.len(), |writer| writer.column(&column, Rows::Run(run.clone())));
            let by_pick = written(1, run.len(), |writer| writer.column(&column, Rows::Picked(&picked)));
            let layout = column.logical().layout();
            let mixed = picked.iter().map(|&row| Some((&column, row as usize)));
            let by_mix = written(1, run.len(), |writer| writer.mixed(layout, mixed));
            prop_assert_eq!(&by_run, &by_pick);
            prop_assert_eq!(&by_run, &by_mix);
        }
    }
}
