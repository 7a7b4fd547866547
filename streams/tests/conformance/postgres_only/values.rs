//! Every type takes and gives its extreme values, and what does not fit is one guilty change.

use reconverge_streams::{
    columns::{Column, State},
    sink::{Claim, CommitError},
    text,
};

use crate::world::cell;

use super::world_of;

const ZOO: &str = "
CREATE TYPE mood AS ENUM ('calm', 'tense', 'says \"no\"');
CREATE DOMAIN percent AS numeric(5,2) CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE type_zoo (
    id int PRIMARY KEY, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision,
    n53 numeric(5,3), n380 numeric(38,0), n3818 numeric(38,18), nfree numeric, cash money, flag boolean,
    c5 char(5), vc varchar(40), txt text, b bytea, bit1 bit(1), bit8 bit(8), vbit bit varying(16),
    d date, t time, t3 time(3), ttz timetz, ts timestamp, ts3 timestamp(3), tstz timestamptz, iv interval,
    u uuid, j json, jb jsonb, x xml, e mood, p percent,
    ta text[], ia int[], na numeric(5,3)[], ua uuid[], tsa timestamptz[], ba bytea[], ja jsonb[], ea mood[], da date[],
    fa real[], bita bit(4)[], ca char(3)[], ipa inet[], boola boolean[],
    ip inet, net cidr, mac macaddr, r4 int4range, rts tstzrange, pt point, tsv tsvector, oidc oid, nm name,
    gen bigint GENERATED ALWAYS AS (i8 + 1) STORED,
    dflt text NOT NULL DEFAULT 'none given');";

