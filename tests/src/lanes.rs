//! A scene with several lanes: how each stands, read from the sink itself.

use std::collections::BTreeMap;

use reconverge_capture::Database;

use crate::{
    Checkpoint, Scene,
    scene::{LOOK, PATIENCE},
};

/// Lanes by name, without the pipeline's: `main/bulk/0`.
pub type Lanes = BTreeMap<String, Checkpoint>;

impl Scene {
    /// All lanes; empty where none ever ran, or the database is busy at this moment.
    pub async fn lanes(&self) -> Lanes {
        let query = match self.sink {
            Database::Sqlite(_) => {
                "SELECT lane, sequence, delivered, (SELECT coalesce(sum(value), 0) FROM json_each(counts)), owner \
                 FROM reconverge_checkpoint"
            }
            Database::Postgres(_) => {
                "SELECT lane, sequence, delivered, (SELECT coalesce(sum(c), 0) FROM unnest(counts) c), owner \
                 FROM reconverge.checkpoint"
            }
        };
        let rows = self.try_texts(query).await.unwrap_or_default();
        let lane = |row: Vec<Option<String>>| {
            let number = |at: usize| row[at].as_ref()?.parse().ok();
            let name = row[0].as_ref()?.split_once('/')?.1.to_owned();
            let checkpoint = Checkpoint {
                sequence: number(1)?,
                delivered: number(2)?,
                sum: number(3)?,
                owner: row[4].clone().filter(|owner| !owner.is_empty()),
            };
            Some((name, checkpoint))
        };
        rows.into_iter().filter_map(lane).collect()
    }

    /// Waits until the lanes are as `they_are` says; `what` names it.
    pub async fn until_lanes(&self, what: &str, they_are: impl Fn(&Lanes) -> bool) -> Lanes {
        let reached = async {
            loop {
                let lanes = self.lanes().await;
                if they_are(&lanes) {
                    return lanes;
                }
                tokio::time::sleep(LOOK * 5).await;
            }
        };
        match tokio::time::timeout(PATIENCE, reached).await {
            Ok(lanes) => lanes,
            Err(_) => panic!("{what}: never, {:?}", self.lanes().await),
        }
    }
}

/// How many lanes each owner has, by the owner's name.
#[must_use]
pub fn shares(lanes: &Lanes) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for owner in lanes.values().filter_map(|lane| lane.owner.clone()) {
        *shares.entry(owner).or_default() += 1;
    }
    shares
}

/// The sum of what all lanes have delivered.
#[must_use]
pub fn delivered(lanes: &Lanes) -> u64 {
    lanes.values().map(|lane| lane.delivered).sum()
}
