//! A batch as a case writes it: rows, deletes, versions and kept rows, one after another, then what the sink is asked
//! and given.

use std::{collections::BTreeMap, sync::Arc};

use reconverge_streams::{
    columns::Columns,
    disposition::Disposition,
    event::Event,
    position::Seen,
    sink::{Claim, Sink},
    standing::{Standing, StandingKind, Version, Wanted},
    writes::{Counted, Deletes, KeptWrite, TableWrites, Touch, Upserts, VersionWrite, Writes},
};

use crate::{
    fixture::Fixture,
    world::{Row, World, id, push, push_key},
};

/// A batch being written down.
pub struct Batch<'w, F: Fixture> {
    world: &'w World<F>,
    from: u64,
    changes: u32,
    parts: BTreeMap<usize, Part>,
    versions: bool,
    /// Who counts what stands, where the sink is to remember it.
    pub counted: Option<Counted>,
    /// Events to ask for.
    pub events: Vec<Event>,
    pub writes: Writes,
}

#[derive(Default)]
struct Part {
    keys: Vec<Vec<String>>,
    upserts: BTreeMap<Vec<usize>, Upserts>,
    deletes: Deletes,
    versions: Vec<(VersionWrite, Option<Vec<usize>>)>,
    gate: Vec<Seen>,
}

impl<'w, F: Fixture> Batch<'w, F> {
    /// An empty one that begins behind `from`.
    pub fn new(world: &'w World<F>, from: u64) -> Self {
        let (parts, writes) = (BTreeMap::new(), Writes::default());
        Batch { world, from, changes: 0, parts, versions: true, counted: None, events: Vec::new(), writes }
    }

    /// For tables with one writer: no version rows.
    pub fn without_versions(mut self) -> Self {
        self.versions = false;
        self
    }

    /// The next change writes these columns of a row; returns its number.
    pub fn upsert(&mut self, table: usize, row: Row<'_>) -> u32 {
        let shape = Arc::clone(&self.world.shapes[table]);
        let mut cells: Vec<(usize, Option<&str>)> =
            row.iter().map(|(n, v)| (shape.column(n).expect("a column"), *v)).collect();
        cells.sort_unstable();
        let columns: Vec<usize> = cells.iter().map(|c| c.0).collect();
        let of_key =
            |k: &usize| cells.iter().find(|c| c.0 == *k).and_then(|c| c.1).expect("a key is no null");
        let key: Vec<String> = shape.key.iter().map(of_key).map(String::from).collect();
        let version = self.version_of(table, &key, StandingKind::Row);
        let change = self.next(Disposition::Applied);
        let part = self.parts.entry(table).or_default();
        let upserts = part.upserts.entry(columns.clone()).or_insert_with(|| Upserts {
            rows: Columns::new(columns.iter().map(|&c| shape.columns[c].logical)),
            columns: columns.clone(),
            changes: Vec::new(),
        });
        for (at, (column, value)) in cells.iter().enumerate() {
            push(&shape, *column, *value, &mut upserts.rows, at);
        }
        upserts.rows.end_row();
        upserts.changes.push(change);
        let row = u32::try_from(upserts.changes.len() - 1).expect("few rows");
        if let Some(mut version) = version {
            version.row = Touch::Written(0, row);
            part.versions.push((version, Some(columns)));
        }
        part.keys.push(key);
        change
    }

    /// The next change deletes a key and leaves a tombstone with these order columns (a JSON object).
    pub fn delete(&mut self, table: usize, key: &[&str], ordered_by: Option<&str>) -> u32 {
        let key: Vec<String> = key.iter().map(|k| (*k).to_owned()).collect();
        let version = self.version_of(table, &key, StandingKind::Tombstone);
        let change = self.next(Disposition::Deleted);
        let shape = Arc::clone(&self.world.shapes[table]);
        let part = self.parts.entry(table).or_default();
        if part.deletes.changes.is_empty() {
            part.deletes.keys = Columns::new(shape.key_logicals());
        }
        push_key(&shape, &key.iter().map(String::as_str).collect::<Vec<_>>(), &mut part.deletes.keys);
        part.deletes.changes.push(change);
        if let Some(mut version) = version {
            version.ordered_by = ordered_by.map(String::from);
            part.versions.push((version, None));
        }
        part.keys.push(key);
        change
    }

