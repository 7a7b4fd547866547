//! Blocks that nobody wrote: whatever the bytes are, reading them is an error or stays inside of them.

use proptest::prelude::*;
use reconverge_sdk::{AnyCell, AnyColumn, Block, BlockWriter, Kind, block::Column};

const TYPES: [&str; 5] = ["bool", "int", "float", "text", "bytes"];

/// Reads every cell of every column, as every type.
fn read_all(bytes: &[u8], rows: usize) -> usize {
    let Ok(block) = Block::read(bytes, rows) else { return 0 };
    let mut cells = 0;
    for k in 0..block.columns().min(8) {
        for logical in TYPES {
            let Ok(column) = AnyColumn::open(&block, k, logical) else { continue };
            for row in 0..rows {
                let (_, cell) = (column.state(row), column.get(row));
                if let AnyCell::Text(text) = cell {
                    assert!(std::str::from_utf8(text.as_bytes()).is_ok(), "text is UTF-8");
                }
                cells += 1;
            }
        }
    }
    cells
}

fn block(rows: usize, texts: &[String]) -> Vec<u8> {
    let mut block =
        BlockWriter::new(rows, &[Kind::Bits, Kind::Int64, Kind::Float64, Kind::Packed, Kind::Packed]);
    for row in 0..rows {
        let text = texts.get(row % texts.len().max(1)).map_or("", String::as_str);
        block.bit(0, row, row % 2 == 0);
        block.int(1, row, row as i64 - 3);
        block.packed(3, row, text.as_bytes());
        block.packed(4, row, &[0xff, row as u8]);
        if row % 3 == 0 {
            block.null(4, row);
        }
    }
    block.finish()
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), rows in 0usize..10) {
        read_all(&bytes, rows);
    }

    #[test]
    fn damaged_blocks_do_no_harm(
        rows in 0usize..6,
        texts in proptest::collection::vec(".{0,6}", 0..4),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        read_rows in 0usize..8,
    ) {
        let mut bytes = block(rows, &texts);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_all(&bytes, read_rows);
    }

    #[test]
    fn what_is_written_is_read(rows in 0usize..20, texts in proptest::collection::vec(".{0,6}", 1..4)) {
        let bytes = block(rows, &texts);
        prop_assert!(rows == 0 || read_all(&bytes, rows) >= 5 * rows);
        let block = Block::read(&bytes, rows).unwrap();
        let column = block.texts(3).unwrap();
        for row in 0..rows {
            prop_assert_eq!(column.get(row), texts[row % texts.len()].as_str());
        }
    }
}

#[test]
fn cells_may_be_written_in_any_order_and_again() {
    let mut block = BlockWriter::new(3, &[Kind::Packed]);
    for (row, text) in [(2, "two"), (0, "first"), (0, "zero")] {
        block.packed(0, row, text.as_bytes());
    }
    let bytes = block.finish();
    let column = AnyColumn::open(&Block::read(&bytes, 3).unwrap(), 0, "text").unwrap();
    assert_eq!(
        [0, 1, 2].map(|row| column.get(row)),
        [AnyCell::Text("zero"), AnyCell::Unsent, AnyCell::Text("two")]
    );
}
