//! Tables of text forms, and the law that reading inverts writing.

use proptest::prelude::*;

use super::*;
use crate::{
    columns::{Columns, State},
    table::TableShape,
};

fn round(logical: Logical, text: &str) -> Result<String, Unreadable> {
    let mut column = Column::new(logical);
    parse(&ColumnShape::new("c", logical), text, &mut column)?;
    let mut out = String::new();
    write(&column, 0, &mut out);
    Ok(out)
}

#[test]
fn every_form_that_is_read_is_written_in_one() {
    for (logical, text, canonical) in [
        ("bool", "t", "true"),
        ("bool", "false", "false"),
        ("int", "-9223372036854775808", "-9223372036854775808"),
        ("float", "2.0", "2"),
        ("float", "1e+300", "1e300"),
        ("float", "-Infinity", "-Infinity"),
        ("float", "nan", "NaN"),
        ("float", "-0", "-0"),
        ("bytes", "AAH/", "AAH/"),
        ("bytes", "AAE", "AAE="),
        ("bytes", "\\x0001FF", "AAH/"),
        ("decimal", "+007.50", "7.50"),
        ("uuid", "0B0E4F2A8D6E4C1B9C552F6F2F6B0001", "0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001"),
        ("timestamp", "2026-03-02 06:30:00.123456+00", "2026-03-02T06:30:00.123456Z"),
        ("timestamp", "2026-03-02T08:30:00+02:00", "2026-03-02T06:30:00.000000Z"),
        ("timestamp", "2026-03-02T00:30:00-0530", "2026-03-02T06:00:00.000000Z"),
        ("timestamp", "2026-03-02 06:30:60", "2026-03-02T06:31:00.000000Z"),
        ("timestamp", "2026-03-02T24:00:00Z", "2026-03-03T00:00:00.000000Z"),
        ("timestamp", "2026-03-02T06:30:00.1234567Z", "2026-03-02T06:30:00.123457Z"),
        ("timestamp", "0044-03-15 12:00:00+00 BC", "-0043-03-15T12:00:00.000000Z"),
        ("timestamp", "0001-12-31 00:00:00 BC", "0000-12-31T00:00:00.000000Z"),
        ("timestamp", "-4712-01-01T00:00:00Z", "-4712-01-01T00:00:00.000000Z"),
        ("timestamp", "+294247-01-10T04:00:54.775806Z", "+294247-01-10T04:00:54.775806Z"),
        ("timestamp", "12026-01-01 00:00:00+00", "+12026-01-01T00:00:00.000000Z"),
        ("timestamp", "-infinity", "-infinity"),
        ("date", "2026-03-02Z", "2026-03-02"),
        ("date", "2024-02-29", "2024-02-29"),
        ("date", "+5874897-12-31", "+5874897-12-31"),
        ("date", "infinity", "infinity"),
        ("time", "24:00:00", "24:00:00.000000"),
        ("time", "08:30:00.5Z", "08:30:00.500000"),
        ("text[]", r#"["a", null, "q\"", "c,d"]"#, r#"["a",null,"q\"","c,d"]"#),
        ("int[]", r#"[1, null, "3"]"#, "[1,null,3]"),
        ("decimal[]", r#"[1.250, "1e1", null]"#, r#"["1.250","10",null]"#),
        ("timestamp[]", r#"["2026-03-02 06:30:00+00"]"#, r#"["2026-03-02T06:30:00.000000Z"]"#),
        ("float[]", r#"["NaN", 2.0]"#, r#"["NaN",2]"#),
        ("bool[]", "[true,null]", "[true,null]"),
        ("json[]", r#"[{"b":1,"a":[ ]}, "x"]"#, r#"[{"a":[],"b":1},"x"]"#),
    ] {
        let logical: Logical = logical.parse().unwrap();
        assert_eq!(round(logical, text).as_deref(), Ok(canonical), "{logical} from {text}");
        assert_eq!(round(logical, canonical).as_deref(), Ok(canonical), "{logical} again");
    }
}

#[test]
fn other_texts_are_refused_without_being_told() {
    for (logical, text) in [
        ("bool", "yes!"),
        ("int", "1.5"),
        ("int", "9223372036854775808"),
        ("float", "1e400"),
        ("bytes", "AA=A"),
        ("bytes", "\\x0"),
        ("decimal", "1,5"),
        ("decimal", ""),
        ("decimal", "1e999999999"),
        ("decimal", "-"),
        ("uuid", "0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b000"),
        ("uuid", "0b0e4f2a08d6e-4c1b-9c55-2f6f2f6b0001"),
        ("timestamp", "2026-02-29T00:00:00Z"),
        ("timestamp", "2026-13-01"),
        ("timestamp", "2026-03-02T24:00:01Z"),
        ("timestamp", "2026-03-02T06:30:00.Z"),
        ("timestamp", "2026-03-02T06:30:00Zulu"),
        ("timestamp", "999999999-01-01"),
        ("timestamp", "+294276-12-31T23:59:59.999999Z"),
        ("date", "2026-3-2"),
        ("time", "06:60"),
        ("time", "06:30:00+02"),
        ("json", "{\"a\":1"),
        ("text[]", "{a,b}"),
        ("text[]", "[1]"),
        ("int[]", "[[1]]"),
        ("int[]", "[true]"),
        ("int[]", "[1,]"),
        ("int[]", "[1] 2"),
    ] {
        let logical: Logical = logical.parse().unwrap();
        let error = round(logical, text).expect_err(text).to_string();
        assert!(text.len() < 3 || !error.contains(text), "{error} tells the value");
    }
}

#[test]
fn decimals_are_plain_digits() {
    for (text, plain) in [
        ("-0.00", Some("0.00")),
        ("0", Some("0")),
        ("-12.50", Some("-12.50")),
        (".5", Some("0.5")),
        ("5.", Some("5")),
        ("1.50E1", Some("15.0")),
        ("1E+3", Some("1000")),
        ("-1e-3", Some("-0.001")),
        ("12.34e-3", Some("0.01234")),
        ("nan", Some("NaN")),
        ("-INF", Some("-Infinity")),
        ("+Infinity", Some("Infinity")),
        ("-nan", None),
        ("1e", None),
        ("١", None),
        ("1.2.3", None),
    ] {
        assert_eq!(canonical_decimal(text).as_deref(), plain, "{text}");
    }
    for (text, scale, padded) in [
        ("1.5", Some(3), "1.500"),
        ("1", Some(2), "1.00"),
        ("1.2345", Some(3), "1.2345"),
        ("NaN", Some(3), "NaN"),
        ("7", Some(0), "7"),
        ("7", None, "7"),
    ] {
        let mut plain = text.to_owned();
        pad_to_scale(&mut plain, scale);
        assert_eq!(plain, padded);
    }
}

#[test]
fn documents_have_one_form() {
    for (json, canonical) in [
        (r#" { "b" : 1 , "a" : [ 2.50, {} , [] ] } "#, r#"{"a":[2.50,{},[]],"b":1}"#),
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        (r#"{"z":{"b":1,"a":2},"ä":0,"é":0,"Z":-0}"#, r#"{"Z":-0,"z":{"a":2,"b":1},"ä":0,"é":0}"#),
        (r#"{"a\"":1,"a!":2}"#, r#"{"a!":2,"a\"":1}"#),
        (r#""\u00e9\ud83d\ude00\/\u000a\u0000\u001f""#, r#""é😀/\n\u0000\u001f""#),
        ("12345678901234567890.10", "12345678901234567890.10"),
        ("1E+2", "1E+2"),
        ("null", "null"),
    ] {
        assert_eq!(canonical_json(json).as_deref(), Ok(canonical));
    }
    for json in [
        "",
        "{",
        "[1 2]",
        "[,1]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
        "\"\\ud800\"",
        "\"\\ud800x\"",
        "\"\\x\"",
        "\"a\nb\"",
        "\"a",
        "\"\\u12",
        "01",
        "1.",
        ".5",
        "1e",
        "+1",
        "nul",
        "Infinity",
        "1 1",
        "\u{feff}1",
    ] {
        assert!(canonical_json(json).is_err(), "{json:?}");
    }
    let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert!(canonical_json(&nested(128)).is_ok());
    assert_eq!(canonical_json(&nested(129)), Err(Unreadable::TooDeep));
    assert_eq!(canonical_json(&nested(1_000_000)), Err(Unreadable::TooDeep));
}

#[test]
fn a_row_is_a_json_object_without_the_cells_that_were_not_sent() {
    let shape = TableShape {
        name: "t".into(),
        columns: ["int", "text", "float", "json", "decimal", "bool", "text[]", "timestamp"]
            .iter()
            .enumerate()
            .map(|(i, l)| ColumnShape::new(format!("c{i}"), l.parse().unwrap()))
            .collect(),
        key: vec![0],
        has_other_unique: false,
    };
    let mut rows = Columns::new(shape.logicals());
    let texts = ["-7", "q\"\u{1}é", "Infinity", r#"{"a":[1]}"#, "1.50", "true", r#"["x",null]"#, "infinity"];
    for (column, text) in texts.iter().enumerate() {
        parse(&shape.columns[column], text, &mut rows.columns[column]).unwrap();
    }
    rows.end_row();
    rows.push_row_of(State::Null);
    for (column, state) in rows.columns.iter_mut().zip([State::Unavailable, State::NoRow].into_iter().cycle())
    {
        column.push_state(state);
    }
    rows.end_row();
    let named = |i| to_json(shape.columns.iter().map(|c| c.name.as_str()).zip(&rows.columns), i);
    assert_eq!(
        named(0),
        r#"{"c0":-7,"c1":"q\"\u0001é","c2":"Infinity","c3":{"a":[1]},"c4":"1.50","c5":true,"c6":["x",null],"c7":"infinity"}"#
    );
    assert!(named(1).starts_with(r#"{"c0":null,"#));
    assert_eq!(named(2), "{}");

    let mut back = Columns::new(shape.logicals());
    from_json(&shape, &[0, 1, 2, 3, 4, 5, 6, 7], &named(0), &mut back).unwrap();
    from_json(&shape, &[0, 7], &named(1), &mut back).unwrap();
    assert_eq!(named(0), to_json(shape.columns.iter().map(|c| c.name.as_str()).zip(&back.columns), 0));
    assert_eq!((back.columns[7].state(1), back.columns[1].state(1)), (State::Null, State::NoRow));
    for bad in [r#"{"c0":"x"}"#, r#"{"c7":5}"#, "[]", r#"{"c3":"#] {
        assert!(from_json(&shape, &[0, 3, 7], bad, &mut back).is_err(), "{bad}");
        assert!(back.rows() == 2 && back.columns.iter().all(|c| c.len() == 2));
    }
}

#[test]
fn a_reader_skips_and_reads() {
    let mut reader = JsonReader::new(r#" { "a" : [1, {"x":"]\\\""}] , "b\u0041" : null } "#);
    let mut scratch = String::new();
    reader.expect(b'{').unwrap();
    assert!(reader.more(b'}', true).unwrap());
    assert_eq!(reader.text(&mut scratch).unwrap(), "a");
    reader.expect(b':').unwrap();
    assert_eq!(reader.skip().unwrap(), r#"[1, {"x":"]\\\""}]"#);
    assert!(reader.more(b'}', false).unwrap());
    assert_eq!(reader.text(&mut scratch).unwrap(), "bA");
    reader.expect(b':').unwrap();
    assert_eq!(reader.word().unwrap(), "null");
    assert!(!reader.more(b'}', false).unwrap());
    reader.end().unwrap();
    for broken in ["[", "{\"a", "\"\\", "]", ""] {
        assert!(JsonReader::new(broken).skip().is_err(), "{broken}");
    }
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::hash_map(any::<String>(), inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn times_round_trip(micros: i64, days in -2_000_000_000_i64..2_000_000_000, clock in 0..=86_400_000_000_i64) {
        // Before the year -290308 or so a date's midnight is no 64-bit number any more.
        prop_assume!(micros > i64::MIN + 86_400_000_000);
        prop_assert_eq!(parse_timestamp(&format_timestamp(micros)), Some(micros));
        prop_assert_eq!(parse_date(&format_date(days)), Some(days));
        prop_assert_eq!(parse_time(&format_time(clock)), Some(clock));
    }

    #[test]
    fn any_integer_can_be_shown_as_a_time(value: i64) {
        prop_assert!(!(format_timestamp(value) + &format_date(value) + &format_time(value)).is_empty());
    }

    #[test]
    fn reading_inverts_writing(bits: u64, bytes: Vec<u8>, text: String, uuid: [u8; 16]) {
        let mut columns = Columns::new([Logical::Float, Logical::Bytes, Logical::Text, Logical::Uuid]);
        columns.columns[0].push_float(f64::from_bits(bits));
        columns.columns[1].push_bytes(&bytes);
        columns.columns[2].push_bytes(text.as_bytes());
        columns.columns[3].push_bytes(&uuid);
        for column in &columns.columns {
            let mut first = String::new();
            write(column, 0, &mut first);
            let again = round(column.logical(), &first).unwrap();
            prop_assert_eq!(&again, &first);
            let mut back = Column::new(column.logical());
            parse(&ColumnShape::new("c", column.logical()), &first, &mut back).unwrap();
            prop_assert!(back == *column || column.float(0).is_nan());
        }
    }

    #[test]
    fn canonical_documents_mean_the_same(value in document()) {
        let canonical = canonical_json(&value.to_string()).unwrap();
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&canonical).unwrap(), value);
        prop_assert_eq!(canonical_json(&canonical).unwrap(), canonical);
    }

    #[test]
    fn no_text_panics(text: String, logical in 0..24_usize) {
        const WORDS: [&str; 12] =
            ["bool", "int", "float", "text", "bytes", "decimal", "timestamp", "date", "time", "uuid", "json", "text"];
        let word = format!("{}{}", WORDS[logical % 12], if logical < 12 { "" } else { "[]" });
        let mut column = Column::new(word.parse().unwrap());
        let read = parse(&ColumnShape::new("c", column.logical()), &text, &mut column);
        prop_assert_eq!(column.len(), usize::from(read.is_ok()));
    }
}
