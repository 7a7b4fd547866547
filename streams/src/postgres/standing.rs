//! The beginning of a batch: the transaction, the checkpoint's lock, and what stands for the batch's keys.
//!
//! Per table two statements, all of them sent in one go: for its versions, and for its rows. Versions are locked before rows: who holds the lock of a
//! key's version is alone with it among the lanes, also where no row stands; the row's lock keeps the application
//! out. A key of which neither is there has nothing to lock: its insert then fails if somebody was first.

use std::sync::Arc;

use smallvec::SmallVec;
use tokio_postgres::Row;

use crate::{
    canonical,
    columns::Columns,
    family::{FamilyWanted, Presence},
    keys::KeyList,
    standing::{LocalWrite, StandingKey, StandingKind, StandingTable, Version, Wanted, WantedTable},
    table::TableId,
    text,
    writes::Counted,
};

use super::{
    cells::{self, Unlike},
    digest,
    ids::Ids,
    params::Param,
    seen,
    target::Target,
};

/// A batch's transaction while it is open.
pub(super) struct Open {
    /// What was asked for.
    pub wanted: Wanted,
    /// What was there, by table and key of `wanted`.
    pub known: Vec<Vec<Known>>,
    /// The transaction's id: the xmin of what it writes outside of savepoints.
    pub xid: u32,
    /// What was asked about parents and children since.
    pub families: Vec<Asked>,
    /// What is taken over of what other lanes moved in the ledger: numbers of `reconverge.reclassified`.
    pub taken_over: Vec<i64>,
}

/// A question about parents and children, and what was known by its answer.
#[derive(PartialEq)]
pub(super) struct Asked {
    pub wanted: FamilyWanted,
    pub parents: Vec<Vec<Presence>>,
    pub relatives: Vec<Related>,
}

/// Rows beside the batch's own, as they were: keys in ascending order.
#[derive(PartialEq)]
pub(super) struct Related {
    pub table: TableId,
    pub keys: KeyList,
    pub known: Vec<Known>,
}

/// The states of a key's row and version when the transaction began, as their xmin; `None` where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub row: Option<u32>,
    /// Where the version lies. It is locked, so it stays there until we write it.
    pub place: Option<Place>,
    /// The digest of a row that is not ours, so that it can be taken over.
    pub digest: Option<i64>,
}

/// Where a row lies in its table: page, and place on it (`ctid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(pub u32, pub u16);

impl Open {
    /// To look up what was known of a table's keys.
    pub(super) fn of(&self, table: TableId) -> Lookup<'_> {
        let own = self.wanted.tables.iter().zip(&self.known).find(|(t, _)| t.table == table);
        let own = own.map(|(t, known)| (Walk { keys: &t.keys, next: 0 }, known.as_slice()));
        Lookup { own, families: &self.families, table }
    }
}

/// Looks up keys of a table, most quickly in about the order in which they were asked for.
pub(super) struct Lookup<'a> {
    own: Option<(Walk<'a>, &'a [Known])>,
    families: &'a [Asked],
    table: TableId,
}

impl Lookup<'_> {
    /// What was known of a key; `None` where it was not asked for.
    pub(super) fn known(&mut self, key: &[u8]) -> Option<Known> {
        let own = self.own.as_mut().and_then(|(walk, known)| walk.to(key).ok().map(|at| known[at]));
        own.or_else(|| {
            let related = self.families.iter().flat_map(|f| &f.relatives);
            let mut related = related.filter(|r| r.table == self.table);
            related.find_map(|r| {
                let at = r.keys.find(key)?;
                Some(r.known[at])
            })
        })
    }
}

/// Locks the checkpoint, if it still is where we think; gives the transaction's id.
pub(super) const LOCK: &str = "SELECT pg_current_xact_id()::xid FROM reconverge.checkpoint \
    WHERE lane = $1::text AND epoch = $2::bigint AND sequence = $3::bigint FOR UPDATE";

