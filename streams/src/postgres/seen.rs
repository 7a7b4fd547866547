//! The newest positions of every source that a version or a gate has seen, as the sidecar keeps them: packed into one
//! `bytea`, 31 bytes a source, big-endian.
//!
//! Layout 1 kept them as six arrays, which cost six headers a row, six columns a statement and six functions a cell. A
//! row that a program of layout 1 wrote still has them, and they count then: a newer program leaves them null.

use bytes::BufMut as _;
use smallvec::SmallVec;
use tokio_postgres::Row;

use crate::position::{Position, Seen};

use super::{
    cells::{self, Unlike},
    ids::Ids,
};

/// The columns of layout 1, as a statement writes them that writes `seen`.
pub(super) const ARRAYS: [&str; 6] =
    ["seen_source", "seen_epoch", "seen_commit", "seen_ordinal", "seen_deleted", "seen_at"];

/// Source, epoch, commit position, ordinal, whether it was a delete, commit time of the newest live change.
const BYTES: usize = 2 + 4 + 8 + 8 + 1 + 8;

/// Packs what was seen, in its order; `into` is emptied first.
pub(super) fn pack(seen: &[Seen], ids: &Ids, into: &mut Vec<u8>) {
    into.clear();
    for seen in seen {
        into.put_i16(ids.number(seen.source));
        into.put_i32(seen.position.epoch);
        into.put_u64(seen.position.commit);
        into.put_u64(seen.position.ordinal);
        into.put_u8(u8::from(seen.deleted));
        into.put_i64(seen.live_at);
    }
}

/// What a row of [`super::standing::VERSIONS`] has seen: column `at` is `seen`, and those behind it are the arrays.
pub(super) fn read(row: &Row, at: usize, ids: &Ids) -> Result<SmallVec<[Seen; 2]>, Unlike> {
    match (cells::raw(row, at + 1)?, cells::raw(row, at)?) {
        (None, Some(packed)) => unpack(packed, ids),
        (None, None) => Err(Unlike("seen")),
        (Some(_), _) => from_arrays(row, at + 1, ids),
    }
}

fn unpack(packed: &[u8], ids: &Ids) -> Result<SmallVec<[Seen; 2]>, Unlike> {
    let (sources, rest) = packed.as_chunks::<BYTES>();
    if !rest.is_empty() {
        return Err(Unlike("seen"));
    }
    let mut seen = SmallVec::new();
    for one in sources {
        let mut rest = one.as_slice();
        let source = cells::int(part::<2>(&mut rest)?)?;
        let epoch = i32::from_be_bytes(*part::<4>(&mut rest)?);
        let [commit, ordinal] =
            [u64::from_be_bytes(*part::<8>(&mut rest)?), u64::from_be_bytes(*part::<8>(&mut rest)?)];
        let deleted = *part::<1>(&mut rest)? == [1];
        let live_at = i64::from_be_bytes(*part::<8>(&mut rest)?);
        seen.push(Seen {
            source: ids.named(source)?,
            position: Position { epoch, commit, ordinal },
            deleted,
            live_at,
        });
    }
    Ok(seen)
}

fn part<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], Unlike> {
    let (part, behind) = rest.split_first_chunk::<N>().ok_or(Unlike("seen"))?;
    *rest = behind;
    Ok(part)
}

/// The six arrays of layout 1, from column `at` on.
fn from_arrays(row: &Row, at: usize, ids: &Ids) -> Result<SmallVec<[Seen; 2]>, Unlike> {
    let array = |of: usize| cells::elements(cells::raw(row, at + of)?.ok_or(Unlike("array"))?);
    let [sources, epochs, commits, ordinals, deleted, live] =
        [array(0)?, array(1)?, array(2)?, array(3)?, array(4)?, array(5)?];
    let cell =
        |of: &[Option<&[u8]>], i: usize| cells::int(of.get(i).copied().flatten().ok_or(Unlike("array"))?);
    let mut seen = SmallVec::new();
    for i in 0..sources.len() {
        seen.push(Seen {
            source: ids.named(cell(&sources, i)?)?,
            position: Position {
                epoch: i32::try_from(cell(&epochs, i)?).map_err(|_| Unlike("epoch"))?,
                commit: cell(&commits, i)?.cast_unsigned(),
                ordinal: cell(&ordinals, i)?.cast_unsigned(),
            },
            deleted: deleted.get(i).copied().flatten() == Some(&[1][..]),
            live_at: cell(&live, i)?,
        });
    }
    Ok(seen)
}
