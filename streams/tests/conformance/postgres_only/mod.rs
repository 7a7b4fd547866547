//! What only PostgreSQL has: its types, its transaction ids, its sessions that can be killed, its catalog.

mod values;
mod local;
mod rewritten;
mod sessions;
mod writing;
mod setup;
mod secured;
mod foreseen;

use std::{sync::Arc, time::Duration};

use reconverge_streams::sink::{Sink, TableName};

use crate::{
    fixture::{Fixture, Table},
    postgres::Postgres,
    world::World,
};

/// A world whose tables are made by this DDL. Each is named with its key.
async fn world_of(ddl: &str, tables: &[(&'static str, &[&'static str])]) -> World<Postgres> {
    let fixture = Postgres::fresh().await;
    fixture.batch(ddl).await;
    let sink = fixture.open().await;
    sink.prepare().await.expect("the sidecar is made");
    let names: Vec<TableName> = tables
        .iter()
        .map(|(name, key)| TableName { name: (*name).into(), key: key.iter().map(|k| (*k).into()).collect() })
        .collect();
    let shapes = sink.shapes(&names).await.expect("shapes");
    let shapes = shapes.into_iter().map(|s| Arc::new(s.expect("a table that can be used"))).collect();
    let tables = tables
        .iter()
        .map(|(name, key)| Table { name, columns: Vec::new(), key: key.to_vec(), unique: Vec::new() })
        .collect();
    World { fixture, sink, tables, shapes, names: Arc::default() }
}

impl World<Postgres> {
    /// One value that a query of the application gives, as text.
    async fn ask(&self, sql: &str) -> Option<String> {
        self.fixture.app().query_one(sql, &[]).await.expect("the application's query").get(0)
    }

    /// Waits until the application's query says true; the test fails after ten seconds.
    pub(crate) async fn until(&self, sql: &str) {
        for _ in 0..1000 {
            if self.ask(&format!("SELECT ({sql})::text")).await.as_deref() == Some("true") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never true: {sql}");
    }
}
