//! One test's own place: a stream on the shared nats-server, an empty database, and a pipeline file between them.

use std::path::Path;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use bytes::Bytes;
use reconverge_capture::{Database, create_stream};
use reconverge_servers::{NatsServer, scratch};
use rusqlite::types::ValueRef;
use tempfile::TempDir;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::{Audit, Change, Checkpoint, Decision, Ended, Found, Letter, Report, Running, servers};

/// How long to wait for something that another process does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How often to look for it.
pub(crate) const LOOK: Duration = Duration::from_millis(4);

/// The kinds of sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file of its own.
    Sqlite,
    /// A database of its own on the shared server.
    Postgres,
}

/// See the module. The public fields may be changed until [`Scene::write`].
#[derive(Debug)]
pub struct Scene {
    /// The pipeline's name.
    pub pipeline: String,
    /// The region of the sink.
    pub region: String,
    /// The source's format.
    pub format: String,
    /// The pattern of the subjects.
    pub subjects: String,
    /// Changes in a batch, at most.
    pub rows: usize,
    /// How many partitions the stream has.
    pub partitions: u32,
    /// The stream's name.
    pub stream: String,
    /// Where clients connect.
    pub nats: String,
    /// The sink.
    pub sink: Database,
    /// A client of the nats-server.
    pub jetstream: Context,
    name: String,
    folder: TempDir,
}

impl Scene {
    /// An empty stream `name` for native changes, and a database in which `ddl` has been run. `name` is a plain
    /// lower-case word that no other test of the binary uses.
    pub async fn new(name: &str, kind: Kind, ddl: &str) -> Scene {
        Scene::on(servers::nats(), name, kind, ddl).await
    }

    /// The same on a server of the test's own.
    pub async fn on(server: &NatsServer, name: &str, kind: Kind, ddl: &str) -> Scene {
        let scene = Scene::without_stream(server, name, kind, ddl).await;
        create_stream(&scene.jetstream, &scene.stream, &[&format!("{name}.>")]).await.unwrap();
        scene
    }

    /// The same for a stream that is there or comes later.
    pub async fn without_stream(server: &NatsServer, name: &str, kind: Kind, ddl: &str) -> Scene {
        let folder = scratch(name).unwrap();
        let sink = match kind {
            Kind::Sqlite => Database::Sqlite(folder.path().join("sink.db")),
            Kind::Postgres => Database::Postgres(servers::postgres().create_database(name).unwrap()),
        };
        sink.execute(ddl).await.unwrap();
        Scene {
            pipeline: name.replace('_', "-"),
            region: "here".to_owned(),
            format: "native".to_owned(),
            subjects: format!("{name}.{{source}}.{{partition}}.>"),
            rows: 1000,
            partitions: 1,
            stream: name.to_uppercase(),
            nats: server.url(),
            sink,
            jetstream: servers::jetstream(server).await,
            name: name.to_owned(),
            folder,
        }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the pipeline file: what the scene says, then `rest` (tables, plugins and what else there is).
    pub fn write(&self, rest: &str) {
        let text = format!(
            "[pipeline]\nname = {:?}\nregion = {:?}\n\n[source]\nurl = {:?}\nstream = {:?}\nsubjects = {:?}\n\
             format = {:?}\npartitions = {}\n\n[sink]\nurl = {:?}\n\n[limits]\nbatch = {{ rows = {}, linger_ms = 20 }}\n\n{rest}",
            self.pipeline,
            self.region,
            self.nats,
            self.stream,
            self.subjects,
            self.format,
            self.partitions,
            self.sink.url(),
            self.rows
        );
        self.write_whole(&text);
    }

    /// Writes the pipeline file as it is given.
    pub fn write_whole(&self, text: &str) {
        std::fs::write(self.folder().join("pipeline.toml"), text).unwrap();
    }

    /// Puts other words in place of some in the pipeline file: ways to the ends that lead through a proxy.
    pub fn replace(&self, words: &str, others: &str) {
        let text = std::fs::read_to_string(self.folder().join("pipeline.toml")).unwrap();
        assert!(text.contains(words), "{words} does not stand in the pipeline file");
        self.write_whole(&text.replace(words, others));
    }

    /// Publishes changes one after another; returns their sequences.
    pub async fn publish<'a>(&self, changes: impl IntoIterator<Item = &'a Change>) -> Vec<u64> {
        let mut open = Vec::new();
        for change in changes {
            let (subject, headers) = (change.subject(&self.name), Change::headers());
            let sent = self.jetstream.publish_with_headers(subject, headers, change.payload()).await;
            open.push(sent.unwrap());
        }
        let mut sequences = Vec::new();
        for sent in open {
            sequences.push(sent.await.unwrap().sequence);
        }
        sequences
    }

    /// Publishes any bytes as if they were a change of `table`; returns the sequence.
    pub async fn publish_bytes(&self, table: &str, headers: HeaderMap, bytes: impl Into<Bytes>) -> u64 {
        let subject = format!("{}.east.0.public.{table}", self.name);
        let sent = self.jetstream.publish_with_headers(subject, headers, bytes.into()).await.unwrap();
        sent.await.unwrap().sequence
    }

