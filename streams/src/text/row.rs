//! One row as a JSON object: what tombstones keep, what history shows, what `explain` prints.
//!
//! Cells that the source did not send are left out, so that reading one back never invents a value.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    columns::{Column, Columns, State},
    logical::Logical,
    table::{ColumnShape, TableShape},
};

use super::{Unreadable, canonical_json, expected, parse, write, write_float, write_json_text};

/// Row `i` of the named columns as a JSON object: null, booleans and integers as themselves, floats as numbers
/// (`"NaN"` and the infinities as strings), documents and arrays embedded, everything else as text. Cells that
/// were not sent are left out.
#[must_use]
pub fn to_json<'a>(columns: impl IntoIterator<Item = (&'a str, &'a Column)>, i: usize) -> String {
    let mut out = String::from("{");
    for (name, column) in columns {
        if !column.state(i).is_sent() {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        write_json_text(name, &mut out);
        out.push(':');
        write_json_cell(column, i, &mut out);
    }
    out.push('}');
    out
}

/// Writes a cell as a JSON value, as in [`to_json`]; a cell that was not sent as null.
pub fn write_json_cell(column: &Column, i: usize, out: &mut String) {
    if column.state(i) != State::Value {
        return out.push_str("null");
    }
    match column.logical() {
        Logical::Bool | Logical::Int | Logical::Json | Logical::Array(_) => write(column, i, out),
        Logical::Float if column.float(i).is_finite() => write_float(column.float(i), out),
        Logical::Text => write_json_text(column.text(i), out),
        _ => {
            out.push('"');
            write(column, i, out);
            out.push('"');
        }
    }
}

/// Appends the row that a JSON object of [`to_json`] spells to `into`, which has all columns of the shape. Of
/// the shape's columns those named by index in `columns` are read; one that the object lacks, and all others,
/// are [`State::NoRow`].
///
/// # Errors
/// The text is no JSON object, or a cell is no value of its type; nothing is appended then.
pub fn from_json(
    shape: &TableShape,
    columns: &[usize],
    json: &str,
    into: &mut Columns,
) -> Result<(), Unreadable> {
    let members: Members<'_> =
        serde_json::from_str(json).map_err(|_| Unreadable::text("a JSON object of columns"))?;
    for (i, column) in shape.columns.iter().enumerate() {
        let cell = &mut into.columns[i];
        let member = if columns.contains(&i) { members.0.get(column.name.as_str()) } else { None };
        let read = match member {
            Some(value) => read_member(column, value.get(), cell),
            None => {
                cell.push_state(State::NoRow);
                Ok(())
            }
        };
        if let Err(cause) = read {
            into.abandon_row();
            return Err(Unreadable::Column { column: column.name.clone(), cause: Box::new(cause) });
        }
    }
    into.end_row();
    Ok(())
}

#[derive(Deserialize)]
struct Members<'a>(#[serde(borrow)] BTreeMap<Cow<'a, str>, &'a RawValue>);

fn read_member(shape: &ColumnShape, json: &str, into: &mut Column) -> Result<(), Unreadable> {
    if json == "null" {
        into.push_state(State::Null);
        return Ok(());
    }
    match shape.logical {
        Logical::Json => into.push_bytes(canonical_json(json)?.as_bytes()),
        Logical::Array(_) => parse(shape, json, into)?,
        logical if json.starts_with('"') => {
            let text: Cow<'_, str> =
                serde_json::from_str(json).map_err(|_| Unreadable::text(expected(logical)))?;
            parse(shape, &text, into)?;
        }
        Logical::Bool | Logical::Int | Logical::Float | Logical::Decimal => parse(shape, json, into)?,
        logical => {
            return Err(Unreadable::Kind { expected: expected(logical), found: "another kind of JSON" });
        }
    }
    Ok(())
}
