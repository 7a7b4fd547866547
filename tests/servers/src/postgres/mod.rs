//! A private PostgreSQL: a fresh data folder, a free port on this machine's loopback, no password, up when a
//! session can be opened. As root it runs under another user.

mod account;
mod session;
mod template;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::process::{Process, Run, Signal, pause, send};
use crate::tools::{self, PostgresBinaries};
use crate::{place, process};
use account::Account;
use session::Session;

/// What the test servers run with: a crash of a server loses nothing (the system keeps what was written), a crash
/// of the machine may.
const FAST: [&str; 2] = ["fsync=off", "full_page_writes=off"];
/// How often a port that another process took first is replaced by another.
const PORT_TRIES: usize = 5;
/// How often to look whether the processes of a killed server are gone: ten seconds at the poll's pace.
const GONE_LOOKS: usize = 2000;
/// SIGQUIT is PostgreSQL's "immediate" shutdown: no checkpoint, and its child processes end with it.
const IMMEDIATE: Signal = "QUIT";
/// SIGINT is its "fast" shutdown: sessions are ended, then a checkpoint.
const FAST_SHUTDOWN: Signal = "INT";

/// A running PostgreSQL. Ended when dropped, and by its watcher when this process ends in another way.
pub struct Postgres {
    process: Option<Process>,
    binaries: PostgresBinaries,
    account: Option<Account>,
    folder: PathBuf,
    settings: Vec<String>,
    port: u16,
    /// Last, so that the server is gone before its files are.
    temporary: Option<TempDir>,
}

/// What a [`Postgres`] is started with.
pub struct PostgresBuilder {
    folder: Option<PathBuf>,
    binaries: Option<PostgresBinaries>,
    durable: bool,
    settings: Vec<String>,
}

impl PostgresBuilder {
    /// Keeps data (`data`) and log (`postgres.log`) in `folder`, which is made if need be and stays; data that an
    /// earlier server left there is used again. Without this, a temporary folder is used.
    pub fn folder(mut self, folder: &Path) -> PostgresBuilder {
        self.folder = Some(folder.to_path_buf());
        self
    }

    /// Runs these binaries in place of those that [`tools::postgres`] finds.
    pub fn binaries(mut self, binaries: PostgresBinaries) -> PostgresBuilder {
        self.binaries = Some(binaries);
        self
    }

    /// Makes commits as durable as in production (`fsync`, full page writes), for benchmarks. Off otherwise.
    pub fn durable(mut self) -> PostgresBuilder {
        self.durable = true;
        self
    }

    /// Keeps the commit time of every row's last writer (`track_commit_timestamp`).
    pub fn commit_timestamps(self) -> PostgresBuilder {
        self.setting("track_commit_timestamp=on")
    }

    /// One more setting, as `name=value`; the last of a name counts.
    pub fn setting(mut self, setting: &str) -> PostgresBuilder {
        self.settings.push(setting.to_owned());
        self
    }

    /// Starts the server and waits until it takes sessions.
    ///
    /// # Errors
    /// When there is no PostgreSQL or it does not come up; with the end of its log.
    pub fn start(self) -> Result<Postgres> {
        let binaries = match self.binaries {
            Some(binaries) => binaries,
            None => tools::postgres()?,
        };
        let temporary = if self.folder.is_none() { Some(place::scratch("postgres")?) } else { None };
        let folder = self.folder.or_else(|| temporary.as_ref().map(|made| made.path().to_path_buf()));
        let folder = folder.context("a server without a folder")?;
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let folder = folder.canonicalize().context("finding the server's folder")?;
        let account = Account::needed()?;
        if !folder.join("data").exists() {
            template::copy_to(&folder.join("data"), &binaries, account)?;
        }
        let fast = FAST.iter().filter(|_| !self.durable).map(|setting| (*setting).to_owned());
        let settings = fast.chain(self.settings).collect();
        let mut server = Postgres { process: None, binaries, account, folder, settings, port: 0, temporary };
        server.start_on_a_free_port()?;
        Ok(server)
    }
}

