//! The shapes of the user's tables: what SQLite knows of columns and unique indexes, and all that is wrong with
//! a table at once. Reads only.

use rusqlite::{Connection, OptionalExtension};

use super::declared::{self, Affinity};
use crate::{
    sink::{Problem, TableName},
    table::{ColumnShape, TableShape},
};

/// A unique index: its columns, or `None` where it is over an expression or a part of the rows.
struct Unique {
    columns: Option<Vec<String>>,
    /// Whether texts that are different bytes can be equal to it.
    folds: bool,
}

/// The shape of a table, or all that keeps it from being used.
pub(super) fn shape(
    conn: &Connection,
    asked: &TableName,
) -> rusqlite::Result<Result<TableShape, Vec<Problem>>> {
    let problem = |what: String, hint: String| Problem { table: Some(asked.name.clone()), what, hint };
    let Some((name, kind)) = find(conn, &asked.name)? else {
        let what = format!("the database has no table `{}`", asked.name);
        return Ok(Err(vec![problem(what, "create it, or name another with `target`".into())]));
    };
    if kind != "table" {
        let what = format!("`{name}` is a {kind}");
        return Ok(Err(vec![problem(what, "rows are written to tables only".into())]));
    }
    let mut problems = Vec::new();
    let mut columns = Vec::new();
    let mut primary: Vec<(i64, String)> = Vec::new();
    for (shape, declared, place) in columns_of(conn, &name)? {
        if place > 0 {
            primary.push((place, shape.name.clone()));
        }
        match declared::column(&shape.name, &declared) {
            Ok(typed) => {
                let (not_null, has_default, generated) = (shape.not_null, shape.has_default, shape.generated);
                columns.push(ColumnShape { not_null, has_default, generated, ..typed });
            }
            Err(destroys) => {
                let what = format!("column `{}`: {}", shape.name, destroys.what);
                problems.push(problem(what, format!("declare it {}", destroys.declare)));
                columns.push(shape);
            }
        }
    }
    primary.sort_unstable();
    let primary: Vec<String> = primary.into_iter().map(|(_, name)| name).collect();
    let uniques = uniques(conn, &name, &primary)?;
    let mut shape = TableShape { name, columns, key: Vec::new(), has_other_unique: false };
    for key in &asked.key {
        match shape.column(key) {
            Some(at) if shape.columns[at].generated => {
                problems.push(problem(
                    format!("key column `{key}` is computed by the database"),
                    "choose key columns that can be written".into(),
                ));
            }
            Some(at) => shape.key.push(at),
            None => problems.push(problem(format!("there is no key column `{key}`"), has(&shape))),
        }
    }
    if shape.key.len() == asked.key.len() {
        problems.extend(key_problem(asked, &shape, &uniques));
    }
    shape.has_other_unique = uniques.iter().any(|u| !covers(u, &asked.key));
    Ok(if problems.is_empty() { Ok(shape) } else { Err(problems) })
}

fn has(shape: &TableShape) -> String {
    let names: Vec<&str> = shape.columns.iter().map(|c| c.name.as_str()).collect();
    format!("it has {}", names.join(", "))
}

fn key_problem(asked: &TableName, shape: &TableShape, uniques: &[Unique]) -> Option<Problem> {
    let names = asked.key.iter().map(|k| format!("\"{k}\"")).collect::<Vec<_>>().join(", ");
    let table = Some(asked.name.clone());
    let Some(unique) = uniques.iter().find(|u| covers(u, &asked.key)) else {
        return Some(Problem {
            table,
            what: format!("the key ({names}) is not unique in the table"),
            hint: format!("CREATE UNIQUE INDEX \"{0}_key\" ON \"{0}\" ({names})", shape.name),
        });
    };
    unique.folds.then(|| Problem {
        table,
        what: format!("the key ({names}) is compared by a collation other than BINARY"),
        hint: "keys that are different bytes are different rows: leave COLLATE out of the key columns".into(),
    })
}

fn covers(unique: &Unique, key: &[String]) -> bool {
    unique.columns.as_ref().is_some_and(|c| c.len() == key.len() && key.iter().all(|k| c.contains(k)))
}

/// The table's own spelling of its name, and what it is.
fn find(conn: &Connection, name: &str) -> rusqlite::Result<Option<(String, String)>> {
    let sql = "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE";
    conn.query_row(sql, [name], |r| Ok((r.get(0)?, r.get(1)?))).optional()
}

/// Columns with their declared types and places in the primary key (0: not in it).
fn columns_of(conn: &Connection, table: &str) -> rusqlite::Result<Vec<(ColumnShape, String, i64)>> {
    let sql =
        "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, hidden, pk FROM pragma_table_xinfo(?1)";
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map([table], |r| {
        let name: String = r.get(0)?;
        let declared: String = r.get(1)?;
        // SQLite derives the type of a generated column with these words in the declaration.
        let declared = declared.trim_end_matches(" GENERATED ALWAYS").to_owned();
        let mut shape = ColumnShape::new(name, crate::logical::Logical::Text);
        shape.not_null = r.get(2)?;
        shape.has_default = r.get(3)?;
        shape.generated = r.get::<_, i64>(4)? != 0;
        Ok((shape, declared, r.get(5)?))
    })?;
    rows.collect()
}

