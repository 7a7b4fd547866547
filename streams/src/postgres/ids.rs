//! The sidecar's small numbers: of sources and origins (`reconverge.source`), and of tables (`reconverge.target`).
//!
//! New ones are given outside of any batch and committed at once, so that a batch that rolls back leaves none
//! that this process believes in.

use std::{collections::HashMap, sync::Arc};

use tokio_postgres::{Client, Error};

use crate::{
    names::{NameId, Names},
    table::TableShape,
};

use super::cells::Unlike;

/// Names of sources and origins by number, and back.
pub(super) struct Ids {
    names: Arc<Names>,
    by_number: HashMap<i16, NameId>,
    by_name: HashMap<NameId, i16>,
}

impl Ids {
    /// Nothing known yet.
    pub(super) fn new(names: Arc<Names>) -> Self {
        Ids { names, by_number: HashMap::new(), by_name: HashMap::new() }
    }

    /// The interner.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// The name behind a stored number.
    pub(super) fn name(&self, number: i16) -> Option<NameId> {
        self.by_number.get(&number).copied()
    }

    /// The name behind a number as a row has it.
    pub(super) fn named(&self, number: i64) -> Result<NameId, Unlike> {
        i16::try_from(number).ok().and_then(|n| self.name(n)).ok_or(Unlike("number of a source"))
    }

    /// The number of a name; all names of a batch are known before it is written.
    pub(super) fn number(&self, name: NameId) -> i16 {
        self.by_name.get(&name).copied().unwrap_or_default()
    }

    /// Reads all that is stored.
    pub(super) async fn load(&mut self, client: &Client) -> Result<(), Error> {
        for row in client.query("SELECT id, name FROM reconverge.source", &[]).await? {
            let (number, name): (i16, String) = (row.get(0), row.get(1));
            // More names than an interner takes are no names of sources; what is not known is not decoded.
            if let Ok(name) = self.names.intern(&name) {
                self.by_number.insert(number, name);
                self.by_name.insert(name, number);
            }
        }
        Ok(())
    }

    /// Gives numbers to names that have none.
    pub(super) async fn learn(
        &mut self,
        client: &Client,
        needed: impl Iterator<Item = NameId>,
    ) -> Result<(), Error> {
        let mut missing: Vec<NameId> = needed.filter(|n| !self.by_name.contains_key(n)).collect();
        missing.sort_unstable();
        missing.dedup();
        for name in &missing {
            // Asked first, because a refused insert still uses up a number, and there are only 32,767.
            let add = "INSERT INTO reconverge.source (name, region, grade) SELECT $1, $1, 'A' \
                       WHERE NOT EXISTS (SELECT FROM reconverge.source WHERE name = $1) ON CONFLICT DO NOTHING";
            client.execute(add, &[&&*self.names.get(*name)]).await?;
        }
        if missing.is_empty() { Ok(()) } else { self.load(client).await }
    }
}

/// The number of a table, given to it now where it has none; keeps how its key bytes are to be read.
pub(super) async fn target(client: &Client, name: &str, shape: &TableShape) -> Result<i16, Error> {
    let columns: Vec<&str> = shape.key.iter().map(|&k| shape.columns[k].name.as_str()).collect();
    let types: Vec<String> = shape.key_logicals().map(|l| l.to_string()).collect();
    let add = "INSERT INTO reconverge.target (name, key_columns, key_types) SELECT $1, $2, $3 \
               WHERE NOT EXISTS (SELECT FROM reconverge.target WHERE name = $1) ON CONFLICT DO NOTHING";
    client.execute(add, &[&name, &columns, &types]).await?;
    let keep = "UPDATE reconverge.target SET key_columns = $2, key_types = $3 \
                WHERE name = $1 AND (key_columns, key_types) IS DISTINCT FROM ($2, $3)";
    client.execute(keep, &[&name, &columns, &types]).await?;
    Ok(client.query_one("SELECT id FROM reconverge.target WHERE name = $1", &[&name]).await?.get(0))
}
