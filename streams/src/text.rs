//! The text forms of cells: how people, JSON and every text-speaking database write a value.
//!
//! Decode reads them, sinks read and write them, history and tombstones keep them. [`parse`] and [`write()`] are
//! inverse to each other; what one sink cannot hold (ranges, lengths, labels) is not asked here. No error
//! names a value: a row's bytes belong in no message.

mod array;
mod civil;
mod decimal;
mod json;
mod json_reader;
mod row;

pub use array::write_array;
pub use civil::{
    format_date, format_time, format_timestamp, parse_date, parse_time, parse_timestamp, read_timestamp,
    write_date, write_time, write_timestamp,
};
pub(crate) use decimal::{DecimalParts, decimal_parts};
pub use decimal::{canonical_decimal, pad_to_scale, write_decimal};
pub use json::{canonical_json, write_canonical_json, write_json_text};
pub use json_reader::JsonReader;
pub use row::{from_json, to_json, write_json_cell};

use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::STANDARD_NO_PAD};

use crate::{columns::Column, logical::Logical, table::ColumnShape};

/// Why a text is no value of a column's type. Says what was expected and what kind of thing was there, never
/// the text itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Another kind of thing.
    #[error("expected {expected}, found {found}")]
    Kind {
        /// What the column takes.
        expected: &'static str,
        /// What kind of thing stood there.
        found: &'static str,
    },
    /// The right kind, beyond what the type can hold.
    #[error("beyond the range of {0}")]
    Range(&'static str),
    /// JSON within JSON, more than 128 levels.
    #[error("nested deeper than {} levels", json::DEPTH_MAX)]
    TooDeep,
    /// One column of several.
    #[error("column `{column}`: {cause}")]
    Column {
        /// Which one.
        column: String,
        /// What is wrong with it.
        cause: Box<Unreadable>,
    },
}

impl Unreadable {
    pub(crate) fn text(expected: &'static str) -> Self {
        Unreadable::Kind { expected, found: "other text" }
    }
}

/// The type in a sentence: `an integer`.
#[must_use]
pub fn expected(logical: Logical) -> &'static str {
    match logical {
        Logical::Bool => "true or false",
        Logical::Int => "an integer of 64 bits",
        Logical::Float => "a floating-point number",
        Logical::Text => "text",
        Logical::Bytes => "bytes as base64",
        Logical::Decimal => "a decimal number",
        Logical::Timestamp => "a timestamp",
        Logical::Date => "a date",
        Logical::Time => "a time of day",
        Logical::Uuid => "a uuid",
        Logical::Json => "JSON",
        Logical::Array(_) => "a JSON array",
    }
}

/// Appends the cell that `text` spells. Reads the canonical form of [`write()`] and PostgreSQL's own: `t`,
/// `\x00ff`, `2026-03-02 06:30:00.5+02`, `0044-03-15 BC`. A decimal with fewer digits after the point than the
/// column's scale gets zeros, as the database would print it.
///
/// # Errors
/// The text is no value of the type; nothing is appended then.
pub fn parse(shape: &ColumnShape, text: &str, into: &mut Column) -> Result<(), Unreadable> {
    let wrong = || Unreadable::text(expected(shape.logical));
    match shape.logical {
        Logical::Bool => match text {
            "true" | "t" => into.push_bit(true),
            "false" | "f" => into.push_bit(false),
            _ => return Err(wrong()),
        },
        Logical::Int => into.push_int(parse_int(text)?),
        Logical::Float => into.push_float(parse_float(text)?),
        Logical::Text => into.push_bytes(text.as_bytes()),
        Logical::Bytes => into.push_bytes(&parse_bytes(text).ok_or_else(wrong)?),
        Logical::Decimal => {
            let mut plain = String::new();
            if !write_decimal(text, &mut plain) {
                return Err(wrong());
            }
            pad_to_scale(&mut plain, shape.scale);
            into.push_bytes(plain.as_bytes());
        }
        Logical::Timestamp => into.push_int(read_timestamp(text)?),
        Logical::Date => into.push_int(parse_date(text).ok_or_else(wrong)?),
        Logical::Time => into.push_int(parse_time(text).ok_or_else(wrong)?),
        Logical::Uuid => into.push_bytes(&parse_uuid(text).ok_or_else(wrong)?),
        Logical::Json => into.push_bytes(canonical_json(text)?.as_bytes()),
        Logical::Array(element) => {
            let mut out = String::new();
            write_array(element, shape.scale, text, &mut out)?;
            into.push_bytes(out.as_bytes());
        }
    }
    Ok(())
}

