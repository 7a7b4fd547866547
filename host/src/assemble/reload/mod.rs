//! Hot reload: from a changed file or a deployment in the store to a generation that lanes take, all of it away from
//! them. In the order in which it goes: `files` and `follow` tell what has changed, `signature` and `shelf` make sure
//! of the bytes, the workshop makes a generation of them that decides golden contests as they say, `candidate` tries it
//! on recent batches, and `publish` puts it into [`Live`]. What failed on the way is told and changes nothing; what fails after it is taken back by its lane.

mod aside;
mod beginning;
mod candidate;
mod deployment;
mod files;
mod follow;
mod operate;
mod publish;
mod say;
mod shelf;
mod signature;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use reconverge_streams::jetstream::{Entry, PluginStore};
use tokio::{task::JoinSet, time};

use crate::{
    config::Pipeline,
    contests::ContestFile,
    generation::{Compared, Generation, Live, Promotion, Recent, Trial, Verdict},
    lane::Lanes,
    plugin::ARTIFACT_BYTES,
};

use super::{RunError, workshop::Workshop};

pub(super) use self::{
    aside::Aside,
    beginning::{Beginning, beginning},
    shelf::{Artifacts, Placed, Shelf, Split},
};
use self::{candidate::Candidate, files::Files, follow::Follower, publish::Published};
pub use self::{
    deployment::{Deployment, Phase, Report},
    operate::{Operator, Standing, Wish},
};

/// How often a shadow run looks for new batches. Without one nothing ticks.
const TICK: Duration = Duration::from_millis(100);
/// How often a process says again how it stands to a deployment.
const SAID_AGAIN: Duration = Duration::from_secs(30);

/// What reloading needs of the run that it belongs to.
pub(super) struct Reloader {
    pub(super) workshop: Arc<Workshop>,
    pub(super) live: Arc<Live>,
    pub(super) recent: Arc<Recent>,
    pub(super) lanes: Arc<Lanes>,
    pub(super) shelf: Shelf,
    /// What the process started with.
    pub(super) running: Artifacts,
    /// Where deployments are; none where they are not followed.
    pub(super) store: Option<PluginStore>,
    /// This process, in reports.
    pub(super) process: String,
    /// Where slow work is done.
    pub(super) aside: Aside,
}

/// An artifact that may become a generation, and what came with it.
struct Offered {
    placed: Placed,
    signature: Option<String>,
    contests: Vec<ContestFile>,
}

/// The reloader at work.
struct Work {
    by: Reloader,
    candidate: Option<Candidate>,
    /// By plugin.
    published: BTreeMap<String, Published>,
    /// What was said last of each plugin's deployment.
    said: BTreeMap<String, Report>,
    saying: JoinSet<()>,
}

impl Reloader {
    /// Runs beside the lanes; never ends by itself.
    pub(super) async fn run(self) {
        let pipeline = Arc::clone(&self.workshop.pipeline);
        let mut files = None;
        if pipeline.reload.watch {
            match Files::watch(&pipeline) {
                Ok(watched) => files = Some(watched),
                Err(error) => tracing::error!(%error, "reload.not_watching"),
            }
        }
        let mut follower = self.store.clone().map(Follower::new);
        let (candidate, published, said) = (None, BTreeMap::new(), BTreeMap::new());
        let live = Arc::clone(&self.live);
        let mut work = Work { by: self, candidate, published, said, saying: JoinSet::new() };
        let mut tick = time::interval(TICK);
        let mut again = time::interval(SAID_AGAIN);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(plugin) = async { files.as_mut()?.next().await }, if files.is_some() => {
                    work.file_changed(&pipeline, &plugin).await;
                }
                Some(entry) = async { follower.as_mut()?.next().await }, if follower.is_some() => {
                    work.deployed(entry).await;
                }
                () = live.undone() => work.see_taken_back().await,
                _ = tick.tick(), if work.candidate.is_some() => work.tick().await,
                _ = again.tick(), if !work.said.is_empty() => work.say_again(),
            }
        }
    }

    fn reload(&self) -> &crate::config::Reload {
        &self.workshop.pipeline.reload
    }

    fn trial(&self) -> Trial {
        Trial { max_faults: self.reload().max_faults, lasts: self.reload().trial }
    }

    /// Makes a generation and its rules for the lanes of this process, on a thread for slow work.
    async fn admitted(
        &self,
        artifacts: Artifacts,
        plugin: &str,
        placed: &Placed,
        contests: Vec<ContestFile>,
    ) -> Result<Arc<Generation>, String> {
        let workshop = Arc::clone(&self.workshop);
        let (plugin, artifact) = (plugin.to_owned(), placed.path.clone());
        let lanes: Vec<String> = self.lanes.iter().map(|lane| lane.key().clone()).collect();
        let trial = self.trial();
        let made = self.aside.run(move || {
            let generation = workshop.generation(&artifacts, Some(trial)).map_err(|error| words(&error))?;
            workshop.decides_as(&plugin, &artifact, &contests)?;
            lanes.iter().try_for_each(|lane| generation.make_ready(lane))?;
            Ok(Arc::new(generation))
        });
        made.await.unwrap_or_else(|panic| Err(format!("admission broke: {panic}")))
    }
}

