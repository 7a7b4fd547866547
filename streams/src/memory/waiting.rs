//! Changes that wait on time, and paused tables, in memory.

use super::{
    database::{Contents, WaitingChange},
    sink::MemoryClaim,
};
use crate::{
    sink::ClaimRequest,
    waiting::{Depth, Paused, Waiting, WaitingId, WaitingWanted},
    writes::Writes,
};

/// Keeps what begins to wait, takes out what was released, counts what was tried in vain.
pub(super) fn write(state: &mut Contents, request: &ClaimRequest, writes: &Writes) {
    let lane = request.lane.to_string();
    let place = |id: &WaitingId| {
        (lane.clone(), id.sequence, request.tables[id.table.index()].name.clone(), id.key.clone())
    };
    for id in &writes.released {
        state.waiting.remove(&place(id));
    }
    for id in &writes.tried {
        state.waiting.entry(place(id)).and_modify(|change| change.attempts += 1);
    }
    let parked_at = state.now();
    for change in &writes.waiting {
        let stored = WaitingChange {
            why: change.why,
            until: change.until,
            source: request.names.get(change.source),
            position: change.position,
            moved: change.moved.clone(),
            parked_at,
            asked: None,
            attempts: 0,
            counted_by: lane.as_str().into(),
            change: change.change.clone(),
        };
        state.waiting.insert(place(&change.id), stored);
    }
}

impl MemoryClaim {
    /// See [`crate::sink::Claim::waiting`].
    pub(super) fn waiting_in(&self, state: &Contents, asked: &WaitingWanted) -> Vec<Waiting> {
        let lane = &self.checkpoint.lane;
        let ours = state.waiting.iter().filter(|((of, ..), _)| of == lane);
        let wanted = ours.filter(|((_, sequence, ..), _)| match asked {
            WaitingWanted::All => true,
            WaitingWanted::Sequences(sequences) => sequences.contains(sequence),
        });
        let with_bytes = *asked != WaitingWanted::All;
        let read = |((_, sequence, table, key), stored): (&super::database::WaitingKey, &WaitingChange)| {
            let id = WaitingId { sequence: *sequence, table: self.table_of(table)?, key: key.clone() };
            Some(Waiting {
                id,
                why: stored.why,
                until: stored.until,
                source: self.request.names.intern(&stored.source).ok(),
                position: stored.position,
                moved: stored.moved.clone(),
                parked_at: stored.parked_at,
                attempts: stored.attempts,
                counted_by: self.elsewhere(&stored.counted_by),
                change: if with_bytes { stored.change.clone() } else { Vec::new() },
            })
        };
        wanted.filter_map(read).collect()
    }

    /// See [`crate::sink::Claim::depths`].
    pub(super) fn depths_in(&self, state: &Contents) -> Vec<Depth> {
        let lane = &self.checkpoint.lane;
        let kept = state.kept.iter().filter(|(_, row)| row.lane == *lane);
        let kept = kept.map(|((table, _), row)| (table, super::records::why(row), row.at));
        let waiting = state.waiting.iter().filter(|((of, ..), _)| of == lane);
        let waiting = waiting.map(|((_, _, table, _), w)| (table, w.why.word(), w.parked_at));
        let mut depths: Vec<Depth> = Vec::new();
        for (table, why, at) in kept.chain(waiting) {
            let Some(table) = self.table_of(table) else { continue };
            match depths.iter_mut().find(|d| d.table == table && d.why == why) {
                Some(depth) => {
                    depth.rows += 1;
                    depth.oldest_at = depth.oldest_at.min(at);
                }
                None => depths.push(Depth { table, why: why.into(), rows: 1, oldest_at: at }),
            }
        }
        depths
    }

    /// See [`crate::sink::Claim::paused`].
    pub(super) fn paused_in(&self, state: &Contents) -> Vec<Paused> {
        let of = |(name, reason): (&String, &String)| {
            Some(Paused { table: self.table_of(name)?, reason: reason.clone() })
        };
        state.paused.iter().filter_map(of).collect()
    }
}

/// Pauses the tables of a claim that are not as it has them.
pub(super) fn pause_unlike(state: &mut Contents, request: &ClaimRequest) {
    for planned in &request.tables {
        let why = match state.tables.get(&planned.name) {
            None => Some("the table is gone".to_owned()),
            Some(now) => planned.unlike(&now.shape),
        };
        if let Some(why) = why {
            state.paused.entry(planned.name.clone()).or_insert(why);
        }
    }
}