/// Writes the canonical text form of a cell whose state is `Value`: timestamps in UTC with six digits,
/// astronomical years (`-0043`, `+12026`), uuids lower-case, bytes as base64, floats as the shortest text that
/// reads back the same.
pub fn write(column: &Column, i: usize, out: &mut String) {
    match column.logical() {
        Logical::Bool => out.push_str(if column.bit(i) { "true" } else { "false" }),
        Logical::Int => write_int(column.int(i), out),
        Logical::Float => write_float(column.float(i), out),
        Logical::Text | Logical::Decimal | Logical::Json | Logical::Array(_) => out.push_str(column.text(i)),
        Logical::Bytes => STANDARD.encode_string(column.bytes(i), out),
        Logical::Timestamp => write_timestamp(column.int(i), out),
        Logical::Date => write_date(column.int(i), out),
        Logical::Time => write_time(column.int(i), out),
        Logical::Uuid => write_uuid(column.bytes(i), out),
    }
}

fn write_int(value: i64, out: &mut String) {
    use std::fmt::Write as _;
    write!(out, "{value}").expect("writing to a string does not fail");
}

/// `NaN`, `Infinity`, `-Infinity`; else the shortest digits, an exponent beyond 1e16 and below 1e-5, `2` for 2.0.
pub(crate) fn write_float(value: f64, out: &mut String) {
    use std::fmt::Write as _;
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        write!(out, "{value:?}").expect("writing to a string does not fail");
        if out.ends_with(".0") {
            out.truncate(out.len() - 2);
        }
    }
}

fn write_uuid(bytes: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

/// An integer in decimal digits.
///
/// # Errors
/// Something else, or an integer of more than 64 bits.
pub fn parse_int(text: &str) -> Result<i64, Unreadable> {
    text.parse().map_err(|_| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            Unreadable::Range("a 64-bit integer")
        } else {
            Unreadable::text(expected(Logical::Int))
        }
    })
}

/// A float in decimal digits, `NaN`, `Infinity` or `-Infinity`.
///
/// # Errors
/// Something else, or a number beyond the range of a double.
pub fn parse_float(text: &str) -> Result<f64, Unreadable> {
    let value: f64 = text.parse().map_err(|_| Unreadable::text(expected(Logical::Float)))?;
    if value.is_infinite() && text.bytes().any(|b| b.is_ascii_digit()) {
        return Err(Unreadable::Range("a double"));
    }
    Ok(value)
}

/// Bytes as base64, with or without padding, or as PostgreSQL's `\x` and hexadecimal digits.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(hex) => parse_hex(hex),
        None => STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok(),
    }
}

/// Bytes as hexadecimal digits, two each.
#[must_use]
pub fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect()
}

/// A uuid as 32 hexadecimal digits of any case, with hyphens in the four usual places or with none.
#[must_use]
pub fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    let hyphens = match text.len() {
        36 => [8, 13, 18, 23].iter().all(|&at| text[at] == b'-'),
        32 => false,
        _ => return None,
    };
    if text.len() == 36 && !hyphens {
        return None;
    }
    let mut uuid = [0; 16];
    let mut at = 0;
    for byte in &mut uuid {
        if hyphens && matches!(at, 8 | 13 | 18 | 23) {
            at += 1;
        }
        *byte = nibble(text[at])? << 4 | nibble(text[at + 1])?;
        at += 2;
    }
    Some(uuid)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok())
}

#[cfg(test)]
mod tests;
