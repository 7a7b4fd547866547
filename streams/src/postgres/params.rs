//! Parameters of statements: whole columns of cells as binary arrays, written straight into the message.
//!
//! Never allocates per cell, except for array cells, which are rare and become array literals.

use std::fmt;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::{
    columns::{Column, State},
    keys::KeyList,
};

use super::{literal, standing::Place, travel::Wire};

/// Microseconds from 1970 to 2000, where PostgreSQL's time begins.
pub(super) const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Days from 1970 to 2000.
pub(super) const EPOCH_DAYS: i64 = 10_957;

/// One parameter.
pub(super) enum Param<'a> {
    /// Cells of a column as an array: all, or the picked rows. States other than `Value` are nulls.
    Cells(&'a Column, Wire, Option<&'a [u32]>),
    /// The same, of a column made for the statement.
    Own(Column, Wire),
    /// A smallint.
    Int2(i16),
    /// A transaction id.
    Xid(u32),
    /// A bigint.
    Int8(i64),
    /// A double.
    Float8(f64),
    /// A text.
    Text(&'a str),
    /// Bytes.
    Bytea(&'a [u8]),
    /// A bytea array.
    Byteas(&'a [Vec<u8>]),
    /// Keys as a bytea array.
    Keys(&'a KeyList),
    /// An array of places of rows.
    Places(Vec<Place>),
    /// A null of any type.
    Null,
}

impl Param<'_> {
    /// A bigint or null.
    pub(super) fn int8(value: Option<i64>) -> Param<'static> {
        value.map_or(Param::Null, Param::Int8)
    }
}

impl fmt::Debug for Param<'_> {
    /// The driver prints parameters into its log: the kind only, never a row's values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Param::Cells(column, wire, picked) => {
                write!(f, "{} {wire:?} cells", picked.map_or(column.len(), <[u32]>::len))
            }
            Param::Own(column, wire) => write!(f, "{} {wire:?} cells", column.len()),
            _ => f.write_str("one value"),
        }
    }
}

impl ToSql for Param<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Param::Cells(column, wire, Some(picked)) => {
                array(column, *wire, picked.len(), picked.iter().map(|&i| i as usize), out)?;
            }
            Param::Cells(column, wire, None) => array(column, *wire, column.len(), 0..column.len(), out)?,
            Param::Own(column, wire) => array(column, *wire, column.len(), 0..column.len(), out)?,
            Param::Int2(value) => out.put_i16(*value),
            Param::Xid(value) => out.put_u32(*value),
            Param::Int8(value) => out.put_i64(*value),
            Param::Float8(value) => out.put_f64(*value),
            Param::Text(value) => out.put_slice(value.as_bytes()),
            Param::Bytea(value) => out.put_slice(value),
            Param::Byteas(values) => {
                head(Wire::Bytea, values.len(), out)?;
                for value in *values {
                    packed(&[], value, out)?;
                }
            }
            Param::Keys(keys) => {
                head(Wire::Bytea, keys.len(), out)?;
                for key in keys.iter() {
                    packed(&[], key, out)?;
                }
            }
            Param::Places(places) => {
                head(Wire::Tid, places.len(), out)?;
                for Place(page, at) in places {
                    out.put_i32(6);
                    out.put_u32(*page);
                    out.put_u16(*at);
                }
            }
            Param::Null => return Ok(IsNull::Yes),
        }
        Ok(IsNull::No)
    }

    /// The statements name the types; what does not fit is a fault of ours that the server tells.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// More cells than an array's 32-bit dimension, or a cell of more than 2 GiB.
#[derive(Debug, thiserror::Error)]
#[error("more than an array holds")]
struct TooBig;

fn head(wire: Wire, cells: usize, out: &mut BytesMut) -> Result<(), TooBig> {
    out.put_i32(i32::from(cells > 0));
    out.put_i32(1);
    out.put_u32(wire.element_oid());
    if cells > 0 {
        out.put_i32(i32::try_from(cells).map_err(|_| TooBig)?);
        out.put_i32(1);
    }
    Ok(())
}

fn array(
    column: &Column,
    wire: Wire,
    cells: usize,
    rows: impl Iterator<Item = usize>,
    out: &mut BytesMut,
) -> Result<(), TooBig> {
    head(wire, cells, out)?;
    for i in rows {
        if column.state(i) == State::Value {
            cell(column, wire, i, out)?;
        } else {
            out.put_i32(-1);
        }
    }
    Ok(())
}

