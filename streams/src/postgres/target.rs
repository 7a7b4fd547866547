//! A table of the user's as statements over it: one statement reads, writes or deletes all rows of a batch.
//!
//! Rows come as one array per column. A value is cast to its column's type without length or precision, so that
//! assigning it refuses what does not fit.

use std::{fmt::Write as _, sync::Arc};

use xxhash_rust::xxh3::xxh3_64;

use crate::table::TableShape;

use super::{
    arrays,
    catalog::{CatalogTable, ident},
    travel::{Travel, Wire},
};

/// A table, ready to be written.
pub(super) struct Target {
    /// Its number in the sidecar.
    pub id: i16,
    /// Its name in SQL.
    pub ident: String,
    /// Its shape, as the host knows it.
    pub shape: Arc<TableShape>,
    /// In the order of the shape.
    columns: Vec<TargetColumn>,
    /// The columns that a row's digest is of, and what stands for their names in it; `None` where what is sent for one of
    /// them need not be what is stored.
    pub digested: Option<Vec<(usize, u64)>>,
    /// Unique indexes on exactly the key.
    key_indexes: Vec<String>,
    /// See [`CatalogTable::may_replace`].
    pub may_replace: bool,
    /// The table is not there as planned: nothing may be asked of it.
    pub is_gone: bool,
}

struct TargetColumn {
    ident: String,
    travel: Travel,
    generated: bool,
    identity_always: bool,
}

/// See [`Target::digested`]: all that we write, which is all but what the database computes. An identity that is always
/// generated keeps its value in an update.
fn digested(shape: &TableShape, columns: &[TargetColumn]) -> Option<Vec<(usize, u64)>> {
    let keeps_its_own =
        |(at, column): (usize, &TargetColumn)| column.identity_always && !shape.key.contains(&at);
    if columns.iter().enumerate().any(keeps_its_own) {
        return None;
    }
    let written = columns.iter().enumerate().filter(|(_, column)| !column.generated);
    Some(written.map(|(at, _)| (at, xxh3_64(shape.columns[at].name.as_bytes()))).collect())
}

impl Target {
    /// A table of the plan as the catalog has it now; `Err` names a column that is gone.
    pub(super) fn new(id: i16, shape: Arc<TableShape>, found: &CatalogTable) -> Result<Self, String> {
        let mut columns = Vec::with_capacity(shape.columns.len());
        for column in &shape.columns {
            let stored =
                found.columns.iter().find(|c| c.name == column.name).ok_or_else(|| column.name.clone())?;
            columns.push(TargetColumn {
                ident: ident(&stored.name),
                travel: stored.travel(),
                generated: stored.generated,
                identity_always: stored.identity_always,
            });
        }
        let key: Vec<String> = shape.key.iter().map(|&k| shape.columns[k].name.clone()).collect();
        let on_key = found.indexes.iter().filter(|i| CatalogTable::is_on(i, &key));
        let key_indexes = on_key.map(|i| i.name.clone()).collect();
        let (ident, may_replace) = (found.ident(), found.may_replace);
        let digested = digested(&shape, &columns);
        Ok(Target { id, ident, shape, columns, digested, key_indexes, may_replace, is_gone: false })
    }

    /// A table of the plan that is not there as planned; paused, so that nobody asks anything of it.
    pub(super) fn gone(id: i16, shape: Arc<TableShape>) -> Self {
        let column = |column: &crate::table::ColumnShape| TargetColumn {
            ident: ident(&column.name),
            travel: Travel { logical: column.logical, wire: Wire::Text, cast: None, read: "" },
            generated: column.generated,
            identity_always: false,
        };
        let columns = shape.columns.iter().map(column).collect();
        let ident = ident(&shape.name);
        let (digested, key_indexes) = (None, Vec::new());
        Target { id, ident, shape, columns, digested, key_indexes, may_replace: false, is_gone: true }
    }

    /// How a column's cells travel.
    pub(super) fn wire(&self, column: usize) -> Wire {
        self.columns[column].travel.wire
    }

    /// Whether a violated constraint is the key's own: somebody wrote that key meanwhile.
    pub(super) fn is_key_index(&self, constraint: &str) -> bool {
        self.key_indexes.iter().any(|i| i == constraint)
    }

    /// Locks, in the order of the keys, the rows that are there: xmin, all columns, and the place of the key (from 1)
    /// unless [`Target::finds_by_key`].
    pub(super) fn select(&self) -> String {
        let read = self.columns.iter().fold(String::new(), |mut out, c| {
            let _ = write!(out, ", t.{}{}", c.ident, c.travel.read);
            out
        });
        if let (true, [key]) = (self.finds_by_key(), self.shape.key.as_slice()) {
            // An index scan looks for the keys of an array in the order of the index.
            let (key, array) = (&self.columns[*key].ident, self.wire(*key).array_type());
            let from = &self.ident;
            return format!(
                "SELECT t.xmin{read} FROM {from} t WHERE t.{key} = ANY($1::{array}) FOR UPDATE OF t"
            );
        }
        format!(
            "SELECT t.xmin{read}, u.ord FROM {} JOIN {} t ON {} ORDER BY u.ord FOR UPDATE OF t",
            self.unnest(&self.shape.key, true),
            self.ident,
            self.on_key(&self.shape.key)
        )
    }