    /// A version row of its own, without a row.
    pub fn version(&mut self, table: usize, key: &[&str], version: Version, ordered_by: Option<&str>) {
        self.next(Disposition::NoOp);
        let write = VersionWrite {
            key: self.world.key(table, key),
            version,
            row: Touch::No,
            ordered_by: ordered_by.map(String::from),
            counted: None,
        };
        let part = self.parts.entry(table).or_default();
        part.versions.push((write, None));
        part.keys.push(key.iter().map(|k| (*k).to_owned()).collect());
    }

    /// The next change stands and is kept beside until a parent, a row of table `waits.0`, does.
    pub fn keep(&mut self, table: usize, key: &[&str], row: &str, waits: (usize, &[&str]), orphaned: bool) {
        let fate = if orphaned { Disposition::Orphaned } else { Disposition::Parked };
        let change = self.next(fate);
        let sequence = self.sequence(change);
        let version = self.world.version(StandingKind::Kept, sequence);
        let key_bytes = self.world.key(table, key);
        self.writes.kept.push(KeptWrite {
            table: id(table),
            key: key_bytes.clone(),
            row: row.into(),
            orphaned,
            waits: (id(waits.0), self.world.key(waits.0, waits.1)),
            source: version.origin,
            position: version.seen[0].position,
            sequence,
            subject: Some("cdc.us-east.0.public.text".into()),
            counted_by: None,
        });
        let part = self.parts.entry(table).or_default();
        let row = Touch::No;
        let write = VersionWrite {
            key: key_bytes,
            version,
            row,
            ordered_by: None,
            counted: Some(Counted::default()),
        };
        part.versions.push((write, None));
        part.keys.push(key.iter().map(|k| (*k).to_owned()).collect());
    }

    /// A kept row goes: put in by this batch, or removed.
    pub fn unkeep(&mut self, table: usize, key: &[&str]) {
        self.writes.unkept.push((id(table), self.world.key(table, key)));
    }

    pub fn gate(&mut self, table: usize, seen: Seen) {
        self.parts.entry(table).or_default().gate.push(seen);
    }

    /// Counts a change that writes nothing here.
    pub fn next(&mut self, fate: Disposition) -> u32 {
        self.writes.counts.add(fate);
        self.changes += 1;
        self.changes - 1
    }

    /// The sequence of a change of this batch.
    pub fn sequence(&self, change: u32) -> u64 {
        self.from + 1 + u64::from(change)
    }

    /// What `begin` and `commit` take.
    pub fn done(mut self) -> (Wanted, Writes) {
        let through = self.from + u64::from(self.changes);
        self.writes.through = through;
        self.writes.scanned = self.writes.scanned.max(through);
        let mut tables = Vec::new();
        for (table, part) in std::mem::take(&mut self.parts) {
            let keys: Vec<Vec<&str>> =
                part.keys.iter().map(|k| k.iter().map(String::as_str).collect()).collect();
            let keys: Vec<&[&str]> = keys.iter().map(Vec::as_slice).collect();
            tables.push(self.world.wanted(table, &keys, &[], self.versions));
            self.writes.tables.push(part.writes(table));
        }
        (Wanted { from: self.from, tables, events: self.events, generation: None }, self.writes)
    }

    /// Begins and commits; the batch must go through.
    pub async fn run(self, claim: &mut <F::Sink as Sink>::Claim) -> Standing {
        let (wanted, writes) = self.done();
        let through = writes.through;
        let standing = claim.begin(wanted).await.expect("the lane is ours");
        let after = claim.commit(writes).await.expect("the batch is good");
        assert_eq!((after.sequence, after.delivered), (through, after.counts.sum()));
        assert_eq!(claim.checkpoint(), &after);
        standing
    }

    fn version_of(&self, table: usize, key: &[String], standing: StandingKind) -> Option<VersionWrite> {
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        let n = self.sequence(self.changes);
        self.versions.then(|| VersionWrite {
            key: self.world.key(table, &key),
            version: self.world.version(standing, n),
            row: Touch::No,
            ordered_by: None,
            counted: self.counted.clone(),
        })
    }
}

impl Part {
    fn writes(self, table: usize) -> TableWrites {
        let sets: Vec<Vec<usize>> = self.upserts.keys().cloned().collect();
        let set = |columns: &Vec<usize>| sets.iter().position(|s| s == columns).expect("its own set");
        let mut versions = Vec::new();
        for (mut version, columns) in self.versions {
            if let (Touch::Written(_, row), Some(columns)) = (version.row, &columns) {
                version.row = Touch::Written(u32::try_from(set(columns)).expect("few sets"), row);
            }
            versions.push(version);
        }
        TableWrites {
            table: id(table),
            upserts: self.upserts.into_values().collect(),
            deletes: self.deletes,
            versions,
            gate: self.gate,
        }
    }
}
