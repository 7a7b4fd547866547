//! Where the changes go: a file, or a database of a server, empty and of its own for each run.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::Result;
use reconverge_capture::Database;
use reconverge_servers::{Postgres, scratch};
use tempfile::TempDir;

use crate::{desk, pipeline, plain, workload::End};

/// Databases made so far, for their names.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// A kind of sink.
pub(crate) enum Kind {
    /// A file.
    Sqlite,
    /// A private server with durable commits.
    Postgres(Box<Postgres>),
}

impl Kind {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Kind::Sqlite => "sqlite",
            Kind::Postgres(_) => "postgres",
        }
    }

    /// CPU time of the server's sessions that have ended; counted, it depends less on what the machine does besides than
    /// a rate does. Nothing where there is no server.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        match self {
            Kind::Sqlite => None,
            Kind::Postgres(server) => server.id().map(|id| pipeline::cpu_of_children_of(&id.to_string())),
        }
    }

    /// A workload's tables, empty, in a database of their own.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) async fn fresh(&self, tables: u64) -> Result<Place<'_>> {
        let folder = scratch("bench-sink")?;
        let name = format!("bench_{}", MADE.fetch_add(1, Ordering::Relaxed));
        let database = match self {
            Kind::Sqlite => Database::Sqlite(folder.path().join("sink.db")),
            Kind::Postgres(server) => Database::Postgres(server.create_database(&name)?),
        };
        database.execute(&desk::workload_ddl(tables)).await?;
        if let Kind::Postgres(server) = self {
            server.execute("postgres", "CHECKPOINT")?;
        }
        Ok(Place { kind: self, name, database, folder })
    }
}

/// One run's database. Gone when it is dropped.
pub(crate) struct Place<'a> {
    kind: &'a Kind,
    name: String,
    database: Database,
    folder: TempDir,
}

impl Place<'_> {
    /// What the first table holds.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) async fn end(&self) -> Result<End> {
        match &self.database {
            Database::Sqlite(file) => plain::sqlite_end(file),
            Database::Postgres(url) => plain::postgres_end(url).await,
        }
    }

    /// Has a plain client write the rows, `transaction` of them at a time.
    ///
    /// # Errors
    /// The database refuses something.
    pub(crate) async fn plain(&self, rows: &plain::Rows, transaction: usize) -> Result<Duration> {
        match &self.database {
            Database::Sqlite(file) => plain::sqlite(file, rows, transaction),
            Database::Postgres(url) => plain::postgres(url, rows, transaction).await,
        }
    }

    /// More tables.
    ///
    /// # Errors
    /// The database refuses something.
    pub(crate) async fn execute(&self, sql: &str) -> Result<()> {
        self.database.execute(sql).await
    }

    /// The database.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        self.database.url()
    }

    /// A name that no other has.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// For the pipeline's file.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Kind::Postgres(server) = self.kind {
            let drop = format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name);
            if let Err(error) = server.execute("postgres", &drop) {
                eprintln!("   a database is left until the server is: {error}");
            }
        }
    }
}
