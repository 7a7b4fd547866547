//! Array cells between their JSON form and PostgreSQL's: a literal in, the elements' texts out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;

use crate::{
    logical::{Element, Logical},
    text,
};

/// The array literal of a canonical JSON array: every element in quotes, so that none is read as null. A text
/// that is no JSON array becomes itself, which the server then refuses as that row's error.
pub(super) fn of_json(element: Element, json: &str) -> String {
    let Ok(elements) = serde_json::from_str::<Vec<Option<&RawValue>>>(json) else { return json.into() };
    let mut out = String::with_capacity(json.len() + 2);
    out.push('{');
    for (i, cell) in elements.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        match cell.map(RawValue::get) {
            None | Some("null") => out.push_str("NULL"),
            Some(cell) => quote(&spelling(element, cell), &mut out),
        }
    }
    out.push('}');
    out
}

/// An element as PostgreSQL spells it.
fn spelling(element: Element, cell: &str) -> String {
    let Ok(text) = serde_json::from_str::<String>(cell) else { return cell.into() };
    match element {
        Element::Json => cell.into(),
        Element::Bytes => STANDARD.decode(&text).map_or(text, |bytes| hex(&bytes)),
        Element::Timestamp => text::parse_timestamp(&text).map_or(text, |at| {
            let spelt = text::format_timestamp(at);
            spelt
                .strip_suffix('Z')
                .map_or_else(|| spelt.clone(), |local| format!("{}+00", era(local)))
                .replace(" BC+00", "+00 BC")
        }),
        Element::Date => text::parse_date(&text).map_or(text, |days| era(&text::format_date(days))),
        _ => text,
    }
}

/// PostgreSQL reads no astronomical years: `-0043-03-15` is `0044-03-15 BC`, and a plus sign is none of its.
fn era(spelt: &str) -> String {
    if let Some(rest) = spelt.strip_prefix('+') {
        return rest.into();
    }
    let (negative, digits) = spelt.strip_prefix('-').map_or((false, spelt), |rest| (true, rest));
    let Some((year, rest)) = digits.split_once('-') else { return spelt.into() };
    match year.parse::<i64>() {
        Ok(year) if negative || year == 0 => format!("{:04}-{rest} BC", year + 1),
        _ => spelt.into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::from("\\x"), |mut out, byte| {
        write!(out, "{byte:02x}").expect("writing to a string does not fail");
        out
    })
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// The canonical JSON array of elements in PostgreSQL's text form; `None` where one of them has no form of ours.
pub(super) fn to_json<'a>(
    logical: Logical,
    scale: Option<u8>,
    elements: impl Iterator<Item = Option<&'a str>>,
) -> Option<String> {
    let Logical::Array(element) = logical else { return None };
    let mut json = String::from("[");
    for (i, cell) in elements.enumerate() {
        if i > 0 {
            json.push(',');
        }
        match cell {
            None => json.push_str("null"),
            Some(document) if element == Element::Json => json.push_str(document),
            Some(spelt) => text::write_json_text(spelt, &mut json),
        }
    }
    json.push(']');
    let mut out = String::with_capacity(json.len());
    text::write_array(element, scale, &json, &mut out).ok().map(|()| out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_spell_what_postgres_reads() {
        for (element, json, literal) in [
            (Element::Int, "[1,null,-3]", r#"{"1",NULL,"-3"}"#),
            (Element::Text, r#"["a\"b","c\\d","","NULL"]"#, r#"{"a\"b","c\\d","","NULL"}"#),
            (Element::Bool, "[true,false]", r#"{"true","false"}"#),
            (Element::Bytes, r#"["AP8="]"#, r#"{"\\x00ff"}"#),
            (
                Element::Timestamp,
                r#"["2026-03-02T06:30:00.123456Z","-0043-03-15T12:00:00.000000Z","infinity"]"#,
                r#"{"2026-03-02T06:30:00.123456+00","0044-03-15T12:00:00.000000+00 BC","infinity"}"#,
            ),
            (Element::Date, r#"["+12026-01-01","0000-01-01"]"#, r#"{"12026-01-01","0001-01-01 BC"}"#),
            (Element::Json, r#"[{"a":1},"x"]"#, r#"{"{\"a\":1}","\"x\""}"#),
            (Element::Text, "[]", "{}"),
            (Element::Text, "no array", "no array"),
        ] {
            assert_eq!(of_json(element, json), literal, "{json}");
        }
    }

    #[test]
    fn texts_of_elements_become_canonical() {
        let read = |element, scale, cells: &[Option<&str>]| {
            to_json(Logical::Array(element), scale, cells.iter().copied()).unwrap()
        };
        assert_eq!(read(Element::Int, None, &[Some("1"), None]), "[1,null]");
        assert_eq!(read(Element::Bytes, None, &[Some("\\x00ff")]), r#"["AP8="]"#);
        let bc = read(Element::Timestamp, None, &[Some("0044-03-15 12:00:00+00 BC")]);
        assert_eq!(bc, r#"["-0043-03-15T12:00:00.000000Z"]"#);
        assert_eq!(read(Element::Json, None, &[Some(r#"{"b": 1, "a": 2}"#)]), r#"[{"a":2,"b":1}]"#);
    }
}
