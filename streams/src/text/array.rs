//! Arrays in one form: a JSON array of cells, each as [`super::write_json_cell`] writes it.
//!
//! Integers, floats, booleans and JSON documents stand bare, everything else as a string in its text form, SQL
//! nulls as null. Arrays do not nest: what a database calls a matrix has no form here.

use crate::{
    columns::{Column, State},
    logical::{Element, Logical},
    table::ColumnShape,
};

use super::{
    Unreadable, expected, json_reader::JsonReader, parse, row::write_json_cell, write_canonical_json,
    write_json_text,
};

/// Writes the canonical form of an array that a JSON text holds. Elements may be written in any text form of
/// their type; `scale` is that of decimal elements.
///
/// # Errors
/// The text is no JSON array, or an element is no value of its type; `out` then ends in a part of the array.
pub fn write_array(
    element: Element,
    scale: Option<u8>,
    json: &str,
    out: &mut String,
) -> Result<(), Unreadable> {
    let mut reader = JsonReader::new(json);
    if reader.peek() != Some(b'[') {
        return Err(Unreadable::text("a JSON array"));
    }
    if element == Element::Json {
        return write_canonical_json(json, out);
    }
    reader.expect(b'[')?;
    out.push('[');
    let mut shape = ColumnShape::new("", element.logical());
    shape.scale = scale;
    let mut cell = Column::new(shape.logical);
    let mut text = String::new();
    let mut first = true;
    while reader.more(b']', first)? {
        if !first {
            out.push(',');
        }
        first = false;
        write_element(&shape, &mut reader, &mut text, &mut cell, out)?;
    }
    out.push(']');
    reader.end()
}

fn write_element(
    shape: &ColumnShape,
    reader: &mut JsonReader<'_>,
    text: &mut String,
    cell: &mut Column,
    out: &mut String,
) -> Result<(), Unreadable> {
    let wrong = |found| Unreadable::Kind { expected: expected(shape.logical), found };
    cell.truncate(0);
    match reader.peek() {
        Some(b'"') => {
            text.clear();
            reader.string(text)?;
            if shape.logical == Logical::Text {
                write_json_text(text, out);
                return Ok(());
            }
            parse(shape, text, cell)?;
        }
        Some(b'[') => return Err(wrong("an array inside of an array")),
        Some(b'{') => return Err(wrong("an object")),
        _ => match reader.word()? {
            "null" => cell.push_state(State::Null),
            "true" | "false" if shape.logical != Logical::Bool => return Err(wrong("a boolean")),
            word @ ("true" | "false") => parse(shape, word, cell)?,
            _ if matches!(shape.logical, Logical::Bool | Logical::Text | Logical::Bytes | Logical::Uuid) => {
                return Err(wrong("a number"));
            }
            word => parse(shape, word, cell)?,
        },
    }
    write_json_cell(cell, 0, out);
    Ok(())
}
