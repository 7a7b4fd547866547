//! Events of sources without positions: which of a batch were seen before, in the sink or earlier in the batch.
//!
//! Stands before the gate, which such changes pass always. The halves of a key change are one message, so they
//! share their event and its fate.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    sync::Arc,
};

use reconverge_streams::{
    event::{Event, Grade},
    names::NameId,
    writes::ChangeIndex,
};
use sha2::{Digest, Sha256};

use crate::batch::{Batch, Change, ItemKind};

/// Ids that are longer are kept as their digest: a sink's index has no room for them.
const ID_BYTES_MAX: usize = 200;

/// What the sink's answer says of a batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats {
    /// Changes whose event was seen before.
    pub(super) repeated: HashSet<ChangeIndex>,
    /// The events that are new, to be remembered.
    pub(super) new: Vec<Event>,
}

/// The distinct events of a batch, in the order in which the sink is asked for them.
pub(super) fn asked(batch: &Batch) -> Vec<Event> {
    let mut met = HashSet::new();
    told_by_id(batch).map(|(_, event)| event).filter(|event| met.insert(event.clone())).collect()
}

/// Tells repeated changes from new ones; `seen` is the sink's answer to [`asked`].
pub(super) fn tell(batch: &Batch, seen: &[Event]) -> Repeats {
    let mut repeats = Repeats::default();
    // By event: the message that bears it, none where the sink has seen it.
    let mut borne: HashMap<Event, Option<u32>> = seen.iter().map(|event| (event.clone(), None)).collect();
    for (change, event) in told_by_id(batch) {
        let delivery = Some(batch.items[change.item as usize].delivery);
        match borne.get(&event) {
            None => {
                repeats.new.push(event.clone());
                borne.insert(event, delivery);
            }
            Some(by) if *by == delivery || change.redriven.is_some() => {}
            Some(_) => _ = repeats.repeated.insert(change.item),
        }
    }
    repeats
}

/// The grade of each source that has changes in the batch: that of its worst change.
#[must_use]
pub fn grades(batch: &Batch) -> HashMap<NameId, Grade> {
    let mut grades = HashMap::new();
    for change in batch.tables.iter().flat_map(|table| &table.changes) {
        let grade = grade(change);
        let worst = grades.entry(change.source).or_insert(grade);
        *worst = grade.max(*worst);
    }
    grades
}

/// How well a change can be told from another.
#[must_use]
pub fn grade(change: &Change) -> Grade {
    match (change.position, &change.event_id) {
        (Some(_), _) => Grade::A,
        (None, Some(_)) => Grade::B,
        (None, None) => Grade::C,
    }
}

/// Changes that only their event's id tells, in stream order.
fn told_by_id(batch: &Batch) -> impl Iterator<Item = (&Change, Event)> {
    batch.items.iter().filter_map(|item| {
        let ItemKind::Change(table, row) = item.kind else { return None };
        let table = &batch.tables[table as usize];
        let change = &table.changes[row as usize];
        let id = change.event_id.as_ref().filter(|_| change.position.is_none())?;
        Some((change, Event { table: table.table, source: change.source, id: kept_form(id) }))
    })
}

/// The id as a sink keeps it: itself, or its digest where it is too long or no text of every database.
fn kept_form(id: &Arc<str>) -> Arc<str> {
    if id.len() <= ID_BYTES_MAX && !id.contains('\0') {
        return Arc::clone(id);
    }
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(id.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_no_sink_takes_are_kept_as_their_digest() {
        let plain: Arc<str> = "b7c1".into();
        assert_eq!(kept_form(&plain), plain);
        let long: Arc<str> = "x".repeat(201).into();
        assert_eq!(kept_form(&long).len(), "sha256:".len() + 64);
        assert!(kept_form(&"a\0b".into()).starts_with("sha256:"));
        assert_ne!(kept_form(&"a\0b".into()), kept_form(&"a\0c".into()));
    }
}