/// Locks the versions of a table's keys, in their order, which is that of the array. Lateral, as all that looks the sidecar up by target and key:
/// while the table is empty a join is planned the other way round, all versions of the target against all keys, and
/// that plan stays for as long as the statement is prepared (seen: 540 ms a batch at 50,000 versions, 4 ms so). `key =
/// ANY` is a seventh cheaper where it is planned well, and fares the same: an index scan over the target alone.
pub(super) const VERSIONS: &str = "SELECT u.ord, v.place, v.standing, v.origin, v.committed_at, v.row_xmin, v.clock::text, \
    v.ordered_by::text, v.seen, v.seen_source, v.seen_epoch, v.seen_commit, v.seen_ordinal, v.seen_deleted, v.seen_at, \
    v.counted_by, v.row_digest \
    FROM (SELECT unnest($2::bytea[]) AS key, generate_subscripts($2::bytea[], 1)::int8 AS ord) u \
    CROSS JOIN LATERAL (SELECT w.ctid AS place, w.* FROM reconverge.version w \
    WHERE w.target = $1::smallint AND w.key = u.key FOR UPDATE) v";
/// Columns of [`VERSIONS`].
pub(super) const ORDERED_BY: usize = 7;
const PLACE: usize = 1;
const STANDING: usize = 2;
const ORIGIN: usize = 3;
const COMMITTED_AT: usize = 4;
const ROW_XMIN: usize = 5;
const CLOCK: usize = 6;
const SEEN: usize = 8;
const COUNTED_BY: usize = 15;
const ROW_DIGEST: usize = 16;

/// The key that a lane's gate is kept under, for a table without versions: no canonical key begins with 0xff.
pub(super) fn gate_key(lane: &str) -> Vec<u8> {
    let mut key = vec![0xff];
    key.extend_from_slice(lane.as_bytes());
    key
}

/// Key columns as parameters; `picked` leaves keys out that the server cannot read.
pub(super) fn key_params<'a>(
    target: &Target,
    cells: &'a Columns,
    picked: Option<&'a [u32]>,
) -> Vec<Param<'a>> {
    let key = target.shape.key.iter().zip(&cells.columns);
    key.map(|(&k, column)| Param::Cells(column, target.wire(k), picked)).collect()
}

/// What the two statements of a table found.
pub(super) struct Found<'a> {
    pub target: &'a Target,
    pub wanted: &'a WantedTable,
    pub versions: Vec<Row>,
    pub rows: Vec<Row>,
    pub picked: Option<&'a [u32]>,
    /// The lane that asks.
    pub lane: &'a str,
}

/// A lane's name, where it is another one.
pub(super) fn elsewhere(raw: Option<&[u8]>, ours: &str) -> Result<Option<Arc<str>>, Unlike> {
    let lane = raw.map(cells::utf8).transpose()?;
    Ok(lane.filter(|lane| *lane != ours).map(Arc::from))
}

/// A table's standing, what is known of its keys, and the keys with a local write as (place, xmin of the row).
pub(super) type Read = (StandingTable, Vec<Known>, Vec<(usize, u32)>);

/// Puts rows and versions together.
pub(super) fn read(found: &Found<'_>, ids: &Ids) -> Result<Read, Unlike> {
    let (wanted, shape) = (found.wanted, &found.target.shape);
    let mut known = vec![Known::default(); wanted.keys.len()];
    let mut table = StandingTable {
        rows: Columns::new(shape.logicals()),
        keys: vec![StandingKey::default(); wanted.keys.len()],
        gate: Vec::new(),
        too_old_through: None,
    };
    let mut finder = Finder::new(found);
    for row in &found.rows {
        for (c, column) in table.rows.columns.iter_mut().enumerate() {
            cells::push(cells::raw(row, c + 1)?, shape.columns[c].scale, column)?;
        }
        let at = finder.place(row, &table.rows)?;
        let key = table.keys.get_mut(at).ok_or(Unlike("place of a key"))?;
        known[at].row = Some(xid(row, 0)?.ok_or(Unlike("xmin"))?);
        key.row = Some(u32::try_from(table.rows.rows()).map_err(|_| Unlike("number of rows"))?);
        table.rows.end_row();
    }
    if !wanted.versions {
        for row in &found.versions {
            table.gate.extend(seen::read(row, SEEN, ids)?);
        }
        return Ok((table, known, Vec::new()));
    }
    let mut ours = vec![(None, None); wanted.keys.len()];
    for row in &found.versions {
        let at = place(row, 0)?;
        let key = table.keys.get_mut(at).ok_or(Unlike("place of a key"))?;
        known[at].place = cells::raw(row, PLACE)?.map(cells::place).transpose()?;
        ours[at] = (xid(row, ROW_XMIN)?, cells::raw(row, ROW_DIGEST)?.map(cells::int).transpose()?);
        key.version = Some(version(row, ids)?);
        let counted = cells::raw(row, COUNTED_BY)?.map(cells::utf8).transpose()?;
        key.counted = counted.map(|text| Counted::read(text, found.lane)).unwrap_or_default();
        if let Some(kept) = cells::raw(row, ORDERED_BY)? {
            let from = table.rows.rows();
            text::from_json(shape, &wanted.order_columns, cells::utf8(kept)?, &mut table.rows)
                .map_err(|_| Unlike("ordered_by"))?;
            key.ordered_by = Some(u32::try_from(from).map_err(|_| Unlike("number of rows"))?);
        }
    }
    let mut local = Vec::new();
    for (at, key) in table.keys.iter_mut().enumerate() {
        let stands_as_row = key.version.as_ref().is_some_and(|v| v.standing == StandingKind::Row);
        let (our_xmin, our_digest) = ours[at];
        let is_local = match (known[at].row, key.row) {
            (Some(xmin), _) if stands_as_row && our_xmin == Some(xmin) => false,
            (Some(_), Some(row)) => {
                known[at].digest = digest::of_stored(found.target, &table.rows, row as usize);
                !stands_as_row || our_digest.is_none() || known[at].digest != our_digest
            }
            _ => stands_as_row,
        };
        if is_local {
            key.local = Some(LocalWrite { at: None });
            local.extend(known[at].row.map(|xmin| (at, xmin)));
        }
    }
    Ok((table, known, local))
}