fn uniques(conn: &Connection, table: &str, primary: &[String]) -> rusqlite::Result<Vec<Unique>> {
    let mut found = Vec::new();
    let mut list =
        conn.prepare("SELECT name, origin, partial FROM pragma_index_list(?1) WHERE \"unique\"")?;
    let indexes = list.query_map([table], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    let indexes: Vec<(String, String, bool)> = indexes.collect::<rusqlite::Result<_>>()?;
    let has_primary_index = indexes.iter().any(|(_, origin, _)| origin == "pk");
    for (index, _, partial) in &indexes {
        let sql = "SELECT name, coll FROM pragma_index_xinfo(?1) WHERE key ORDER BY seqno";
        let mut info = conn.prepare(sql)?;
        let columns = info.query_map([index], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let columns: Vec<(Option<String>, Option<String>)> = columns.collect::<rusqlite::Result<_>>()?;
        let folds = columns.iter().any(|(_, coll)| coll.as_deref().is_some_and(|c| c != "BINARY"));
        let names: Option<Vec<String>> = columns.into_iter().map(|(name, _)| name).collect();
        found.push(Unique { columns: names.filter(|_| !partial), folds });
    }
    if !primary.is_empty() && !has_primary_index {
        // An INTEGER PRIMARY KEY is the row's own number and has no index.
        found.push(Unique { columns: Some(primary.to_vec()), folds: false });
    }
    Ok(found)
}

/// The affinities of a shape's columns, and whether the table has triggers.
pub(super) fn storage(conn: &Connection, shape: &TableShape) -> rusqlite::Result<(Vec<Affinity>, bool)> {
    let found = columns_of(conn, &shape.name)?;
    let of =
        |name: &str| found.iter().find(|(c, _, _)| c.name == name).map_or("", |(_, declared, _)| declared);
    let affinities = shape.columns.iter().map(|c| Affinity::of(of(&c.name))).collect();
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE";
    let triggers: i64 = conn.query_row(sql, [&shape.name], |r| r.get(0))?;
    Ok((affinities, triggers > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(key: &[&str]) -> TableName {
        TableName { name: "t".into(), key: key.iter().map(|k| (*k).into()).collect() }
    }

    fn shape_of(ddl: &str, key: &[&str]) -> Result<TableShape, Vec<Problem>> {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(ddl).unwrap();
        shape(&conn, &asked(key)).unwrap()
    }

    #[test]
    fn keys_are_what_is_unique() {
        for (ddl, key, usable, other) in [
            ("CREATE TABLE t (id INTEGER PRIMARY KEY, v)", &["id"][..], true, false),
            ("CREATE TABLE t (id TEXT PRIMARY KEY, v)", &["id"], true, false),
            ("CREATE TABLE t (a INT, b TEXT, PRIMARY KEY (a, b))", &["b", "a"], true, false),
            ("CREATE TABLE t (a INT, b TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID", &["a", "b"], true, false),
            ("CREATE TABLE t (a INT, b TEXT, PRIMARY KEY (a, b))", &["a"], false, true),
            ("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE)", &["id"], true, true),
            ("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE)", &["v"], true, true),
            ("CREATE TABLE t (id INT, v); CREATE UNIQUE INDEX i ON t (id) WHERE v", &["id"], false, true),
            ("CREATE TABLE t (id TEXT COLLATE NOCASE PRIMARY KEY)", &["id"], false, false),
            ("CREATE TABLE t (id INT)", &["id"], false, false),
        ] {
            let shape = shape_of(ddl, key);
            assert_eq!(shape.is_ok(), usable, "{ddl} {key:?}: {shape:?}");
            if let Ok(shape) = shape {
                assert_eq!(shape.has_other_unique, other, "{ddl}");
                assert_eq!(shape.key.len(), key.len());
            }
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let problems =
            shape_of("CREATE TABLE t (id INT, d NUMERIC(5,3), m MONEY)", &["id", "gone"]).unwrap_err();
        let whats: Vec<&str> = problems.iter().map(|p| p.what.as_str()).collect();
        assert_eq!(problems.len(), 3, "{whats:?}");
        assert_eq!(problems[0].hint, "declare it TEXT_NUMERIC(5,3)");
        assert_eq!(problems[2].hint, "it has id, d, m");
        let missing = shape_of("CREATE VIEW t AS SELECT 1 AS id", &["id"]).unwrap_err();
        assert_eq!(missing[0].what, "`t` is a view");
        assert!(shape_of("", &["id"]).unwrap_err()[0].what.contains("no table `t`"));
    }

    #[test]
    fn columns_say_what_they_refuse_and_fill() {
        let shape = shape_of(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL, b TEXT DEFAULT 'x',
             c BIGINT GENERATED ALWAYS AS (id + 1) STORED) STRICT"
                .replace("BIGINT", "INTEGER")
                .as_str(),
            &["id"],
        )
        .unwrap();
        let facts: Vec<_> = shape.columns.iter().map(|c| (c.not_null, c.has_default, c.generated)).collect();
        assert_eq!(facts[1..], [(true, false, false), (false, true, false), (false, false, true)]);
    }
}
