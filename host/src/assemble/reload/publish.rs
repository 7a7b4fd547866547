//! A generation that is fit and tried goes live, for all lanes or some; and it goes again, where it failed on one of them
//! or its deployment was turned back.

use std::sync::Arc;

use super::{
    Artifacts, Work,
    candidate::Candidate,
    deployment::{Deployment, Phase},
};
use crate::generation::{Compared, Promotion};

/// What was published last of a plugin, while it may still be taken back.
pub(super) struct Published {
    number: u64,
    before: Artifacts,
    deployment: Option<(u64, Deployment)>,
}

impl Work {
    /// Puts what was tried in the place of what decides, or beside it where it is asked for on some lanes.
    pub(super) async fn publish(&mut self, candidate: Candidate) {
        let asked = candidate.deployment.as_ref().map_or(Vec::new(), |(_, d)| d.lanes.clone());
        let is_canary = candidate.deployment.as_ref().is_some_and(|(_, d)| d.is_canary());
        let (plugin, generation) = (candidate.plugin.clone(), Arc::clone(&candidate.generation));
        let before = self.by.running.clone();
        if asked.is_empty() {
            self.by.live.publish(Arc::clone(&generation));
            self.by.running = candidate.artifacts.clone();
        } else {
            let of_lane =
                |name: &str| asked.iter().any(|a| a == name || name.split('/').nth(2) == Some(a.as_str()));
            let lanes: Vec<String> =
                self.by.lanes.iter().map(|lane| lane.key().clone()).filter(|name| of_lane(name)).collect();
            self.by.live.publish_on(&lanes, &generation);
        }
        self.withdraw(&plugin);
        let (digest, number, differ) =
            (candidate.sha256.as_str(), generation.number(), candidate.compared.differ);
        tracing::info!(plugin, digest, generation = number, canary = is_canary, differ, "reload.published");
        self.say_of(&candidate, if is_canary { Phase::Canary } else { Phase::Live }, None);
        let deployment = candidate.deployment.clone();
        self.published.insert(plugin.clone(), Published { number, before, deployment });
        if let Some((revision, deployment)) = candidate.deployment
            && deployment.promotion != Promotion::default()
        {
            // The others need not wait for what this process has seen, nor this one after a restart.
            let settled = Deployment { promotion: Promotion::default(), ..deployment };
            self.write(&plugin, settled, revision).await;
        }
    }

    /// What a plugin decides on some lanes alone ends there: they decide as the others again.
    fn withdraw(&mut self, plugin: &str) {
        if let Some(published) = self.published.get(plugin) {
            self.by.live.withdraw(published.number);
        }
    }

    /// A deployment asks for what runs already, everywhere: nothing else of this plugin runs any more.
    pub(super) fn settled(&mut self, plugin: &str, revision: u64, deployment: &Deployment) {
        self.withdraw(plugin);
        let known = self.published.get_mut(plugin).and_then(|published| published.deployment.as_mut());
        if let Some(known) = known.filter(|(_, known)| known.sha256 == deployment.sha256) {
            // Where it is taken back later, this is the entry to turn back.
            *known = (revision, deployment.clone());
        }
    }

    /// Lanes took generations back: their plugins are what they were before, for all processes.
    pub(super) async fn see_taken_back(&mut self) {
        let gone = self.published.iter().filter_map(|(plugin, published)| {
            Some((plugin.clone(), self.by.live.taken_back(published.number)?))
        });
        for (plugin, why) in gone.collect::<Vec<_>>() {
            self.take_back(&plugin, why).await;
        }
    }

    async fn take_back(&mut self, plugin: &str, why: String) {
        let Some(published) = self.published.remove(plugin) else { return };
        self.by.running = published.before;
        let Some((revision, deployment)) = published.deployment else { return };
        let said = Some(why.clone());
        self.say(plugin, revision, &deployment.sha256, Phase::TakenBack, said, Compared::default());
        if let Some(back) = deployment.turned_back(self.by.process.clone()) {
            self.write(plugin, Deployment { taken_back: Some(why), ..back }, revision).await;
        }
    }

    /// Writes a deployment on; where another process was quicker, its word holds.
    async fn write(&mut self, plugin: &str, deployment: Deployment, replaces: u64) {
        let Some(store) = &self.by.store else { return };
        if let Err(error) = store.deploy(plugin, deployment.to_bytes(), replaces).await {
            tracing::warn!(plugin, %error, "deployments.not_written");
        }
    }
}
