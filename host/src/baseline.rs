//! What a row is taken for that stood before the pipeline knew it: a table that was filled from a dump, a restored sink, a
//! repair by hand. Pure; `reconverge adopt` is the command.
//!
//! Without a baseline such a row is the application's: origin the sink's region, commit time unknown. With one it is a
//! row of the region that it was copied from, and changes of that source up to the copy's position are known.

use reconverge_streams::{
    columns::Columns,
    names::NameId,
    position::{BEFORE_ALL, Micros, Seen},
    standing::{StandingKey, StandingKind, StandingTable, Version, WantedTable},
    table::TableId,
    writes::{Deletes, TableWrites, Touch, VersionWrite},
};
use smallvec::SmallVec;

/// Where the rows of a table come from.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// The region that wrote them.
    pub origin: NameId,
    /// When; `None`: unknown, which is older than any time.
    pub at: Option<Micros>,
    /// What of each source is in them already.
    pub seen: SmallVec<[Seen; 2]>,
    /// Take over also rows that the pipeline knows and that look written by the application.
    pub local: bool,
}

/// What was found, by rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// That get the baseline.
    pub adopted: u64,
    /// As the pipeline wrote them.
    pub ours: u64,
    /// Written by the application after the pipeline, and left so.
    pub local: u64,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: Tally) {
        self.adopted += other.adopted;
        self.ours += other.ours;
        self.local += other.local;
    }
}

impl Baseline {
    /// The versions that the rows of a page get: `standing` is what stands for the keys of `wanted`.
    #[must_use]
    pub fn writes(&self, wanted: &WantedTable, standing: &StandingTable) -> (TableWrites, Tally) {
        let (mut writes, mut tally) = (nothing(wanted.table), Tally::default());
        for (key, stands) in wanted.keys.iter().zip(&standing.keys) {
            if stands.row.is_none() {
                continue;
            }
            match self.version(stands) {
                Some(version) => {
                    writes.versions.push(VersionWrite {
                        key: key.to_vec(),
                        version,
                        row: Touch::TakenOver,
                        ordered_by: None,
                        counted: None,
                    });
                    tally.adopted += 1;
                }
                None if stands.local.is_some() => tally.local += 1,
                None => tally.ours += 1,
            }
        }
        (writes, tally)
    }

    /// The newest positions of a lane over a table without versions; `None` where they are known already.
    #[must_use]
    pub fn gate(&self, table: TableId, known: &[Seen]) -> Option<TableWrites> {
        let gate = self.with(known).into_vec();
        (gate != known).then(|| TableWrites { gate, ..nothing(table) })
    }

    /// The version that a row gets; `None` where it keeps what it has.
    fn version(&self, stands: &StandingKey) -> Option<Version> {
        let fresh = |known: &[Seen]| Version {
            standing: StandingKind::Row,
            origin: self.origin,
            committed_at: self.at.unwrap_or(BEFORE_ALL),
            seen: self.with(known),
            clock: None,
        };
        let Some(version) = &stands.version else { return Some(fresh(&[])) };
        match version.standing {
            // Only positions are known of it.
            StandingKind::Nothing => Some(fresh(&version.seen)),
            // As it was replicated, but for what the sink knows it by.
            StandingKind::Row if stands.local.is_some() && self.local => Some(version.clone()),
            StandingKind::Tombstone | StandingKind::Absence if self.local => Some(fresh(&version.seen)),
            // A row that waits for its parent stands, whatever is in the sink in its place.
            StandingKind::Row | StandingKind::Tombstone | StandingKind::Absence | StandingKind::Kept => None,
        }
    }

    /// Of each source the newer of what is known and what the baseline says.
    fn with(&self, known: &[Seen]) -> SmallVec<[Seen; 2]> {
        let mut all = SmallVec::from(known);
        for seen in &self.seen {
            match all.iter_mut().find(|k: &&mut Seen| k.source == seen.source) {
                Some(known) if known.position >= seen.position => {}
                Some(known) => *known = *seen,
                None => all.push(*seen),
            }
        }
        all
    }
}

fn nothing(table: TableId) -> TableWrites {
    let deletes = Deletes { keys: Columns::default(), changes: Vec::new() };
    TableWrites { table, upserts: Vec::new(), deletes, versions: Vec::new(), gate: Vec::new() }
}

