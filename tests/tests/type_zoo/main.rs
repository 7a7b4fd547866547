//! Forty-six column types with their most awkward values, as Debezium writes them without and with schemas and in
//! its text modes, into both databases. What must stand is written by hand, in each database's own literals, and
//! compared by that database.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

mod values;

use reconverge_capture::{publish, recorded};
use reconverge_servers::project_root;
use reconverge_tests::{Kind, Scene};

use values::{NUMERIC, Own, ROWS, TEXT};

/// The insert of row 101 is the last message up to here; then it is updated and deleted.
const INSERTED: u64 = 25;
const UPDATED: u64 = 26;
/// Columns in which the rows of extremes hold what no 64 bits of microseconds can.
const BEYOND: [&str; 3] = ["ts", "tstz", "iv"];
const RULES: &str = "[[table]]\nname = \"type_zoo\"\nkey = [\"id\"]\n";

/// A recording and what is its own.
struct Mode {
    name: &'static str,
    file: &'static str,
    source: &'static str,
    own: &'static [Own],
}

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
    let expected =
        table.lines().filter(|line| !line.starts_with("CREATE TYPE")).collect::<Vec<_>>().join("\n");
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
            statements.push_str(&format!(
                "INSERT INTO expected (id, note{columns}) VALUES ({id}, '{note}'{values});"
            ));
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

/// A scene's name and kind, its tables, and what `check` says of each: the problem and the hint.
type Unfit<'a> = (&'a str, Kind, &'a str, &'a [(&'a str, &'a str)]);

#[tokio::test]
async fn what_cannot_be_had_is_refused_by_check() {
    let postgres = postgres_ddl().replace("ia2 int[]", "ia2 int[][]");
    let sqlite = ddl(Kind::Sqlite).replace("n53 TEXT_NUMERIC", "n53 NUMERIC").replace("TEXT_MONEY", "MONEY");
    let cases: [Unfit<'_>; 2] = [
        (
            "unfit_postgres",
            Kind::Postgres,
            &postgres,
            &[("ia2 is an array of 2 dimensions", "one dimension")],
        ),
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
