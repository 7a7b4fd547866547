//! What a table in memory is to a pipeline that names it, or all that is wrong with it.

use super::database::Contents;
use crate::{
    sink::{Problem, TableName},
    table::TableShape,
};

/// The shape of a table, with the key as it was asked for.
pub(super) fn shape(state: &Contents, asked: &TableName) -> Result<TableShape, Vec<Problem>> {
    let problem =
        |what: String| Problem { table: Some(asked.name.clone()), what, hint: "create it first".into() };
    let Some(table) = state.tables.get(&asked.name) else {
        return Err(vec![problem(format!("there is no table `{}`", asked.name))]);
    };
    let mut shape = TableShape::clone(&table.shape);
    let find =
        |name: &String| shape.column(name).ok_or_else(|| problem(format!("there is no key column `{name}`")));
    let found: (Vec<_>, Vec<_>) = asked.key.iter().map(find).partition(Result::is_ok);
    let problems: Vec<Problem> = found.1.into_iter().filter_map(Result::err).collect();
    let key: Vec<usize> = found.0.into_iter().filter_map(Result::ok).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let same = key.len() == shape.key.len() && key.iter().all(|k| shape.key.contains(k));
    if !same {
        return Err(vec![problem("the key is not the table's".into())]);
    }
    shape.key = key;
    Ok(shape)
}