#[cfg(test)]
mod tests {
    use reconverge_streams::{names::Names, position::Position, standing::LocalWrite};

    use super::*;

    fn seen(source: NameId, commit: u64) -> Seen {
        Seen { source, position: Position { epoch: 0, commit, ordinal: 0 }, deleted: false, live_at: 5 }
    }

    fn version(standing: StandingKind, origin: NameId, commit: u64) -> Version {
        let seen = [seen(origin, commit)].into_iter().collect();
        Version { standing, origin, committed_at: 77, seen, clock: None }
    }

    /// What the rows of a page get, and what was counted.
    fn tried(local: bool, keys: Vec<StandingKey>) -> (Vec<(Vec<u8>, Version)>, Tally) {
        let names = Names::default();
        let [east, west] = ["east", "west"].map(|name| names.intern(name).unwrap());
        let baseline = Baseline {
            origin: east,
            at: Some(9),
            seen: [seen(east, 100), seen(west, 3)].into_iter().collect(),
            local,
        };
        let wanted = WantedTable {
            table: TableId(0),
            keys: (0..keys.len()).map(|k| vec![u8::try_from(k).unwrap()]).collect(),
            cells: Columns::default(),
            versions: true,
            order_columns: Vec::new(),
        };
        let (writes, tally) = baseline.writes(&wanted, &StandingTable { keys, ..StandingTable::default() });
        assert!(writes.versions.iter().all(|v| v.row == Touch::TakenOver));
        (writes.versions.into_iter().map(|v| (v.key, v.version)).collect(), tally)
    }

    fn row(version: Option<Version>, local: bool) -> StandingKey {
        let local = local.then_some(LocalWrite { at: None });
        StandingKey { row: Some(0), version, local, ..StandingKey::default() }
    }

    fn page() -> Vec<StandingKey> {
        let names = Names::default();
        let east = names.intern("east").unwrap();
        vec![
            row(None, true),
            row(Some(version(StandingKind::Nothing, east, 200)), true),
            row(Some(version(StandingKind::Row, east, 1)), false),
            row(Some(version(StandingKind::Row, east, 1)), true),
            row(Some(version(StandingKind::Tombstone, east, 50)), true),
            row(Some(version(StandingKind::Kept, east, 1)), true),
            StandingKey { version: Some(version(StandingKind::Row, east, 1)), ..StandingKey::default() },
        ]
    }

    #[test]
    fn rows_that_nobody_knows_get_the_baseline() {
        let (versions, tally) = tried(false, page());
        assert_eq!(tally, Tally { adopted: 2, ours: 1, local: 3 });
        let commits = |version: &Version| version.seen.iter().map(|s| s.position.commit).collect::<Vec<_>>();
        assert_eq!(versions.iter().map(|(key, _)| key[0]).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(commits(&versions[0].1), [100, 3]);
        assert_eq!(commits(&versions[1].1), [200, 3], "the newer position of each source");
        assert!(versions.iter().all(|(_, v)| (v.standing, v.committed_at) == (StandingKind::Row, 9)));
    }

    #[test]
    fn what_looks_local_is_taken_over_where_that_is_asked_for() {
        let (versions, tally) = tried(true, page());
        assert_eq!(tally, Tally { adopted: 4, ours: 1, local: 1 });
        assert_eq!(versions.iter().map(|(key, _)| key[0]).collect::<Vec<_>>(), [0, 1, 3, 4]);
        let (replicated, came_back) = (&versions[2].1, &versions[3].1);
        assert_eq!((replicated.committed_at, replicated.seen.len()), (77, 1), "it keeps its version");
        assert_eq!((came_back.standing, came_back.committed_at), (StandingKind::Row, 9));
    }

    #[test]
    fn a_gate_is_raised_and_never_lowered() {
        let names = Names::default();
        let east = names.intern("east").unwrap();
        let baseline =
            Baseline { origin: east, at: None, seen: [seen(east, 100)].into_iter().collect(), local: false };
        let raised = |known: &[Seen]| baseline.gate(TableId(3), known).map(|w| w.gate);
        assert_eq!(raised(&[]), Some(vec![seen(east, 100)]));
        assert_eq!(raised(&[seen(east, 99)]), Some(vec![seen(east, 100)]));
        assert_eq!(raised(&[seen(east, 100)]), None);
    }
}
