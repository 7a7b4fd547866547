//! What the database's thread needs to know of a claimed lane: who we are, the statements over the user's tables,
//! and the sidecar's small numbers for tables and sources.

use std::sync::{Arc, Mutex, PoisonError, atomic::AtomicI64};

use rusqlite::{Connection, OptionalExtension};
use xxhash_rust::xxh3::xxh3_64;

use super::declared::Affinity;
use crate::{
    names::{NameId, Names},
    table::{ColumnShape, TableId, TableShape},
    waiting::Aside,
};

/// A claimed lane.
#[derive(Debug)]
pub(super) struct Lane {
    /// As in the checkpoint: `pipeline/source/lane/partition`.
    pub name: String,
    /// The stream's name.
    pub stream: String,
    /// Microseconds that a silent owner keeps the lane.
    pub lease_micros: i64,
    /// Tables by [`TableId`].
    pub tables: Vec<Table>,
    /// Names of sources and origins.
    pub names: Arc<Names>,
    /// Their numbers in the sidecar, as far as they are known.
    pub sources: Mutex<Vec<(NameId, i64)>>,
    /// Tables that are left alone.
    pub aside: Mutex<Aside>,
}

impl Lane {
    /// The table of an id.
    pub(super) fn table(&self, id: TableId) -> &Table {
        &self.tables[id.index()]
    }

    /// The table behind a number of the sidecar; `None` where the plan does not list it.
    pub(super) fn table_of(&self, target: i64) -> Option<TableId> {
        let at = self.tables.iter().position(|t| t.target == target)?;
        u16::try_from(at).ok().map(TableId)
    }

    /// The sidecar's number of a source or origin, given to it now where it is new.
    pub(super) fn source_id(&self, conn: &Connection, name: NameId) -> rusqlite::Result<i64> {
        let mut known = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, id)) = known.iter().find(|(n, _)| *n == name) {
            return Ok(*id);
        }
        let text = self.names.get(name);
        let insert = "INSERT INTO reconverge_source (name, region, grade) VALUES (?1, ?1, 'A')
                      ON CONFLICT (name) DO NOTHING";
        conn.prepare_cached(insert)?.execute([&*text])?;
        let mut select = conn.prepare_cached("SELECT id FROM reconverge_source WHERE name = ?1")?;
        let id = select.query_row([&*text], |r| r.get(0))?;
        known.push((name, id));
        Ok(id)
    }

    /// The name behind a number of the sidecar; `None` where the number is not there, or names abound.
    pub(super) fn source_name(&self, conn: &Connection, id: i64) -> rusqlite::Result<Option<NameId>> {
        let mut known = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((name, _)) = known.iter().find(|(_, k)| *k == id) {
            return Ok(Some(*name));
        }
        let mut select = conn.prepare_cached("SELECT name FROM reconverge_source WHERE id = ?1")?;
        let text: Option<String> = select.query_row([id], |r| r.get(0)).optional()?;
        let name = text.and_then(|t| self.names.intern(&t).ok());
        known.extend(name.map(|n| (n, id)));
        Ok(name)
    }

    /// A lane's name, where it is another one.
    pub(super) fn elsewhere(&self, lane: Option<&str>) -> Option<Arc<str>> {
        lane.filter(|lane| *lane != self.name).map(Arc::from)
    }

    /// The tables that are left alone.
    pub(super) fn aside(&self) -> Aside {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on these are.
    pub(super) fn set_aside(&self, tables: Aside) {
        *self.aside.lock().unwrap_or_else(PoisonError::into_inner) = tables;
    }

    /// Forgets the numbers: a transaction that may have given some is rolled back.
    pub(super) fn forget_sources(&self) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A table of the user's, with what SQLite needs to read and write it.
#[derive(Debug)]
pub(super) struct Table {
    /// Its shape.
    pub shape: Arc<TableShape>,
    /// Its number in the sidecar.
    pub target: i64,
    /// By column of the shape.
    pub columns: Vec<Stored>,
    /// All columns of the shape by key.
    pub select: String,
    /// All columns of all rows, for a condition to follow.
    pub select_all: String,
    /// Whether there is a row by key.
    pub exists: String,
    /// One row by key.
    pub delete: String,
    /// The columns that are written, by key: a row's own copy.
    pub copy: String,
    /// A whole row from such a copy.
    pub insert_copy: String,
    /// Whether the application has triggers on it, which may change rows after we wrote them.
    pub has_triggers: bool,
    /// The columns that are written, in the order of the digest: indexes into the shape.
    pub written: Vec<usize>,
    /// SQLite's number of the schema under which the table was last found as planned.
    pub looked_at: AtomicI64,
    quoted: String,
}

/// How a column is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    /// Its affinity.
    pub affinity: Affinity,
    /// Stands for its name in a row's digest.
    pub name_hash: u64,
}

