//! A row's digest: what a row is known by as ours when its xmin is another than we gave it, because the table was written
//! anew (an ALTER that changes a type, a restored dump) or somebody updated the row to what it was.
//!
//! Over the canonical bytes of the columns that we write. Nulls do not count, so that a column that is added later changes no
//! digest, nor does a type of the same meaning (int to bigint). A row that a trigger changes, or of which a batch
//! does not write all columns, has none that fits: it is then known by its xmin alone.

use xxhash_rust::xxh3::xxh3_64;

use crate::{
    canonical,
    columns::{Column, Columns, State},
    writes::Upserts,
};

use super::target::Target;

/// The digest of a row that is written; `None` where the batch does not write all of it. `scratch` is room for its bytes.
pub(super) fn of_written(
    target: &Target,
    upserts: &Upserts,
    row: usize,
    scratch: &mut Vec<u8>,
) -> Option<i64> {
    let place = |column: usize| upserts.columns.binary_search(&column).ok();
    of(target, row, |column| Some(&upserts.rows.columns[place(column)?]), scratch)
}

/// The digest of a row as it was read, with all columns of the shape.
pub(super) fn of_stored(target: &Target, rows: &Columns, row: usize) -> Option<i64> {
    of(target, row, |column| rows.columns.get(column), &mut Vec::new())
}

fn of<'a>(
    target: &Target,
    row: usize,
    cells: impl Fn(usize) -> Option<&'a Column>,
    bytes: &mut Vec<u8>,
) -> Option<i64> {
    bytes.clear();
    for &(column, name) in target.digested.as_ref()? {
        let cells = cells(column)?;
        if cells.state(row) != State::Value {
            continue;
        }
        bytes.extend_from_slice(&name.to_le_bytes());
        let before = bytes.len();
        canonical::cell(cells, row, bytes);
        let length = (bytes.len() - before) as u64;
        bytes.extend_from_slice(&length.to_le_bytes());
    }
    Some(xxh3_64(bytes).cast_signed())
}
