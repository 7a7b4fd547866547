//! Cells across SQLite's boundary: what a cell is bound as, what a stored value is as a cell, and the digest by
//! which a row is known as the one that we wrote.
//!
//! Times, uuids, decimals, documents and arrays are stored as their canonical text, so that people can read them.
//! A float that is NaN is stored as the text `NaN`, since SQLite makes a null of it; a negative zero loses its sign.

use rusqlite::types::ValueRef;
use xxhash_rust::xxh3::xxh3_128;

use super::declared::Affinity;
use crate::{
    columns::{Column, State},
    logical::Logical,
    table::ColumnShape,
    text,
};

/// The length of a row's digest in bytes.
pub(super) const DIGEST_BYTES: usize = 16;

/// The digest of a row as it is stored.
pub(super) type Digest = [u8; DIGEST_BYTES];

/// A text that the column's affinity would turn into another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Altered;

/// What to bind for cell `i`. `scratch` holds the text of types that are stored as text.
///
/// # Errors
/// [`Altered`] where SQLite would not store what the cell says.
pub(super) fn bound<'a>(
    column: &'a Column,
    i: usize,
    affinity: Affinity,
    scratch: &'a mut String,
) -> Result<ValueRef<'a>, Altered> {
    if column.state(i) != State::Value {
        return Ok(ValueRef::Null);
    }
    Ok(match column.logical() {
        Logical::Bytes => ValueRef::Blob(column.bytes(i)),
        Logical::Text | Logical::Decimal | Logical::Json | Logical::Array(_) => {
            let bytes = column.bytes(i);
            if affinity.turns_numbers() && reading(bytes) == Reading::OtherNumber {
                return Err(Altered);
            }
            ValueRef::Text(bytes)
        }
        Logical::Bool if affinity != Affinity::Text => ValueRef::Integer(i64::from(column.bit(i))),
        Logical::Int if affinity != Affinity::Text => ValueRef::Integer(column.int(i)),
        Logical::Float if affinity != Affinity::Text && !column.float(i).is_nan() => {
            ValueRef::Real(column.float(i))
        }
        _ => {
            scratch.clear();
            text::write(column, i, scratch);
            ValueRef::Text(scratch.as_bytes())
        }
    })
}

/// Whether the value is stored as it is bound, so that a row's digest can be told without reading it back.
pub(super) fn is_kept(value: ValueRef<'_>, affinity: Affinity, not_null: bool) -> bool {
    match value {
        // `NOT NULL ON CONFLICT REPLACE` stores the default in its place.
        ValueRef::Null => !not_null,
        ValueRef::Blob(_) => true,
        ValueRef::Integer(_) => affinity != Affinity::Text,
        ValueRef::Real(_) => matches!(affinity, Affinity::Real | Affinity::Blob),
        ValueRef::Text(text) => !affinity.turns_numbers() || reading(text) == Reading::Text,
    }
}

/// How SQLite reads a text in a column whose affinity turns numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// As the text that it is.
    Text,
    /// As a number that prints as the same text.
    SameNumber,
    /// As a number that prints otherwise, or may.
    OtherNumber,
}

/// SQLite takes spaces around a number, a sign, digits with a point, and an exponent.
fn reading(text: &[u8]) -> Reading {
    let trimmed = text.trim_ascii();
    let numeric = |b: &u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
    if trimmed.is_empty() || !trimmed.iter().all(numeric) {
        return Reading::Text;
    }
    let Ok(spelt) = std::str::from_utf8(text) else { return Reading::OtherNumber };
    if spelt.parse::<i64>().is_ok_and(|n| n.to_string() == spelt) {
        return Reading::SameNumber;
    }
    match spelt.trim_ascii().parse::<f64>() {
        // A float prints as the shortest text that reads as it; where that is the text, nothing is lost.
        Ok(x) if spelt.contains('.') && x.is_finite() && format!("{x:?}") == spelt => Reading::SameNumber,
        Ok(_) => Reading::OtherNumber,
        // `2026-03-02`, `1-2`: no number for SQLite either.
        Err(_) => Reading::Text,
    }
}

/// Appends a stored value as a cell. A value that the column's type cannot be (only the application can have
/// written it) is `Unavailable`: the row is there, the cell cannot be told.
pub(super) fn push(value: ValueRef<'_>, shape: &ColumnShape, into: &mut Column) {
    let rows = into.len();
    if read(value, shape, into).is_none() {
        into.truncate(rows);
        into.push_state(State::Unavailable);
    }
}

