//! SQLite as a sink: the embedded default of the demo and of small sites. The end of an event's journey; nothing
//! is decided here.
//!
//! One thread owns the writing connection (WAL, `synchronous = FULL`), a second one reads for people. A batch is
//! one `BEGIN IMMEDIATE` transaction, so that a file has one lane at work at a time, of this process or another.
//!
//! A row is known as our own by a digest of it as SQLite stores it. Nulls do not count, so an added column makes
//! no local write; an added column *with a default* does, since it changes the rows.
//!
//! Foreign keys are not enforced on this connection, as is SQLite's default: a parent that is written anew must
//! not take its children along. `depends_on` is what keeps a child behind its parent.
//!
//! ## Declared types
//!
//! SQLite keeps any word as a column's type, so the word is believed:
//!
//! | declared | logical | stored as |
//! |---|---|---|
//! | `BOOLEAN`, `BOOL` | bool | integer 0 or 1 |
//! | `INTEGER`, `INT`, `BIGINT`, `INT8` | int, 64 bits | integer |
//! | `INT4`, `SERIAL`; `MEDIUMINT`; `SMALLINT`, `INT2`; `TINYINT` | int, of that range | integer |
//! | `REAL`, `DOUBLE PRECISION`, `FLOAT`, `FLOAT4`, `FLOAT8` | float | real; NaN as the text `NaN` (not in a STRICT table), negative zero as zero |
//! | `TEXT`, `CLOB`, `VARCHAR(n)`, `CHAR(n)`, none | text | text |
//! | `BLOB`, `BYTEA`, `VARBINARY` | bytes | blob |
//! | `TEXT_DECIMAL(p,s)`, `TEXT_NUMERIC(p,s)` | decimal | text, all digits kept |
//! | `TIMESTAMPTZ`, `TIMESTAMP`, `DATETIME` | timestamp | text `2026-03-02T06:30:00.123456Z`, `infinity` |
//! | `DATE`, `TIME` | date, time | text |
//! | `UUID` | uuid | text, lower case |
//! | `JSON`, `JSONB` | json | text, keys sorted |
//! | any of these with `[]` | array | text, a JSON array |
//! | all others (`INET`, `INTERVAL`, `XML`, a name of your own) | text | text |
//!
//! A column whose declared type has NUMERIC, INTEGER or REAL affinity turns text that looks like a number into
//! one: the text `1.250` in a `NUMERIC(5,3)` becomes the float 1.25. So `DECIMAL`, `NUMERIC`, `MONEY`, `BIT` and
//! `STRING` are refused by `check`, with the word that keeps the digits: the prefix `TEXT_` gives any type TEXT
//! affinity and leaves its meaning. Of other words with such an affinity (`JSON`, `INET`) only a value that would
//! change is refused, when it comes.
//!
//! Key columns must compare by the BINARY collation. The application must write times, uuids and decimals in
//! the forms above where they are keys; elsewhere every form that reads as such a value is understood, and an
//! integer in a timestamp column is microseconds since 1970.

use std::{path::Path, sync::Arc};

use rusqlite::TransactionBehavior;
use tokio::sync::{Mutex, OnceCell};

use crate::{
    position::Micros,
    sink::{ClaimRequest, Problem, Sink, SinkError, TableName},
    table::TableShape,
};

mod thread;
mod ddl;
mod declared;
mod shapes;
mod cells;
mod lane;
mod checkpoint;
mod claim;
mod standing;
mod pages;
mod versions;
mod kept;
mod ledger;
mod waiting;
mod by_hand;
mod epochs;
mod events;
mod retention;
mod family;
mod rows;
mod row;
mod history;
mod records;
mod parked;
mod roster;
mod switch;
mod holes;
mod errors;

pub use claim::SqliteClaim;

use thread::{Access, Thread};

/// A database file that takes rows.
#[derive(Debug)]
pub struct SqliteSink {
    writer: Arc<Writer>,
    reader: OnceCell<Thread>,
    path: Arc<Path>,
    access: Access,
    clock: Clock,
}

/// The writing thread, and whose turn it is.
#[derive(Debug)]
struct Writer {
    thread: Thread,
    turns: Arc<Mutex<()>>,
}

/// Where the time of leases and records comes from, so that a test can move it.
#[derive(Clone)]
struct Clock(Arc<dyn Fn() -> Micros + Send + Sync>);