impl Postgres {
    /// What to start, to be filled.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder { folder: None, binaries: None, durable: false, settings: Vec::new() }
    }

    /// A server whose files lie in `folder` and stay there.
    ///
    /// # Errors
    /// As [`PostgresBuilder::start`].
    pub fn start(folder: &Path) -> Result<Postgres> {
        Postgres::builder().folder(folder).start()
    }

    /// A server whose files go with it.
    ///
    /// # Errors
    /// As [`PostgresBuilder::start`].
    pub fn temporary() -> Result<Postgres> {
        Postgres::builder().start()
    }

    /// Where clients connect for `database`, as superuser and without a password. The same after a restart.
    /// The database `postgres` is there from the start.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database of this name and returns its URL.
    ///
    /// # Errors
    /// When the name is no plain word (letters, digits, underscores), is taken, or the server does not answer.
    pub fn create_database(&self, name: &str) -> Result<String> {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            bail!("{name:?} is no name for a database\nhint: letters, digits and underscores");
        }
        self.execute("postgres", &format!("CREATE DATABASE \"{name}\" TEMPLATE template1"))?;
        Ok(self.url(name))
    }

    /// Runs one statement in `database` as superuser, for fixtures that hold no driver; rows are thrown away.
    ///
    /// # Errors
    /// When the server refuses it (message and SQLSTATE) or does not answer.
    pub fn execute(&self, database: &str, statement: &str) -> Result<()> {
        Session::open(self.port, database)?.run(statement)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The version of its binaries.
    pub fn version(&self) -> tools::Version {
        self.binaries.version
    }

    /// The folder of its data and log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process id of its first process, `None` while it is stopped.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Ends all its processes as a crash does (SIGKILL); no session goes on after this returns. Data and port stay
    /// for [`Postgres::restart`].
    ///
    /// # Errors
    /// When a process cannot be killed.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        // Its sessions are processes of their own, in process groups of their own. Stopped first, it starts no more
        // of them while they are counted.
        send("STOP", process.id())?;
        let sessions = children(process.id())?;
        process.stop("KILL")?;
        for session in &sessions {
            // One that ended by itself since is as good.
            let _ = send("KILL", *session);
        }
        wait_gone(&sessions)
    }

    /// Sends a signal to all its processes, such as `STOP` and `CONT`.
    ///
    /// # Errors
    /// When it does not run, or the signal cannot be sent.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.id().context("the server does not run")?;
        send(signal, id)?;
        for session in children(id)? {
            // One that ended by itself since is as good.
            let _ = send(signal, session);
        }
        Ok(())
    }

    /// Ends it in order: sessions are cut, a checkpoint is written. Data and port stay for [`Postgres::restart`].
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.stop(FAST_SHUTDOWN).map(drop),
            None => Ok(()),
        }
    }

    /// Ends it at once where it runs (PostgreSQL's "immediate" shutdown) and starts it on the same port and data.
    ///
    /// # Errors
    /// When it does not come up again.
    pub fn restart(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.stop(IMMEDIATE)?;
        }
        self.start_on(self.port)
    }

    fn start_on_a_free_port(&mut self) -> Result<()> {
        let mut tries = 0;
        loop {
            // PostgreSQL has no way to let the system choose, so another process may come between.
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
            let port = free.local_addr()?.port();
            drop(free);
            tries += 1;
            match self.start_on(port) {
                Err(error)
                    if tries < PORT_TRIES && format!("{error:#}").contains("Address already in use") => {}
                outcome => return outcome,
            }
        }
    }

    fn start_on(&mut self, port: u16) -> Result<()> {
        let data = self.folder.join("data");
        let log = self.folder.join("postgres.log");
        let mut process = Process::start("PostgreSQL", &self.command(&data, port), &log, IMMEDIATE)?;
        let id = process.id();
        // The pid file bears the server's process number, so a stranger on the port cannot be taken for it.
        process.wait_until(|| says_ready(&data, id).then_some(()))?;
        process.wait_until(|| Session::open(port, "postgres").ok().map(drop))?;
        self.port = port;
        self.process = Some(process);
        Ok(())
    }

    fn command(&self, data: &Path, port: u16) -> Run {
        let program = self.binaries.program("postgres");
        let run = self.account.map_or_else(|| Run::new(&program), |account| account.run(&program));
        let mut run = run.arg("-D").arg(data).arg("-p").arg(port.to_string());
        // Only TCP: a socket's path may not exceed 107 bytes, which a project's folder easily does.
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "logging_collector=off"] {
            run = run.arg("-c").arg(setting);
        }
        for setting in &self.settings {
            run = run.arg("-c").arg(setting);
        }
        run
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.process.take());
        drop(self.temporary.take());
    }
}

/// Whether `postmaster.pid` was written by process `id` and says `ready`: line 1 is the number, line 8 the state.
fn says_ready(data: &Path, id: u32) -> bool {
    let Ok(told) = std::fs::read_to_string(data.join("postmaster.pid")) else { return false };
    let mut lines = told.lines().map(str::trim);
    lines.next() == Some(id.to_string().as_str()) && lines.nth(6) == Some("ready")
}

