//! The program under test: what a user starts, with nothing of the tester's environment.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use reconverge_servers::target_dir;
use serde::de::DeserializeOwned;
use tokio::process::{Child, Command};

/// How long any call may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// Variables of these kinds would change what the program does.
const OF_THE_USER: [&str; 3] = ["NATS_", "RECONVERGE_", "PG"];

/// What a call came to.
#[derive(Debug)]
pub struct Ended {
    /// `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Ended {
    /// The same, where the call did what was asked.
    pub fn done(self) -> Ended {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Stdout as JSON.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self:?}"))
    }
}

/// A call that runs. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Starts `reconverge` with `words` in `folder`, where its output is kept in files.
    #[must_use]
    pub fn start(folder: &Path, words: &[&str]) -> Running {
        Running::start_with(folder, words, &[])
    }

    /// The same with variables in its environment.
    #[must_use]
    pub fn start_with(folder: &Path, words: &[&str], environment: &[(&str, &str)]) -> Running {
        let (stdout, stderr) = (unused(folder, "stdout"), unused(folder, "stderr"));
        let child = command(folder, words)
            .envs(environment.iter().copied())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Running { child, stdout, stderr }
    }

    /// Sends a signal by its name, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it has not been waited for").to_string();
        let sent = Command::new("/bin/sh").args(["-c", "kill -s \"$1\" \"$2\"", "kill", name, &id]).status();
        assert!(sent.await.unwrap().success(), "signal {name} was not sent");
    }

    /// The memory that it holds (resident, as Linux tells it).
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let id = self.child.id().expect("it has not been waited for");
        let told = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = told.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Whether it runs still.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has written to stderr so far.
    #[must_use]
    pub fn talk(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    /// Waits until its log, which must be JSON, has `times` of an event.
    pub async fn until_told(&mut self, event: &str, times: usize) {
        let begun = Instant::now();
        while self.talk().matches(&format!("\"{event}\"")).count() < times {
            assert!(self.runs(), "it ended:\n{}", self.talk());
            assert!(begun.elapsed() < PATIENCE, "{event} was not told {times} times:\n{}", self.talk());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Ended {
        let Ok(status) = tokio::time::timeout(PATIENCE, self.child.wait()).await else {
            panic!("it did not end:\n{}", self.talk());
        };
        let text = |file: &Path| std::fs::read_to_string(file).unwrap();
        Ended { code: status.unwrap().code(), stdout: text(&self.stdout), stderr: text(&self.stderr) }
    }

    /// Ends it as an operator does; it must end well.
    pub async fn stopped(self) -> Ended {
        self.signal("TERM").await;
        self.ended().await.done()
    }
}

fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(words).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    let of_the_user = |name: &str| OF_THE_USER.iter().any(|lead| name.starts_with(lead));
    for (name, _) in std::env::vars_os().filter(|(name, _)| of_the_user(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    // Plugins are compiled once for all tests, and the tester's own cache stays as it is.
    command.env("XDG_CACHE_HOME", target_dir().join("test-cache"));
    command
}

/// The program beside the folder of this test binary: cargo builds a package's programs before its tests.
#[must_use]
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).expect("a test binary lies in target/<profile>/deps");
    folder.join("reconverge-under-test")
}

fn unused(folder: &Path, name: &str) -> PathBuf {
    let mut names = (0..).map(|number| folder.join(format!("{name}-{number}.txt")));
    names.find(|file| !file.exists()).expect("numbers do not end")
}
