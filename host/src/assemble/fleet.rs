//! The lanes of one process while it runs: starts those that are its share, lets go those that others are to have,
//! and gathers how they ended. One lane's end is not the others'.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::Arc,
};

use reconverge_streams::{
    checkpoint::Checkpoint,
    roster::{Look, Roster},
    sink::Sink,
};
use tokio::{
    sync::{oneshot, watch},
    task::{JoinError, JoinSet},
};

use crate::{
    config::Pipeline,
    lane::{LaneError, LaneState, Lanes, Progress, RunReport},
};

use super::{
    RunError,
    assign::assign,
    lanes::{Parts, Slot},
    steward::Steward,
};

/// How a lane's task ended: its name, and what it came to.
type Ended = (String, Result<RunReport, LaneError>);

/// How a fleet's work ended.
pub(super) enum Over {
    /// It was told to stop, or every lane is done.
    Done(RunReport),
    /// A table that was paused runs again: its shape has to be read anew before the lanes go on.
    Resumed(RunReport),
}

/// See the module.
pub(super) struct Fleet<'a, K> {
    pipeline: &'a Pipeline,
    parts: Parts<K>,
    lanes: Arc<Lanes>,
    working: HashMap<String, oneshot::Sender<()>>,
    tasks: JoinSet<Ended>,
    report: RunReport,
    /// Lanes that stopped by an error, and are not begun again by this process.
    failed: BTreeMap<String, LaneError>,
    /// Lanes that reached their end, by whomever.
    done: Vec<String>,
    /// A lane found that a paused table runs again.
    resumed: bool,
}