impl Work {
    /// A plugin's file is another one.
    async fn file_changed(&mut self, pipeline: &Pipeline, plugin: &str) {
        let Some(crate::config::Artifact::File(path)) = pipeline.plugin(plugin).map(|p| &p.artifact) else {
            return;
        };
        if self.said.contains_key(plugin) {
            tracing::warn!(plugin, "reload.file_ignored_while_deployed");
            return;
        }
        let placed = self.by.shelf.put_file(path, ARTIFACT_BYTES);
        let placed = match placed {
            Ok(placed) => placed,
            Err(error) => {
                tracing::warn!(plugin, %error, "reload.unreadable");
                return;
            }
        };
        let signature = signature::of_file(path);
        let promotion = Promotion {
            max_diff: self.by.reload().max_diff,
            max_faults: self.by.reload().max_faults,
            ..Promotion::default()
        };
        let offered = Offered { placed, signature, contests: Vec::new() };
        self.offer(plugin, offered, promotion, None).await;
    }

    /// The store says something of a plugin.
    async fn deployed(&mut self, entry: Entry) {
        let plugin = entry.name.clone();
        let Some(value) = entry.value else {
            self.said.remove(&plugin);
            return;
        };
        if self.by.workshop.pipeline.plugin(&plugin).is_none() {
            tracing::warn!(plugin, revision = entry.revision, "deployments.unknown_plugin");
            return;
        }
        let deployment = match Deployment::read(&value) {
            Ok(deployment) => deployment,
            Err(error) => {
                tracing::error!(plugin, revision = entry.revision, error, "deployments.unreadable");
                return;
            }
        };
        let (revision, sha256) = (entry.revision, deployment.sha256.clone());
        let runs = self.by.running.by_plugin.get(&plugin).is_some_and(|placed| placed.sha256 == sha256);
        let is_split = self.by.running.split.as_ref().is_some_and(|split| split.plugin == plugin);
        if runs && !deployment.is_canary() && !is_split {
            self.settled(&plugin, revision, &deployment);
            self.candidate.take_if(|candidate| candidate.plugin == plugin);
            let phase = if deployment.taken_back.is_some() { Phase::TakenBack } else { Phase::Live };
            let why = deployment.taken_back.clone();
            // The entry was settled, not replaced: what the shadow run came to still holds.
            let known = self.said.get(&plugin).filter(|said| said.sha256 == sha256);
            let compared = known.map_or_else(Compared::default, |said| said.compared.clone());
            self.say(&plugin, revision, &sha256, phase, why, compared);
            return;
        }
        self.say(&plugin, revision, &sha256, Phase::Admitting, None, Compared::default());
        let known = self.candidate.as_mut().filter(|c| c.plugin == plugin && c.sha256 == sha256);
        if let Some(candidate) = known.filter(|c| !c.is_split() && deployment.tables.is_empty()) {
            candidate.promotion = deployment.promotion;
            candidate.deployment = Some((revision, deployment));
            self.tick().await;
            return;
        }
        match self.fetched(&deployment).await {
            Ok(offered) => {
                let promotion = deployment.promotion;
                self.offer(&plugin, offered, promotion, Some((revision, deployment))).await;
            }
            Err(why) => self.say(&plugin, revision, &sha256, Phase::Refused, Some(why), Compared::default()),
        }
    }

