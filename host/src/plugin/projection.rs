//! A contract with its names resolved against the plan: where each column of a block lies, and where each written
//! one goes. Made once per lane; a call only follows it.

use reconverge_streams::{
    columns::State,
    logical::{Layout, Logical},
    table::ColumnShape,
};

use super::{
    block::Wanted,
    contract::{Contract, Reading, Side},
    fact::Fact,
    unfit::Unfit,
};
use crate::plan::TablePlan;

/// See the module.
#[derive(Debug)]
pub(super) struct Projection {
    /// Index into the tables that the plugin was opened with.
    pub(super) table: u32,
    /// The columns of a block, in order.
    pub(super) reads: Vec<Read>,
    /// The written columns, in order.
    pub(super) writes: Vec<Write>,
    /// How the written columns have to lie in an answer.
    pub(super) wanted: Vec<Wanted>,
    /// The plugin sees rows of this table that residency has not passed, so that nothing that it says of them may
    /// be kept.
    pub(super) is_guarded: bool,
}

/// Where a column of a block comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A table column of a row.
    Column(Side, usize, Layout),
    /// A fact.
    Fact(Fact),
    /// Nowhere: each cell has this state.
    Nothing(Layout, State),
}

/// Where a written column goes.
#[derive(Debug)]
pub(super) struct Write {
    /// Table column index.
    pub(super) column: usize,
    /// What the sink's column takes.
    pub(super) shape: ColumnShape,
}

impl Projection {
    /// Resolves a contract. `table` is the plugin's own number of the table.
    ///
    /// # Errors
    /// The plan lacks a column that the contract names.
    pub(super) fn of(
        contract: &Contract,
        table: u32,
        plan: &TablePlan,
        is_guarded: bool,
    ) -> Result<Self, Unfit> {
        let place = |name: &str, logical: Logical| {
            let found = plan.column(name).filter(|&k| plan.columns[k].logical == logical);
            let table = &plan.shape.name;
            found.ok_or_else(|| Unfit::Plan {
                table: table.clone(),
                column: name.into(),
                logical: logical.to_string(),
            })
        };
        let read = |reading: &Reading| {
            Ok(match reading {
                Reading::Column { side, name, logical, .. } => {
                    Read::Column(*side, place(name, *logical)?, logical.layout())
                }
                Reading::Fact(fact) => Read::Fact(*fact),
                Reading::Nothing(logical, state) => Read::Nothing(logical.layout(), *state),
            })
        };
        let write = |name: &str, logical| {
            let column = place(name, logical)?;
            Ok(Write { column, shape: plan.columns[column].clone() })
        };
        let writes = contract.writes.iter().map(|writing| write(&writing.name, writing.logical));
        Ok(Projection {
            table,
            reads: contract.reads.iter().map(read).collect::<Result<_, _>>()?,
            writes: writes.collect::<Result<_, _>>()?,
            is_guarded,
            wanted: contract.writes.iter().map(|writing| Wanted::of(writing.logical)).collect(),
        })
    }
}