impl Clock {
    fn now(&self) -> Micros {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl SqliteSink {
    /// Opens a database file. The tables are the user's; the file must be there.
    ///
    /// # Errors
    /// [`SinkError::Setup`] where there is no such file, it is no database, or it may not be written.
    pub fn open(path: &Path) -> Result<Self, SinkError> {
        Self::open_for(path, Access::Write)
    }

    /// Opens a database file to look at it: nothing can be written through it, and nothing of the file changes.
    ///
    /// # Errors
    /// [`SinkError::Setup`] where there is no such file or it is no database.
    pub fn open_read_only(path: &Path) -> Result<Self, SinkError> {
        Self::open_for(path, Access::Read)
    }

    fn open_for(path: &Path, access: Access) -> Result<Self, SinkError> {
        let thread = Thread::open(path, access, "sqlite-write")?;
        let system = || jiff::Timestamp::now().as_microsecond();
        Ok(SqliteSink {
            writer: Arc::new(Writer { thread, turns: Arc::default() }),
            reader: OnceCell::new(),
            path: path.into(),
            access,
            clock: Clock(Arc::new(system)),
        })
    }

    /// The same sink by another clock, in microseconds since 1970 UTC: leases end and records are dated by it.
    #[must_use]
    pub fn with_clock(mut self, now: impl Fn() -> Micros + Send + Sync + 'static) -> Self {
        self.clock = Clock(Arc::new(now));
        self
    }

    /// The thread that reads, on a connection of its own.
    async fn reader(&self) -> Result<&Thread, SinkError> {
        self.reader.get_or_try_init(async || Thread::open(&self.path, self.access, "sqlite-read")).await
    }

    /// Whether the sidecar tables are there: what [`Sink::prepare`] makes.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn is_prepared(&self) -> Result<bool, SinkError> {
        let found = self.reader().await?.run(|conn| ddl::layout(conn)).await?;
        let found =
            found.map_err(|e| errors::sink_error("the sidecar tables could not be looked for", &e))?;
        Ok(found == ddl::Layout::Known)
    }
}

impl Sink for SqliteSink {
    type Claim = SqliteClaim;

    async fn prepare(&self) -> Result<(), SinkError> {
        let _turn = self.writer.turns.lock().await;
        self.writer.thread.run(ddl::prepare).await?
    }

    async fn check(&self) -> Result<Vec<Problem>, SinkError> {
        let found = self.reader().await?.run(|conn| ddl::problems(conn)).await?;
        found.map_err(|e| errors::sink_error("the sidecar tables could not be checked", &e))
    }

    async fn shapes(&self, tables: &[TableName]) -> Result<Vec<Result<TableShape, Vec<Problem>>>, SinkError> {
        let tables = tables.to_vec();
        let read = self.reader().await?.run(move |conn| {
            let shape = |table| shapes::shape(conn, table);
            tables.iter().map(shape).collect::<rusqlite::Result<Vec<_>>>()
        });
        read.await?.map_err(|e| errors::sink_error("the tables could not be read", &e))
    }

    async fn claim(&self, request: ClaimRequest) -> Result<SqliteClaim, SinkError> {
        let name = request.lane.to_string();
        let now = self.clock.now();
        let asked = request.clone();
        let turn = self.writer.turns.lock().await;
        let job = move |conn: &mut rusqlite::Connection| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let claimed = checkpoint::claim(&tx, &asked, now)?;
            let tables = claim::tables(&tx, &asked.tables)?;
            waiting::pause_unlike(&tx, &tables)?;
            if matches!(claimed, checkpoint::Claimed::Ours(..)) {
                tx.commit()?;
            }
            Ok((claimed, tables))
        };
        let claimed: rusqlite::Result<_> = self.writer.thread.run(job).await?;
        drop(turn);
        let (claimed, tables) =
            claimed.map_err(|e| errors::sink_error("the lane could not be claimed", &e))?;
        let checkpoint = match claimed {
            checkpoint::Claimed::Ours(checkpoint, None) => checkpoint,
            checkpoint::Claimed::Ours(checkpoint, Some(before)) => {
                tracing::warn!(lane = name, epoch = checkpoint.epoch, owner = before, "lane.takeover");
                checkpoint
            }
            checkpoint::Claimed::Held { owner, ends_in_ms } => {
                return Err(SinkError::Held { lane: name, owner, ends_in_ms });
            }
            checkpoint::Claimed::OtherPlan(stored) => {
                return Err(SinkError::OtherPlan { lane: name, stored, asked: request.plan });
            }
        };
        Ok(SqliteClaim {
            writer: Arc::clone(&self.writer),
            lane: Arc::new(lane::Lane {
                name,
                stream: request.stream,
                lease_micros: checkpoint::micros(request.lease),
                tables,
                names: request.names,
                sources: std::sync::Mutex::default(),
                aside: std::sync::Mutex::default(),
            }),
            checkpoint: *checkpoint,
            clock: self.clock.clone(),
            turn: None,
        })
    }
}
