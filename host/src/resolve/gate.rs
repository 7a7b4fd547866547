//! The gate, per key and source: what was seen before changes nothing.
//!
//! Positions of one source only; changes of different sources are contestants, not duplicates.

use reconverge_streams::{
    names::NameId,
    position::{BEFORE_ALL, Micros, Position, Seen},
};
use smallvec::SmallVec;

/// What the gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It goes on. `at` is its commit time: of a snapshot row that of the newest live change of its source.
    Pass {
        /// The commit time to decide by.
        at: Micros,
        /// Whether the source's newest change before this one was a delete.
        came_back: bool,
        /// Whether the source has changed the key before, so that this change is the later one.
        later: bool,
    },
    /// Its position is the newest already seen.
    Duplicate,
    /// Its position is before the newest seen.
    Regressed,
    /// The same, and its commit time is later than that of the newest: no repetition can be so. Carries the newest.
    Suspicious(Position),
}

/// A change as the gate sees it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Its source.
    pub source: NameId,
    /// Its position; `None` passes always (grades B and C): repetitions are told before.
    pub position: Option<Position>,
    /// Its commit time.
    pub at: Micros,
    /// Whether it is a snapshot row.
    pub snapshot: bool,
    /// Whether it deletes.
    pub delete: bool,
    /// Whether an operator sent it again: it passes, and lowers nothing.
    pub redriven: bool,
    /// The newest commit time that the lane has applied, for keys of which only snapshot rows were seen.
    pub newest_at: Option<Micros>,
}

/// Lets a change by and raises its source's position, whatever becomes of it afterwards.
pub fn pass(seen: &mut SmallVec<[Seen; 2]>, arrival: Arrival) -> Passage {
    let newest = seen.iter_mut().find(|s| s.source == arrival.source);
    let Some(newest) = newest else {
        let at = if arrival.snapshot { BEFORE_ALL } else { arrival.at };
        let position = arrival.position.unwrap_or(Position::UNKNOWN);
        seen.push(Seen { source: arrival.source, position, deleted: arrival.delete, live_at: at });
        return Passage::Pass { at, came_back: false, later: false };
    };
    let Some(position) = arrival.position else {
        // No repetition (that was told by the event's id, or cannot be told), so the stream's order is the source's.
        let at = if arrival.snapshot { newest.live_at } else { arrival.at };
        let came_back = newest.deleted;
        *newest = Seen { deleted: arrival.delete, live_at: at, ..*newest };
        return Passage::Pass { at, came_back, later: false };
    };
    if position <= newest.position && !arrival.redriven {
        return if position == newest.position {
            Passage::Duplicate
        } else {
            behind(newest, position, &arrival)
        };
    }
    let (came_back, later) = (newest.deleted, position > newest.position);
    let at = if arrival.snapshot { newest.live_at } else { arrival.at };
    if later {
        *newest = Seen { source: arrival.source, position, deleted: arrival.delete, live_at: at };
    }
    Passage::Pass { at, came_back, later }
}

/// What a change before the newest position is. A snapshot row's time is that of the snapshot, which tells nothing.
fn behind(newest: &Seen, position: Position, arrival: &Arrival) -> Passage {
    let known = if newest.live_at == BEFORE_ALL { arrival.newest_at } else { Some(newest.live_at) };
    let later = known.is_some_and(|known| arrival.at > known);
    if later && !arrival.snapshot && position.epoch == newest.position.epoch {
        return Passage::Suspicious(newest.position);
    }
    Passage::Regressed
}

/// The gate of a table with one writer, per lane and source: equal positions pass (the rows of one COPY or
/// snapshot share one; written again in order they change nothing).
pub fn pass_single_writer(gate: &mut Vec<Seen>, arrival: Arrival) -> Passage {
    let passed = Passage::Pass { at: arrival.at, came_back: false, later: true };
    let Some(position) = arrival.position else { return passed };
    match gate.iter_mut().find(|s| s.source == arrival.source) {
        None => {
            gate.push(Seen { source: arrival.source, position, deleted: false, live_at: arrival.at });
            passed
        }
        Some(newest) if position < newest.position && !arrival.redriven => behind(newest, position, &arrival),
        Some(newest) => {
            newest.position = newest.position.max(position);
            newest.live_at = newest.live_at.max(arrival.at);
            passed
        }
    }
}

#[cfg(test)]
mod tests {
    use reconverge_streams::names::Names;

    use super::*;

    fn at(source: NameId, commit: u64, ordinal: u64) -> Arrival {
        let position = Some(Position { epoch: 0, commit, ordinal });
        Arrival {
            source,
            position,
            at: 100 + i64::try_from(commit).unwrap(),
            snapshot: false,
            delete: false,
            redriven: false,
            newest_at: None,
        }
    }

    fn at_of(passage: Passage) -> i64 {
        if let Passage::Pass { at, .. } = passage { at } else { -1 }
    }
    #[test]
    fn one_source_goes_only_forward_and_sources_do_not_mix() {
        let names = Names::default();
        let (east, west) = (names.intern("east").unwrap(), names.intern("west").unwrap());
        let mut seen = SmallVec::new();
        assert_eq!(at_of(pass(&mut seen, at(east, 5, 2))), 105);
        assert_eq!(pass(&mut seen, at(east, 5, 2)), Passage::Duplicate);
        assert_eq!(pass(&mut seen, at(east, 5, 1)), Passage::Regressed);
        assert_eq!(at_of(pass(&mut seen, at(west, 1, 0))), 101);
        assert_eq!(at_of(pass(&mut seen, at(east, 5, 3))), 105);
    }