    /// Calls the program and waits for its end.
    pub async fn call(&self, words: &[&str]) -> Ended {
        self.start(words).ended().await
    }

    /// Calls the program.
    #[must_use]
    pub fn start(&self, words: &[&str]) -> Running {
        Running::start(self.folder(), words)
    }

    /// Calls the program with variables in its environment.
    #[must_use]
    pub fn start_with(&self, words: &[&str], environment: &[(&str, &str)]) -> Running {
        Running::start_with(self.folder(), words, environment)
    }

    /// Runs the pipeline until it has caught up with the stream.
    pub async fn run(&self) -> Report {
        self.call(&["run", "--until-caught-up", "--json"]).await.done().json()
    }

    /// Runs the pipeline up to a sequence.
    pub async fn run_to(&self, sequence: u64) -> Report {
        self.call(&["run", "--until-sequence", &sequence.to_string(), "--json"]).await.done().json()
    }

    /// Recounts the ledger against the stream, and asserts that it balances.
    pub async fn audit(&self) -> Audit {
        let audit: Audit = self.call(&["audit", "--json"]).await.done().json();
        assert!(audit.balanced, "{audit:?}");
        audit
    }

    /// What `check` finds.
    pub async fn check(&self) -> Found {
        self.call(&["check", "--json"]).await.json()
    }

    /// All dead letters, by sequence.
    pub async fn letters(&self) -> Vec<Letter> {
        let words = ["dlq", "list", "--state", "all", "--limit", "10000", "--json"];
        let mut letters: Vec<Letter> = self.call(&words).await.done().json();
        letters.sort_by_key(|letter| letter.sequence);
        letters
    }

    /// All decisions, the newest first.
    pub async fn decisions(&self) -> Vec<Decision> {
        self.call(&["conflicts", "list", "--limit", "10000", "--json"]).await.done().json()
    }

    /// A sidecar table's name in SQL.
    #[must_use]
    pub fn sidecar(&self, table: &str) -> String {
        match self.sink {
            Database::Sqlite(_) => format!("reconverge_{table}"),
            Database::Postgres(_) => format!("reconverge.{table}"),
        }
    }

    /// The rows of a query, each cell as the database prints it.
    pub async fn texts(&self, query: &str) -> Vec<Vec<Option<String>>> {
        self.try_texts(query).await.unwrap_or_else(|error| panic!("{query}: {error:#}"))
    }

    /// The only column of a query's rows, without nulls.
    pub async fn column(&self, query: &str) -> Vec<String> {
        self.texts(query).await.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
    }

    pub(crate) async fn try_texts(&self, query: &str) -> anyhow::Result<Vec<Vec<Option<String>>>> {
        match &self.sink {
            Database::Sqlite(file) => sqlite_texts(file, query),
            Database::Postgres(url) => postgres_texts(url, query).await,
        }
    }

    /// The lane's checkpoint; `None` where the lane never ran, or the database is busy at this moment.
    pub async fn checkpoint(&self) -> Option<Checkpoint> {
        let query = match self.sink {
            Database::Sqlite(_) => {
                "SELECT sequence, delivered, (SELECT coalesce(sum(value), 0) FROM json_each(counts)), owner \
                 FROM reconverge_checkpoint"
            }
            Database::Postgres(_) => {
                "SELECT sequence, delivered, (SELECT coalesce(sum(c), 0) FROM unnest(counts) c), owner \
                 FROM reconverge.checkpoint"
            }
        };
        let row = self.try_texts(query).await.ok()?.into_iter().next()?;
        let number = |at: usize| row[at].as_ref()?.parse().ok();
        Some(Checkpoint {
            sequence: number(0)?,
            delivered: number(1)?,
            sum: number(2)?,
            owner: row[3].clone().filter(|owner| !owner.is_empty()),
        })
    }

    /// Waits until a table of the sink has so many rows.
    pub async fn until_rows(&self, table: &str, rows: usize) {
        let count = format!("SELECT count(*) FROM {table}");
        let reached = async {
            loop {
                let found =
                    self.try_texts(&count).await.ok().and_then(|rows| rows.into_iter().next()?.pop()?);
                if found.is_some_and(|found| found == rows.to_string()) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("table {table} never had {rows} rows");
        }
    }

    /// Waits until everything up to `sequence` is committed.
    pub async fn until_committed(&self, sequence: u64) {
        let reached = async {
            while self.checkpoint().await.is_none_or(|checkpoint| checkpoint.sequence < sequence) {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("sequence {sequence} was never reached: {:?}", self.checkpoint().await);
        }
    }
}

fn sqlite_texts(file: &Path, query: &str) -> anyhow::Result<Vec<Vec<Option<String>>>> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(PATIENCE)?;
    let mut statement = connection.prepare(query)?;
    let columns = statement.column_count();
    let rows =
        statement.query_map([], |row| (0..columns).map(|at| Ok(printed(row.get_ref(at)?))).collect())?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn printed(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(format!("{number:?}")),
        ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into_owned()),
    }
}

async fn postgres_texts(url: &str, query: &str) -> anyhow::Result<Vec<Vec<Option<String>>>> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // It ends with the client; what goes wrong before, the client's own call tells.
    drop(tokio::spawn(connection));
    let messages = client.simple_query(query).await?;
    let row = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
        }
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}
