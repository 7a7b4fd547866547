//! Deployments as they are written to the store, for as long as a pipeline runs. A server that is gone for a while, or
//! a bucket that does not exist yet, is asked again.

use std::time::Duration;

use reconverge_streams::jetstream::{Entry, PluginStore};
use tokio::{sync::mpsc, task::JoinSet, time::sleep};

/// How long to wait for a first deployment on a server that has none.
const NONE_YET: Duration = Duration::from_secs(2);
/// How long to wait after the server did not answer.
const NO_ANSWER: Duration = Duration::from_secs(10);

/// See the module. Dropped, it stops.
pub(super) struct Follower {
    entries: mpsc::Receiver<Entry>,
    _task: JoinSet<()>,
}

impl Follower {
    pub(super) fn new(store: PluginStore) -> Self {
        let (tell, entries) = mpsc::channel(16);
        let mut task = JoinSet::new();
        task.spawn(follow(store, tell));
        Follower { entries, _task: task }
    }

    /// The next entry; the present ones come first.
    pub(super) async fn next(&mut self) -> Option<Entry> {
        self.entries.recv().await
    }
}

async fn follow(store: PluginStore, tell: mpsc::Sender<Entry>) {
    let mut was_silent = false;
    loop {
        let pause = match store.watch().await {
            Ok(Some(mut watch)) => {
                was_silent = false;
                while let Some(entry) = watch.next().await {
                    if tell.send(entry).await.is_err() {
                        return;
                    }
                }
                NONE_YET
            }
            Ok(None) => NONE_YET,
            Err(error) => {
                if !was_silent {
                    tracing::warn!(%error, "deployments.not_followed");
                }
                was_silent = true;
                NO_ANSWER
            }
        };
        sleep(pause).await;
    }
}