    async fn fetched(&mut self, deployment: &Deployment) -> Result<Offered, String> {
        let store = self.by.store.as_ref().ok_or("deployments are not followed")?;
        let (placed, signature) = beginning::fetched(store, &self.by.shelf, &deployment.sha256).await?;
        let contests = match &deployment.contests {
            Some(digest) => beginning::contests(store, digest).await?,
            None => Vec::new(),
        };
        Ok(Offered { placed, signature, contests })
    }

    /// A new artifact of a plugin: checked, and tried if it is fit.
    async fn offer(
        &mut self,
        plugin: &str,
        Offered { placed, signature, contests }: Offered,
        promotion: Promotion,
        deployment: Option<(u64, Deployment)>,
    ) {
        let sha256 = placed.sha256.clone();
        let revision = deployment.as_ref().map(|(revision, _)| *revision);
        let is_tried = self.candidate.as_ref().is_some_and(|c| c.plugin == plugin && c.sha256 == sha256);
        let runs = self.by.running.by_plugin.get(plugin) == Some(&placed);
        if deployment.is_none() && (is_tried || runs) {
            return;
        }
        let mut artifacts = Artifacts { split: None, ..self.by.running.clone() };
        let tables = deployment.as_ref().map_or(Vec::new(), |(_, d)| d.tables.clone());
        if tables.is_empty() {
            artifacts.by_plugin.insert(plugin.to_owned(), placed.clone());
        } else {
            artifacts.split = Some(Split { plugin: plugin.to_owned(), tables, artifact: placed.clone() });
        }
        let signed = std::fs::read(&placed.path)
            .map_err(|cause| cause.to_string())
            .and_then(|bytes| signature::check(&self.by.reload().trusted_keys, &bytes, signature.as_deref()));
        let admitted = match signed {
            Ok(()) => self.by.admitted(artifacts.clone(), plugin, &placed, contests).await,
            Err(why) => Err(why),
        };
        match admitted {
            Ok(generation) => {
                tracing::info!(plugin, digest = sha256, generation = generation.number(), "reload.admitted");
                let candidate =
                    Candidate::new(plugin.to_owned(), sha256, generation, artifacts, promotion, deployment);
                self.candidate = Some(candidate);
                self.tick().await;
            }
            Err(why) => {
                metrics::counter!("reconverge_reloads_refused_total", "plugin" => plugin.to_owned())
                    .increment(1);
                tracing::error!(plugin, digest = sha256, error = why, "reload.refused");
                if let Some(revision) = revision {
                    self.say(plugin, revision, &sha256, Phase::Refused, Some(why), Compared::default());
                }
            }
        }
    }

    /// Tries the candidate further.
    async fn tick(&mut self) {
        let Some(mut candidate) = self.candidate.take() else { return };
        let (before, verdict) = (
            candidate.compared.clone(),
            candidate.tried(&self.by.recent, &self.by.live, &self.by.aside).await,
        );
        match verdict {
            Verdict::Wait => {
                if candidate.compared != before || before.batches == 0 {
                    self.say_of(&candidate, Phase::Shadow, None);
                }
                self.candidate = Some(candidate);
            }
            Verdict::Promote => self.publish(candidate).await,
            Verdict::Refuse(why) => {
                let (plugin, differ) = (candidate.plugin.clone(), candidate.compared.differ);
                metrics::counter!("reconverge_reloads_refused_total", "plugin" => plugin.clone())
                    .increment(1);
                tracing::error!(plugin, digest = candidate.sha256, differ, error = why, "reload.refused");
                self.say_of(&candidate, Phase::Refused, Some(why));
            }
        }
    }
}

impl Candidate {
    fn is_split(&self) -> bool {
        self.artifacts.split.is_some()
    }
}

/// All that is wrong, in one line.
fn words(error: &RunError) -> String {
    match error {
        RunError::Configuration(problems) => {
            let said = problems.iter().map(|problem| match problem.hint() {
                Some(hint) => format!("{} (hint: {hint})", problem.message()),
                None => problem.message().to_owned(),
            });
            said.collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}
