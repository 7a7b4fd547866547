//! Types that the sink takes as text, and bytes: Debezium's forms to those that a database reads.

use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE};
use reconverge_streams::{
    columns::Column,
    text::{JsonReader, parse_hex},
};

use crate::config::BinaryText;

use super::{
    cell::{Cells, too_large, wrong},
    decimal,
    field::{Field, Kind, Spelling},
    refusal::{Code, Fault},
    source_schema::Unit,
};

/// Appends a text that needs no change, where the column takes it.
pub(super) fn push(text: &str, field: &Field, into: &mut Column) -> Result<(), Fault> {
    if text.as_bytes().contains(&0) {
        return Err(Fault::new(Code::NulInText, "the character NUL in a text"));
    }
    if let Some(most) = field.shape.length.and_then(|n| usize::try_from(n).ok())
        && text.len() > most
        && text.chars().count() > most
    {
        return Err(Fault::new(Code::TooLong, format!("a text of more than {most} characters")));
    }
    if matches!(field.kind, Kind::Text(Spelling::Label)) && !field.shape.labels.iter().any(|l| l == text) {
        return Err(Fault::new(Code::BadLabel, "a text that is no label of the column's enum"));
    }
    into.push_bytes(text.as_bytes());
    Ok(())
}

/// Appends what a text of Debezium's means.
pub(super) fn from_text(
    spelling: Spelling,
    text: &str,
    cells: &mut Cells<'_>,
    field: &Field,
    into: &mut Column,
) -> Result<(), Fault> {
    match spelling {
        Spelling::Money => {
            cells.plain.clear();
            if !decimal::from_base64(text, 2, &mut cells.bytes, &mut cells.plain)? {
                return push(text, field, into);
            }
            into.push_bytes(cells.plain.as_bytes());
            Ok(())
        }
        Spelling::Bits { varying } => bits(varying, text, cells, field, into),
        _ => push(text, field, into),
    }
}

/// A bit string: bytes of the least significant bits first, without leading zero bytes.
fn bits(
    varying: bool,
    text: &str,
    cells: &mut Cells<'_>,
    field: &Field,
    into: &mut Column,
) -> Result<(), Fault> {
    cells.bytes.clear();
    if STANDARD.decode_vec(text, &mut cells.bytes).is_err() {
        return Err(Fault::wrong_type("bits as base64", "other text"));
    }
    let bit = |i: usize| cells.bytes.get(i / 8).is_some_and(|byte| byte >> (i % 8) & 1 == 1);
    let highest = (0..cells.bytes.len() * 8).rev().find(|i| bit(*i)).map_or(0, |i| i + 1);
    let most = field.shape.length.and_then(|n| usize::try_from(n).ok());
    let length = if varying { highest } else { most.unwrap_or(1) };
    if highest > most.unwrap_or(length) {
        return Err(Fault::new(Code::TooLong, "more bits than the column keeps"));
    }
    if length > cells.value_bytes {
        return Err(too_large(cells.value_bytes));
    }
    cells.plain.clear();
    cells.plain.extend((0..length).rev().map(|i| if bit(i) { '1' } else { '0' }));
    into.push_bytes(cells.plain.as_bytes());
    Ok(())
}

/// An interval as a count of its unit. A count at the end of 64 bits was cut off at the source.
pub(super) fn interval(
    count: i64,
    unit: Option<Unit>,
    cells: &mut Cells<'_>,
    into: &mut Column,
) -> Result<(), Fault> {
    use std::fmt::Write as _;
    let micros = match unit {
        Some(Unit::Nanos) => count / 1000,
        _ => count,
    };
    if count == i64::MAX || count == i64::MIN {
        return Err(Fault::new(Code::OutOfRange, "an interval beyond 64 bits of microseconds"));
    }
    cells.plain.clear();
    write!(cells.plain, "{micros} microseconds").expect("writing to a string does not fail");
    into.push_bytes(cells.plain.as_bytes());
    Ok(())
}

/// `{"x": 1.5, "y": 2.0, ..}` as PostgreSQL writes a point.
pub(super) fn point(raw: &str, cells: &mut Cells<'_>, field: &Field, into: &mut Column) -> Result<(), Fault> {
    let mut reader = JsonReader::new(raw);
    let (mut x, mut y) = (None, None);
    let mut scratch = String::new();
    reader.expect(b'{')?;
    let mut first = true;
    while reader.more(b'}', first)? {
        first = false;
        let name = reader.text(&mut scratch)?;
        let place = match name {
            "x" => Some(&mut x),
            "y" => Some(&mut y),
            _ => None,
        };
        reader.expect(b':')?;
        let value = reader.skip()?;
        if let Some(place) = place {
            *place = Some(value.trim_matches('"')).filter(|v| v.parse::<f64>().is_ok());
        }
    }
    let (Some(x), Some(y)) = (x, y) else {
        return Err(wrong(field, "an object without numbers `x` and `y`"));
    };
    cells.plain.clear();
    cells.plain.extend(["(", x, ",", y, ")"]);
    into.push_bytes(cells.plain.as_bytes());
    Ok(())
}

/// Replaces `bytes` by what a text spells; false where it spells none.
pub(super) fn debezium_bytes(binary: BinaryText, text: &str, bytes: &mut Vec<u8>) -> bool {
    bytes.clear();
    match binary {
        BinaryText::Base64 => STANDARD.decode_vec(text, bytes).is_ok(),
        BinaryText::Base64UrlSafe => URL_SAFE.decode_vec(text, bytes).is_ok(),
        BinaryText::Hex => match parse_hex(text) {
            Some(read) => {
                *bytes = read;
                true
            }
            None => false,
        },
    }
}

/// Whether a canonical JSON document has the character NUL in one of its strings.
pub(super) fn holds_nul(canonical: &str) -> bool {
    canonical.match_indices("\\u0000").any(|(at, _)| {
        let backslashes = canonical.as_bytes()[..at].iter().rev().take_while(|b| **b == b'\\').count();
        backslashes % 2 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_told_from_its_spelling() {
        assert!(holds_nul(r#"{"a":"\u0000"}"#));
        assert!(holds_nul(r#""\\\u0000""#));
        assert!(!holds_nul(r#""\\u0000""#));
        assert!(!holds_nul(r#""u0000""#));
    }
}
