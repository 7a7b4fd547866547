//! What this process says of each plugin's deployment: at once when it changes, and again before the store forgets it. A
//! reload never waits for being told of.

use super::{
    Work,
    candidate::Candidate,
    deployment::{Phase, Report},
};
use crate::generation::Compared;

impl Work {
    pub(super) fn say_of(&mut self, candidate: &Candidate, phase: Phase, why: Option<String>) {
        let Some((revision, _)) = candidate.deployment else { return };
        let compared = candidate.compared.clone();
        self.say(&candidate.plugin, revision, &candidate.sha256, phase, why, compared);
    }

    pub(super) fn say(
        &mut self,
        plugin: &str,
        revision: u64,
        sha256: &str,
        phase: Phase,
        why: Option<String>,
        compared: Compared,
    ) {
        let process = self.by.process.clone();
        let report = Report { process, revision, sha256: sha256.to_owned(), phase, why, compared };
        self.said.insert(plugin.to_owned(), report.clone());
        self.send(plugin.to_owned(), report);
    }

    pub(super) fn say_again(&mut self) {
        for (plugin, report) in self.said.clone() {
            self.send(plugin, report);
        }
    }

    /// Sends a report without waiting for the server: a reload does not depend on being told of.
    fn send(&mut self, plugin: String, report: Report) {
        while self.saying.try_join_next().is_some() {}
        let Some(store) = self.by.store.clone() else { return };
        self.saying.spawn(async move {
            let value = serde_json::to_vec(&report).expect("a report is plain data");
            if let Err(error) = store.report(&plugin, &report.process, value).await {
                tracing::debug!(plugin, %error, "deployments.not_reported");
            }
        });
    }
}