/// Finds the places of keys that come in about the order of the keys asked for.
struct Walk<'a> {
    keys: &'a KeyList,
    next: usize,
}

impl Walk<'_> {
    fn to(&mut self, key: &[u8]) -> Result<usize, Unlike> {
        let is_next = self.keys.get(self.next) == Some(key);
        let at = if is_next { Some(self.next) } else { self.keys.find(key) };
        let at = at.ok_or(Unlike("key"))?;
        self.next = at + 1;
        Ok(at)
    }
}

/// The index of the key that a result row is about, as column `at` counts them from 1.
fn place(row: &Row, at: usize) -> Result<usize, Unlike> {
    let ord = cells::int(cells::raw(row, at)?.ok_or(Unlike("place of a key"))?)?;
    usize::try_from(ord - 1).map_err(|_| Unlike("place of a key"))
}

/// Tells which of the keys asked for a row is of.
struct Finder<'a> {
    found: &'a Found<'a>,
    walk: Walk<'a>,
    key: Vec<u8>,
}

impl<'a> Finder<'a> {
    fn new(found: &'a Found<'a>) -> Self {
        Finder { found, walk: Walk { keys: &found.wanted.keys, next: 0 }, key: Vec::new() }
    }

    /// `rows` has the row's cells behind its last row.
    fn place(&mut self, row: &Row, rows: &Columns) -> Result<usize, Unlike> {
        let Found { target, picked, .. } = self.found;
        if target.finds_by_key() {
            let cells: SmallVec<[_; 4]> = target.shape.key.iter().map(|&k| &rows.columns[k]).collect();
            self.key.clear();
            canonical::key(&cells, rows.rows(), &mut self.key);
            return self.walk.to(&self.key);
        }
        let place = place(row, target.shape.columns.len() + 1)?;
        Ok(picked.map_or(place, |picked| picked.get(place).map_or(usize::MAX, |&p| p as usize)))
    }
}

fn xid(row: &Row, at: usize) -> Result<Option<u32>, Unlike> {
    cells::raw(row, at)?.map(cells::xid).transpose()
}

fn number(row: &Row, at: usize) -> Result<i64, Unlike> {
    cells::int(cells::raw(row, at)?.ok_or(Unlike("number"))?)
}

fn version(row: &Row, ids: &Ids) -> Result<Version, Unlike> {
    let letter = cells::raw(row, STANDING)?.and_then(|r| r.first().copied()).unwrap_or(b'?');
    let clock = cells::raw(row, CLOCK)?.map(cells::utf8).transpose()?;
    Ok(Version {
        standing: StandingKind::of(char::from(letter)).ok_or(Unlike("letter of a version"))?,
        origin: ids.named(number(row, ORIGIN)?)?,
        committed_at: number(row, COMMITTED_AT)?,
        seen: seen::read(row, SEEN, ids)?,
        clock: clock.map(text::canonical_json).transpose().map_err(|_| Unlike("clock"))?,
    })
}
