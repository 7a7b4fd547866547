//! What a decision of a plugin costs: contests of a file, over and over, in batches of several sizes, through the host's
//! own stage: the block is built, the plugin called, its answer checked. Beside it what the host's own comparison of the
//! contract's columns costs on the same rows.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use super::{
    file::{ContestFile, ContestsError, Entry},
    scene::Scene,
};
use crate::{config::Stage, resolve::order, stages::Stages};

/// Rounds of which the median counts.
const ROUNDS: usize = 7;
/// How long a round is to take.
const ROUND: Duration = Duration::from_millis(30);

/// How this program was built: plugins are compiled by wasmtime, which is optimised in every build, and the host's own
/// comparison is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Build {
    /// As it is shipped.
    Release,
    /// For tests and the demo: lightly optimised, with checks.
    Test,
}

impl Build {
    /// That of this program.
    #[must_use]
    pub const fn this() -> Build {
        if cfg!(debug_assertions) { Build::Test } else { Build::Release }
    }
}

/// One size of batch.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Measured {
    /// Rows in a call.
    pub rows: usize,
    /// Nanoseconds a row.
    pub plugin_ns: f64,
    /// Nanoseconds a row of the host's own comparison; merge alone, and only where [`Build::this`] is a fair one.
    pub native_ns: Option<f64>,
    /// Fuel of a call, where its instance lives.
    pub fuel: Option<u64>,
    /// Bytes of the instance's memory after it.
    pub memory_bytes: Option<usize>,
}

impl Scene {
    /// Measures batches of these sizes. None where the file has no contest that the plugin is asked about.
    ///
    /// # Errors
    /// A contest is no change that the tables can have; the plugin does not open again.
    pub fn measure(
        &self,
        file: &ContestFile,
        sizes: &[usize],
    ) -> Result<Option<Vec<Measured>>, ContestsError> {
        let asked: Vec<&Entry> = file.contests.iter().filter(|entry| self.is_asked(file, entry)).collect();
        if asked.is_empty() {
            return Ok(None);
        }
        let sizes = sizes.iter().map(|&rows| self.measure_size(file, &asked, rows));
        sizes.collect::<Result<_, _>>().map(Some)
    }

    /// Whether the plugin answers for the contest: a contest that it fails would measure the search for the guilty.
    fn is_asked(&self, file: &ContestFile, entry: &Entry) -> bool {
        let outcome = self.ask(&ContestFile { contests: vec![entry.clone()], ..file.clone() });
        let decision = outcome.ok().and_then(|mut outcomes| outcomes.pop()).map(|outcome| outcome.decision);
        decision.is_some_and(|decision| decision.by == super::By::Plugin && decision.code.is_none())
    }

    fn measure_size(
        &self,
        file: &ContestFile,
        asked: &[&Entry],
        rows: usize,
    ) -> Result<Measured, ContestsError> {
        let entries: Vec<&Entry> = asked.iter().copied().cycle().take(rows).collect();
        let mut batch = self.decode(file, &entries)?;
        let mut chain = self.plugins().chain(self.plan())?;
        let (mut plugin_ns, mut native_ns) = (0.0, None);
        if self.stage() == Stage::Merge {
            let met: Result<Vec<_>, _> =
                batch.tables.iter().map(|table| self.meet(file, &batch, table, &entries)).collect();
            let mut native = 0.0;
            for met in &met? {
                let Some(call) = met.call(self) else { continue };
                plugin_ns += nanoseconds(|| {
                    black_box(chain.merge(black_box(&call)));
                });
                if Build::this() == Build::Test {
                    continue;
                }
                let columns = call.table.rule.order_columns();
                native += nanoseconds(|| {
                    for contest in black_box(call.rows) {
                        black_box(order::by_columns(
                            columns,
                            &call.arenas,
                            contest.incoming,
                            contest.current,
                        ));
                    }
                });
            }
            native_ns = (Build::this() == Build::Release).then_some(native / rows as f64);
        } else {
            plugin_ns = nanoseconds(|| {
                black_box(chain.prepare(black_box(&mut batch), self.plan()));
            });
        }
        let usage = chain.usage(rows).next().flatten();
        Ok(Measured {
            rows,
            plugin_ns: plugin_ns / rows as f64,
            native_ns,
            fuel: usage.map(|usage| usage.1),
            memory_bytes: usage.map(|usage| usage.0),
        })
    }
}

/// Nanoseconds of a call: the median of some rounds.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    let began = Instant::now();
    call();
    let once = began.elapsed().max(Duration::from_nanos(20));
    let calls = (ROUND.as_nanos() / once.as_nanos()).clamp(1, 100_000);
    let mut rounds = [0.0; ROUNDS];
    for round in &mut rounds {
        let began = Instant::now();
        (0..calls).for_each(|_| call());
        *round = began.elapsed().as_nanos() as f64 / calls as f64;
    }
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
