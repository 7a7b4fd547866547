//! Holes in a database in memory: recorded, passed, accepted.

use super::database::Contents;
use crate::{
    checkpoint::Checkpoint,
    hole::{ACCEPTED, FILLED, Hole, HoleRecord, OPEN, Passed, Resume},
    text,
};

/// Records a hole before a lane, or finds it.
pub(super) fn record(state: &mut Contents, ours: &Checkpoint, hole: &Hole) -> HoleRecord {
    let at = text::format_timestamp(state.now());
    let waits = state.holes.iter_mut().find(|(created, known)| {
        known.passed_at.is_none()
            && known.lane == ours.lane
            && known.kind == hole.kind.word()
            && *created == ours.stream_created
    });
    if let Some((_, known)) = waits {
        if known.state == OPEN {
            known.first = known.first.min(hole.first);
            known.last = hole.last;
        }
        return known.clone();
    }
    let record = HoleRecord {
        id: i64::try_from(state.holes.len()).unwrap_or(i64::MAX) + 1,
        lane: ours.lane.clone(),
        stream: ours.stream.clone(),
        first: hole.first,
        last: hole.last,
        kind: hole.kind.word().into(),
        state: OPEN.into(),
        at,
        passed_at: None,
        closed_at: None,
        by: None,
        note: None,
    };
    state.holes.push((ours.stream_created, record.clone()));
    record
}

/// Moves the checkpoint behind a hole; returns it.
pub(super) fn pass(
    state: &mut Contents,
    ours: &Checkpoint,
    id: i64,
    how: &Passed,
    resume: Resume,
) -> Checkpoint {
    let now = text::format_timestamp(state.now());
    if let Some((_, hole)) = state.holes.iter_mut().find(|(_, hole)| hole.id == id) {
        hole.passed_at = Some(now.clone());
        if let (Passed::Filled { mirror }, OPEN) = (how, hole.state.as_str()) {
            hole.state = FILLED.into();
            hole.closed_at = Some(now);
            hole.by = Some(mirror.clone());
        }
    }
    if matches!(resume, Resume::Anew { .. }) {
        let old = format!("{}@{id}", ours.stream);
        let of_lane =
            |d: &&mut crate::records::DeadLetterRecord| d.lane == ours.lane && d.stream == ours.stream;
        state.dead.iter_mut().map(|(_, d)| d).filter(of_lane).for_each(|d| d.stream.clone_from(&old));
    }
    let after = ours.behind_hole(resume);
    state.checkpoints.insert(after.lane.clone(), after.clone());
    after
}

/// Accepts an open hole.
pub(super) fn accept(state: &mut Contents, id: i64, by: &str, note: Option<&str>) -> bool {
    let now = text::format_timestamp(state.now());
    let open = state.holes.iter_mut().map(|(_, hole)| hole).find(|h| h.id == id && h.state == OPEN);
    open.is_some_and(|hole| {
        hole.state = ACCEPTED.into();
        hole.closed_at = Some(now);
        hole.by = Some(by.into());
        hole.note = note.map(String::from);
        true
    })
}
