//! Cells to try a rule with, by type: ordinary ones, neighbours, extremes, and those that trip comparisons up.
//! In the text forms of the envelope.

use reconverge_streams::{logical::Logical, table::ColumnShape};
use serde_json::Value;

/// Integers that floats, 32 bits, signs or text would get wrong.
const INTS: [i64; 12] = [
    i64::MIN,
    -10,
    -9,
    0,
    1,
    9,
    10,
    100,
    4_294_967_296,
    9_007_199_254_740_992,
    9_007_199_254_740_993,
    i64::MAX,
];
const FLOATS: [&str; 9] = ["NaN", "-Infinity", "Infinity", "0", "-0.0", "1.5", "-1.5", "5e-324", "1e308"];
/// Case, digits, one letter in two spellings, texts that UTF-16 orders otherwise than UTF-8.
const TEXTS: [&str; 12] =
    ["a", "b", "", "A", "9", "10", "us-east", "us-west", "\u{e9}", "e\u{301}", "\u{e000}", "\u{1f600} smile"];
const DECIMALS: [&str; 8] = ["0", "1.5", "9", "10", "-12.5", "0.000001", "99999999999999999999.5", "-0.5"];
/// Two within a second, two a second apart, both ends.
const TIMESTAMPS: [&str; 7] = [
    "2026-03-02T06:30:00.000001Z",
    "2026-03-02T06:30:00.000002Z",
    "2026-03-02T06:30:01.000000Z",
    "1969-12-31T23:59:59.999999Z",
    "2026-10-25T01:30:00.000000Z",
    "infinity",
    "-infinity",
];
const DATES: [&str; 5] = ["2026-03-02", "2026-03-03", "1969-12-31", "infinity", "-infinity"];
const TIMES: [&str; 4] = ["06:30:00.000000", "06:30:00.000001", "00:00:00.000000", "23:59:59.999999"];
const UUIDS: [&str; 3] = [
    "00000000-0000-0000-0000-000000000000",
    "7f000000-0000-4000-8000-000000000001",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
];
const DOCUMENTS: [&str; 5] = ["{}", r#"{"a":1}"#, r#"{"a":2,"b":[null]}"#, "[]", r#""text""#];
const BYTES: [&str; 4] = ["", "AA==", "/w==", "YWJj"];

/// The values of a column that its database takes, in no order of size. Never empty.
#[must_use]
pub fn of(shape: &ColumnShape) -> Vec<Value> {
    let texts = |all: &[&str]| all.iter().map(|text| Value::from(*text)).collect::<Vec<_>>();
    let (low, high) = shape.int_range;
    let values = match shape.logical {
        Logical::Bool => vec![Value::from(false), Value::from(true)],
        Logical::Int => {
            let kept = INTS.into_iter().map(|n| n.clamp(low, high));
            let mut kept: Vec<i64> = kept.collect();
            kept.sort_unstable();
            kept.dedup();
            kept.into_iter().map(|n| Value::from(n.to_string())).collect()
        }
        Logical::Float => texts(&FLOATS),
        Logical::Text if !shape.labels.is_empty() => shape.labels.iter().cloned().map(Value::from).collect(),
        Logical::Text => {
            let longest = shape.length.map_or(usize::MAX, |length| length as usize);
            texts(&TEXTS)
                .into_iter()
                .filter(|t| t.as_str().is_some_and(|t| t.chars().count() <= longest))
                .collect()
        }
        Logical::Decimal if shape.scale.is_some() => texts(&["0", "1", "9", "-5"]),
        Logical::Decimal => texts(&DECIMALS),
        Logical::Timestamp if shape.precision.is_some_and(|digits| digits < 6) => {
            texts(&["2026-03-02T06:30:00Z", "2026-03-02T06:30:01Z", "1969-12-31T23:59:59Z"])
        }
        Logical::Timestamp => texts(&TIMESTAMPS),
        Logical::Date => texts(&DATES),
        Logical::Time => texts(&TIMES),
        Logical::Uuid => texts(&UUIDS),
        Logical::Json => texts(&DOCUMENTS),
        Logical::Bytes => texts(&BYTES),
        Logical::Array(element) => {
            let inner = of(&ColumnShape::new("", element.logical()));
            let one = inner.first().cloned().unwrap_or(Value::Null);
            vec![Value::Array(vec![]), Value::Array(vec![one.clone()]), Value::Array(vec![one, Value::Null])]
        }
    };
    if values.is_empty() { vec![Value::Null] } else { values }
}

/// Whether a greater value of the type is greater by its value, and not only by its spelling.
#[must_use]
pub fn is_measure(logical: Logical) -> bool {
    matches!(logical, Logical::Int | Logical::Timestamp | Logical::Date | Logical::Time | Logical::Decimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_within_what_the_column_takes() {
        let mut small = ColumnShape::new("n", Logical::Int);
        small.int_range = (-32_768, 32_767);
        let all = of(&small);
        assert!(all.contains(&Value::from("32767")) && all.contains(&Value::from("-32768")), "{all:?}");
        assert!(!all.contains(&Value::from("4294967296")));
        let mut short = ColumnShape::new("t", Logical::Text);
        short.length = Some(1);
        assert!(of(&short).iter().all(|text| text.as_str().unwrap().chars().count() <= 1));
        short.labels = vec!["open".into(), "closed".into()];
        assert_eq!(of(&short), ["open", "closed"]);
    }
}
