//! A server's process that cannot outlive its owner. Beside it runs a watcher, a shell that reads a pipe which
//! only the owner holds: when the owner ends, in whatever way, the pipe closes and the watcher ends the server.
//! The server itself waits for a word before it becomes the server, and that word is sent when the watcher stands,
//! so there is no moment in which it is unwatched. Both are in process groups of their own: Ctrl-C at a terminal
//! reaches the owner alone, which drains its clients before it stops its servers.
//!
//! (Linux' parent-death signal was the other way: it fires when the *thread* that started the process ends, which
//! in tests is before the process does, and no other system has it.)

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a server may take to come up: a loaded machine with a crash recovery to do.
const START_MAX: Duration = Duration::from_secs(60);
/// How long a server may take to end after it was asked to, before it is killed.
const STOP_MAX: Duration = Duration::from_secs(20);
/// Between two looks at something that another process does.
const POLL: Duration = Duration::from_millis(5);
/// Of a server's log, what an error shows.
const LOG_LINES_SHOWN: usize = 20;

/// A signal, by the name that `kill -s` takes.
pub(crate) type Signal = &'static str;

/// A running server.
pub(crate) struct Process {
    name: &'static str,
    server: Child,
    watcher: Child,
    /// What ends the server without ceremony when it is dropped or its owner dies.
    last: Signal,
    log: PathBuf,
    /// Where this run's part of the log begins, in bytes.
    log_from: u64,
}

impl Process {
    /// Starts `command`, which is run by its full path, with its output appended to `log`.
    ///
    /// # Errors
    /// When a process cannot be started or the log not opened.
    pub(crate) fn start(name: &'static str, command: &Run, log: &Path, last: Signal) -> Result<Process> {
        let output = OpenOptions::new().create(true).append(true).open(log);
        let output = output.with_context(|| format!("opening {}", log.display()))?;
        let log_from = output.metadata().map_or(0, |facts| facts.len());
        let mut server = command.gated();
        server.stdout(output.try_clone().context("sharing the log")?).stderr(output);
        let mut server = server.spawn().with_context(|| format!("starting {name}"))?;
        let watcher = match watch(server.id(), last) {
            Ok(watcher) => watcher,
            Err(error) => {
                // The pipe closes with the child's handle, and a server that was never told to go ends by itself.
                drop(server.stdin.take());
                let _ = server.wait();
                return Err(error);
            }
        };
        let go = server.stdin.take();
        let process = Process { name, server, watcher, last, log: log.to_path_buf(), log_from };
        go.context("the server has no gate")?
            .write_all(b"go\n")
            .with_context(|| format!("letting {name} go"))?;
        Ok(process)
    }

    /// The server's process id.
    pub(crate) fn id(&self) -> u32 {
        self.server.id()
    }

    /// Asks `ready` again and again until it finds what it looks for.
    ///
    /// # Errors
    /// When the server ends first, or when the time is over; with the last lines of the server's log.
    pub(crate) fn wait_until<T>(&mut self, mut ready: impl FnMut() -> Option<T>) -> Result<T> {
        let until = Instant::now() + START_MAX;
        loop {
            if let Some(found) = ready() {
                return Ok(found);
            }
            if let Some(status) = self.server.try_wait().context("looking at the server")? {
                bail!("{} ended with {status} before it was ready{}", self.name, self.log_tail());
            }
            if Instant::now() > until {
                let seconds = START_MAX.as_secs();
                bail!("{} was not ready after {seconds} seconds{}", self.name, self.log_tail());
            }
            pause();
        }
    }

    /// Sends `signal` and waits for the end; a server that does not end in time is killed, which is an error.
    pub(crate) fn stop(&mut self, signal: Signal) -> Result<ExitStatus> {
        if self.server.try_wait()?.is_none() {
            send(signal, self.id())?;
        }
        let status = self.ended_within(STOP_MAX)?;
        if status.is_none() {
            self.server.kill().context("killing a server that would not stop")?;
        }
        let ended = self.server.wait().context("waiting for the server's end")?;
        self.dismiss_watcher();
        match status {
            Some(_) => Ok(ended),
            None => bail!("{} did not stop on SIG{signal} and was killed{}", self.name, self.log_tail()),
        }
    }

    /// The last lines that this run wrote to its log, for an error's end.
    pub(crate) fn log_tail(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.log).and_then(|mut log| {
            log.seek(SeekFrom::Start(self.log_from))?;
            log.read_to_end(&mut text)
        });
        if let Err(error) = read {
            return format!("; its log {} cannot be read: {error}", self.log.display());
        }
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().collect::<Vec<_>>();
        let shown = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n  ");
        format!("; the end of {}:\n  {shown}", self.log.display())
    }

    fn ended_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let until = Instant::now() + limit;
        loop {
            let status = self.server.try_wait().context("looking at the server")?;
            if status.is_some() || Instant::now() > until {
                return Ok(status);
            }
            pause();
        }
    }

    /// Only after the server was waited for: from then on its number may be another's.
    fn dismiss_watcher(&mut self) {
        // Killed before `wait` closes its pipe, so that it never acts. It may have ended by another's hand.
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.server.try_wait(), Ok(None)) {
            // Nobody is left to tell of a failure; the kill below is the last word in any case.
            let _ = send(self.last, self.id());
            if matches!(self.ended_within(STOP_MAX), Ok(None) | Err(_)) {
                let _ = self.server.kill();
            }
            let _ = self.server.wait();
        }
        self.dismiss_watcher();
    }
}

