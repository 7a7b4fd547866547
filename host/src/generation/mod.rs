//! Generations: what a lane decides by, and how a running lane comes by another one.
//!
//! A generation is an immutable set of plugins, their configuration and contracts, and the plan that follows from
//! them. It is made and tried away from the lanes; when it is fit it is published in [`Live`], and each lane takes
//! it between two batches, at a sequence that the sink records. Nothing here knows a broker, a file or SQL.

mod live;
mod recent;
mod shadow;
mod verdict;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{decode::Decoder, plan::Plan, stages::Stages};

pub use self::{
    live::Live,
    recent::{Recent, Sample, asked},
    shadow::{Compared, Difference},
    verdict::{Promotion, Verdict},
};

/// What one lane decides by: the plan, a decoder for it, and plugin instances of the lane's own.
pub struct Rules {
    /// What to decide by.
    pub plan: Arc<Plan>,
    /// Bytes to changes under this plan.
    pub decoder: Arc<Decoder>,
    /// Plugins.
    pub stages: Box<dyn Stages>,
}

/// How a new generation is watched: more faults than this in one batch, and the batch is decided again by the
/// generation before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Failed plugin calls that one batch may have.
    pub max_faults: u64,
    /// How long after a lane took it.
    pub lasts: Duration,
}

type Make = dyn Fn(&str) -> Result<Rules, String> + Send + Sync;

/// See the module. Lanes are called by their names.
pub struct Generation {
    number: u64,
    description: String,
    trial: Option<Trial>,
    make: Box<Make>,
    /// Rules that were made before the generation went live, so that no lane waits for plugins to start.
    ready: Mutex<HashMap<String, Rules>>,
}

impl Generation {
    /// A generation. `number` tells it from others of this process; `description` is the JSON array of its plugins
    /// for the sink's record; `make` gives a lane its rules, or says why not.
    pub fn new(
        number: u64,
        description: String,
        trial: Option<Trial>,
        make: impl Fn(&str) -> Result<Rules, String> + Send + Sync + 'static,
    ) -> Self {
        Generation { number, description, trial, make: Box::new(make), ready: Mutex::default() }
    }

    /// Tells it from others of this process.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its plugins, a JSON array: for the record in the sink. Equal texts are equal generations.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// How it is watched while it is new.
    #[must_use]
    pub fn trial(&self) -> Option<Trial> {
        self.trial
    }

    /// Makes a lane's rules ahead of the swap.
    ///
    /// # Errors
    /// Why a plugin does not start.
    pub fn make_ready(&self, lane: &str) -> Result<(), String> {
        let rules = (self.make)(lane)?;
        self.ready.lock().expect("no holder panics").insert(lane.to_owned(), rules);
        Ok(())
    }

    /// Lets go of rules that no lane has taken: a lane that comes back to this generation makes its own.
    pub fn unready(&self) {
        self.ready.lock().expect("no holder panics").clear();
    }

    /// Whether a lane's rules were made and not taken yet.
    #[must_use]
    pub fn is_ready(&self, lane: &str) -> bool {
        self.ready.lock().expect("no holder panics").contains_key(lane)
    }

    /// A lane's rules: those that were made ready, else made now.
    ///
    /// # Errors
    /// Why a plugin does not start.
    pub fn rules(&self, lane: &str) -> Result<Rules, String> {
        let ready = self.ready.lock().expect("no holder panics").remove(lane);
        ready.map_or_else(|| (self.make)(lane), Ok)
    }

    /// Rules that no lane will get: for a shadow run.
    ///
    /// # Errors
    /// Why a plugin does not start.
    pub fn fresh_rules(&self, lane: &str) -> Result<Rules, String> {
        (self.make)(lane)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation").field("number", &self.number).finish_non_exhaustive()
    }
}
