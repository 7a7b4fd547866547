//! Where the demo plays: private servers with their files below `target/demo`, the stream filled with the recording,
//! and two empty databases, one for the rule and one for last-writer-wins. Comes before any run; never touches
//! anything outside its folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use reconverge_capture::split_brain;
use reconverge_servers::{NatsServer, Postgres, project_root};

use super::{Database, SinkKind};

/// Everything that is up.
pub(super) struct Setting {
    /// The database that the user's rule writes.
    pub(super) database: Database,
    /// The one that last-writer-wins writes.
    pub(super) rival: Database,
    /// Everything lies below it.
    pub(super) folder: PathBuf,
    nats: NatsServer,
    /// Held so that it stays up.
    _postgres: Option<Postgres>,
}

impl Setting {
    /// Removes what an earlier run left, and builds it anew.
    pub(super) async fn build(sink: SinkKind, folder: &Path) -> Result<Setting> {
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let nats = NatsServer::start(&folder.join("nats"))?;
        let client = async_nats::connect(nats.url()).await.context("connecting to nats-server")?;
        split_brain::fill_stream(&async_nats::jetstream::new(client)).await?;
        let (database, rival, postgres) = match sink {
            SinkKind::Sqlite => {
                let file = |name: &str| Database::Sqlite(folder.join(name).with_extension("db"));
                (file(RULE), file(RIVAL), None)
            }
            SinkKind::Postgres => {
                // Last-writer-wins by commit time needs the commit times of rows that the application writes.
                let server =
                    Postgres::builder().folder(&folder.join("postgres")).commit_timestamps().start()?;
                let made = |name: &str| server.create_database(name).map(Database::Postgres);
                (made(RULE)?, made(RIVAL)?, Some(server))
            }
        };
        split_brain::create_tables(&database).await?;
        split_brain::create_tables(&rival).await?;
        Ok(Setting { database, rival, folder: folder.to_path_buf(), nats, _postgres: postgres })
    }

    /// Where the stream is.
    pub(super) fn nats_url(&self) -> String {
        self.nats.url()
    }

    /// The kind of sink, as people call it.
    pub(super) fn sink_name(&self) -> &'static str {
        match self.database {
            Database::Sqlite(_) => "SQLite",
            Database::Postgres(_) => "PostgreSQL",
        }
    }

    /// Whether the rows can be looked at when the servers are gone.
    pub(super) fn outlives_servers(&self) -> bool {
        matches!(self.database, Database::Sqlite(_))
    }

    /// The sink's URL as a shell in the project's folder has it.
    pub(super) fn typed_url(&self) -> String {
        match &self.database {
            Database::Sqlite(file) => format!("sqlite://$PWD/{}", typed(file)),
            Database::Postgres(url) => url.clone(),
        }
    }

    /// The command that opens the database.
    pub(super) fn shell(&self) -> String {
        match &self.database {
            Database::Sqlite(file) => format!("sqlite3 {}", typed(file)),
            Database::Postgres(url) => format!("psql {url}"),
        }
    }

    /// What `--keep` says while it waits.
    pub(super) fn open_house(&self) -> String {
        let database = match &self.database {
            Database::Sqlite(file) => typed(file),
            Database::Postgres(url) => url.clone(),
        };
        format!(
            "The servers stay up until Ctrl-C:\n  nats-server  {}\n  database     {database}\n\
             The commands above work in another terminal, in the project's folder.",
            self.nats_url()
        )
    }
}

/// The rule's database.
const RULE: &str = "split_brain";
/// The database for comparison.
const RIVAL: &str = "last_writer_wins";

/// A path as one types it in the project's folder.
pub(super) fn typed(path: &Path) -> String {
    path.strip_prefix(project_root()).unwrap_or(path).display().to_string()
}
