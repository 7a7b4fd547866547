//! The plugins of one lane at work, each with an instance of its own: the second of the two steps. This is what
//! the pure core knows as [`Stages`].

use std::sync::Arc;

use reconverge_streams::table::TableId;

use super::{
    contain::{Tally, Worker},
    digest::Digest,
    merge,
    prepare::{self, Bounds},
    projection::Projection,
    set::PluginSet,
    unfit::{PluginError, Unfit},
};
use crate::{
    batch::Batch,
    config::Stage,
    plan::Plan,
    stages::{Contests, Prepared, PreparedTable, Rulings, Stages},
};

/// The plugins of one lane, in the order of the chain.
pub struct PluginChain {
    links: Vec<Link>,
    /// Tables that a residency plugin is bound to.
    guarded: Vec<TableId>,
    value_bytes: usize,
}

/// One plugin of the chain.
struct Link {
    stage: Stage,
    /// By [`TableId`]; none where the plugin is not bound to the table.
    projections: Vec<Option<Projection>>,
    worker: Worker,
}

/// What a plugin did on a lane since the chain was made, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginCounts {
    /// The plugin.
    pub plugin: Arc<str>,
    /// Its stage.
    pub stage: Stage,
    /// SHA-256 of its file.
    pub digest: Digest,
    /// Calls, those that failed included.
    pub calls: u64,
    /// Rows that it was asked about.
    pub rows: u64,
    /// Calls that failed: a trap, a limit, a bad answer or an error. Each cost an instance.
    pub faults: u64,
    /// Rows that were found guilty of them.
    pub guilty_rows: u64,
    /// Log lines that were written, by all lanes.
    pub log_lines: u64,
    /// Log lines that were dropped, by all lanes.
    pub log_lines_dropped: u64,
}

impl PluginSet {
    /// Opens an instance of every plugin for one lane and resolves the contracts against the plan, which has to
    /// have the columns of [`PluginSet::source_columns`].
    ///
    /// # Errors
    /// The plan lacks a column, or a plugin that opened before does not open now.
    pub fn chain(&self, plan: &Plan) -> Result<PluginChain, PluginError> {
        let mut links = Vec::new();
        for opened in &self.plugins {
            let program = &opened.opening.program;
            let unfit = |why| PluginError::new(&program.name, why);
            let mut projections: Vec<Option<Projection>> = plan.tables.iter().map(|_| None).collect();
            for (number, contract) in &opened.contracts {
                let is_guarded = match program.stage {
                    Stage::Residency => true,
                    Stage::Merge => self.has_residency(contract.table),
                    Stage::Filter | Stage::Mapping => false,
                };
                let table = plan.table(contract.table);
                let projection = Projection::of(contract, *number, table, is_guarded).map_err(unfit)?;
                projections[contract.table.index()] = Some(projection);
            }
            let worker = Worker::new(Arc::clone(&opened.opening));
            let worker = worker.map_err(|fault| unfit(Unfit::Open(fault.at_start())))?;
            links.push(Link { stage: program.stage, projections, worker });
        }
        let guarded = plan.tables.iter().map(|table| table.id).filter(|id| self.has_residency(*id)).collect();
        Ok(PluginChain { links, guarded, value_bytes: plan.value_bytes })
    }
}

impl PluginChain {
    /// What each plugin did, in the order of the chain.
    pub fn counts(&self) -> impl Iterator<Item = PluginCounts> + '_ {
        self.links.iter().map(|link| {
            let program = &link.worker.opening.program;
            let Tally { calls, rows, faults, guilty } = link.worker.tally;
            let (log_lines, log_lines_dropped) = program.log.counts();
            PluginCounts {
                plugin: Arc::clone(&program.name),
                stage: link.stage,
                digest: program.digest,
                calls,
                rows,
                faults,
                guilty_rows: guilty,
                log_lines,
                log_lines_dropped,
            }
        })
    }
}

impl PluginChain {
    /// What each plugin's instance uses, in the order of the chain: bytes of memory, and the fuel that its last call
    /// of `rows` rows took. A plugin whose instance died just now has none.
    pub fn usage(&self, rows: usize) -> impl Iterator<Item = Option<(usize, u64)>> + '_ {
        self.links.iter().map(move |link| {
            let limits = link.worker.opening.program.engine.limits();
            link.worker.usage().map(|(memory, left)| (memory, limits.fuel(rows).saturating_sub(left)))
        })
    }
}

impl Link {
    /// Leads all tables that the plugin is bound to through it.
    fn prepare(&mut self, batch: &mut Batch, prepared: &mut [PreparedTable], bounds: &Bounds<'_>) {
        for (table, prepared) in batch.tables.iter_mut().zip(prepared) {
            if let Some(Some(projection)) = self.projections.get(table.table.index()) {
                prepare::prepare(&mut self.worker, projection, table, prepared, bounds);
            }
        }
    }
}

impl Stages for PluginChain {
    fn admit(&mut self, batch: &mut Batch, plan: &Plan, known: Prepared) -> Prepared {
        let mut tables = known.tables;
        let bounds = Bounds { names: &plan.names, value_bytes: plan.value_bytes };
        for link in self.links.iter_mut().filter(|link| link.stage == Stage::Residency) {
            link.prepare(batch, &mut tables, &bounds);
        }
        for (table, prepared) in batch.tables.iter_mut().zip(&mut tables) {
            if self.guarded.contains(&table.table) {
                prepare::seal_deletes(table, prepared, plan.table(table.table));
            }
        }
        Prepared { tables }
    }

    fn refine(&mut self, batch: &mut Batch, plan: &Plan, admitted: Prepared) -> Prepared {
        let mut tables = admitted.tables;
        let bounds = Bounds { names: &plan.names, value_bytes: plan.value_bytes };
        for link in self.links.iter_mut().filter(|link| matches!(link.stage, Stage::Filter | Stage::Mapping))
        {
            link.prepare(batch, &mut tables, &bounds);
        }
        Prepared { tables }
    }

    fn merge(&mut self, contests: &Contests<'_>) -> Rulings {
        let table = contests.table.id.index();
        for link in self.links.iter_mut().filter(|link| link.stage == Stage::Merge) {
            if let Some(Some(projection)) = link.projections.get(table) {
                return merge::merge(&mut link.worker, projection, contests, self.value_bytes);
            }
        }
        merge::refuse_all(contests, "plugin-error", "no merge plugin is bound to the table")
    }

    fn faults(&self) -> u64 {
        self.links.iter().map(|link| link.worker.tally.faults).sum()
    }
}
