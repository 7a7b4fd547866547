//! What a claim remembers of sources without positions: events that took effect a moment ago, and each source's grade.
//!
//! The window stands in front of the sink's seen events and only saves work: what it knows is absorbed at decode,
//! without a query. It is filled after a commit, never before, and ends with the claim: a sink that failed over to
//! an older replica has forgotten some of what it knew.

use std::{collections::HashMap, sync::Arc, time::Duration};

use moka::sync::Cache;
use reconverge_streams::{
    event::{Event, Grade},
    names::NameId,
};

use crate::{batch::Batch, resolve::repeats};

/// How long the window knows an event.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// How many events it knows.
const EVENTS_MAX: u64 = 10_000;

/// Events that are committed.
#[derive(Clone)]
pub(super) struct Window(Cache<Event, ()>);

impl Window {
    pub(super) fn new() -> Window {
        Window(Cache::builder().max_capacity(EVENTS_MAX).time_to_live(KNOWN_FOR).build())
    }

    pub(super) fn knows(&self, event: &Event) -> bool {
        self.0.contains_key(event)
    }

    pub(super) fn fill(&self, committed: &[Event]) {
        for event in committed {
            self.0.insert(event.clone(), ());
        }
    }
}

/// The worst grade of each source since the claim.
#[derive(Debug, Default)]
pub(super) struct Grades(HashMap<NameId, Grade>);

impl Grades {
    /// Sources whose grade a batch shows for the first time, or shows to be worse.
    pub(super) fn news(&mut self, batch: &Batch) -> Vec<(NameId, Grade)> {
        let mut news = Vec::new();
        for (source, grade) in repeats::grades(batch) {
            if self.0.get(&source).is_none_or(|known| *known < grade) {
                self.0.insert(source, grade);
                news.push((source, grade));
            }
        }
        // In one order, so that the transactions of two lanes do not wait for each other.
        news.sort_unstable();
        news
    }
}

/// Says in the log what a source's grade means.
pub(super) fn tell(source: &Arc<str>, grade: Grade) {
    match grade {
        Grade::A => {}
        Grade::B => tracing::info!(%source, grade = "B", "source.grade"),
        Grade::C => tracing::warn!(%source, grade = "C", "source.grade"),
    }
}

#[cfg(test)]
mod tests {
    use reconverge_streams::{names::Names, table::TableId};

    use super::*;

    fn event(source: NameId, id: &str) -> Event {
        Event { table: TableId(0), source, id: id.into() }
    }

    #[test]
    fn the_window_knows_what_was_committed_and_is_bounded() {
        let source = Names::default().intern("east").unwrap();
        let window = Window::new();
        assert!(!window.knows(&event(source, "1")));
        window.fill(&[event(source, "1")]);
        assert!(window.knows(&event(source, "1")) && !window.knows(&event(source, "2")));
        let many: Vec<Event> = (0..3 * EVENTS_MAX).map(|n| event(source, &n.to_string())).collect();
        window.fill(&many);
        window.0.run_pending_tasks();
        assert!(window.0.entry_count() <= EVENTS_MAX);
        assert_eq!(window.0.policy().time_to_live(), Some(KNOWN_FOR));
    }
}
