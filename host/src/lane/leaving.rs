//! More rows would leave the sink with their parents than one transaction may take: the lane stops, and says what to do.

use reconverge_streams::table::TableId;

use super::LaneError;
use crate::plan::Plan;

pub(super) fn too_many(plan: &Plan, table: TableId) -> LaneError {
    let (name, most) = (&plan.table(table).shape.name, plan.leaving_max);
    LaneError::Halted {
        what: format!("more than {most} rows would leave the sink with rows of table {name}, limits.leaving is {most}"),
        hint: "nothing of the batch was written; they go in one transaction and through this process's memory: raise \
               limits.leaving where both have room for them"
            .into(),
    }
}
