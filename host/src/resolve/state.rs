//! What stands for a key while a batch is decided: read from the sink, moved on by each round.

use std::sync::Arc;

use reconverge_streams::{
    disposition::Disposition,
    names::NameId,
    position::{Micros, Position, Seen},
    standing::{StandingKey, StandingKind, Version},
    table::TableId,
    writes::Counted,
};
use smallvec::SmallVec;

use crate::{
    plan::Deletes,
    stages::{Arena, RowRef},
};

use super::{clocks::KeyClock, column_set::ColumnSet};

/// What stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// Nothing was ever known of the key, or only changes that became dead letters.
    Nothing,
    /// A row.
    Live(RowRef),
    /// Deleted, with the order columns it was deleted with.
    Tombstone(Option<RowRef>),
    /// A row that does not belong here, with its order columns.
    Absence(Option<RowRef>),
}

impl Stands {
    /// The row to compare with, live or not.
    pub(super) fn row(self) -> Option<RowRef> {
        match self {
            Stands::Nothing => None,
            Stands::Live(row) => Some(row),
            Stands::Tombstone(row) | Stands::Absence(row) => row,
        }
    }

    pub(super) fn live(self) -> Option<RowRef> {
        if let Stands::Live(row) = self { Some(row) } else { None }
    }
}

/// Whether the sink's table holds a row of the key as the transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InSink {
    No,
    Yes,
    /// A table with one writer is not read.
    Unknown,
}

/// What stood for a key before a decision took effect, as far as the history tells it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stood {
    pub(super) stands: Stands,
    pub(super) origin: NameId,
    pub(super) at: Option<Micros>,
    /// Whether the application wrote it.
    pub(super) local: bool,
}

#[derive(Clone, Debug)]
pub(super) struct KeyState {
    pub(super) stands: Stands,
    /// Origin of what stands.
    pub(super) origin: NameId,
    /// Commit time of what stands; `None` where unknown or nothing stands.
    pub(super) at: Option<Micros>,
    pub(super) seen: SmallVec<[Seen; 2]>,
    /// What a rule by logical clocks or by columns keeps; boxed, because few tables have one.
    pub(super) clock: Option<Box<KeyClock>>,
    /// Whether the application wrote what stands.
    pub(super) local: bool,
    pub(super) in_sink: InSink,
    /// The columns of the row that are as the sink has them; `None`: all, the batch has not touched it.
    pub(super) kept: Option<ColumnSet>,
    /// The row went and came within this batch, so what the sink holds is not its past.
    pub(super) broken: bool,
    /// What stood before the delete half of a key change, for its create half; `None` where the batch has no such half.
    pub(super) moved_away: Option<Option<RowRef>>,
    /// The version is written: a change passed the gate, or the row came into the sink or left it.
    pub(super) touched: bool,
    /// The change that set what stands; `None` while it is as the sink has it.
    pub(super) set_by: Option<u32>,
    /// The row that stood was kept beside when the transaction began. Boxed, because few are and states are copied.
    pub(super) was_kept: Option<Box<WasKept>>,
    /// Beside what stands a row is still kept that does not: the application wrote another into the sink.
    pub(super) displaced: Option<Box<WasKept>>,
    /// Who counts the change which stood when the transaction began, and as what while its row is in the sink.
    pub(super) counted: Counted,
    /// The row stands and is not in the sink: the parent that is missing.
    pub(super) hidden: Option<Hidden>,
    /// What stood was discarded: by hand, or because its parent does not come.
    pub(super) discarded: bool,
    /// The row that was discarded because its parent does not come.
    pub(super) orphan: Option<RowRef>,
    /// The row stands without what names a parent.
    pub(super) stripped: bool,
}

/// How a row was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WasKept {
    /// The parent was known not to come by itself.
    pub(super) orphaned: bool,
    /// The parent that it is filed under, where the plan has its table.
    pub(super) waits: Option<(TableId, Vec<u8>)>,
    /// The lane that counts it, where that is another one.
    pub(super) counted_by: Option<Arc<str>>,
}

impl WasKept {
    /// Whether it goes on as it is.
    pub(super) fn is_still(&self, hidden: Option<&Hidden>) -> bool {
        hidden.is_some_and(|h| h.orphaned == self.orphaned && self.waits.as_ref() == Some(&h.waits))
    }
}

/// Why a row that stands is not in the sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hidden {
    /// The parent is known not to come by itself.
    pub(super) orphaned: bool,
    /// The parent's table and key.
    pub(super) waits: (TableId, Vec<u8>),
}

impl KeyState {
    /// A key that the sink was not asked for.
    pub(super) fn unknown(region: NameId) -> Self {
        KeyState {
            stands: Stands::Nothing,
            origin: region,
            at: None,
            seen: SmallVec::new(),
            clock: None,
            local: false,
            in_sink: InSink::Unknown,
            kept: None,
            broken: false,
            moved_away: None,
            touched: false,
            set_by: None,
            was_kept: None,
            displaced: None,
            counted: Counted::default(),
            hidden: None,
            discarded: false,
            orphan: None,
            stripped: false,
        }
    }

