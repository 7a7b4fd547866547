//! Golden vectors of the stored format, and the laws between bytes, order and keys.

use proptest::prelude::*;

use super::*;
use crate::{table::ColumnShape, text};

fn one(logical: &str, value: &str) -> Column {
    let shape = ColumnShape::new("c", logical.parse().unwrap());
    let mut column = Column::new(shape.logical);
    text::parse(&shape, value, &mut column).unwrap();
    column
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn golden_keys() {
    for (logical, value, golden) in [
        ("bool", "true", "010000000101"),
        ("bool", "false", "010000000100"),
        ("int", "7", "02000000088000000000000007"),
        ("int", "-1", "02000000087fffffffffffffff"),
        ("int", "-9223372036854775808", "02000000080000000000000000"),
        ("float", "1.5", "0300000008bff8000000000000"),
        ("float", "-1.5", "03000000084007ffffffffffff"),
        ("float", "0", "03000000088000000000000000"),
        ("float", "-0", "03000000087fffffffffffffff"),
        ("float", "NaN", "0300000008fff8000000000000"),
        ("float", "-Infinity", "0300000008000fffffffffffff"),
        ("text", "é", "0400000002c3a9"),
        ("text", "", "0400000000"),
        ("json", r#"{"b":1, "a":2}"#, "050000000d7b2261223a322c2262223a317d"),
        ("text[]", r#"["x", null]"#, "060000000a5b2278222c6e756c6c5d"),
        ("bytes", "AAH/", "07000000030001ff"),
        ("decimal", "-12.50", "08000000052d31322e35"),
        ("decimal", "0.000", "08000000022b30"),
        ("decimal", "0.05", "08000000052b302e3035"),
        ("decimal", "NaN", "08000000034e614e"),
        ("timestamp", "1970-01-01T00:00:00Z", "09000000088000000000000000"),
        ("timestamp", "infinity", "0900000008ffffffffffffffff"),
        ("time", "00:00:00.000001", "0a000000088000000000000001"),
        ("date", "1969-12-31", "0b000000087fffffffffffffff"),
        ("uuid", "0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001", "0c000000100b0e4f2a8d6e4c1b9c552f6f2f6b0001"),
    ] {
        let column = one(logical, value);
        let mut bytes = Vec::new();
        key(&[&column], 0, &mut bytes);
        assert_eq!(hex(&bytes), golden, "{logical} {value}");
        let back = key_cells(&[column.logical()], &bytes).unwrap();
        let mut again = Vec::new();
        key(&[&back.columns[0]], 0, &mut again);
        assert_eq!(hex(&again), golden, "{logical} {value}, there and back");
    }
}

#[test]
fn golden_row() {
    let mut columns =
        [one("int", "1"), one("text", "a"), Column::new(Logical::Bool), Column::new(Logical::Text)];
    columns[2].push_state(State::Null);
    columns[3].push_state(State::Unavailable);
    let mut bytes = Vec::new();
    row(&columns.iter().collect::<Vec<_>>(), 0, &mut bytes);
    assert_eq!(hex(&bytes), "0100000008800000000000000101000000016100000000000200000000");
}

#[test]
fn keys_of_other_types_or_lengths_are_none() {
    let column = one("int", "7");
    let mut bytes = Vec::new();
    key(&[&column], 0, &mut bytes);
    assert!(key_cells(&[Logical::Timestamp], &bytes).is_none());
    assert!(key_cells(&[Logical::Int, Logical::Int], &bytes).is_none());
    assert!(key_cells(&[], &bytes).is_none());
    for cut in 0..bytes.len() {
        assert!(key_cells(&[Logical::Int], &bytes[..cut]).is_none());
    }
    for length in [15, 16, 17] {
        let bytes = [&[12, 0, 0, 0, length][..], &vec![7; length.into()]].concat();
        assert_eq!(key_cells(&[Logical::Uuid], &bytes).is_some(), length == 16, "a uuid of {length} bytes");
    }
}

/// What is no key in a table may be one that a row names: with null in it, it names nobody.
#[test]
fn a_cell_without_a_value_is_null_there_and_back() {
    let mut unset = Column::new(Logical::Int);
    unset.push_state(State::Null);
    let mut bytes = Vec::new();
    key(&[&unset, &one("int", "7")], 0, &mut bytes);
    let back = key_cells(&[Logical::Int, Logical::Int], &bytes).unwrap();
    assert_eq!((back.columns[0].state(0), back.columns[1].int(0)), (State::Null, 7));
}

#[test]
fn order_values_have_the_declared_order() {
    for (logical, ascending) in [
        ("bool", &["false", "true"][..]),
        ("int", &["-9223372036854775808", "-1", "0", "9223372036854775807"]),
        ("float", &["-Infinity", "-1", "-0", "0", "5e-324", "1.5", "Infinity", "NaN"]),
        (
            "decimal",
            &[
                "-Infinity",
                "-10",
                "-9.5",
                "-0.05",
                "0",
                "0.049",
                "0.05",
                "9.4999",
                "9.5",
                "10",
                "Infinity",
                "NaN",
            ],
        ),
        ("timestamp", &["-infinity", "-0043-03-15T12:00:00Z", "2026-03-02T06:30:00Z", "infinity"]),
        ("text", &["", "A", "a", "aa", "é", "😀"]),
        ("uuid", &["0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001", "ffffffff-0000-0000-0000-000000000000"]),
    ] {
        let mut column = Column::new(logical.parse().unwrap());
        column.push_state(State::Null);
        for value in ascending {
            text::parse(&ColumnShape::new("c", column.logical()), value, &mut column).unwrap();
        }
        for i in 0..column.len() {
            for j in 0..column.len() {
                assert_eq!(
                    compare(&column, i, &column, j),
                    i.cmp(&j),
                    "{logical}: {i} and {j} of {ascending:?}"
                );
            }
        }
    }
    let mut absent = Column::new(Logical::Int);
    absent.push_state(State::Missing);
    absent.push_state(State::Null);
    assert_eq!(compare(&absent, 0, &absent, 1), Ordering::Equal);
    assert_eq!(compare(&one("decimal", "1.50"), 0, &one("decimal", "1.5"), 0), Ordering::Equal);
}

/// Two cells of one column.
fn pair(logical: Logical, push: impl Fn(&mut Column, usize)) -> Column {
    let mut column = Column::new(logical);
    push(&mut column, 0);
    push(&mut column, 1);
    column
}

proptest! {
    #[test]
    fn bytes_order_as_cells_do(ints: [i64; 2], bits: [u64; 2], texts: [String; 2], uuids: [[u8; 16]; 2], flags: [bool; 2]) {
        for column in [
            pair(Logical::Int, |c, i| c.push_int(ints[i])),
            pair(Logical::Timestamp, |c, i| c.push_int(ints[i])),
            pair(Logical::Float, |c, i| c.push_float(f64::from_bits(bits[i]))),
            pair(Logical::Text, |c, i| c.push_bytes(texts[i].as_bytes())),
            pair(Logical::Uuid, |c, i| c.push_bytes(&uuids[i])),
            pair(Logical::Bool, |c, i| c.push_bit(flags[i])),
        ] {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            cell(&column, 0, &mut a);
            cell(&column, 1, &mut b);
            prop_assert_eq!(compare(&column, 0, &column, 1), a.cmp(&b));
        }
    }

    #[test]
    fn key_cells_inverts_key(int: i64, text: String, bytes: Vec<u8>, float in any::<f64>(), flag: bool) {
        let mut row = Columns::new([Logical::Text, Logical::Int, Logical::Bytes, Logical::Float, Logical::Bool]);
        row.columns[0].push_bytes(text.as_bytes());
        row.columns[1].push_int(int);
        row.columns[2].push_bytes(&bytes);
        row.columns[3].push_float(float);
        row.columns[4].push_bit(flag);
        row.end_row();
        let mut out = Vec::new();
        key(&row.columns.iter().collect::<Vec<_>>(), 0, &mut out);
        let back = key_cells(&row.columns.iter().map(Column::logical).collect::<Vec<_>>(), &out);
        prop_assert_eq!(back, Some(row));
    }

    #[test]
    fn decimals_compare_as_numbers(a in -1_000_000_i64..1_000_000, b in -1_000_000_i64..1_000_000, scale in 0..5_u32) {
        let plain = |n: i64| {
            let power = 10_i64.pow(scale);
            let sign = if n < 0 { "-" } else { "" };
            format!("{sign}{}.{:0width$}", n.abs() / power, n.abs() % power, width = scale as usize)
        };
        let column = pair(Logical::Decimal, |c, i| c.push_bytes(plain([a, b][i]).trim_end_matches('.').as_bytes()));
        prop_assert_eq!(compare(&column, 0, &column, 1), a.cmp(&b));
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        for logical in [Logical::Int, Logical::Text, Logical::Decimal, Logical::Uuid, Logical::Bool, Logical::Float] {
            let _ = key_cells(&[logical, logical], &bytes);
        }
    }
}