    #[test]
    fn a_snapshot_row_is_as_old_as_what_it_repeats() {
        let names = Names::default();
        let east = names.intern("east").unwrap();
        let mut seen = SmallVec::new();
        let snapshot = |commit| Arrival { snapshot: true, ..at(east, commit, 0) };
        assert_eq!(at_of(pass(&mut seen, snapshot(1))), BEFORE_ALL);
        assert_eq!(at_of(pass(&mut seen, at(east, 2, 0))), 102);
        assert_eq!(at_of(pass(&mut seen, snapshot(3))), 102);
    }

    #[test]
    fn a_source_without_positions_passes_and_its_deletes_are_remembered() {
        let names = Names::default();
        let east = names.intern("east").unwrap();
        let mut seen = SmallVec::new();
        let unplaced = |commit| Arrival { position: None, ..at(east, commit, 0) };
        assert_eq!(at_of(pass(&mut seen, unplaced(5))), 105);
        let deleted = pass(&mut seen, Arrival { delete: true, ..unplaced(7) });
        assert_eq!(deleted, Passage::Pass { at: 107, came_back: false, later: false });
        assert_eq!((seen[0].position, seen[0].deleted), (Position::UNKNOWN, true));
        let snapshot = pass(&mut seen, Arrival { snapshot: true, ..unplaced(9) });
        assert_eq!(snapshot, Passage::Pass { at: 107, came_back: true, later: false });
        // One that begins to send positions is not before what it sent without.
        let zero = Arrival { position: Some(Position::default()), ..at(east, 1, 0) };
        assert!(matches!(pass(&mut seen, zero), Passage::Pass { later: true, .. }));
    }

    #[test]
    fn a_lower_position_with_a_later_commit_time_is_a_suspicion() {
        let names = Names::default();
        let east = names.intern("east").unwrap();
        let (mut seen, mut gate) = (SmallVec::new(), Vec::new());
        pass(&mut seen, at(east, 9, 0));
        pass_single_writer(&mut gate, at(east, 9, 0));
        let newest = Position { epoch: 0, commit: 9, ordinal: 0 };
        let restored = Arrival { at: 110, ..at(east, 4, 0) };
        assert_eq!(pass(&mut seen, restored), Passage::Suspicious(newest));
        assert_eq!(pass_single_writer(&mut gate, restored), Passage::Suspicious(newest));
        assert_eq!(pass(&mut seen, Arrival { at: 109, ..restored }), Passage::Regressed, "not later");
        assert_eq!(pass(&mut seen, Arrival { snapshot: true, ..restored }), Passage::Regressed);
        let position = Some(Position { epoch: 1, commit: 1, ordinal: 0 });
        assert!(matches!(
            pass(&mut seen, Arrival { position, ..restored }),
            Passage::Pass { later: true, .. }
        ));
        assert_eq!(pass(&mut seen, restored), Passage::Regressed, "of an epoch that is over");
    }

    #[test]
    fn a_key_of_which_only_a_snapshot_was_seen_is_judged_by_the_lane() {
        let names = Names::default();
        let east = names.intern("east").unwrap();
        let mut seen = SmallVec::new();
        pass(&mut seen, Arrival { snapshot: true, ..at(east, 9, 0) });
        let restored = Arrival { at: 110, ..at(east, 4, 0) };
        assert_eq!(pass(&mut seen, restored), Passage::Regressed);
        assert_eq!(pass(&mut seen, Arrival { newest_at: Some(110), ..restored }), Passage::Regressed);
        let suspicious = pass(&mut seen, Arrival { newest_at: Some(109), ..restored });
        assert!(matches!(suspicious, Passage::Suspicious(_)));
    }

    #[test]
    fn a_redriven_change_passes_and_lowers_nothing() {
        let names = Names::default();
        let east = names.intern("east").unwrap();
        let mut seen = SmallVec::new();
        pass(&mut seen, at(east, 9, 0));
        assert!(matches!(
            pass(&mut seen, Arrival { redriven: true, ..at(east, 4, 0) }),
            Passage::Pass { .. }
        ));
        assert_eq!(pass(&mut seen, at(east, 8, 0)), Passage::Regressed);
        let before = seen.clone();
        let newest_again = Arrival { redriven: true, delete: true, at: 500, ..at(east, 9, 0) };
        let passed = Passage::Pass { at: 500, came_back: false, later: false };
        assert_eq!(pass(&mut seen, newest_again), passed, "the newest is no later than itself");
        assert_eq!(seen, before);
    }

    #[test]
    fn a_single_writer_lets_equal_positions_by() {
        let names = Names::default();
        let east = names.intern("east").unwrap();
        let mut gate = Vec::new();
        assert!(matches!(pass_single_writer(&mut gate, at(east, 5, 0)), Passage::Pass { .. }));
        assert!(matches!(pass_single_writer(&mut gate, at(east, 5, 0)), Passage::Pass { .. }));
        assert_eq!(pass_single_writer(&mut gate, at(east, 4, 0)), Passage::Regressed);
    }
}
