//! A process's place among those that share a pipeline's lanes: gives its sign of life, keeps its lanes' leases also
//! while a batch takes long, and looks who else is there. On a task of its own, so that no lane's work delays it; a
//! process that is stopped as a whole falls silent as a whole.

use std::{sync::Arc, time::Duration};

use reconverge_streams::roster::{Look, Presence, Roster};
use tokio::{sync::watch, time::Instant};

use crate::{config::Lease, lane::Lanes};

use super::RunError;

/// The longest pause between two looks: how soon a process that joins or leaves is noticed.
const LOOK: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Steward<K> {
    pub(super) sink: Arc<K>,
    pub(super) lanes: Arc<Lanes>,
    pub(super) pipeline: String,
    pub(super) member: String,
    pub(super) lease: Lease,
    /// Whether others leave it a share. A job that runs to an end wants all lanes and keeps those that it gets.
    pub(super) shares: bool,
}

impl<K: Roster> Steward<K> {
    /// One sign of life, where it is due, and a look.
    pub(super) async fn turn(&self, is_due: bool) -> Result<Look, RunError> {
        if is_due {
            let held = self.lanes.iter().filter(|lane| lane.is_claimed()).map(|lane| lane.key().clone());
            let presence = Presence {
                pipeline: self.pipeline.clone(),
                member: self.member.clone(),
                lease: self.lease.stale,
                lanes: held.collect(),
                shares: self.shares,
            };
            self.sink.attend(&presence).await?;
        }
        Ok(self.sink.look(&self.pipeline).await?)
    }

    /// Goes on until it is aborted. A sink that cannot be asked is asked again: what the lanes make of that is theirs.
    pub(super) async fn run(self, seen: watch::Sender<Look>) {
        let mut attended = Instant::now();
        loop {
            tokio::time::sleep(LOOK.min(self.lease.heartbeat)).await;
            let is_due = attended.elapsed() + LOOK / 10 >= self.lease.heartbeat;
            match self.turn(is_due).await {
                Ok(look) => {
                    attended = if is_due { Instant::now() } else { attended };
                    #[expect(
                        clippy::cast_precision_loss,
                        reason = "a gauge is a float; there are few processes"
                    )]
                    metrics::gauge!("reconverge_members").set(look.members.len() as f64);
                    seen.send_replace(look);
                }
                Err(error) => tracing::warn!(pipeline = self.pipeline, %error, "members.unknown"),
            }
        }
    }
}
