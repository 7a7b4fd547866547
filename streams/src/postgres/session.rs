//! A lane's connection with its prepared statements, and statements sent one behind the other without waiting.

use std::{collections::HashMap, future::Future, pin::Pin, task::Poll};

use futures_util::{
    FutureExt as _, TryStreamExt as _,
    future::{BoxFuture, MaybeDone, maybe_done},
};
use tokio_postgres::{Client, Error, Row, Statement};

use super::params::Param;

/// A connection. Statements are prepared once, by their text.
pub(super) struct Session {
    pub client: Client,
    prepared: HashMap<String, Statement>,
}

/// A part of what is sent in one go.
pub(super) enum Sent<'a> {
    /// A transaction's word.
    Word(&'static str),
    /// A statement.
    Call(Call<'a>),
}

/// A statement and its parameters.
pub(super) struct Call<'a> {
    pub statement: Statement,
    pub params: Vec<Param<'a>>,
}

impl Session {
    pub(super) fn new(client: Client) -> Self {
        Session { client, prepared: HashMap::new() }
    }

    /// Prepares a statement, or finds it.
    pub(super) async fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(known) = self.prepared.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.prepared.insert(sql.into(), statement.clone());
        Ok(statement)
    }

    /// A statement that was prepared before. Preparing one inside a transaction can make that fail.
    pub(super) fn prepared(&self, sql: &str) -> Option<Statement> {
        self.prepared.get(sql).cloned()
    }

    /// Forgets all statements: a table has changed under them.
    pub(super) fn forget(&mut self) {
        self.prepared.clear();
    }

    /// One statement; its rows.
    pub(super) async fn query(&mut self, sql: &str, params: Vec<Param<'_>>) -> Result<Vec<Row>, Error> {
        let statement = self.prepare(sql).await?;
        rows(&self.client, Call { statement, params }).await
    }

    /// A transaction's word: `BEGIN`, `COMMIT`, `ROLLBACK`, a savepoint.
    pub(super) async fn say(&self, word: &str) -> Result<(), Error> {
        self.client.batch_execute(word).await
    }

    /// Sends `first`, all calls and `last` without waiting between them; the results come in that order. In
    /// PostgreSQL an error makes everything behind it in the transaction fail too, so the first error is the
    /// real one.
    pub(super) async fn pipeline(
        &self,
        first: Option<&'static str>,
        calls: Vec<Call<'_>>,
        last: Option<&'static str>,
    ) -> Vec<Result<Vec<Row>, Error>> {
        let calls = calls.into_iter().map(Sent::Call);
        let all = first.map(Sent::Word).into_iter().chain(calls).chain(last.map(Sent::Word));
        self.send(all).await
    }

    /// Sends all of it without waiting between; the results come in that order. A word has no rows.
    pub(super) async fn send<'a>(
        &'a self,
        all: impl Iterator<Item = Sent<'a>>,
    ) -> Vec<Result<Vec<Row>, Error>> {
        let future = |sent: Sent<'a>| -> BoxFuture<'a, Result<Vec<Row>, Error>> {
            match sent {
                Sent::Word(word) => {
                    self.client.batch_execute(word).map(|done| done.map(|()| Vec::new())).boxed()
                }
                Sent::Call(call) => rows(&self.client, call).boxed(),
            }
        };
        in_order(all.map(future).collect()).await
    }
}

/// One statement to its end; its rows.
pub(super) async fn rows(client: &Client, call: Call<'_>) -> Result<Vec<Row>, Error> {
    client.query_raw(&call.statement, call.params).await?.try_collect().await
}

/// Drives futures together; each is polled first in its place, which is when the driver sends its statement.
async fn in_order<T>(futures: Vec<impl Future<Output = T> + Unpin>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(maybe_done).collect();
    std::future::poll_fn(|cx| {
        let mut waiting = false;
        for future in &mut running {
            if matches!(future, MaybeDone::Future(_)) {
                waiting |= future.poll_unpin(cx).is_pending();
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    running.iter_mut().filter_map(|f| Pin::new(f).take_output()).collect()
}
