//! Forty-six column types with their most awkward values, as Debezium writes them without and with schemas and in
//! its text modes, into both databases. What must stand is written by hand, in each database's own literals, and
//! compared by that database.

use reconverge_capture::{publish, recorded};
use reconverge_servers::project_root;
use reconverge_tests::{Kind, Scene};

/// The insert of row 101 is the last message up to here; then it is updated and deleted.
const INSERTED: u64 = 25;
const UPDATED: u64 = 26;
/// Columns in which the rows of extremes hold what no 64 bits of microseconds can.
const BEYOND: [&str; 3] = ["ts", "tstz", "iv"];
const RULES: &str = "[[table]]\nname = \"type_zoo\"\nkey = [\"id\"]\n";

/// One cell: column, PostgreSQL's literal, SQLite's.
type Cell = (&'static str, &'static str, &'static str);

/// Rows that are equal but for their id: ids, note, cells. What is not named is null.
type Rows = (&'static [u32], &'static str, &'static [Cell]);

const UUID: &str = "'0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001'";

const ORDINARY: &[Cell] = &[
    ("i2", "1", "1"),
    ("i4", "2", "2"),
    ("i8", "3", "3"),
    ("f4", "1.5", "1.5"),
    ("f8", "2.25", "2.25"),
    ("n53", "1.250", "'1.250'"),
    ("n380", "42", "'42'"),
    ("n3818", "1.5", "'1.500000000000000000'"),
    ("nfree", "12.34", "'12.34'"),
    ("cash", "'12.34'", "'12.34'"),
    ("flag", "true", "1"),
    ("c5", "'ab'", "'ab   '"),
    ("vc", "'abc'", "'abc'"),
    ("txt", "'x'", "'x'"),
    ("b", r"'\x0001ff'", "x'0001ff'"),
    ("bit1", "B'1'", "'1'"),
    ("bit8", "B'10100101'", "'10100101'"),
    ("vbit", "B'101'", "'101'"),
    ("d", "'2026-03-02'", "'2026-03-02'"),
    ("t", "'08:30:00.123456'", "'08:30:00.123456'"),
    ("t3", "'08:30:00.123'", "'08:30:00.123000'"),
    ("ttz", "'06:30:00.5+00'", "'06:30:00.5Z'"),
    ("ts", "'2026-03-02 08:30:00.123456'", "'2026-03-02T08:30:00.123456Z'"),
    ("ts3", "'2026-03-02 08:30:00.123'", "'2026-03-02T08:30:00.123000Z'"),
    ("tstz", "'2026-03-02 06:30:00.123456+00'", "'2026-03-02T06:30:00.123456Z'"),
    ("u", UUID, UUID),
    ("j", r#"'{"a":2,"b":1}'"#, r#"'{"a":2,"b":1}'"#),
    (
        "jb",
        r#"'{"a": 2.50, "b": 1, "big": 12345678901234567890.10}'"#,
        r#"'{"a":2.50,"b":1,"big":12345678901234567890.10}'"#,
    ),
    ("x", "'<a>1</a>'", "'<a>1</a>'"),
    ("e", "'tense'", "'tense'"),
    ("ta", r#"ARRAY['a', NULL, 'q"', 'c,d']"#, r#"'["a",null,"q\"","c,d"]'"#),
    ("ia", "ARRAY[1, NULL, 3]", "'[1,null,3]'"),
    ("na", "ARRAY[1.250, NULL]", r#"'["1.250",null]'"#),
    (
        "ua",
        "ARRAY['0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001'::uuid]",
        r#"'["0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001"]'"#,
    ),
    ("tsa", "ARRAY['2026-03-02 08:30:00+00'::timestamptz]", r#"'["2026-03-02T08:30:00.000000Z"]'"#),
    // Debezium's own loss: an array of two dimensions arrives as so many nulls.
    ("ia2", "'{NULL,NULL}'", "'[null,null]'"),
    ("ip", "'10.0.0.1/24'", "'10.0.0.1/24'"),
    ("net", "'10.0.0.0/8'", "'10.0.0.0/8'"),
    ("mac", "'08:00:2b:01:02:03'", "'08:00:2b:01:02:03'"),
    ("r4", "'[1,5)'", "'[1,5)'"),
    (
        "rts",
        "'[2026-01-01 00:00:00+00,2026-02-01 00:00:00+00)'",
        r#"'["2026-01-01 00:00:00+00","2026-02-01 00:00:00+00")'"#,
    ),
    ("pt", "'(1.5,2)'", "'(1.5,2.0)'"),
    ("tsv", "'a:1 b:2'", "'''a'':1 ''b'':2'"),
    ("dflt", "'given'", "'given'"),
];

const HIGH: &[Cell] = &[
    ("i2", "32767", "32767"),
    ("i4", "2147483647", "2147483647"),
    ("i8", "9223372036854775806", "9223372036854775806"),
    ("f4", "3.4e38", "3.4e38"),
    ("f8", "1.7976931348623157e308", "1.7976931348623157e308"),
    ("n53", "99.999", "'99.999'"),
    ("n380", "99999999999999999999999999999999999999", "'99999999999999999999999999999999999999'"),
    ("n3818", "99999999999999999999.999999999999999999", "'99999999999999999999.999999999999999999'"),
    ("nfree", "10000000000000000000000000000000000000000", "'10000000000000000000000000000000000000000'"),
    ("cash", "'92233720368547758.07'", "'92233720368547758.07'"),
    ("d", "'5874897-12-31'", "'+5874897-12-31'"),
    ("t", "'24:00:00'", "'24:00:00.000000'"),
];

const LOW: &[Cell] = &[
    ("i2", "-32768", "-32768"),
    ("i4", "-2147483648", "-2147483648"),
    ("i8", "'-9223372036854775808'", "-9223372036854775808"),
    ("f4", "'-1.4e-45'", "-1.4e-45"),
    ("f8", "'5e-324'", "5e-324"),
    ("n53", "-99.999", "'-99.999'"),
    ("n380", "-1", "'-1'"),
    ("n3818", "-0.000000000000000001", "'-0.000000000000000001'"),
    ("nfree", "-0.00000000000000000000001", "'-0.00000000000000000000001'"),
    ("cash", "'-92233720368547758.08'", "'-92233720368547758.08'"),
    ("t", "'00:00:00'", "'00:00:00.000000'"),
    ("ts", "'4713-01-01 00:00:00 BC'", "'-4712-01-01T00:00:00.000000Z'"),
    ("tstz", "'0001-01-01 00:00:00+00'", "'0001-01-01T00:00:00.000000Z'"),
];

const ROWS: &[Rows] = &[
    (&[0, 100], "all null", &[]),
    (&[1, 101], "ordinary", ORDINARY),
    (&[2, 102], "extremes high", HIGH),
    (&[3, 103], "extremes low", LOW),
    (
        &[4, 104],
        "zero",
        &[
            ("n53", "0", "'0.000'"),
            ("n380", "0", "'0'"),
            ("nfree", "0", "'0'"),
            ("txt", "''", "''"),
            ("b", r"'\x'", "x''"),
            ("bit8", "B'00000000'", "'00000000'"),
            ("ta", "'{}'", "'[]'"),
        ],
    ),
    (&[5, 105], "float specials", &[("f4", "'NaN'", "'NaN'"), ("f8", "'Infinity'", "9e999")]),
    (&[6, 106], "date infinity", &[("d", "'infinity'", "'infinity'")]),
    (&[7, 107], "timestamp infinity", &[("ts", "'infinity'", "'infinity'")]),
    (&[8, 108], "timestamptz infinity", &[("tstz", "'infinity'", "'infinity'")]),
    (&[9, 109], "timestamptz -infinity", &[("tstz", "'-infinity'", "'-infinity'")]),
    (
        &[10, 110],
        "timestamptz BC",
        &[("tstz", "'0044-03-15 12:00:00+00 BC'", "'-0043-03-15T12:00:00.000000Z'")],
    ),
    (&[11, 111], "timestamptz far", &[]),
    (&[200], "numeric(5,3) NaN", &[]),
    (&[201], "free numeric NaN", &[]),
    (&[202], "free numeric Infinity", &[]),
    (&[203], "timetz infinity-like range", &[("rts", "'(-infinity,infinity)'", "'(-infinity,infinity)'")]),
];

/// What differs between the modes: id, column, PostgreSQL's literal, SQLite's.
type Own = (u32, &'static str, &'static str, &'static str);

/// A recording and what is its own.
struct Mode {
    name: &'static str,
    file: &'static str,
    source: &'static str,
    own: &'static [Own],
}

/// An interval comes as microseconds, a month as 30.4375 days, and decimals that are no numbers as null. A
/// snapshot's date has lost its era.
const NUMERIC: &[Own] = &[
    (1, "iv", "make_interval(secs => 37091106.789)", "'37091106789000 microseconds'"),
    (101, "iv", "make_interval(secs => 37091106.789)", "'37091106789000 microseconds'"),
    (3, "iv", "make_interval(secs => -2802600)", "'-2802600000000 microseconds'"),
    (103, "iv", "make_interval(secs => -2802600)", "'-2802600000000 microseconds'"),
    (4, "iv", "'0'", "'0 microseconds'"),
    (104, "iv", "'0'", "'0 microseconds'"),
    (3, "d", "'4713-01-01'", "'4713-01-01'"),
    (103, "d", "'4713-01-01 BC'", "'-4712-01-01'"),
];

/// In text nothing of an interval is lost, and 24:00 becomes 00:00.
const TEXT: &[Own] = &[
    (1, "iv", "'1 year 2 months 3 days 04:05:06.789'", "'P1Y2M3DT4H5M6.789S'"),
    (101, "iv", "'1 year 2 months 3 days 04:05:06.789'", "'P1Y2M3DT4H5M6.789S'"),
    (3, "iv", "'-1 month -2 days'", "'P0Y-1M-2DT0H0M0S'"),
    (103, "iv", "'-1 month -2 days'", "'P0Y-1M-2DT0H0M0S'"),
    (4, "iv", "'0'", "'P0Y0M0DT0H0M0S'"),
    (104, "iv", "'0'", "'P0Y0M0DT0H0M0S'"),
    (2, "t", "'00:00:00'", "'00:00:00.000000'"),
    (102, "t", "'00:00:00'", "'00:00:00.000000'"),
    (3, "d", "'4713-01-01'", "'4713-01-01'"),
    (103, "d", "'4713-01-01 BC'", "'-4712-01-01'"),
    (200, "n53", "'NaN'", "'NaN'"),
    (201, "nfree", "'NaN'", "'NaN'"),
    (202, "nfree", "'Infinity'", "'Infinity'"),
];

const PLAIN: Mode = Mode { name: "plain", file: "type_zoo.jsonl.gz", source: "", own: NUMERIC };
const SCHEMA: Mode = Mode { name: "schema", file: "type_zoo_schema.jsonl.gz", source: "", own: NUMERIC };
const STRINGS: Mode = Mode {
    name: "strings",
    file: "type_zoo_strings.jsonl.gz",
    source: "\n[source.debezium]\nbinary = \"hex\"\n",
    own: TEXT,
};

/// The source's own DDL, with an array that changes can carry.
fn postgres_ddl() -> String {
    let ddl = std::fs::read_to_string(project_root().join("tests/data/type_zoo/type_zoo.sql")).unwrap();
    ddl.replace("ia2 int[][]", "ia2 int[]")
}

fn ddl(kind: Kind) -> String {
    match kind {
        Kind::Postgres => postgres_ddl(),
        Kind::Sqlite => {
            std::fs::read_to_string(project_root().join("tests/data/type_zoo/schema.sqlite.sql")).unwrap()
        }
    }
}

/// A scene with a recording in its stream, and a table `expected` beside `type_zoo`. `dropped`: columns that the
/// sink does not have.
async fn zoo(kind: Kind, mode: &Mode, dropped: &[&str]) -> Scene {
    let with = if dropped.is_empty() { "all" } else { "some" };
    let name = format!("zoo_{}_{}_{with}", mode.name, format!("{kind:?}").to_lowercase());
    let table = ddl(kind);
    let expected = table.lines().filter(|line| !line.starts_with("CREATE TYPE")).collect::<Vec<_>>().join("\n");
    let mut statements = table + &expected.replace("TABLE type_zoo", "TABLE expected");
    for column in dropped {
        statements.push_str(&format!(
            "ALTER TABLE type_zoo DROP COLUMN {column};ALTER TABLE expected DROP COLUMN {column};"
        ));
    }
    let mut scene = Scene::new(&name, kind, &statements).await;
    scene.format = "debezium-json".to_owned();
    scene.subjects = format!("{name}.{{source}}.{{schema}}.{{table}}");
    scene.write(&format!("{RULES}{}", mode.source));
    let mut messages = recorded(&project_root().join("tests/data/type_zoo").join(mode.file)).unwrap();
    for message in &mut messages {
        message.subject = format!("{name}.{}", message.subject);
    }
    publish(&scene.jetstream, &messages).await.unwrap();
    scene
}

/// Fills `expected` with the rows of `ids`.
async fn expect(scene: &Scene, kind: Kind, mode: &Mode, dropped: &[&str], is_there: impl Fn(u32) -> bool) {
    let mut statements = "BEGIN;".to_owned();
    for (ids, note, cells) in ROWS {
        for id in ids.iter().filter(|id| is_there(**id)) {
            let literal = |postgres: &str, sqlite: &str| match kind {
                Kind::Postgres => postgres.to_owned(),
                Kind::Sqlite => sqlite.to_owned(),
            };
            let own = mode.own.iter().filter(|(of, ..)| of == id).map(|(_, c, p, s)| (*c, literal(p, s)));
            let mut named: Vec<(&str, String)> = own.collect();
            for (column, postgres, sqlite) in *cells {
                if !named.iter().any(|(known, _)| known == column) {
                    named.push((column, literal(postgres, sqlite)));
                }
            }
            named.retain(|(column, _)| !dropped.contains(column));
            let columns: String = named.iter().map(|(column, _)| format!(", {column}")).collect();
            let values: String = named.iter().map(|(_, value)| format!(", {value}")).collect();
            statements
                .push_str(&format!("INSERT INTO expected (id, note{columns}) VALUES ({id}, '{note}'{values});"));
        }
    }
    scene.sink.execute(&(statements + "COMMIT;")).await.unwrap();
}

/// Compares all cells of both tables, as the database itself prints them.
async fn equal(scene: &Scene, kind: Kind) {
    let columns = match kind {
        Kind::Postgres => {
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'expected' \
             ORDER BY ordinal_position"
        }
        Kind::Sqlite => "SELECT name FROM pragma_table_xinfo('expected') ORDER BY cid",
    };
    let columns = scene.column(columns).await;
    let cells = columns.iter().map(|column| match kind {
        Kind::Postgres => format!("{column}::text"),
        Kind::Sqlite => format!("quote({column})"),
    });
    let cells = cells.collect::<Vec<_>>().join(", ");
    let rows = async |table| scene.texts(&format!("SELECT {cells} FROM {table} ORDER BY id")).await;
    let (expected, found) = (rows("expected").await, rows("type_zoo").await);
    let mut wrong = Vec::new();
    for row in &expected {
        let Some(stands) = found.iter().find(|stands| stands[0] == row[0]) else {
            wrong.push(format!("row {:?} is missing", row[0]));
            continue;
        };
        for ((column, must), does) in columns.iter().zip(row).zip(stands) {
            if must != does {
                wrong.push(format!("row {:?}, {column}: must be {must:?}, is {does:?}", row[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(found.len(), expected.len(), "rows that should not be there");
}

/// Rows 2, 102, 11 and 111 hold times that no 64 bits of microseconds reach.
fn is_beyond(id: u32) -> bool {
    matches!(id % 100, 2 | 11) && id < 200
}

async fn every_type(kind: Kind, mode: &Mode) {
    let scene = zoo(kind, mode, &[]).await;
    scene.run_to(INSERTED).await;
    expect(&scene, kind, mode, &[], |id| id < 200 && !is_beyond(id)).await;
    equal(&scene, kind).await;
    scene.run_to(UPDATED).await;
    scene.sink.execute("UPDATE expected SET i4 = 7 WHERE id = 101").await.unwrap();
    equal(&scene, kind).await;
    scene.run().await;
    scene.sink.execute("DELETE FROM expected WHERE id = 101").await.unwrap();
    expect(&scene, kind, mode, &[], |id| id >= 200).await;
    equal(&scene, kind).await;
    let letters = scene.letters().await;
    assert_eq!(letters.len(), 4, "{letters:?}");
    for letter in &letters {
        assert_eq!((letter.stage.as_str(), letter.code.as_str()), ("decode", "out-of-range"), "{letter:?}");
        assert!(letter.reason.contains("294247") && letter.key.is_some(), "{letter:?}");
    }
    scene.audit().await;
}

/// Without the columns that cannot be had, the rows of extremes are right too.
async fn extremes(kind: Kind, mode: &Mode) {
    let scene = zoo(kind, mode, &BEYOND).await;
    scene.run_to(INSERTED).await;
    expect(&scene, kind, mode, &BEYOND, |id| id < 200).await;
    equal(&scene, kind).await;
    assert!(scene.letters().await.is_empty());
}

#[tokio::test]
async fn postgres_without_schemas() {
    every_type(Kind::Postgres, &PLAIN).await;
    extremes(Kind::Postgres, &PLAIN).await;
}

#[tokio::test]
async fn postgres_with_schemas() {
    every_type(Kind::Postgres, &SCHEMA).await;
    extremes(Kind::Postgres, &SCHEMA).await;
}

#[tokio::test]
async fn postgres_in_text_modes() {
    every_type(Kind::Postgres, &STRINGS).await;
    extremes(Kind::Postgres, &STRINGS).await;
}

#[tokio::test]
async fn sqlite_without_schemas() {
    every_type(Kind::Sqlite, &PLAIN).await;
    extremes(Kind::Sqlite, &PLAIN).await;
}

#[tokio::test]
async fn sqlite_with_schemas() {
    every_type(Kind::Sqlite, &SCHEMA).await;
    extremes(Kind::Sqlite, &SCHEMA).await;
}

#[tokio::test]
async fn sqlite_in_text_modes() {
    every_type(Kind::Sqlite, &STRINGS).await;
    extremes(Kind::Sqlite, &STRINGS).await;
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_by_check() {
    let postgres = postgres_ddl().replace("ia2 int[]", "ia2 int[][]");
    let sqlite = ddl(Kind::Sqlite).replace("n53 TEXT_NUMERIC", "n53 NUMERIC").replace("TEXT_MONEY", "MONEY");
    let cases: [(&str, Kind, &str, &[(&str, &str)]); 2] = [
        ("unfit_postgres", Kind::Postgres, &postgres, &[("ia2 is an array of 2 dimensions", "one dimension")]),
        (
            "unfit_sqlite",
            Kind::Sqlite,
            &sqlite,
            &[
                ("`n53`: SQLite would store the text of a `NUMERIC(5,3)` as a number", "TEXT_NUMERIC(5,3)"),
                ("`cash`: SQLite would store", "TEXT_MONEY"),
            ],
        ),
    ];
    for (name, kind, ddl, expected) in cases {
        let scene = Scene::new(name, kind, ddl).await;
        scene.write(RULES);
        let found = scene.check().await;
        let errors = found.problems.iter().filter(|problem| problem.severity == "error").count();
        assert!(!found.ok && errors == expected.len(), "{found:?}");
        for (what, hint) in expected {
            let told = found.problems.iter().any(|problem| {
                problem.message.contains(what) && problem.hint.as_ref().is_some_and(|h| h.contains(hint))
            });
            assert!(told, "{what}: {found:?}");
        }
        let ended = scene.call(&["run", "--until-caught-up"]).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(expected[0].1), "{}", ended.stderr);
    }
}