    /// Whether a row tells by its own key which of the keys asked for it is of: one column of a type of which equal values
    /// are the same value. It spares the look-up of each key a round through the executor.
    pub(super) fn finds_by_key(&self) -> bool {
        let exact = |&k: &usize| {
            let travel = &self.columns[k].travel;
            matches!(travel.wire, Wire::Int8 | Wire::Uuid) && travel.cast.is_none() && travel.read.is_empty()
        };
        matches!(self.shape.key.as_slice(), [key] if exact(key))
    }

    /// The keys of rows in the order of the key's index, as many as the last parameter says; `behind`: those that follow
    /// a key, which the first parameters are, one row of key columns. Locks nothing.
    pub(super) fn page(&self, behind: bool) -> String {
        let column = |&k: &usize| format!("t.{}", self.columns[k].ident);
        let keys: Vec<String> = self.shape.key.iter().map(column).collect();
        let read = self.shape.key.iter().map(|k| column(k) + self.columns[*k].travel.read);
        let read: Vec<String> = read.collect();
        let (keys, limit) = (keys.join(", "), if behind { self.shape.key.len() + 1 } else { 1 });
        let bounds = self.shape.key.iter().enumerate().map(|(at, &k)| {
            let first = format!("(${}::{})[1]", at + 1, self.wire(k).array_type());
            self.columns[k].travel.cast.as_ref().map_or(first.clone(), |cast| format!("{first}::{cast}"))
        });
        let bounds: Vec<String> = bounds.collect();
        let behind =
            if behind { format!("WHERE ({keys}) > ({}) ", bounds.join(", ")) } else { String::new() };
        let read = read.join(", ");
        format!("SELECT {read} FROM {} t {behind}ORDER BY {keys} LIMIT ${limit}::int8", self.ident)
    }

    /// The places of keys (from 1) whose row is there; locks nothing. Parameters: the key columns.
    pub(super) fn stands(&self) -> String {
        let (from, on) = (self.unnest(&self.shape.key, true), self.on_key(&self.shape.key));
        format!("SELECT u.ord FROM {from} JOIN {} t ON {on}", self.ident)
    }

    /// The key columns of the rows that name one of some parents by `columns`, one more than `most`. Parameters: the parents'
    /// key columns.
    pub(super) fn naming(&self, columns: &[usize], parent: &Target, most: Option<u32>) -> String {
        let key: Vec<String> = self
            .shape
            .key
            .iter()
            .map(|&k| format!("t.{}{}", self.columns[k].ident, self.columns[k].travel.read))
            .collect();
        let on: Vec<String> = columns
            .iter()
            .zip(&parent.shape.key)
            .enumerate()
            .map(|(at, (&c, &k))| format!("t.{} = {}", self.columns[c].ident, parent.value(at, k)))
            .collect();
        let from = parent.unnest(&parent.shape.key, false);
        let limit = most.map_or_else(String::new, |most| format!(" LIMIT {}", u64::from(most) + 1));
        format!("SELECT {} FROM {from} JOIN {} t ON {}{limit}", key.join(", "), self.ident, on.join(" AND "))
    }

    /// Fails where one of the keys is no value of its column's type.
    pub(super) fn cast_keys(&self) -> String {
        let casts: Vec<String> = self
            .shape
            .key
            .iter()
            .enumerate()
            .map(|(at, &k)| format!("count({})", self.value(at, k)))
            .collect();
        format!("SELECT {} FROM {}", casts.join(", "), self.unnest(&self.shape.key, false))
    }

    /// Reads the xmin of rows just written, by place (from 1). Parameters: the key columns.
    pub(super) fn xmins(&self) -> String {
        let (from, on) = (self.unnest(&self.shape.key, true), self.on_key(&self.shape.key));
        format!("SELECT u.ord, t.xmin FROM {from} JOIN {} t ON {on}", self.ident)
    }

    /// Inserts rows whose key was not there, so that one that came meanwhile is an error and not overwritten.
    pub(super) fn insert(&self, columns: &[usize]) -> String {
        format!("{} FROM {}", self.insert_select(columns), self.unnest(columns, false))
    }

