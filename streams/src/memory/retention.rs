//! What is kept for a time only ([`crate::retention`]), as the databases do it.

use super::{database::Contents, sink::MemoryClaim};
use crate::{
    position::{BEFORE_ALL, Micros},
    retention::{Retention, Tidied},
    standing::StandingKind,
};

impl MemoryClaim {
    pub(super) fn tidied(&self, state: &mut Contents, asked: &Retention) -> Tidied {
        for (source, passed) in &asked.passed {
            let source = self.request.names.get(*source).to_string();
            let known = state.frontier.entry((self.checkpoint.lane.clone(), source)).or_insert(*passed);
            *known = (*known).max(*passed);
        }
        let told = |lane: &String| state.frontier.keys().any(|(known, _)| known == lane);
        let all = state.frontier.values().min().copied().filter(|_| state.checkpoints.keys().all(told));
        let mut tidied = Tidied { tombstones: 0, passed_by_all: all };
        let Some(all) = all else { return tidied };
        let before = all.min(state.now().saturating_sub(asked.tombstones));
        let waited_for = |key: &(String, Vec<u8>)| state.kept.values().any(|kept| kept.waits == *key);
        let mut due: Vec<(Micros, (String, Vec<u8>))> = state
            .versions
            .iter()
            .filter(|(_, version)| {
                let gone = matches!(version.standing, StandingKind::Tombstone | StandingKind::Absence);
                gone && version.committed_at < before && version.committed_at > BEFORE_ALL
            })
            .filter(|(key, _)| !waited_for(key))
            .map(|(key, version)| (version.committed_at, key.clone()))
            .collect();
        due.sort();
        for (at, key) in due.into_iter().take(asked.limit as usize) {
            state.versions.remove(&key);
            let horizon = state.too_old_through.entry(key.0).or_insert(at);
            *horizon = (*horizon).max(at);
            tidied.tombstones += 1;
        }
        tidied
    }
}