/// Column, text that is written, the server's own text of it, canonical text read back (where not the written one).
const VALUES: &[(&str, &str, &str, Option<&str>)] = &[
    ("i2", "-32768", "-32768", None),
    ("i4", "2147483647", "2147483647", None),
    ("i8", "-9223372036854775808", "-9223372036854775808", None),
    ("f4", "1.5", "1.5", None),
    ("f4", "NaN", "NaN", None),
    ("f4", "-Infinity", "-Infinity", None),
    ("f8", "5e-324", "5e-324", None),
    ("f8", "1.7976931348623157e308", "1.7976931348623157e+308", None),
    ("n53", "-99.999", "-99.999", None),
    ("n53", "NaN", "NaN", None),
    ("n380", "12345678901234567890123456789012345678", "12345678901234567890123456789012345678", None),
    ("n3818", "1.500000000000000000", "1.500000000000000000", None),
    ("nfree", "0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000001", None),
    ("nfree", "-Infinity", "-Infinity", None),
    ("cash", "-12.34", "-$12.34", None),
    ("flag", "false", "false", None),
    ("c5", "ab   ", "ab", None),
    ("vc", "caf\u{e9}", "caf\u{e9}", None),
    ("txt", "", "", None),
    ("txt", "\\x00 'it''s' \u{1f600} \u{202e}", "\\x00 'it''s' \u{1f600} \u{202e}", None),
    ("b", "AAH/", "\\x0001ff", None),
    ("b", "", "\\x", None),
    ("bit1", "1", "1", None),
    ("bit8", "10100101", "10100101", None),
    ("vbit", "101", "101", None),
    ("vbit", "", "", None),
    ("d", "2026-03-02", "2026-03-02", None),
    ("d", "-4712-01-01", "4713-01-01 BC", None),
    ("d", "+5874897-12-31", "5874897-12-31", None),
    ("d", "-infinity", "-infinity", None),
    ("t", "24:00:00.000000", "24:00:00", None),
    ("t3", "08:30:00.123000", "08:30:00.123", None),
    ("ttz", "06:30:00.5+02", "06:30:00.5+02", None),
    ("ts", "2026-03-02T08:30:00.123456Z", "2026-03-02 08:30:00.123456", None),
    ("ts", "infinity", "infinity", None),
    ("ts3", "2026-03-02T08:30:00.123400Z", "2026-03-02 08:30:00.123", Some("2026-03-02T08:30:00.123000Z")),
    ("tstz", "-4712-01-01T00:00:00.000000Z", "4713-01-01 00:00:00+00 BC", None),
    ("tstz", "+294246-12-31T23:59:59.999999Z", "294246-12-31 23:59:59.999999+00", None),
    ("tstz", "-infinity", "-infinity", None),
    ("iv", "1 year 2 mons 3 days 04:05:06.789", "1 year 2 mons 3 days 04:05:06.789", None),
    ("iv", "37015506789000 microseconds", "10282:05:06.789", Some("10282:05:06.789")),
    ("u", "0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001", "0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001", None),
    ("j", r#"{"a":2,"b":1}"#, r#"{"a":2,"b":1}"#, None),
    (
        "jb",
        r#"{"a":2.50,"big":12345678901234567890.10}"#,
        r#"{"a": 2.50, "big": 12345678901234567890.10}"#,
        None,
    ),
    ("jb", "null", "null", None),
    ("x", "<a>1</a>", "<a>1</a>", None),
    ("e", "says \"no\"", "says \"no\"", None),
    ("p", "99.50", "99.50", None),
    ("ta", r#"["a",null,"q\"","c,d","","NULL","\\"]"#, r#"{a,NULL,"q\"","c,d","","NULL","\\"}"#, None),
    ("ia", "[1,null,-2147483648]", "{1,NULL,-2147483648}", None),
    ("ia", "[]", "{}", None),
    ("na", r#"["1.250",null]"#, "{1.250,NULL}", None),
    ("ua", r#"["0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001"]"#, "{0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001}", None),
    (
        "tsa",
        r#"["2026-03-02T06:30:00.123456Z","-0043-03-15T12:00:00.000000Z","infinity"]"#,
        r#"{"2026-03-02 06:30:00.123456+00","0044-03-15 12:00:00+00 BC",infinity}"#,
        None,
    ),
    ("ba", r#"["AAH/","",null]"#, r#"{"\\x0001ff","\\x",NULL}"#, None),
    ("ja", r#"[{"a":[1]},null,"x"]"#, r#"{"{\"a\": [1]}",NULL,"\"x\""}"#, None),
    ("ea", r#"["calm","says \"no\""]"#, r#"{calm,"says \"no\""}"#, None),
    ("da", r#"["-0043-03-15","+12026-01-01"]"#, r#"{"0044-03-15 BC",12026-01-01}"#, None),
    ("fa", r#"[1.5,"NaN",null]"#, "{1.5,NaN,NULL}", None),
    ("bita", r#"["1010"]"#, "{1010}", None),
    ("ca", r#"["abc"]"#, "{abc}", None),
    ("ipa", r#"["10.0.0.1"]"#, "{10.0.0.1}", Some(r#"["10.0.0.1/32"]"#)),
    ("boola", "[true,false,null]", "{t,f,NULL}", None),
    ("ip", "10.1.2.3/24", "10.1.2.3/24", None),
    ("net", "10.1.0.0/16", "10.1.0.0/16", None),
    ("mac", "08:00:2b:01:02:03", "08:00:2b:01:02:03", None),
    ("r4", "[1,5)", "[1,5)", None),
    ("rts", r#"["2026-01-01 00:00:00+00",infinity)"#, r#"["2026-01-01 00:00:00+00",infinity)"#, None),
    ("pt", "(1.5,-2)", "(1.5,-2)", None),
    ("tsv", "'a':1 'b':2", "'a':1 'b':2", None),
    ("oidc", "4294967295", "4294967295", None),
    ("nm", "some_name", "some_name", None),
];

#[tokio::test]
async fn every_type_takes_and_gives_its_extreme_values() {
    let world = world_of(ZOO, &[("type_zoo", &["id"])]).await;
    let mut claim = world.claim().await;
    let ids: Vec<String> = (0..VALUES.len()).map(|i| i.to_string()).collect();
    // Twice: as inserts, then as updates of rows that stand.
    for _ in 0..2 {
        let mut batch = world.batch(claim.checkpoint().sequence);
        for (key, (column, written, _, _)) in ids.iter().zip(VALUES) {
            batch.upsert(0, &[("id", Some(key)), (column, Some(written))]);
        }
        batch.run(&mut claim).await;
    }
    for (key, (column, written, server, read)) in ids.iter().zip(VALUES) {
        let at = world.shapes[0].column(column).expect("a column");
        let found = world.stands(&mut claim, 0, &[&[key]], &[]).await;
        let row = found.keys[0].row.expect("a row");
        assert!(found.keys[0].local.is_none(), "{column}");
        let sql = format!("SELECT \"{column}\"::text FROM type_zoo WHERE id = {key}");
        assert_eq!(world.ask(&sql).await.as_deref(), Some(*server), "{column} in the server");
        assert_eq!(cell(&found, row, at).as_deref(), Some(read.unwrap_or(written)), "{column} read back");
    }
    assert_eq!(world.ask("SELECT dflt FROM type_zoo WHERE id = 0").await.as_deref(), Some("none given"));
    let generated = world.ask("SELECT (gen = i8 + 1)::text FROM type_zoo WHERE i8 IS NOT NULL").await;
    assert_eq!(generated, Some("true".into()));
}

#[tokio::test]
async fn what_does_not_fit_its_column_is_one_guilty_change() {
    let world = world_of(ZOO, &[("type_zoo", &["id"])]).await;
    for (column, bad, code) in [
        ("i2", "32768", "22003"),
        ("n53", "100.000", "22003"),
        ("vc", "more than forty characters, which is what it takes", "22001"),
        ("c5", "abcdef", "22001"),
        ("bit8", "101", "22026"),
        ("vbit", "10101010101010101", "22001"),
        ("e", "cheerful", "22P02"),
        ("p", "101", "23514"),
        ("x", "<a>", "2200N"),
        ("ip", "nowhere", "22P02"),
        ("txt", "a\0b", "22021"),
        ("tstz", "-4713-01-01T00:00:00.000000Z", "22008"),
        ("ca", r#"["abcd"]"#, "22001"),
        ("f4", "1e300", "22003"),
    ] {
        let mut claim = world.claim().await;
        let mut batch = world.batch(0);
        batch.upsert(0, &[("id", Some("1")), (column, None)]);
        let guilty = batch.upsert(0, &[("id", Some("2")), (column, Some(bad))]);
        batch.upsert(0, &[("id", Some("3")), (column, None)]);
        let (wanted, writes) = batch.done();
        claim.begin(wanted).await.expect("ours");
        match claim.commit(writes).await {
            Err(CommitError::Guilty(changes, cause)) => {
                assert_eq!((changes, cause.code.as_str()), (vec![guilty], code), "{column}");
                assert!(cause.text.contains("type_zoo") && !cause.text.contains(bad), "{}", cause.text);
            }
            other => panic!("{column}: {other:?}"),
        }
    }
    assert_eq!(world.ask("SELECT count(*)::text FROM type_zoo").await.as_deref(), Some("0"));
}

#[tokio::test]
async fn a_key_that_the_server_cannot_read_stops_nobody_else() {
    let ddl = "CREATE TABLE hosts (ip inet PRIMARY KEY, name text)";
    let world = world_of(ddl, &[("hosts", &["ip"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("ip", Some("10.0.0.1")), ("name", Some("one"))]);
    batch.run(&mut claim).await;
    let mut batch = world.batch(1);
    batch.upsert(0, &[("ip", Some("10.0.0.1")), ("name", Some("two"))]);
    let bad = batch.upsert(0, &[("ip", Some("nowhere")), ("name", Some("x"))]);
    let (wanted, writes) = batch.done();
    let standing = claim.begin(wanted).await.expect("the readable key stands");
    let rows: Vec<bool> = standing.tables[0].keys.iter().map(|k| k.row.is_some()).collect();
    assert_eq!(rows, [false, true], "a shorter text comes first among keys");
    assert!(matches!(claim.commit(writes).await, Err(CommitError::Guilty(changes, _)) if changes == [bad]));
}

/// Whether a text is readable as a column's canonical form: the table of values must not test its own typos.
#[test]
fn the_zoo_values_are_canonical() {
    for (column, written, _, _) in VALUES.iter().filter(|v| v.0.ends_with('a') && v.0.len() <= 3) {
        assert!(written.starts_with('['), "{column}");
    }
    let shape = reconverge_streams::table::ColumnShape::new("d", reconverge_streams::logical::Logical::Date);
    let mut column = Column::new(shape.logical);
    text::parse(&shape, "-4712-01-01", &mut column).expect("a date");
    assert_eq!(column.state(0), State::Value);
}
