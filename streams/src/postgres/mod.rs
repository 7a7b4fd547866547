//! PostgreSQL as a sink: the user's own typed tables, and beside them the sidecar schema `reconverge`.
//!
//! In the order in which a batch meets them:
//!
//! 1. `connect` opens a session, `ddl` and `partitions` keep the sidecar tables, `catalog` and `shapes` say what
//!    the user's tables are, `types` how each of their types travels.
//! 2. `claim` holds a lane with its connection (`session`), its ownership (`lane`), the small numbers of sources
//!    and tables (`ids`) and the mark on what it writes (`origin`).
//! 3. `begin` opens a batch's transaction, `ahead` with the commit of the one before; `standing`, `seen`, `cells` and `literal` read what stands, `kept` the rows that
//!    wait beside. `family` looks for parents and children; `sweep`, between batches, for rows that wait no longer.
//!    `waiting` keeps changes that wait on time, `by_hand` what an operator asks for of them, `drift` sees that tables are still as planned.
//! 4. `write` sends a batch in one go: `steps` over the user's tables (`target`, `params`), then the `sidecar`
//!    with its `versions`.
//!    What cannot be written so goes row by row (`order`); `fate` says what an error means.
//! 5. `roster` is what processes tell each other, `switch` puts another plan in force. `records` reads for people,
//!    `parked` the rows that wait.
//! 5. `records` reads for people, `parked` the rows that wait; `holes` keeps what a stream lost.
//!
//! One connection a lane, without a pool: a batch is a transaction, and its locks are the session's.

mod travel;
mod fate;
mod connect;
mod ddl;
mod partitions;
mod catalog;
mod shapes;
mod session;
mod params;
mod arrays;
mod literal;
mod cells;
mod ids;
mod lane;
mod origin;
mod target;
mod digest;
mod seen;
mod standing;
mod claim;
mod pages;
mod begin;
mod ahead;
mod generation;
mod kept;
mod ledger;
mod waiting;
mod by_hand;
mod retention;
mod drift;
mod epochs;
mod events;
mod family;
mod sweep;
mod steps;
mod versions;
mod sidecar;
mod write;
mod order;
mod records;
mod parked;
mod roster;
mod switch;
mod holes;

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_postgres::Client;

use crate::{
    sink::{ClaimRequest, Problem, Sink, SinkError, TableName},
    table::TableShape,
};

pub use claim::PostgresClaim;

/// The schema that tables are looked for in where the pipeline names none.
pub const DEFAULT_SCHEMA: &str = "public";

/// A PostgreSQL database (13 or later) that takes rows.
#[derive(Clone)]
pub struct PostgresSink {
    shared: Arc<Shared>,
}

/// What the sink and its claims have in common.
struct Shared {
    server: connect::Server,
    schema: String,
    /// For single reads outside of any batch; made anew where it is gone.
    reads: Mutex<Option<Arc<Client>>>,
}

impl Shared {
    /// The connection for reads. Only statements that stand alone: it is shared.
    async fn reads(&self) -> Result<Arc<Client>, SinkError> {
        let mut reads = self.reads.lock().await;
        if let Some(client) = reads.as_ref().filter(|client| !client.is_closed()) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(self.server.connect().await?);
        *reads = Some(Arc::clone(&client));
        Ok(client)
    }
}

impl PostgresSink {
    /// Connects, with tables looked for in [`DEFAULT_SCHEMA`].
    ///
    /// `url` is a URL or a `key=value` string as libpq takes it. `sslmode=require`, `verify-ca` and `verify-full`
    /// demand TLS and a certificate that the system, or `sslrootcert`, vouches for.
    ///
    /// # Errors
    /// [`SinkError::Setup`] for a URL that is none, a refused login, a server before 13;
    /// [`SinkError::Unreachable`] where no connection comes about.
    pub async fn connect(url: &str) -> Result<Self, SinkError> {
        Self::connect_in(url, DEFAULT_SCHEMA).await
    }

    /// Connects, with tables looked for in `schema`; `other.table` names one elsewhere.
    ///
    /// # Errors
    /// As [`PostgresSink::connect`].
    pub async fn connect_in(url: &str, schema: &str) -> Result<Self, SinkError> {
        Self::connect_to(connect::Server::parse(url)?, schema).await
    }

    /// Connects to look at the database: the server refuses every write of these sessions.
    ///
    /// # Errors
    /// As [`PostgresSink::connect`].
    pub async fn connect_read_only(url: &str, schema: &str) -> Result<Self, SinkError> {
        Self::connect_to(connect::Server::parse(url)?.read_only(), schema).await
    }

    async fn connect_to(server: connect::Server, schema: &str) -> Result<Self, SinkError> {
        let shared = Shared { server, schema: schema.into(), reads: Mutex::new(None) };
        shared.reads().await?;
        Ok(PostgresSink { shared: Arc::new(shared) })
    }

    /// Whether the sidecar tables are there: what [`Sink::prepare`] makes.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn is_prepared(&self) -> Result<bool, SinkError> {
        let client = self.shared.reads().await?;
        ddl::is_there(&client).await.map_err(|e| fate::sink_error(&e, "looking for the sidecar tables"))
    }
}

impl Sink for PostgresSink {
    type Claim = PostgresClaim;

    async fn prepare(&self) -> Result<(), SinkError> {
        let client = self.shared.server.connect().await?;
        ddl::prepare(&client).await
    }

    async fn check(&self) -> Result<Vec<Problem>, SinkError> {
        let client = self.shared.reads().await?;
        ddl::problems(&client).await.map_err(|e| fate::sink_error(&e, "checking the sidecar tables"))
    }

    async fn shapes(&self, tables: &[TableName]) -> Result<Vec<Result<TableShape, Vec<Problem>>>, SinkError> {
        let client = self.shared.reads().await?;
        let mut found = Vec::with_capacity(tables.len());
        for asked in tables {
            let table = catalog::find(&client, &self.shared.schema, &asked.name).await;
            let table = table.map_err(|e| fate::sink_error(&e, "reading the catalog"))?;
            found.push(shapes::shape(asked, table.as_ref(), &self.shared.schema));
        }
        Ok(found)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<PostgresClaim, SinkError> {
        PostgresClaim::take(Arc::clone(&self.shared), request).await
    }
}
