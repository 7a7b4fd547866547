//! The text forms in which rows are compared: those of the `expected_*.csv` files. Takes what either database prints
//! for a value, and knows neither.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// A text of more characters stands as its digest.
const LONG: usize = 1000;

/// How a column's values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the database prints them: text, integers, numerics, uuids.
    Plain,
    /// `2026-03-02T06:30:00.123456Z`, `infinity`, `-infinity`; years as `-0043`, `+12026`.
    Timestamp,
    /// Keys sorted, no spaces, numbers as they stand.
    Json,
    /// An array of text, as JSON.
    Array,
}

impl Form {
    /// The form of what a database prints. A text that is no value of the form stays as it is, and so differs from
    /// what is expected.
    pub(crate) fn of(self, printed: String) -> String {
        let formed = match self {
            Form::Plain => None,
            Form::Timestamp => timestamp(&printed),
            Form::Json | Form::Array => json(&printed),
        };
        shortened(formed.unwrap_or(printed))
    }
}

/// From `0044-03-15 10:00:00.5+00 BC`, as PostgreSQL prints it in UTC, or the form itself.
fn timestamp(printed: &str) -> Option<String> {
    let (stands, before_christ) = match printed.strip_suffix(" BC") {
        Some(stands) => (stands, true),
        None => (printed, false),
    };
    let (date, time) = stands.split_once([' ', 'T'])?;
    let time = time.strip_suffix("+00").or_else(|| time.strip_suffix('Z'))?;
    let (year, month_day) = date.split_at_checked(date.len().checked_sub("-MM-DD".len())?)?;
    let year: i64 = year.parse().ok()?;
    // The year before year 1 is 1 BC, which astronomers call 0.
    let year = if before_christ { 1 - year } else { year };
    let year = match year {
        ..0 => format!("-{:04}", -year),
        0..=9999 => format!("{year:04}"),
        _ => format!("+{year}"),
    };
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    Some(format!("{year}{month_day}T{seconds}.{fraction:0<6}Z"))
}

/// Level by level over the raw text, so that no number passes through a float.
fn json(printed: &str) -> Option<String> {
    let mut text = String::new();
    write_json(printed.trim(), &mut text).ok()?;
    Some(text)
}

fn write_json(raw: &str, into: &mut String) -> serde_json::Result<()> {
    match raw.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw)?;
            for (place, (name, value)) in members.iter().enumerate() {
                into.push(if place == 0 { '{' } else { ',' });
                into.push_str(&serde_json::to_string(name)?);
                into.push(':');
                write_json(value.get(), into)?;
            }
            into.push_str(if members.is_empty() { "{}" } else { "}" });
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(raw)?;
            into.push('[');
            for (place, value) in elements.iter().enumerate() {
                into.push_str(if place == 0 { "" } else { "," });
                write_json(value.get(), into)?;
            }
            into.push(']');
        }
        Some(b'"') => {
            let text: String = serde_json::from_str(raw)?;
            into.push_str(&serde_json::to_string(&text)?);
        }
        _ => into.push_str(serde_json::from_str::<&RawValue>(raw)?.get()),
    }
    Ok(())
}

fn shortened(text: String) -> String {
    // A character is at least a byte, so a text of few bytes need not be counted.
    if text.len() <= LONG {
        return text;
    }
    let characters = text.chars().count();
    if characters <= LONG {
        return text;
    }
    let mut short = "sha256:".to_owned();
    for byte in Sha256::digest(text.as_bytes()) {
        write!(short, "{byte:02x}").expect("writing to a string does not fail");
    }
    format!("{short}:{characters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: Form, cases: &[(&str, &str)]) {
        for (printed, expected) in cases {
            assert_eq!(form.of((*printed).to_owned()), *expected, "{form:?} of {printed}");
            assert_eq!(form.of((*expected).to_owned()), *expected, "{form:?} of its own text");
        }
    }

    #[test]
    fn instants_of_both_databases_have_one_form() {
        check(
            Form::Timestamp,
            &[
                ("2026-03-02 06:30:00.5+00", "2026-03-02T06:30:00.500000Z"),
                ("2026-03-02 06:30:00+00", "2026-03-02T06:30:00.000000Z"),
                ("0044-03-15 10:00:00+00 BC", "-0043-03-15T10:00:00.000000Z"),
                ("0001-12-31 00:00:00+00 BC", "0000-12-31T00:00:00.000000Z"),
                ("12026-01-01 00:00:00+00", "+12026-01-01T00:00:00.000000Z"),
                ("infinity", "infinity"),
                ("-infinity", "-infinity"),
                ("2026-03-02 06:30:00+02", "2026-03-02 06:30:00+02"),
                ("", ""),
            ],
        );
    }

    #[test]
    fn documents_are_sorted_and_keep_every_digit() {
        check(
            Form::Json,
            &[
                (
                    r#"{"b": 1.50, "a": [1, {"z": null, "y": true}]}"#,
                    r#"{"a":[1,{"y":true,"z":null}],"b":1.50}"#,
                ),
                (r#"{"n": 12345678901234567890123}"#, r#"{"n":12345678901234567890123}"#),
                (r#"{"\u00e9\n": "\u0001"}"#, r#"{"é\n":"\u0001"}"#),
                (" [ ] ", "[]"),
                ("{ }", "{}"),
                ("no document", "no document"),
                ("", ""),
            ],
        );
        check(Form::Array, &[(r#"["us", null, "a b"]"#, r#"["us",null,"a b"]"#)]);
    }

    #[test]
    fn a_long_text_is_its_digest_by_characters_not_bytes() {
        let just = "ü".repeat(LONG);
        assert_eq!(Form::Plain.of(just.clone()), just);
        let short = Form::Plain.of(just + "x");
        assert!(short.starts_with("sha256:") && short.ends_with(":1001"), "{short}");
        assert_eq!(short.len(), "sha256:".len() + 64 + ":1001".len());
        // As `printf '%01500d' 0 | sha256sum` has it, so that the digest itself is known to be right.
        let zeros = Form::Plain.of("0".repeat(1500));
        assert_eq!(zeros, format!("sha256:{ZEROS}:1500"));
    }

    const ZEROS: &str = "c8494fda39949bf0223f98b64f9a52a7ff6c6a8126e987440a50256aca047091";
}
