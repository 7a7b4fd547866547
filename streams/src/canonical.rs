//! Canonical bytes of cells, keys and rows: what versions are filed under and what ties are decided by.
//!
//! Two regions must get the same bytes from the same row, whatever it was read from, for ever: the golden
//! vectors below are part of the stored format. Nothing here allocates but the output.

use std::cmp::Ordering;

use crate::{
    columns::{Column, Columns, State},
    logical::Logical,
    text::{DecimalParts, decimal_parts},
};

/// Appends the canonical bytes of a cell whose state is `Value`; of any other the bytes of a zero or empty
/// value. Booleans are 1 byte; integers and times 8, big-endian with the sign bit flipped; floats 8 in IEEE
/// total order, with one NaN; a decimal its sign and its digits without superfluous zeros; the rest is as it is.
pub fn cell(column: &Column, i: usize, out: &mut Vec<u8>) {
    match column.logical() {
        Logical::Bool => out.push(u8::from(column.bit(i))),
        Logical::Int | Logical::Timestamp | Logical::Date | Logical::Time => {
            out.extend_from_slice(&int_order(column.int(i)).to_be_bytes());
        }
        Logical::Float => out.extend_from_slice(&float_order(column.float(i)).to_be_bytes()),
        Logical::Decimal => decimal(column.text(i), out),
        Logical::Text | Logical::Json | Logical::Array(_) | Logical::Bytes | Logical::Uuid => {
            out.extend_from_slice(column.bytes(i));
        }
    }
}

/// Appends the canonical key of row `i`: for each key column, in the declared order, 1 byte of type, a
/// big-endian u32 length, and the canonical bytes. A cell without a value has type 0 and length 0.
pub fn key(columns: &[&Column], i: usize, out: &mut Vec<u8>) {
    for column in columns {
        let has_value = column.state(i) == State::Value;
        out.push(if has_value { type_byte(column.logical()) } else { 0 });
        sized(out, |out| {
            if has_value {
                cell(column, i, out);
            }
        });
    }
}

/// One row of cells from a canonical key, so that a key can be shown; `None` where the bytes are no key of
/// these types.
#[must_use]
pub fn key_cells(logicals: &[Logical], key: &[u8]) -> Option<Columns> {
    let mut columns = Columns::new(logicals.iter().copied());
    let mut rest = key;
    for column in &mut columns.columns {
        let (head, tail) = rest.split_at_checked(5)?;
        let length = u32::from_be_bytes(head[1..].try_into().ok()?);
        let (bytes, tail) = tail.split_at_checked(usize::try_from(length).ok()?)?;
        rest = tail;
        match head[0] {
            0 => column.push_state(State::Null),
            byte if byte == type_byte(column.logical()) => read_cell(column, bytes)?,
            _ => return None,
        }
    }
    columns.end_row();
    rest.is_empty().then_some(columns)
}

/// Appends the canonical row `i` of the given columns, which the caller has sorted by name: for each 1 byte
/// (0 null, 1 value, 2 not sent), a big-endian u32 length, and the canonical bytes.
pub fn row(columns: &[&Column], i: usize, out: &mut Vec<u8>) {
    for column in columns {
        let state = column.state(i);
        out.push(match state {
            State::Null => 0,
            State::Value => 1,
            State::Unavailable | State::NoRow | State::Missing => 2,
        });
        sized(out, |out| {
            if state == State::Value {
                cell(column, i, out);
            }
        });
    }
}

/// The order of order values: null first (so counts every cell that has no value), then minus infinity up to
/// infinity; false before true; floats in IEEE total order with one NaN; decimals as numbers, NaN greatest;
/// text, documents and arrays by their bytes. Both columns are of one logical type.
#[must_use]
pub fn compare(a: &Column, i: usize, b: &Column, j: usize) -> Ordering {
    match (a.state(i) == State::Value, b.state(j) == State::Value) {
        (true, true) => {}
        (left, right) => return left.cmp(&right),
    }
    match a.logical() {
        Logical::Bool => a.bit(i).cmp(&b.bit(j)),
        Logical::Int | Logical::Timestamp | Logical::Date | Logical::Time => a.int(i).cmp(&b.int(j)),
        Logical::Float => float_order(a.float(i)).cmp(&float_order(b.float(j))),
        Logical::Decimal => compare_decimals(a.text(i), b.text(j)),
        Logical::Text | Logical::Json | Logical::Array(_) | Logical::Bytes | Logical::Uuid => {
            a.bytes(i).cmp(b.bytes(j))
        }
    }
}