fn cell(column: &Column, wire: Wire, i: usize, out: &mut BytesMut) -> Result<(), TooBig> {
    match wire {
        Wire::Bool => fixed([u8::from(column.bit(i))], out),
        Wire::Int2 => fixed(saturated::<i16>(column.int(i), i16::MIN, i16::MAX).to_be_bytes(), out),
        Wire::Int4 => fixed(saturated::<i32>(column.int(i), i32::MIN, i32::MAX).to_be_bytes(), out),
        Wire::Xid => fixed(u32::try_from(column.int(i)).unwrap_or(0).to_be_bytes(), out),
        Wire::Int8 | Wire::Time => fixed(column.int(i).to_be_bytes(), out),
        Wire::Float8 => fixed(column.float(i).to_be_bytes(), out),
        Wire::Timestamp | Wire::Timestamptz => fixed(timestamp(column.int(i)).to_be_bytes(), out),
        Wire::Date => fixed(date(column.int(i)).to_be_bytes(), out),
        Wire::Char | Wire::Text | Wire::Bytea | Wire::Uuid => packed(&[], column.bytes(i), out)?,
        Wire::Tid => return Err(TooBig),
        // jsonb's binary form is its version, 1, and the text.
        Wire::Jsonb => packed(&[1], column.bytes(i), out)?,
        Wire::Literal(element) => packed(&[], literal::of_json(element, column.text(i)).as_bytes(), out)?,
    }
    Ok(())
}

fn fixed<const N: usize>(bytes: [u8; N], out: &mut BytesMut) {
    out.put_i32(i32::try_from(N).expect("a fixed cell has at most 16 bytes"));
    out.put_slice(&bytes);
}

fn packed(prefix: &[u8], bytes: &[u8], out: &mut BytesMut) -> Result<(), TooBig> {
    out.put_i32(i32::try_from(prefix.len() + bytes.len()).map_err(|_| TooBig)?);
    out.put_slice(prefix);
    out.put_slice(bytes);
    Ok(())
}

/// Only for numbers of ours (ids, epochs), which fit; a row's integers travel as int8.
fn saturated<T: TryFrom<i64> + Copy>(value: i64, least: T, most: T) -> T {
    T::try_from(value).unwrap_or(if value < 0 { least } else { most })
}

/// Microseconds since 2000; the infinities keep their numbers. What would overflow becomes a time that the
/// server refuses as out of range.
fn timestamp(micros: i64) -> i64 {
    match micros {
        i64::MAX | i64::MIN => micros,
        _ => micros.checked_sub(EPOCH_MICROS).filter(|m| *m != i64::MIN).unwrap_or(i64::MIN + 1),
    }
}

fn date(days: i64) -> i32 {
    match days {
        i64::MAX => i32::MAX,
        i64::MIN => i32::MIN,
        _ => match days.checked_sub(EPOCH_DAYS).and_then(|d| i32::try_from(d).ok()) {
            Some(d) if d != i32::MAX && d != i32::MIN => d,
            // The server refuses it as out of range.
            _ => i32::MIN + 1,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logical::Logical;

    #[test]
    fn an_array_is_written_as_postgres_reads_it() {
        let mut column = Column::new(Logical::Int);
        column.push_int(7);
        column.push_state(State::Null);
        let mut out = BytesMut::new();
        Param::Cells(&column, Wire::Int8, None).to_sql(&Type::INT8_ARRAY, &mut out).unwrap();
        let mut expected = vec![0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0, 0, 1];
        expected.extend([0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 255, 255, 255, 255]);
        assert_eq!(out.as_ref(), expected.as_slice());
    }

    #[test]
    fn picked_rows_and_none() {
        let mut column = Column::new(Logical::Text);
        column.push_bytes(b"a");
        column.push_bytes(b"b");
        let mut out = BytesMut::new();
        Param::Cells(&column, Wire::Text, Some(&[1])).to_sql(&Type::TEXT_ARRAY, &mut out).unwrap();
        assert_eq!(&out[16..], &[0, 0, 0, 1, 0, 0, 0, 1, b'b']);
        out.clear();
        Param::Cells(&column, Wire::Text, Some(&[])).to_sql(&Type::TEXT_ARRAY, &mut out).unwrap();
        assert_eq!(out.as_ref(), &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 25]);
    }

    #[test]
    fn times_begin_in_2000_and_end_in_infinity() {
        assert_eq!(timestamp(EPOCH_MICROS), 0);
        assert_eq!((timestamp(i64::MAX), timestamp(i64::MIN)), (i64::MAX, i64::MIN));
        assert_eq!(timestamp(i64::MIN + 5), i64::MIN + 1);
        assert_eq!((date(EPOCH_DAYS), date(i64::MAX), date(i64::MIN)), (0, i32::MAX, i32::MIN));
        assert_eq!(date(1 << 40), i32::MIN + 1);
    }

    #[test]
    fn a_parameter_prints_no_value() {
        let mut column = Column::new(Logical::Text);
        column.push_bytes(b"secret");
        let shown = format!("{:?} {:?}", Param::Cells(&column, Wire::Text, None), Param::Text("secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