impl<'a, K: Sink + Roster + 'static> Fleet<'a, K> {
    pub(super) fn new(pipeline: &'a Pipeline, parts: Parts<K>, lanes: Arc<Lanes>) -> Self {
        Fleet {
            pipeline,
            parts,
            lanes,
            working: HashMap::new(),
            tasks: JoinSet::new(),
            report: RunReport::default(),
            failed: BTreeMap::new(),
            done: Vec::new(),
            resumed: false,
        }
    }

    /// Runs until `shutdown` ends, every lane is done, or none is left that could run here.
    pub(super) async fn run(
        mut self,
        sink: Arc<K>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Over, RunError> {
        let shares = self.shares();
        let steward = Steward {
            sink: Arc::clone(&sink),
            lanes: Arc::clone(&self.lanes),
            pipeline: self.pipeline.name.clone(),
            member: self.parts.owner.clone(),
            lease: self.pipeline.limits.lease,
            shares,
        };
        let (seen, mut looks) = watch::channel(steward.turn(true).await?);
        let steward = tokio::spawn(steward.run(seen));
        let ended = self.work(&mut looks, shutdown).await;
        self.working.clear();
        while let Some(joined) = self.tasks.join_next().await {
            self.take_in(joined);
        }
        steward.abort();
        // A steward that is in the middle of a word has said it before we say good-bye.
        let _ = steward.await;
        if shares && let Err(error) = sink.leave(&self.pipeline.name, &self.parts.owner).await {
            tracing::debug!(%error, "the members' list keeps this process until its lease ends");
        }
        ended?;
        self.told()
    }

    async fn work(
        &mut self,
        looks: &mut watch::Receiver<Look>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        tokio::pin!(shutdown);
        loop {
            let look = looks.borrow_and_update().clone();
            if self.resumed {
                return Ok(());
            }
            self.follow(&look)?;
            if self.is_over() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = &mut shutdown => return Ok(()),
                Some(joined) = self.tasks.join_next() => self.take_in(joined),
                _ = looks.changed() => {}
            }
        }
    }

    fn shares(&self) -> bool {
        self.parts.slots.iter().all(|slot| self.parts.end(slot).is_none())
    }

    /// Starts and stops lanes, as the look says.
    fn follow(&mut self, look: &Look) -> Result<(), RunError> {
        let slots = self.parts.slots.clone();
        let checkpoint = |slot: &Slot| {
            let name = slot.id.to_string();
            look.lanes.iter().find(|lane| lane.lane == name)
        };
        if !self.shares() {
            slots.iter().try_for_each(|slot| self.towards_its_end(slot, checkpoint(slot)))?;
            return Ok(());
        }
        let is_held = |lane: &&Checkpoint| lane.lease_until.is_some_and(|until| until > look.now);
        let owner = |slot: &Slot| checkpoint(slot).filter(is_held).and_then(|lane| lane.owner.as_deref());
        let owners: Vec<Option<&str>> = slots.iter().map(owner).collect();
        let members: Vec<&str> = look.members.iter().map(|member| member.name.as_str()).collect();
        let us = self.parts.owner.clone();
        for ((slot, member), owner) in slots.iter().zip(assign(&owners, &members)).zip(&owners) {
            let is_ours = members[member] == us;
            let is_free = owner.is_none_or(|owner| owner == us);
            self.share(slot, is_ours, is_free, checkpoint(slot))?;
        }
        Ok(())
    }

    fn share(
        &mut self,
        slot: &Slot,
        is_ours: bool,
        is_free: bool,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<(), RunError> {
        let name = slot.id.to_string();
        if self.failed.contains_key(&name) {
            return Ok(());
        }
        if let Some(stop) = self.working.get(&name) {
            if !is_ours && !stop.is_closed() {
                tracing::info!(lane = name, "lane.given_away");
                self.let_go(name);
            }
            return Ok(());
        }
        if is_ours && is_free {
            return self.start(slot);
        }
        let progress = self.lanes.entry(name.clone()).or_insert_with(|| Arc::new(Progress::new(name)));
        progress.elsewhere(checkpoint);
        Ok(())
    }

    /// A job's lane: begun at once, wherever it is held; done when it has come to its end, by whomever.
    fn towards_its_end(&mut self, slot: &Slot, checkpoint: Option<&Checkpoint>) -> Result<(), RunError> {
        let name = slot.id.to_string();
        if self.failed.contains_key(&name) || self.done.contains(&name) {
            return Ok(());
        }
        let Some(stop) = self.working.get(&name) else { return self.start(slot) };
        let is_claimed = self.lanes.get(&name).is_some_and(|lane| lane.is_claimed());
        let end = self.parts.end(slot).unwrap_or(u64::MAX);
        if !is_claimed && !stop.is_closed() && checkpoint.is_some_and(|lane| lane.scanned >= end) {
            self.let_go(name);
        }
        Ok(())
    }

    /// Tells a lane to stop, by letting go of what it listens to; until its task has ended it is not begun again.
    fn let_go(&mut self, lane: String) {
        self.working.insert(lane, oneshot::channel().0);
    }

    fn start(&mut self, slot: &Slot) -> Result<(), RunError> {
        let ready = self.parts.lane(self.pipeline, slot, &self.lanes)?;
        let name = slot.id.to_string();
        let (stop, stopped) = oneshot::channel();
        self.working.insert(name.clone(), stop);
        self.tasks.spawn(async move { (name, ready.run(stopped).await) });
        Ok(())
    }

    fn take_in(&mut self, joined: Result<Ended, JoinError>) {
        let (name, ended) = match joined {
            Ok(ended) => ended,
            Err(error) => {
                // The name went down with the task; whoever still works has one that is not closed.
                let name =
                    self.working.iter().find(|(_, stop)| stop.is_closed()).map(|(name, _)| name.clone());
                let what = format!("a fault of the engine itself ended it: {error}");
                let hint = "start again; if it comes back, tell the maintainers with the log".to_owned();
                (name.unwrap_or_default(), Err(LaneError::Halted { what, hint }))
            }
        };
        self.working.remove(&name);
        match ended {
            Ok(report) => {
                self.report.merge(&report);
                self.done.extend((!self.shares()).then_some(name));
            }
            Err(LaneError::Resumed { report, .. }) => {
                self.report.merge(&report);
                self.resumed = true;
            }
            Err(error) => {
                tracing::error!(lane = name, %error, "lane.failed");
                if let Some(lane) = self.lanes.get(&name) {
                    lane.failed(&error.to_string());
                }
                self.failed.insert(name, error);
            }
        }
    }

    /// Whether nothing is left to do here: every lane of a job has ended, or every lane that could be ours has failed.
    fn is_over(&self) -> bool {
        let all_failed = !self.failed.is_empty() && self.failed.len() == self.parts.slots.len();
        let all_ended = !self.shares() && self.failed.len() + self.done.len() >= self.parts.slots.len();
        self.working.is_empty() && (all_failed || all_ended || self.is_useless())
    }

    /// A process whose whole share has failed helps nobody by staying: whoever watches it may start it again.
    fn is_useless(&self) -> bool {
        let elsewhere = |slot: &&Slot| {
            let name = slot.id.to_string();
            self.lanes.get(&name).is_some_and(|lane| lane.state() == LaneState::Elsewhere)
        };
        let others = self.parts.slots.iter().filter(elsewhere).count();
        !self.failed.is_empty() && self.failed.len() + others == self.parts.slots.len()
    }

    fn told(self) -> Result<Over, RunError> {
        let Fleet { parts, report, mut failed, resumed, .. } = self;
        match failed.len() {
            _ if resumed => Ok(Over::Resumed(report)),
            0 => Ok(Over::Done(report)),
            1 if parts.slots.len() == 1 => {
                let (lane, cause) = failed.pop_first().expect("there is one");
                Err(RunError::Lane { lane, cause })
            }
            _ => Err(RunError::Lanes {
                failed: failed.into_iter().collect(),
                of: parts.slots.len(),
                done: Box::new(report),
            }),
        }
    }
}