fn type_byte(logical: Logical) -> u8 {
    match logical {
        Logical::Bool => 1,
        Logical::Int => 2,
        Logical::Float => 3,
        Logical::Text => 4,
        Logical::Json => 5,
        Logical::Array(_) => 6,
        Logical::Bytes => 7,
        Logical::Decimal => 8,
        Logical::Timestamp => 9,
        Logical::Time => 10,
        Logical::Date => 11,
        Logical::Uuid => 12,
    }
}

/// Writes what `fill` appends, with its length before it.
fn sized(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    fill(out);
    let length = u32::try_from(out.len() - at - 4).expect("a cell is bounded far below 4 GiB");
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

fn read_cell(column: &mut Column, bytes: &[u8]) -> Option<()> {
    match column.logical() {
        Logical::Bool => match bytes {
            [bit @ (0 | 1)] => column.push_bit(*bit == 1),
            _ => return None,
        },
        Logical::Int | Logical::Timestamp | Logical::Date | Logical::Time => {
            column.push_int((u64::from_be_bytes(bytes.try_into().ok()?) ^ SIGN).cast_signed());
        }
        Logical::Float => {
            let order = u64::from_be_bytes(bytes.try_into().ok()?);
            column.push_float(f64::from_bits(if order & SIGN == 0 { !order } else { order ^ SIGN }));
        }
        Logical::Decimal => {
            let text = std::str::from_utf8(bytes).ok()?;
            column.push_bytes(text.strip_prefix('+').unwrap_or(text).as_bytes());
        }
        Logical::Text | Logical::Json | Logical::Array(_) => {
            column.push_bytes(std::str::from_utf8(bytes).ok()?.as_bytes());
        }
        Logical::Uuid if bytes.len() != 16 => return None,
        Logical::Bytes | Logical::Uuid => column.push_bytes(bytes),
    }
    Some(())
}

const SIGN: u64 = 1 << 63;

fn int_order(value: i64) -> u64 {
    value.cast_unsigned() ^ SIGN
}

/// IEEE 754 totalOrder as an unsigned number. All NaN are one, above infinity: engines differ in NaN's bits.
fn float_order(value: f64) -> u64 {
    let bits = if value.is_nan() { f64::NAN.to_bits() & !SIGN } else { value.to_bits() };
    if bits & SIGN == 0 { bits ^ SIGN } else { !bits }
}

fn decimal(plain: &str, out: &mut Vec<u8>) {
    match decimal_parts(plain) {
        DecimalParts::NaN => out.extend_from_slice(b"NaN"),
        DecimalParts::Infinity => out.extend_from_slice(b"+Infinity"),
        DecimalParts::MinusInfinity => out.extend_from_slice(b"-Infinity"),
        DecimalParts::Number { negative, whole, fraction } => {
            out.push(if negative { b'-' } else { b'+' });
            out.extend_from_slice(if whole.is_empty() { b"0" } else { whole.as_bytes() });
            if !fraction.is_empty() {
                out.push(b'.');
                out.extend_from_slice(fraction.as_bytes());
            }
        }
    }
}

fn compare_decimals(a: &str, b: &str) -> Ordering {
    let (a, b) = (decimal_parts(a), decimal_parts(b));
    let (
        DecimalParts::Number { negative, whole, fraction },
        DecimalParts::Number { negative: other_negative, whole: other_whole, fraction: other_fraction },
    ) = (a, b)
    else {
        return a.cmp(&b);
    };
    if negative != other_negative {
        return other_negative.cmp(&negative);
    }
    let magnitude = whole
        .len()
        .cmp(&other_whole.len())
        .then_with(|| (whole, fraction).cmp(&(other_whole, other_fraction)));
    if negative { magnitude.reverse() } else { magnitude }
}

#[cfg(test)]
mod tests;
