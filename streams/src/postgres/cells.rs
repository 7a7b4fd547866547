//! Cells read from the server's binary results straight into columns.

use tokio_postgres::{
    Row,
    types::{FromSql, Type},
};

use crate::{
    columns::{Column, State},
    logical::Logical,
    text,
};

use super::{
    literal,
    params::{EPOCH_DAYS, EPOCH_MICROS},
    standing::Place,
};

/// The bytes of a value as the server sent them, of any type.
pub(super) struct Raw<'a>(pub &'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A value that is not laid out as its type says: another server than PostgreSQL, or a fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("a {0} value of PostgreSQL is not laid out as expected")]
pub(super) struct Unlike(pub &'static str);

/// The bytes of column `at` of a result, `None` for null.
pub(super) fn raw(row: &Row, at: usize) -> Result<Option<&[u8]>, Unlike> {
    Ok(row.try_get::<_, Option<Raw<'_>>>(at).map_err(|_| Unlike("result"))?.map(|r| r.0))
}

/// A signed integer of 2, 4 or 8 bytes.
pub(super) fn int(raw: &[u8]) -> Result<i64, Unlike> {
    let wrong = |_| Unlike("integer");
    Ok(match raw.len() {
        2 => i64::from(i16::from_be_bytes(raw.try_into().map_err(wrong)?)),
        4 => i64::from(i32::from_be_bytes(raw.try_into().map_err(wrong)?)),
        _ => i64::from_be_bytes(raw.try_into().map_err(wrong)?),
    })
}

/// A transaction id.
pub(super) fn xid(raw: &[u8]) -> Result<u32, Unlike> {
    Ok(u32::from_be_bytes(raw.try_into().map_err(|_| Unlike("xid"))?))
}

/// A row's place in its table.
pub(super) fn place(raw: &[u8]) -> Result<Place, Unlike> {
    let (page, at) = raw.split_first_chunk::<4>().ok_or(Unlike("ctid"))?;
    Ok(Place(u32::from_be_bytes(*page), u16::from_be_bytes(at.try_into().map_err(|_| Unlike("ctid"))?)))
}

/// UTF-8 text; the connection's encoding is UTF-8.
pub(super) fn utf8(raw: &[u8]) -> Result<&str, Unlike> {
    std::str::from_utf8(raw).map_err(|_| Unlike("text"))
}

/// Microseconds since 1970 of a timestamp; the infinities keep their numbers. PostgreSQL counts from 2000, so its
/// last 30 years (294247 to 294276) are beyond 64 bits and become the last moment that is not infinity.
pub(super) fn micros(raw: &[u8]) -> Result<i64, Unlike> {
    Ok(match int(raw)? {
        infinity @ (i64::MAX | i64::MIN) => infinity,
        since_2000 => since_2000.saturating_add(EPOCH_MICROS).min(i64::MAX - 1),
    })
}

/// The elements of a one-dimensional array; an empty array has no dimension at all.
pub(super) fn elements(raw: &[u8]) -> Result<Vec<Option<&[u8]>>, Unlike> {
    let mut rest = raw;
    let dimensions = take(&mut rest)?;
    let (_nulls, _type) = (take(&mut rest)?, take(&mut rest)?);
    if dimensions == 0 {
        return Ok(Vec::new());
    }
    let count = take(&mut rest)?;
    let _lower = take(&mut rest)?;
    if dimensions != 1 {
        return Err(Unlike("many-dimensional array"));
    }
    let mut found = Vec::new();
    for _ in 0..count {
        let bytes = take(&mut rest)?;
        found.push(match usize::try_from(bytes) {
            Err(_) => None,
            Ok(bytes) => {
                let (cell, after) = rest.split_at_checked(bytes).ok_or(Unlike("array"))?;
                rest = after;
                Some(cell)
            }
        });
    }
    Ok(found)
}

fn take(rest: &mut &[u8]) -> Result<i32, Unlike> {
    let (head, after) = rest.split_first_chunk::<4>().ok_or(Unlike("array"))?;
    *rest = after;
    Ok(i32::from_be_bytes(*head))
}

/// Appends a cell of the sink's table; `scale` is that of decimal elements of an array.
pub(super) fn push(raw: Option<&[u8]>, scale: Option<u8>, into: &mut Column) -> Result<(), Unlike> {
    let Some(raw) = raw else {
        into.push_state(State::Null);
        return Ok(());
    };
    match into.logical() {
        Logical::Bool => into.push_bit(raw == [1]),
        Logical::Int | Logical::Time => into.push_int(int(raw)?),
        Logical::Float => into.push_float(float(raw)?),
        Logical::Timestamp => into.push_int(micros(raw)?),
        Logical::Date => into.push_int(match i32::try_from(int(raw)?).map_err(|_| Unlike("date"))? {
            i32::MAX => i64::MAX,
            i32::MIN => i64::MIN,
            days => i64::from(days) + EPOCH_DAYS,
        }),
        Logical::Bytes | Logical::Uuid => into.push_bytes(raw),
        Logical::Text | Logical::Decimal => into.push_bytes(utf8(raw)?.as_bytes()),
        Logical::Json => {
            // jsonb begins with its version, 1; json is text, which no byte 1 begins.
            let document = utf8(raw.strip_prefix(&[1]).unwrap_or(raw))?;
            into.push_bytes(text::canonical_json(document).map_err(|_| Unlike("json"))?.as_bytes());
        }
        logical @ Logical::Array(_) => {
            let elements = elements(raw)?;
            let texts = elements.iter().map(|e| e.map(utf8).transpose()).collect::<Result<Vec<_>, _>>()?;
            let json = literal::to_json(logical, scale, texts.into_iter()).ok_or(Unlike("array"))?;
            into.push_bytes(json.as_bytes());
        }
    }
    Ok(())
}

fn float(raw: &[u8]) -> Result<f64, Unlike> {
    let wrong = |_| Unlike("float");
    Ok(match raw.len() {
        4 => f64::from(f32::from_be_bytes(raw.try_into().map_err(wrong)?)),
        _ => f64::from_be_bytes(raw.try_into().map_err(wrong)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_by_their_length() {
        let mut column = Column::new(Logical::Int);
        push(Some(&[255, 254]), None, &mut column).unwrap();
        push(Some(&[0, 0, 0, 9]), None, &mut column).unwrap();
        push(None, None, &mut column).unwrap();
        assert_eq!((column.int(0), column.int(1), column.state(2)), (-2, 9, State::Null));
        assert!(push(Some(&[1, 2, 3]), None, &mut column).is_err());
    }

    #[test]
    fn arrays_that_lie_about_their_size_are_refused() {
        let mut lie = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 1, 0, 0, 0, 1];
        lie.extend([0, 0, 0, 9, b'x']);
        assert!(elements(&lie).is_err());
        assert!(elements(&[0, 0, 0, 1]).is_err());
        assert_eq!(elements(&[0; 12]).unwrap().len(), 0);
    }
}