/// A program, its arguments and the account that it runs under.
pub(crate) struct Run {
    words: Vec<OsString>,
    uid_gid: Option<(u32, u32)>,
}

impl Run {
    /// `program` by its full path, as the present user.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Run {
        Run { words: vec![program.as_ref().to_owned()], uid_gid: None }
    }

    /// One more argument.
    pub(crate) fn arg(mut self, word: impl AsRef<OsStr>) -> Run {
        self.words.push(word.as_ref().to_owned());
        self
    }

    /// Drops root's rights for those of this user and group.
    pub(crate) fn under(mut self, uid: u32, gid: u32) -> Run {
        self.uid_gid = Some((uid, gid));
        self
    }

    /// The command that runs at once, to its end.
    pub(crate) fn direct(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        self.settle(&mut command);
        command
    }

    /// The command that waits for a word on its standard input, then becomes the program under the same number.
    /// Without the word, since its owner is gone, it ends.
    fn gated(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "read -r go && exec \"$@\" </dev/null", "gate"]).args(&self.words);
        command.stdin(Stdio::piped());
        self.settle(&mut command);
        command
    }

    fn settle(&self, command: &mut Command) {
        // The servers' messages are read by people and by our own errors; a folder that the user cannot enter is no
        // place to start in.
        command.env("LC_ALL", "C").current_dir("/").process_group(0);
        if let Some((uid, gid)) = self.uid_gid {
            command.uid(uid).gid(gid);
        }
    }
}

fn watch(server: u32, last: Signal) -> Result<Child> {
    let mut watcher = Command::new("/bin/sh");
    watcher.args(["-c", "read -r end; kill -s \"$1\" \"$2\"", "watcher", last, &server.to_string()]);
    watcher.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    watcher.current_dir("/").process_group(0).spawn().context("starting the server's watcher")
}

/// Signals a process by its number, which must be of a child that was not yet waited for.
pub(crate) fn send(signal: Signal, process: u32) -> Result<()> {
    let mut kill = Command::new("/bin/sh");
    kill.args(["-c", "kill -s \"$1\" \"$2\"", "kill", signal, &process.to_string()]);
    let status = kill.stderr(Stdio::null()).status().context("sending a signal")?;
    if !status.success() {
        bail!("SIG{signal} could not be sent to process {process}");
    }
    Ok(())
}

/// Between two looks at what another process does; the callers bound how often.
pub(crate) fn pause() {
    #[allow(clippy::disallowed_methods, reason = "this crate blocks by design and its polls are bounded")]
    std::thread::sleep(POLL);
}

/// Whether a process of this number is there.
pub(crate) fn runs(process: u32) -> bool {
    let mut look = Command::new("/bin/sh");
    look.args(["-c", "kill -s 0 \"$1\"", "look", &process.to_string()]);
    look.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Run {
        Run::new("/bin/sh").arg("-c").arg(script)
    }

    #[test]
    fn a_dropped_process_and_its_watcher_are_gone() {
        let folder = crate::scratch("process").unwrap();
        let run = shell("exec sleep 600");
        let process = Process::start("sleep", &run, &folder.path().join("log"), "KILL").unwrap();
        let (server, watcher) = (process.id(), process.watcher.id());
        assert!(runs(server) && runs(watcher));
        drop(process);
        assert!(!runs(server) && !runs(watcher));
    }

    #[test]
    fn the_watcher_ends_the_server_when_the_owners_pipe_closes() {
        let folder = crate::scratch("process").unwrap();
        let run = shell("exec sleep 600");
        let mut process = Process::start("sleep", &run, &folder.path().join("log"), "KILL").unwrap();
        // What the kernel does to the pipe when the owner dies.
        drop(process.watcher.stdin.take());
        assert!(process.ended_within(STOP_MAX).unwrap().is_some(), "the server outlived its owner");
    }

    #[test]
    fn a_process_that_ends_early_is_quoted() {
        let folder = crate::scratch("process").unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, "of an earlier run\n").unwrap();
        let mut process = Process::start("it", &shell("echo no room; exit 7"), &log, "KILL").unwrap();
        let words = process.wait_until(|| None::<()>).unwrap_err().to_string();
        assert!(words.contains("no room") && words.contains('7'), "{words}");
        assert!(!words.contains("earlier"), "{words}");
    }

    #[test]
    fn a_stop_is_a_signal_and_an_end() {
        let folder = crate::scratch("process").unwrap();
        let run = shell("trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done");
        let log = folder.path().join("log");
        let mut process = Process::start("it", &run, &log, "KILL").unwrap();
        process
            .wait_until(|| std::fs::read_to_string(&log).is_ok_and(|t| t == "up\n").then_some(()))
            .unwrap();
        assert_eq!(process.stop("TERM").unwrap().code(), Some(5));
    }
}
