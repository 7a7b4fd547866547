//! A key as people type it, to the bytes and cells that the sink knows it by.

use reconverge_streams::{
    canonical,
    columns::{Column, Columns},
    table::TableShape,
    text,
};

use crate::config::Pipeline;

use super::{RunError, Sidecar};

/// The shape of a table, and a key's canonical bytes and cells (one row). `table` is the name at the source or in
/// the sink; `key` has a text form for each key column, in the declared order.
///
/// # Errors
/// [`RunError::NotFound`] for a table that the pipeline lacks, too few or too many key columns, or a text that is
/// no value of its column.
pub async fn key(
    pipeline: &Pipeline,
    sidecar: &Sidecar,
    table: &str,
    key: &[String],
) -> Result<(TableShape, Vec<u8>, Columns), RunError> {
    let not_found = |what: String, hint: String| RunError::NotFound { what, hint };
    let at = place(pipeline, table)?;
    let shape = sidecar.shapes(pipeline).await?.swap_remove(at);
    let columns = &pipeline.tables[at].key;
    if columns.len() != key.len() {
        return Err(not_found(
            format!("the key of `{table}` has {} columns, {} values were given", columns.len(), key.len()),
            format!("give one value for each of {}, in this order", columns.join(", ")),
        ));
    }
    let mut cells = Columns::new(shape.key_logicals());
    for ((column, text), name) in shape.key.iter().zip(key).zip(columns) {
        let mut cell = Column::new(shape.columns[*column].logical);
        text::parse(&shape.columns[*column], text, &mut cell).map_err(|wrong| {
            not_found(format!("key column `{name}`: {wrong}"), format!("`{name}` is {}", cell.logical()))
        })?;
        let place = shape.key.iter().position(|k| k == column).unwrap_or_default();
        cells.columns[place] = cell;
    }
    cells.end_row();
    let mut bytes = Vec::new();
    canonical::key(&cells.columns.iter().collect::<Vec<_>>(), 0, &mut bytes);
    Ok((shape, bytes, cells))
}

/// The place in [`Pipeline::tables`] of a table, by its name at the source or in the sink.
///
/// # Errors
/// [`RunError::NotFound`] where the pipeline lacks it.
pub(super) fn place(pipeline: &Pipeline, table: &str) -> Result<usize, RunError> {
    pipeline.tables.iter().position(|t| t.target == table || t.name == table).ok_or_else(|| {
        let known: Vec<&str> = pipeline.tables.iter().map(|t| t.target.as_str()).collect();
        RunError::NotFound {
            what: format!("the pipeline has no table `{table}`"),
            hint: format!("its tables are {}", known.join(", ")),
        }
    })
}