fn read(value: ValueRef<'_>, shape: &ColumnShape, into: &mut Column) -> Option<()> {
    match (value, shape.logical) {
        (ValueRef::Null, _) => into.push_state(State::Null),
        (ValueRef::Integer(n), Logical::Bool) => into.push_bit(n != 0),
        (ValueRef::Integer(n), Logical::Int | Logical::Timestamp) => into.push_int(n),
        (ValueRef::Real(x), Logical::Float) => into.push_float(x),
        #[expect(clippy::cast_precision_loss, reason = "a REAL column holds whole floats as integers")]
        (ValueRef::Integer(n), Logical::Float) => into.push_float(n as f64),
        (ValueRef::Blob(bytes) | ValueRef::Text(bytes), Logical::Bytes) => into.push_bytes(bytes),
        (ValueRef::Blob(bytes), Logical::Uuid) if bytes.len() == 16 => into.push_bytes(bytes),
        (ValueRef::Text(bytes), Logical::Text) => {
            into.push_bytes(std::str::from_utf8(bytes).ok()?.as_bytes())
        }
        (ValueRef::Text(bytes), _) => text::parse(shape, std::str::from_utf8(bytes).ok()?, into).ok()?,
        (ValueRef::Integer(n), Logical::Text | Logical::Decimal | Logical::Json) => {
            text::parse(shape, &n.to_string(), into).ok()?;
        }
        (ValueRef::Real(x), Logical::Text | Logical::Decimal | Logical::Json) => {
            text::parse(shape, &format!("{x:?}"), into).ok()?;
        }
        _ => return None,
    }
    Some(())
}

/// Puts one stored value into the bytes that a row's digest is taken of. A null adds nothing, so that a column
/// added later changes no digest. What RETURNING and a read tell differently is made equal: whole floats come
/// as integers, a negative zero as zero.
pub(super) fn add_to_digest(name: u64, value: ValueRef<'_>, affinity: Affinity, bytes: &mut Vec<u8>) {
    let (tag, number): (u8, [u8; 8]) = match value {
        ValueRef::Null => return,
        #[expect(clippy::cast_precision_loss, reason = "the float that SQLite reads it as")]
        ValueRef::Integer(n) if affinity == Affinity::Real => (2, float_bytes(n as f64)),
        ValueRef::Integer(n) => (1, n.to_le_bytes()),
        ValueRef::Real(x) => (2, float_bytes(x)),
        ValueRef::Text(t) => (3, (t.len() as u64).to_le_bytes()),
        ValueRef::Blob(b) => (4, (b.len() as u64).to_le_bytes()),
    };
    bytes.extend_from_slice(&name.to_le_bytes());
    bytes.push(tag);
    bytes.extend_from_slice(&number);
    if let ValueRef::Text(content) | ValueRef::Blob(content) = value {
        bytes.extend_from_slice(content);
    }
}

fn float_bytes(x: f64) -> [u8; 8] {
    (if x == 0.0 { 0.0 } else { x }).to_le_bytes()
}

/// The digest of the collected bytes.
pub(super) fn digest(bytes: &[u8]) -> Digest {
    xxh3_128(bytes).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;

    /// The type and text that SQLite gives back for a text in a column of NUMERIC affinity.
    fn stored(text: &str) -> (String, String) {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t (v NUMERIC)").unwrap();
        conn.execute("INSERT INTO t VALUES (?1)", [text]).unwrap();
        let read = |r: &rusqlite::Row<'_>| {
            let value = match r.get_ref_unwrap(0) {
                ValueRef::Integer(n) => n.to_string(),
                ValueRef::Real(x) => format!("{x:?}"),
                ValueRef::Text(t) => String::from_utf8(t.to_vec()).unwrap(),
                other => format!("{other:?}"),
            };
            Ok((r.get(1)?, value))
        };
        conn.query_row("SELECT v, typeof(v) FROM t", [], read).unwrap()
    }

    #[test]
    fn texts_that_would_change_are_known() {
        use Reading::{OtherNumber, SameNumber, Text};
        for (text, expected) in [
            ("1.250", OtherNumber),
            ("1.25", SameNumber),
            ("0101", OtherNumber),
            ("12", SameNumber),
            (" 12", OtherNumber),
            ("-0", OtherNumber),
            ("123456789012345678901234567890", OtherNumber),
            ("1e5", OtherNumber),
            ("2026-03-02", Text),
            ("infinity", Text),
            ("10.0.0.1", Text),
            ("+12026-01-01T00:00:00.000000Z", Text),
            ("[1,2]", Text),
            ("", Text),
        ] {
            assert_eq!(reading(text.as_bytes()), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_let_through_comes_back(text in "[-+ .0-9eEx]{0,12}") {
            let (kind, back) = stored(&text);
            match reading(text.as_bytes()) {
                Reading::OtherNumber => {}
                Reading::SameNumber => prop_assert_eq!(back, text),
                Reading::Text => prop_assert_eq!((kind, back), ("text".to_owned(), text)),
            }
        }
    }
}
