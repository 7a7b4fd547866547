//! A run's tables in a PostgreSQL database of their own.

use std::{collections::BTreeMap, sync::Arc};

use reconverge_oracle::{Key, Row};
use reconverge_servers::Postgres;
use reconverge_simulator::{
    place::{Answer, Place, ddl},
    scenario::COLUMNS,
    wire,
};
use reconverge_streams::{postgres::PostgresSink, sink::Sink as _};
use tokio_postgres::{Client, NoTls};

/// See the module.
pub struct InPostgres(String);

/// A server for all runs of a test.
pub fn server() -> Postgres {
    Postgres::temporary().unwrap()
}

impl InPostgres {
    /// An empty database with so many tables.
    pub async fn new(server: &Postgres, name: &str, tables: usize) -> InPostgres {
        let place = InPostgres(server.create_database(name).unwrap());
        let ddl: String = (0..tables).map(ddl).collect();
        place.open().await.batch_execute(&ddl).await.unwrap();
        place
    }

    async fn open(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.0, NoTls).await.unwrap();
        // It ends with the client, whose own calls tell what goes wrong.
        drop(tokio::spawn(connection));
        client
    }
}

impl Place for InPostgres {
    type Sink = PostgresSink;

    fn sink(&self) -> Answer<'_, Arc<PostgresSink>> {
        Box::pin(async {
            let sink = PostgresSink::connect(&self.0).await.unwrap();
            sink.prepare().await.unwrap();
            Arc::new(sink)
        })
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn rows(&self, tables: usize) -> Answer<'_, BTreeMap<Key, Row>> {
        Box::pin(async move {
            let client = self.open().await;
            let mut found = BTreeMap::new();
            for table in 0..tables {
                let query = format!("SELECT {} FROM {}", COLUMNS.join(", "), wire::name(table));
                for row in client.query(&query, &[]).await.unwrap() {
                    let cells: Row = (0..COLUMNS.len()).map(|c| row.get(c)).collect();
                    found.insert((table, cells[0].unwrap()), cells);
                }
            }
            found
        })
    }

    fn write<'a>(&'a self, _: usize, _: &'a Row) -> Answer<'a, ()> {
        unreachable!("the script has no writes of the application")
    }
}
