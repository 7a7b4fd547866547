//! A thread that owns one connection: SQLite blocks, and the lanes' tasks must not. Work is sent as a closure and
//! its result awaited. Never holds a queue of rows: a lane has one piece of work under way at a time.

use std::{path::Path, sync::mpsc, time::Duration};

use rusqlite::{Connection, MAIN_DB, OpenFlags};
use tokio::sync::oneshot;

use super::errors;
use crate::sink::SinkError;

/// How long a statement waits for a lock that another process holds.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Memory for pages of the writing connection. SQLite's own 2 MB are less than the b-trees of some ten thousand rows, and
/// a batch touches pages all over them.
const CACHE_KIB: u32 = 32 * 1024;

/// Pages of the log after which a commit carries them over into the file; SQLite's own 1,000 are about one batch, so that each
/// would pay for a second flush. What is committed is in the log and flushed either way: this trades 16 MB of log for time.
const CHECKPOINT_PAGES: u32 = 4000;

/// Statements kept prepared: those of the sidecar and, per table, some sets of columns.
const STATEMENTS_MAX: usize = 256;

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everything.
    Write,
    /// Look: SQLite itself refuses every write, the journal's mode is left as it is.
    Read,
}

/// The thread, from outside. It ends when this is dropped and the work sent before is done.
#[derive(Debug)]
pub(super) struct Thread {
    work: mpsc::Sender<Work>,
}

impl Thread {
    /// Opens the file, which must be there, and starts the thread. `name` is the thread's.
    pub(super) fn open(path: &Path, access: Access, name: &str) -> Result<Self, SinkError> {
        let mut conn = connect(path, access)?;
        let (work, inbox) = mpsc::channel::<Work>();
        let run = move || {
            while let Ok(work) = inbox.recv() {
                work(&mut conn);
            }
        };
        let started = std::thread::Builder::new().name(name.into()).spawn(run);
        started.map_err(|e| SinkError::Unreachable(format!("no thread for the database: {e}")))?;
        Ok(Thread { work })
    }

    /// Does a piece of work and waits for its result. A caller that stops waiting does not stop the work.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, ThreadEnded> {
        let (answer, result) = oneshot::channel();
        self.post(move |conn| {
            // Nobody may be waiting any more; the work is done all the same.
            let _ = answer.send(work(conn));
        });
        result.await.map_err(|_| ThreadEnded)
    }

    /// Sends a piece of work whose result nobody needs.
    pub(super) fn post(&self, work: impl FnOnce(&mut Connection) + Send + 'static) {
        // A thread that has ended drops the work, and with it the sender of its answer, which `run` notices.
        let _ = self.work.send(Box::new(work));
    }
}

/// The thread is gone: a bug of ours ended it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the database's thread has ended")]
pub(super) struct ThreadEnded;

impl From<ThreadEnded> for SinkError {
    fn from(ended: ThreadEnded) -> Self {
        SinkError::Unreachable(ended.to_string())
    }
}

fn connect(path: &Path, access: Access) -> Result<Connection, SinkError> {
    if !path.exists() {
        return Err(SinkError::Setup {
            what: format!("there is no database at {}", path.display()),
            hint: "make it with its tables first, for instance `sqlite3 FILE < schema.sql`".into(),
        });
    }
    let failed = |e: rusqlite::Error| errors::sink_error(&format!("cannot open {}", path.display()), &e);
    let mode = match access {
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    conn.busy_timeout(BUSY_WAIT).map_err(failed)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    if access == Access::Read {
        return Ok(conn);
    }
    if conn.is_readonly(MAIN_DB).map_err(failed)? {
        return Err(SinkError::Setup {
            what: format!("{} may be read but not written", path.display()),
            hint: "give this process the right to write the file and its folder".into(),
        });
    }
    // Foreign keys as SQLite has them by default, whatever the library was built with: a parent that is put in
    // anew must not take its children along, and `depends_on` keeps children behind their parents.
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF;
         PRAGMA cache_size = -{CACHE_KIB}; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};"
    ))
    .map_err(failed)?;
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_writing_connection_is_durable_and_has_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (id INTEGER)").unwrap();
        let thread = Thread::open(&path, Access::Write, "it").unwrap();
        let told = thread.run(|conn| {
            let pragma =
                |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
            ["synchronous", "cache_size", "wal_autocheckpoint"].map(pragma)
        });
        const FULL: i64 = 2;
        assert_eq!(told.await.unwrap(), [FULL, -32_768, 4000]);
    }
}
