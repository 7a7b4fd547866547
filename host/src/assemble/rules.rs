//! A table's rule by index, from its policy's words; and what only the sink's columns can tell about it.

use reconverge_streams::{logical::Logical, names::Names, table::TableShape};

use crate::{
    config::{Pipeline, Policy, Problem, Table},
    plan::Rule,
};

use super::plan::Asked;

/// The rule of a policy, for a table of this shape.
pub(super) fn rule(
    policy: &Policy,
    asked: &Asked,
    shape: &TableShape,
    index: &impl Fn(&String) -> Option<usize>,
    names: &Names,
) -> Rule {
    let order = |by: &Policy| rule(by, asked, shape, index, names);
    match policy {
        Policy::None => Rule::None,
        Policy::KeepCurrent => Rule::KeepCurrent,
        Policy::TakeIncoming => Rule::TakeIncoming,
        Policy::LwwCommitTime => Rule::CommitTime,
        Policy::LwwHlc => Rule::Hlc,
        Policy::Lww(_) | Policy::Max(_) | Policy::Columns(_) => {
            Rule::Greatest(policy.order_columns().iter().filter_map(index).collect())
        }
        Policy::OriginPriority(origins) => {
            let id = |name: &String| names.intern(name).expect("a configuration has fewer than 65,535 names");
            Rule::OriginPriority(origins.iter().map(id).collect())
        }
        Policy::Vector(by) => Rule::Vector(by.as_deref().map(|by| Box::new(order(by)))),
        Policy::ColumnMerge(by) => Rule::column_merge(order(by), shape.columns.len(), &shape.key),
        Policy::Counter { counters, by } => {
            Rule::counter(counters.iter().filter_map(index).collect(), order(by))
        }
        Policy::Plugin(_) => Rule::Plugin(asked.order_columns.iter().filter_map(index).collect()),
    }
}

/// Sums that are none: addition of floats depends on the order, and a key is not added to.
pub(super) fn unlike_sums(pipeline: &Pipeline, table: &Table, shape: &TableShape) -> Vec<Problem> {
    let mut problems = Vec::new();
    for name in table.policy.counters() {
        let Some(at) = shape.column(name) else { continue };
        let logical = shape.columns[at].logical;
        let (what, hint) = if shape.key.contains(&at) {
            (format!("`{}.{name}` is a key column and cannot be a sum", shape.name), "name other columns")
        } else if logical != Logical::Int {
            let hint =
                "use an integer column, of the smallest unit (cents): sums of other types are not exact";
            (format!("`{}.{name}` is {logical}, a sum has to be an integer", shape.name), hint)
        } else if shape.columns[at].generated {
            (
                format!("`{}.{name}` is computed by the database", shape.name),
                "name the columns that it is computed from",
            )
        } else {
            continue;
        };
        let mut problem = pipeline.problem(table.span.clone(), what);
        problem.help(hint);
        problems.push(problem);
    }
    problems
}