impl Table {
    /// Statements for a shape; `affinities` by column.
    pub(super) fn new(
        shape: Arc<TableShape>,
        target: i64,
        affinities: &[Affinity],
        has_triggers: bool,
    ) -> Self {
        let stored = |(column, affinity): (&ColumnShape, &Affinity)| Stored {
            affinity: *affinity,
            name_hash: xxh3_64(column.name.as_bytes()),
        };
        let columns = shape.columns.iter().zip(affinities).map(stored).collect();
        let written: Vec<usize> = (0..shape.columns.len()).filter(|&c| !shape.columns[c].generated).collect();
        let quoted = quote(&shape.name);
        let all: Vec<usize> = (0..shape.columns.len()).collect();
        let by_key = conditions(&shape);
        let copied = list(&shape, &written);
        Table {
            select: format!("SELECT {} FROM {quoted} WHERE {by_key}", list(&shape, &all)),
            select_all: format!("SELECT {} FROM {quoted}", list(&shape, &all)),
            exists: format!("SELECT 1 FROM {quoted} WHERE {by_key}"),
            delete: format!("DELETE FROM {quoted} WHERE {by_key}"),
            copy: format!("SELECT {copied} FROM {quoted} WHERE {by_key}"),
            insert_copy: format!("INSERT INTO {quoted} ({copied}) VALUES ({})", places(written.len())),
            columns,
            written,
            looked_at: AtomicI64::new(-1),
            quoted,
            target,
            has_triggers,
            shape,
        }
    }

    /// Keys in the order of their index, as many as the last parameter says; `behind`: those that follow a key, which the
    /// first parameters are.
    pub(super) fn page(&self, behind: bool) -> String {
        let keys = list(&self.shape, &self.shape.key);
        let n = self.shape.key.len();
        let (behind, limit) = match behind {
            true => (format!("WHERE ({keys}) > ({}) ", places(n)), n + 1),
            false => (String::new(), 1),
        };
        format!("SELECT {keys} FROM {} {behind}ORDER BY {keys} LIMIT ?{limit}", self.quoted)
    }

    /// Writes the named columns of a row by its key.
    pub(super) fn upsert(&self, columns: &[usize]) -> String {
        let keys = list(&self.shape, &self.shape.key);
        let set: Vec<String> = columns
            .iter()
            .filter(|c| !self.shape.key.contains(c))
            .map(|&c| quote(&self.shape.columns[c].name))
            .map(|name| format!("{name} = excluded.{name}"))
            .collect();
        // A row of key columns alone is set to itself, so that it counts as written in either case.
        let set = if set.is_empty() {
            self.shape
                .key
                .first()
                .map(|&k| quote(&self.shape.columns[k].name))
                .map(|k| format!("{k} = excluded.{k}"))
        } else {
            Some(set.join(", "))
        };
        format!(
            "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({keys}) DO UPDATE SET {}",
            self.quoted,
            list(&self.shape, columns),
            places(columns.len()),
            set.unwrap_or_default(),
        )
    }

    /// Writes the named columns of a row that is there, with the places of [`Self::upsert`]; `None` where that can
    /// always do it. (SQLite refuses a null before it looks whether the row is there, so an upsert cannot leave out a
    /// column that takes none.)
    pub(super) fn update(&self, columns: &[usize]) -> Option<String> {
        let needed = |(c, shape): (usize, &ColumnShape)| {
            shape.not_null && !shape.has_default && !shape.generated && !columns.contains(&c)
        };
        if !self.shape.columns.iter().enumerate().any(needed) {
            return None;
        }
        let term = |key: bool, between: &str| {
            let named = (1..).zip(columns).filter(|(_, c)| self.shape.key.contains(c) == key);
            let terms = named.map(|(at, &c)| format!("{} = ?{at}", quote(&self.shape.columns[c].name)));
            terms.collect::<Vec<_>>().join(between)
        };
        let (keys, set) = (term(true, " AND "), term(false, ", "));
        let set = if set.is_empty() { term(true, ", ") } else { set };
        Some(format!("UPDATE {} SET {set} WHERE {keys}", self.quoted))
    }
}

/// A name as an identifier.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn list(shape: &TableShape, columns: &[usize]) -> String {
    columns.iter().map(|&c| quote(&shape.columns[c].name)).collect::<Vec<_>>().join(", ")
}

fn places(n: usize) -> String {
    (1..=n).map(|i| format!("?{i}")).collect::<Vec<_>>().join(", ")
}

fn conditions(shape: &TableShape) -> String {
    let term = |(i, &k): (usize, &usize)| format!("{} = ?{}", quote(&shape.columns[k].name), i + 1);
    shape.key.iter().enumerate().map(term).collect::<Vec<_>>().join(" AND ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{logical::Logical, table::ColumnShape};

    #[test]
    fn statements_name_only_what_is_written() {
        let column = |name: &str| ColumnShape::new(name, Logical::Text);
        let shape = TableShape {
            name: "odd \" name".into(),
            columns: vec![column("id"), column("v"), ColumnShape { generated: true, ..column("g") }],
            key: vec![0],
            has_other_unique: false,
        };
        let table = Table::new(Arc::new(shape), 1, &[Affinity::Text; 3], false);
        assert_eq!(table.select, r#"SELECT "id", "v", "g" FROM "odd "" name" WHERE "id" = ?1"#);
        assert_eq!(
            table.upsert(&[0, 1]),
            r#"INSERT INTO "odd "" name" ("id", "v") VALUES (?1, ?2) ON CONFLICT ("id") DO UPDATE SET "v" = excluded."v""#
        );
        assert!(table.upsert(&[0]).contains(r#"DO UPDATE SET "id" = excluded."id""#));
    }
}
