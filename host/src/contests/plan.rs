//! The plan that a file's contests are decoded and decided by: its tables, and the columns of the plugin's contract.

use std::{collections::HashMap, sync::Arc};

use reconverge_streams::{names::Names, table::ColumnShape};

use super::file::{Head, TableHead};
use crate::{
    config,
    plan::{Deletes, Plan, Rule, TablePlan},
    plugin::{BoundTable, PluginSet},
};

/// The region of the plan: one that no contest names, so that none of them is our own write come back.
const REGION: &str = "contests";
/// Greatest size of a value.
const VALUE_BYTES: usize = 16 << 20;

/// The plan of the head's tables, with the columns that only the plugin knows.
pub(super) fn plan(head: &Head, tables: &[BoundTable], set: &PluginSet) -> Plan {
    let names = Names::default();
    let region = names.intern(REGION).expect("it is the first name");
    let sources = set.source_columns();
    let planned = |(head, bound): (&TableHead, &BoundTable)| {
        let of_source = sources.iter().filter(|source| source.0 == bound.id);
        let mut columns = bound.shape.columns.clone();
        columns.extend(of_source.map(|(_, name, logical)| ColumnShape::new(name, *logical)));
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        let order = set.merge_of(bound.id).map(|(_, order)| order.into_iter().filter_map(place).collect());
        let rule = order.map_or(Rule::TakeIncoming, Rule::Plugin);
        let column_tags: HashMap<usize, Vec<String>> =
            bound.column_tags.iter().filter_map(|(name, tags)| Some((place(name)?, tags.clone()))).collect();
        TablePlan {
            source_name: bound.name.clone(),
            deletes: match head.deletes {
                config::Deletes::Ordered => Deletes::Ordered,
                config::Deletes::Win => Deletes::Win,
            },
            archive_losers: true,
            tags: bound.tags.clone(),
            column_tags,
            columns,
            residency: set.has_residency(bound.id),
            ..TablePlan::new(bound.id, Arc::clone(&bound.shape), rule, "contests")
        }
    };
    Plan {
        tables: head.tables.iter().zip(tables).map(planned).collect(),
        by_source_name: tables.iter().map(|table| (table.name.clone(), table.id)).collect(),
        region,
        names: Arc::new(names),
        clock_skew_us: 0,
        value_bytes: VALUE_BYTES,
        leaving_max: u32::MAX,
    }
}