    /// A key as the sink holds it. A row that is not as we wrote it stands as a write of the sink's own region;
    /// a row that the application deleted counts, where deletes win, as that region's delete. Where deletes are
    /// ordered its order value went with it, so nothing stands.
    pub(super) fn load(key: &StandingKey, region: NameId, deletes: Deletes) -> Self {
        let mut state = KeyState { in_sink: InSink::No, ..KeyState::unknown(region) };
        state.counted.clone_from(&key.counted);
        let standing = |row| RowRef { arena: Arena::Standing, row };
        if let Some(version) = &key.version {
            state.seen.clone_from(&version.seen);
            state.origin = version.origin;
            state.at = Some(version.committed_at);
            state.clock = version.clock.as_deref().and_then(KeyClock::read);
        }
        let was_kept = || {
            let kept = key.kept.as_ref()?;
            let (orphaned, waits, counted_by) = (kept.orphaned, kept.waits.clone(), kept.counted_by.clone());
            Some(Box::new(WasKept { orphaned, waits, counted_by }))
        };
        if let Some(row) = key.row {
            state.displaced = was_kept();
            state.touched = state.displaced.is_some();
            state.in_sink = InSink::Yes;
            state.stands = Stands::Live(standing(row));
            if key.local.is_some() || key.version.is_none() {
                state.local = true;
                state.origin = region;
                state.at = key.local.and_then(|l| l.at);
                state.seen.iter_mut().filter(|s| s.source == region).for_each(|s| s.deleted = false);
            }
            return state;
        }
        if let Some(kept) = &key.kept {
            state.stands = Stands::Live(standing(kept.row));
            state.kept = Some(ColumnSet::default());
            state.was_kept = was_kept();
            return state;
        }
        let order = key.ordered_by.map(standing);
        state.stands = match key.version.as_ref().map(|v| v.standing) {
            Some(StandingKind::Tombstone) => Stands::Tombstone(order),
            Some(StandingKind::Absence) => Stands::Absence(order),
            Some(StandingKind::Row) if deletes == Deletes::Win => {
                state.deleted_locally(region, key.local.and_then(|l| l.at));
                Stands::Tombstone(None)
            }
            Some(StandingKind::Row | StandingKind::Kept | StandingKind::Nothing) | None => Stands::Nothing,
        };
        if state.stands == Stands::Nothing {
            state.at = None;
        }
        state
    }

    /// As what the change which stood counts while its row is in the sink.
    pub(super) fn counts_as(&self) -> Disposition {
        if self.counted.merged { Disposition::Merged } else { Disposition::Applied }
    }

    fn deleted_locally(&mut self, region: NameId, at: Option<Micros>) {
        self.local = true;
        self.origin = region;
        self.at = at;
        match self.seen.iter_mut().find(|s| s.source == region) {
            Some(seen) => seen.deleted = true,
            None => self.seen.push(Seen {
                source: region,
                position: Position::default(),
                deleted: true,
                live_at: reconverge_streams::position::BEFORE_ALL,
            }),
        }
    }

    /// What stands, to be told after it does not any more.
    pub(super) fn stood(&self) -> Stood {
        Stood { stands: self.stands, origin: self.origin, at: self.at, local: self.local }
    }

    /// The row as it was before its key changed: what the create half is filled from. A row that had gone before is
    /// not taken back, or the cut of batches would decide what is filled.
    pub(super) fn row_before_move(&self) -> Option<RowRef> {
        self.moved_away.unwrap_or(self.stands.live())
    }

    /// What is kept beside does not stand any more; its order value stays, as of a row that does not belong here.
    pub(super) fn discard(&mut self) {
        let kept = self.was_kept.is_some() && self.set_by.is_none();
        if let Some(row) = self.stands.live().filter(|_| kept) {
            self.stands = Stands::Absence(Some(row));
            self.discarded = true;
            self.touched = true;
        }
    }

    /// Whether another source's newest change is a delete.
    pub(super) fn gone_elsewhere(&self, source: NameId) -> bool {
        self.seen.iter().any(|s| s.source != source && s.deleted)
    }

    /// The version as it is to be written.
    pub(super) fn version(&self) -> Version {
        Version {
            standing: match self.stands {
                Stands::Nothing => StandingKind::Nothing,
                Stands::Live(_) if self.hidden.is_some() => StandingKind::Kept,
                Stands::Live(_) => StandingKind::Row,
                Stands::Tombstone(_) => StandingKind::Tombstone,
                Stands::Absence(_) => StandingKind::Absence,
            },
            origin: self.origin,
            committed_at: self.at.unwrap_or(reconverge_streams::position::BEFORE_ALL),
            seen: self.seen.clone(),
            clock: self.clock.as_ref().and_then(|clock| clock.write()),
        }
    }
}
