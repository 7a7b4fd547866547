//! An owner that is killed takes its servers along. The test runs itself a second time as that owner, since only
//! a real process can be killed with no chance to tidy up.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reconverge_servers::{NatsServer, Postgres, scratch};

/// Set for the second run; names the folder of its servers.
const OWNER_FOLDER: &str = "RECONVERGE_TEST_OWNER_FOLDER";
/// How long the servers may outlive their owner: an immediate shutdown of PostgreSQL on a loaded machine.
const END_MAX: Duration = Duration::from_secs(30);

#[test]
fn a_killed_owner_takes_its_servers_along() {
    if let Some(folder) = std::env::var_os(OWNER_FOLDER) {
        own_until_killed(folder.as_ref()).unwrap();
    }
    let folder = scratch("owner").unwrap();
    let mut owner = Command::new(std::env::current_exe().unwrap());
    owner.args(["a_killed_owner_takes_its_servers_along", "--exact", "--nocapture"]);
    owner.env(OWNER_FOLDER, folder.path()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut owner = owner.spawn().unwrap();
    let mut heard = String::new();
    let mut told = BufReader::new(owner.stderr.take().unwrap());
    let servers = loop {
        let mut line = String::new();
        assert_ne!(told.read_line(&mut line).unwrap(), 0, "the owner ended early:\n{heard}");
        heard.push_str(&line);
        if let Some(numbers) = line.strip_prefix("servers: ") {
            break numbers.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        }
    };
    assert_eq!(servers.len(), 2, "{heard}");
    assert!(servers.iter().all(|server| runs(server)), "a server was never there: {heard}");
    owner.kill().unwrap();
    owner.wait().unwrap();
    let until = Instant::now() + END_MAX;
    while servers.iter().any(|server| runs(server)) {
        assert!(Instant::now() < until, "a server outlived its owner: {servers:?}");
        std::thread::yield_now();
    }
}

/// Starts both servers, tells their process numbers, and waits for a word that never comes.
fn own_until_killed(folder: &Path) -> Result<()> {
    let nats = NatsServer::start(&folder.join("nats"))?;
    let postgres = Postgres::start(&folder.join("postgres"))?;
    let numbers = nats.id().zip(postgres.id()).context("a server is not running")?;
    eprintln!("servers: {} {}", numbers.0, numbers.1);
    std::io::stdin().read_exact(&mut [0])?;
    bail!("the owner was not killed")
}

fn runs(process: &str) -> bool {
    let mut look = Command::new("/bin/sh");
    look.args(["-c", "kill -s 0 \"$1\"", "look", process]).stderr(Stdio::null());
    look.status().is_ok_and(|status| status.success())
}