/// The child processes of `parent`: as Linux tells them, else by `ps`.
fn children(parent: u32) -> Result<Vec<u32>> {
    if let Ok(told) = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")) {
        return Ok(told.split_whitespace().filter_map(|number| number.parse().ok()).collect());
    }
    let output = std::process::Command::new("ps").args(["-A", "-o", "ppid=,pid="]).output();
    let output = output.context("listing processes\nhint: install ps (Debian: apt-get install procps)")?;
    let table = String::from_utf8_lossy(&output.stdout);
    Ok(table.lines().filter_map(|row| child_in(row, parent)).collect())
}

fn child_in(row: &str, parent: u32) -> Option<u32> {
    let mut numbers = row.split_whitespace().map(str::parse);
    let (ppid, pid): (u32, u32) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (ppid == parent).then_some(pid)
}

fn wait_gone(processes: &[u32]) -> Result<()> {
    for _ in 0..GONE_LOOKS {
        if !processes.iter().any(|id| process::runs(*id)) {
            return Ok(());
        }
        pause();
    }
    bail!("processes of a killed PostgreSQL are still there: {processes:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::runs;

    #[test]
    fn databases_survive_a_restart_and_a_kill() {
        let mut server = Postgres::temporary().unwrap();
        let url = server.create_database("us_west").unwrap();
        assert_eq!(url, server.url("us_west"));
        server.execute("us_west", "CREATE TABLE kept (id int PRIMARY KEY)").unwrap();
        let first = server.id().unwrap();
        server.restart().unwrap();
        assert_eq!(server.url("us_west"), url);
        server.execute("us_west", "INSERT INTO kept VALUES (1)").unwrap();
        let sessions = children(server.id().unwrap()).unwrap();
        assert!(!sessions.is_empty(), "no child process of a running server was found");
        server.kill().unwrap();
        assert!(!runs(first) && !sessions.iter().any(|id| runs(*id)));
        assert!(server.execute("us_west", "SELECT 1").is_err());
        server.restart().unwrap();
        let words = format!("{:#}", server.execute("us_west", "INSERT INTO kept VALUES (1)").unwrap_err());
        assert!(words.contains("SQLSTATE 23505"), "the row was lost: {words}");
        server.stop().unwrap();
        server.restart().unwrap();
        server.execute("us_west", "INSERT INTO kept VALUES (2)").unwrap();
    }

    #[test]
    fn a_dropped_server_leaves_no_process_and_no_files() {
        let server = Postgres::builder().commit_timestamps().durable().start().unwrap();
        let division = "SELECT 1 / (current_setting('track_commit_timestamp') = 'on')::int";
        server.execute("postgres", division).unwrap();
        server.execute("postgres", "SELECT 1 / (current_setting('fsync') = 'on')::int").unwrap();
        let (id, folder) = (server.id().unwrap(), server.folder().to_path_buf());
        let all = children(id).unwrap();
        assert!(runs(id) && !all.is_empty());
        drop(server);
        assert!(!runs(id) && !all.iter().any(|id| runs(*id)) && !folder.exists());
    }

    #[test]
    fn a_row_of_ps_is_read() {
        assert_eq!(child_in("  812   4711", 812), Some(4711));
        assert_eq!(child_in("  812   4711", 81), None);
        assert_eq!(child_in("", 812), None);
    }

    #[test]
    fn text_is_utf8_and_sorts_by_bytes() {
        let server = Postgres::temporary().unwrap();
        server.execute("postgres", "SELECT 1 / (getdatabaseencoding() = 'UTF8')::int").unwrap();
        server.execute("postgres", "SELECT 1 / ('Z' < 'a' AND upper('é') = 'É')::int").unwrap();
    }

    #[test]
    fn a_server_that_cannot_start_shows_its_log() {
        let words = Postgres::builder().setting("shared_buffers=nonsense").start().err().unwrap().to_string();
        assert!(words.contains("shared_buffers") && words.contains("postgres.log"), "{words}");
    }

    #[test]
    fn names_that_would_need_quoting_are_refused() {
        let server = Postgres::temporary().unwrap();
        assert!(server.create_database("a\"b").is_err() && server.create_database("").is_err());
        server.create_database("twice").unwrap();
        let words = format!("{:#}", server.create_database("twice").unwrap_err());
        assert!(words.contains("42P04"), "{words}");
    }
}
