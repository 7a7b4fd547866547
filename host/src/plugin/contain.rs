//! Containment: a call that fails costs the guilty rows, nobody else. The dead instance is dropped, the rows are
//! halved and asked again on fresh instances down to single ones; a row alone on a fresh instance decides.
//!
//! So running out of fuel in a batch decides nothing: batches differ between regions, a row alone does not.

use std::{ops::Range, sync::Arc};

use super::{
    block::{self, Answered, BlockWriter},
    fault::Fault,
    instance::{Contract, Instance, Table},
    program::Program,
    projection::Projection,
};

/// How a plugin is opened, each time the same.
pub(super) struct Opening {
    pub(super) program: Program,
    pub(super) config: String,
    pub(super) tables: Vec<Table>,
    /// What it asked for when it was opened first.
    pub(super) contracts: Vec<Contract>,
}

impl Opening {
    /// A fresh instance, opened.
    pub(super) fn instance(&self) -> Result<Instance, Fault> {
        let mut instance = Instance::start(&self.program)?;
        match instance.open(&self.config, &self.tables)? {
            Ok(contracts) if contracts == self.contracts => Ok(instance),
            Ok(_) => Err(Fault::OtherContract),
            Err(text) => {
                Err(Fault::Plugin(super::words::tame(&text, self.program.engine.limits().text_bytes)))
            }
        }
    }
}

/// What a plugin did on one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Calls, those that failed included.
    pub(super) calls: u64,
    /// Rows that were asked about, each once.
    pub(super) rows: u64,
    /// Calls that failed.
    pub(super) faults: u64,
    /// Rows that were found guilty.
    pub(super) guilty: u64,
}

/// A plugin at work on one lane.
pub(super) struct Worker {
    pub(super) opening: Arc<Opening>,
    pub(super) tally: Tally,
    /// None after a fault.
    instance: Option<Instance>,
    /// Whether the instance has not been given rows yet.
    is_fresh: bool,
    block: BlockWriter,
}

impl Worker {
    /// Opens an instance for a lane.
    pub(super) fn new(opening: Arc<Opening>) -> Result<Self, Fault> {
        let instance = Some(opening.instance()?);
        Ok(Worker {
            opening,
            tally: Tally::default(),
            instance,
            is_fresh: true,
            block: BlockWriter::default(),
        })
    }

    /// Bytes of memory of the living instance, and the fuel that its last call left over.
    pub(super) fn usage(&self) -> Option<(usize, u64)> {
        self.instance.as_ref().map(|instance| (instance.memory_bytes(), instance.fuel_left()))
    }

    /// Asks about `rows` rows. `write` puts the columns of a range of them into a block, `take` is given the
    /// answers of ranges in ascending order, or the fault of a single guilty row. Every row is given once.
    pub(super) fn ask(
        &mut self,
        projection: &Projection,
        rows: usize,
        mut write: impl FnMut(&mut BlockWriter, Range<usize>),
        mut take: impl FnMut(Range<usize>, Result<&Answered<'_>, &Fault>),
    ) {
        self.tally.rows += rows as u64;
        let mut open: Vec<Range<usize>> = std::iter::once(0..rows).collect();
        while let Some(range) = open.pop() {
            if range.is_empty() {
                continue;
            }
            if let Err(fault) = self.revive() {
                // No instance can be had: that is not one row's fault, and halving would not find it.
                self.tally.guilty += range.len() as u64;
                range.for_each(|row| take(row..row + 1, Err(&fault)));
                continue;
            }
            let was_fresh = std::mem::replace(&mut self.is_fresh, false);
            match self.call(projection, range.clone(), &mut write, &mut take) {
                Ok(()) => {}
                Err(fault) => {
                    self.instance = None;
                    self.tally.faults += 1;
                    if range.len() > 1 {
                        let middle = range.start + range.len() / 2;
                        open.extend([middle..range.end, range.start..middle]);
                    } else if was_fresh {
                        self.tally.guilty += 1;
                        take(range, Err(&fault));
                    } else {
                        open.push(range);
                    }
                }
            }
        }
    }

    fn revive(&mut self) -> Result<(), Fault> {
        if self.instance.is_none() {
            self.instance = Some(self.opening.instance()?);
            self.is_fresh = true;
        }
        Ok(())
    }

    fn call(
        &mut self,
        projection: &Projection,
        range: Range<usize>,
        write: &mut impl FnMut(&mut BlockWriter, Range<usize>),
        take: &mut impl FnMut(Range<usize>, Result<&Answered<'_>, &Fault>),
    ) -> Result<(), Fault> {
        self.tally.calls += 1;
        let (program, rows) = (&self.opening.program, range.len());
        let limits = program.engine.limits();
        self.block.start(projection.reads.len(), rows, limits.memory_bytes);
        write(&mut self.block, range.clone());
        let block = self.block.finish().ok_or(Fault::Memory)?;
        let instance = self.instance.as_mut().expect("`ask` has revived it");
        let answer = instance.run(program, projection.table, rows, block)?;
        let answered = block::check(&answer, rows, &projection.wanted, limits.answer_bytes_max(block.len()));
        take(range, Ok(&answered.map_err(Fault::BadAnswer)?));
        Ok(())
    }
}
