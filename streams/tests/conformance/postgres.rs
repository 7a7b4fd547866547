//! PostgreSQL in the suite: a database of its own for each test, on one private server for all of them.

use std::sync::{
    Arc, Mutex, Weak,
    atomic::{AtomicU32, Ordering},
};

use reconverge_streams::{logical::Logical, postgres::PostgresSink};
use tokio_postgres::{Client, NoTls};

use crate::fixture::{Fixture, Table, quoted};

/// Alive as long as a test uses it; a static one would outlive the tests.
static SERVER: Mutex<Weak<reconverge_servers::Postgres>> = Mutex::new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

pub struct Postgres {
    /// Kept so that the server stays up.
    _server: Arc<reconverge_servers::Postgres>,
    pub url: String,
    app: Client,
}

fn server() -> Arc<reconverge_servers::Postgres> {
    let mut shared = SERVER.lock().expect("no test panics while it starts the server");
    shared.upgrade().unwrap_or_else(|| {
        let server =
            reconverge_servers::Postgres::builder().commit_timestamps().setting("max_connections=200");
        let server = Arc::new(server.start().expect("a PostgreSQL server"));
        *shared = Arc::downgrade(&server);
        server
    })
}

/// A connection as the application has it.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// The word for a logical type.
fn word(logical: Logical) -> String {
    match logical {
        Logical::Bool => "boolean".into(),
        Logical::Int => "bigint".into(),
        Logical::Float => "double precision".into(),
        Logical::Text => "text".into(),
        Logical::Bytes => "bytea".into(),
        Logical::Decimal => "numeric".into(),
        Logical::Timestamp => "timestamptz".into(),
        Logical::Date => "date".into(),
        Logical::Time => "time".into(),
        Logical::Uuid => "uuid".into(),
        Logical::Json => "jsonb".into(),
        Logical::Array(element) => format!("{}[]", word(element.logical())),
    }
}

impl Postgres {
    pub async fn batch(&self, sql: &str) {
        self.app.batch_execute(sql).await.expect("the application's statement");
    }

    pub fn app(&self) -> &Client {
        &self.app
    }

    /// Runs a statement whose values are texts that the server casts to `types`.
    async fn with_texts(&self, sql: &str, values: &[Option<&str>]) -> u64 {
        let values: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = values.iter().map(|v| v as _).collect();
        self.app.execute(sql, &values).await.expect("the application's statement")
    }
}

fn cast(table: &Table, column: &str, place: usize) -> String {
    let logical = table.columns.iter().find(|c| c.name == column).expect("a column").logical;
    format!("${place}::text::{}", word(logical))
}

impl Fixture for Postgres {
    type Sink = PostgresSink;

    async fn fresh() -> Self {
        let name = format!("suite_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let made = tokio::task::spawn_blocking(move || {
            let server = server();
            let url = server.create_database(&name).expect("a database");
            (server, url)
        });
        let (server, url) = made.await.expect("no panic");
        let app = connect(&url).await;
        Postgres { _server: server, url, app }
    }

    async fn open(&self) -> PostgresSink {
        PostgresSink::connect(&self.url).await.expect("a sink")
    }

    async fn create(&self, table: &Table) {
        self.batch(&table.ddl(word)).await;
    }

    async fn app_write(&self, table: &Table, row: &[(&'static str, Option<&str>)]) {
        let names: Vec<&str> = row.iter().map(|c| c.0).collect();
        let values: Vec<String> = names.iter().enumerate().map(|(i, n)| cast(table, n, i + 1)).collect();
        let set: Vec<String> = names.iter().map(|n| format!("\"{n}\" = EXCLUDED.\"{n}\"")).collect();
        let sql = format!(
            "INSERT INTO \"{}\" ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}",
            table.name,
            quoted(&names),
            values.join(", "),
            quoted(&table.key),
            set.join(", ")
        );
        self.with_texts(&sql, &row.iter().map(|c| c.1).collect::<Vec<_>>()).await;
    }

    async fn app_delete(&self, table: &Table, key: &[&str]) {
        let terms: Vec<String> = table
            .key
            .iter()
            .enumerate()
            .map(|(i, k)| format!("\"{k}\" = {}", cast(table, k, i + 1)))
            .collect();
        let sql = format!("DELETE FROM \"{}\" WHERE {}", table.name, terms.join(" AND "));
        assert_eq!(self.with_texts(&sql, &key.iter().map(|k| Some(*k)).collect::<Vec<_>>()).await, 1);
    }

    async fn rows(&self, table: &Table, columns: &[&'static str]) -> Vec<Vec<Option<String>>> {
        let casts: Vec<String> = columns.iter().map(|c| format!("\"{c}\"::text")).collect();
        let sql = format!("SELECT {} FROM \"{}\"", casts.join(", "), table.name);
        let found = self.app.query(&sql, &[]).await.expect("rows");
        let mut rows: Vec<Vec<Option<String>>> =
            found.iter().map(|r| (0..columns.len()).map(|i| r.get(i)).collect()).collect();
        rows.sort();
        rows
    }

    async fn sidecar_bytes(&self) -> Vec<u8> {
        let tables = "SELECT relname::text FROM pg_class WHERE relnamespace = 'reconverge'::regnamespace \
                      AND relkind IN ('r', 'p')";
        let mut bytes = Vec::new();
        for table in self.app.query(tables, &[]).await.expect("tables") {
            let sql = format!("SELECT t::text FROM reconverge.{} t", table.get::<_, String>(0));
            for row in self.app.query(&sql, &[]).await.expect("rows") {
                bytes.extend_from_slice(row.get::<_, String>(0).as_bytes());
            }
        }
        bytes
    }

    async fn age_events(&self) {
        self.batch("UPDATE reconverge.seen_event SET at = at - interval '25 hours'").await;
    }

    async fn end_leases(&self) {
        self.batch(
            "UPDATE reconverge.checkpoint SET lease_until = clock_timestamp() - interval '1 second'; \
             UPDATE reconverge.member SET until = clock_timestamp() - interval '1 second'",
        )
        .await;
    }

    async fn add_column(&self, table: &Table, name: &str, logical: Logical) {
        self.batch(&format!("ALTER TABLE \"{}\" ADD COLUMN \"{name}\" {}", table.name, word(logical))).await;
    }

    async fn drop_table(&self, table: &Table) {
        self.batch(&format!("DROP TABLE \"{}\"", table.name)).await;
    }
}