    /// Inserts or updates rows of which nothing is known.
    pub(super) fn upsert(&self, columns: &[usize]) -> String {
        let key: Vec<&str> = self.shape.key.iter().map(|&k| self.columns[k].ident.as_str()).collect();
        let mut set: Vec<String> =
            self.settable(columns).map(|(_, c)| format!("{c} = EXCLUDED.{c}")).collect();
        if set.is_empty() {
            set.push(format!("{0} = EXCLUDED.{0}", key[0]));
        }
        format!("{} ON CONFLICT ({}) DO UPDATE SET {}", self.insert(columns), key.join(", "), set.join(", "))
    }

    /// Updates rows that are there. A row of which only the key is named is written all the same, so that it
    /// bears our xmin.
    pub(super) fn update(&self, columns: &[usize]) -> String {
        let mut set: Vec<String> =
            self.settable(columns).map(|(at, c)| format!("{c} = {}", self.value(at, columns[at]))).collect();
        if set.is_empty() {
            let key = &self.columns[self.shape.key[0]].ident;
            set.push(format!("{key} = t.{key}"));
        }
        let (from, on) = (self.unnest(columns, false), self.on_key(columns));
        format!("UPDATE {} t SET {} FROM {from} WHERE {on}", self.ident, set.join(", "))
    }

    /// Deletes rows. Parameters: the key columns.
    pub(super) fn delete(&self) -> String {
        let (from, on) = (self.unnest(&self.shape.key, false), self.on_key(&self.shape.key));
        format!("DELETE FROM {} t USING {from} WHERE {on}", self.ident)
    }

    /// Updates rows that exchange unique values among them: takes all out before it puts any in. Only where
    /// [`Target::may_replace`].
    pub(super) fn replace(&self, columns: &[usize]) -> String {
        let all: Vec<usize> = (0..self.columns.len()).filter(|&c| !self.columns[c].generated).collect();
        let names: Vec<&str> = all.iter().map(|&c| self.columns[c].ident.as_str()).collect();
        let values: Vec<String> = all
            .iter()
            .map(|&c| match columns.iter().position(|&w| w == c) {
                Some(at) => self.value(at, c),
                None => format!("t.{}", self.columns[c].ident),
            })
            .collect();
        let (from, on) = (self.unnest(columns, false), self.on_key(columns));
        // Counting is the way to have every row deleted before the first is put in.
        format!(
            "WITH gone AS (DELETE FROM {0} t USING {from} WHERE {on} RETURNING t.*) \
             INSERT INTO {0} ({1}) OVERRIDING SYSTEM VALUE SELECT {2} FROM gone t JOIN {from} ON {on} \
             WHERE (SELECT count(*) FROM gone) > 0",
            self.ident,
            names.join(", "),
            values.join(", ")
        )
    }

    fn insert_select(&self, columns: &[usize]) -> String {
        let written: Vec<(usize, usize)> =
            columns.iter().copied().enumerate().filter(|(_, c)| !self.columns[*c].generated).collect();
        let names: Vec<&str> = written.iter().map(|(_, c)| self.columns[*c].ident.as_str()).collect();
        let values: Vec<String> = written.iter().map(|(at, c)| self.value(*at, *c)).collect();
        let over = if written.iter().any(|(_, c)| self.columns[*c].identity_always) {
            "OVERRIDING SYSTEM VALUE "
        } else {
            ""
        };
        format!("INSERT INTO {} ({}) {over}SELECT {}", self.ident, names.join(", "), values.join(", "))
    }

    /// Places and names of the columns that an update may set.
    fn settable(&self, columns: &[usize]) -> impl Iterator<Item = (usize, &str)> {
        columns.iter().enumerate().filter_map(|(at, c)| {
            let column = &self.columns[*c];
            let fixed = column.generated || column.identity_always || self.shape.key.contains(c);
            (!fixed).then_some((at, column.ident.as_str()))
        })
    }

    /// One row per element of the parameters $1, $2, .. of these columns: `u(c0, c1, ..)`.
    fn unnest(&self, columns: &[usize], ordered: bool) -> String {
        let arrays: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(at, &c)| format!("${}::{}", at + 1, self.wire(c).array_type()))
            .collect();
        let names: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
        let named: Vec<(&str, &str)> =
            arrays.iter().zip(&names).map(|(array, name)| (array.as_str(), name.as_str())).collect();
        arrays::rows(&named, ordered)
    }

    /// The value of column `c`, which is the parameter at place `at`.
    fn value(&self, at: usize, c: usize) -> String {
        match &self.columns[c].travel.cast {
            Some(cast) => format!("u.c{at}::{cast}"),
            None => format!("u.c{at}"),
        }
    }

    fn on_key(&self, columns: &[usize]) -> String {
        let equal: Vec<String> = self
            .shape
            .key
            .iter()
            .map(|&k| {
                let at = columns
                    .iter()
                    .position(|&c| c == k)
                    .expect("all key columns are among the columns written");
                format!("t.{} = {}", self.columns[k].ident, self.value(at, k))
            })
            .collect();
        equal.join(" AND ")
    }
}
