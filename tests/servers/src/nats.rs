//! A private nats-server with JetStream: a port of its own choosing on this machine's loopback, its store in a
//! given folder, up when it has said so itself.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::process::{Process, Run};
use crate::{place, tools};

/// How long one look at the server may take.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// A running nats-server. Stopped when dropped, and by its watcher when this process ends in another way.
pub struct NatsServer {
    process: Option<Process>,
    program: PathBuf,
    folder: PathBuf,
    extra: String,
    port: u16,
    /// Last, so that the server is gone before its files are.
    temporary: Option<TempDir>,
}

/// What a [`NatsServer`] is started with.
pub struct NatsServerBuilder {
    folder: Option<PathBuf>,
    program: Option<PathBuf>,
    extra: String,
}

impl NatsServerBuilder {
    /// Keeps configuration, store and log in `folder`, which is made if need be and stays. Without this, a
    /// temporary folder is used.
    pub fn folder(mut self, folder: &Path) -> NatsServerBuilder {
        self.folder = Some(folder.to_path_buf());
        self
    }

    /// Runs this binary in place of the one that [`tools::nats_server`] finds.
    pub fn program(mut self, program: &Path) -> NatsServerBuilder {
        self.program = Some(program.to_path_buf());
        self
    }

    /// Appends `text` to the server's configuration, in its own syntax (accounts, mappings, limits).
    pub fn config(mut self, text: &str) -> NatsServerBuilder {
        self.extra.push_str(text);
        self.extra.push('\n');
        self
    }

    /// Starts the server and waits until it takes clients.
    ///
    /// # Errors
    /// When there is no nats-server or it does not come up; with the end of its log.
    pub fn start(self) -> Result<NatsServer> {
        let program = match self.program {
            Some(program) => program,
            None => tools::nats_server()?,
        };
        let temporary = if self.folder.is_none() { Some(place::scratch("nats")?) } else { None };
        let folder = self.folder.or_else(|| temporary.as_ref().map(|made| made.path().to_path_buf()));
        let folder = folder.context("a server without a folder")?;
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let folder = folder.canonicalize().context("finding the server's folder")?;
        let mut server = NatsServer { process: None, program, folder, extra: self.extra, port: 0, temporary };
        server.start_again()?;
        Ok(server)
    }
}

impl NatsServer {
    /// What to start, to be filled.
    pub fn builder() -> NatsServerBuilder {
        NatsServerBuilder { folder: None, program: None, extra: String::new() }
    }

    /// A server whose files lie in `folder` and stay there.
    ///
    /// # Errors
    /// As [`NatsServerBuilder::start`].
    pub fn start(folder: &Path) -> Result<NatsServer> {
        NatsServer::builder().folder(folder).start()
    }

    /// A server whose files go with it.
    ///
    /// # Errors
    /// As [`NatsServerBuilder::start`].
    pub fn temporary() -> Result<NatsServer> {
        NatsServer::builder().start()
    }

    /// Where clients connect: `nats://127.0.0.1:port`. The same after a restart.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its configuration, store (`jetstream`) and log (`nats-server.log`).
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server's process id, `None` while it is stopped.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Ends it as a crash does (SIGKILL). Files and port stay for [`NatsServer::restart`].
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(&mut self) -> Result<()> {
        self.end("KILL")
    }

    /// Ends it in order (SIGTERM). Files and port stay for [`NatsServer::restart`].
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn stop(&mut self) -> Result<()> {
        self.end("TERM")
    }

    /// Stops it in order where it runs, and starts it on the same port and store.
    ///
    /// # Errors
    /// When it does not stop or does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start_again()
    }

    /// Puts another text in place of what [`NatsServerBuilder::config`] appended, and makes the running server read it
    /// (SIGHUP). The server takes it a moment later.
    ///
    /// # Errors
    /// When the file cannot be written or the signal not be sent.
    pub fn reload(&mut self, text: &str) -> Result<()> {
        self.extra = format!("{text}\n");
        let config = self.folder.join("nats-server.conf");
        std::fs::write(&config, self.config_text())
            .with_context(|| format!("writing {}", config.display()))?;
        let id = self.id().context("the server does not run")?;
        crate::process::send("HUP", id)
    }

    fn end(&mut self, signal: &'static str) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.stop(signal).map(drop),
            None => Ok(()),
        }
    }

    fn start_again(&mut self) -> Result<()> {
        let config = self.folder.join("nats-server.conf");
        std::fs::write(&config, self.config_text())
            .with_context(|| format!("writing {}", config.display()))?;
        let ports = self.folder.join("ports");
        std::fs::create_dir_all(&ports).context("making the folder of the ports file")?;
        let run = Run::new(&self.program).arg("-c").arg(&config).arg("--ports_file_dir").arg(&ports);
        let log = self.folder.join("nats-server.log");
        let mut process = Process::start("nats-server", &run, &log, "KILL")?;
        let id = process.id();
        // The ports file bears the server's process number, so a stranger on the port cannot be taken for it.
        self.port = process.wait_until(|| told_port(&ports, id).filter(|port| takes_clients(*port)))?;
        self.process = Some(process);
        Ok(())
    }

    fn config_text(&self) -> String {
        // -1 lets the system choose; a restart keeps what it chose.
        let port = if self.port == 0 { -1 } else { i32::from(self.port) };
        let store = self.folder.join("jetstream");
        format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {:?} }}\n{}",
            store.to_string_lossy(),
            self.extra
        )
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        drop(self.process.take());
        drop(self.temporary.take());
    }
}

/// The port in the ports file that process `id` wrote: `{"nats":["nats://127.0.0.1:4222"], ..}`; with TLS `tls://`.
fn told_port(ports: &Path, id: u32) -> Option<u16> {
    let ending = format!("_{id}.ports");
    let named = std::fs::read_dir(ports).ok()?.flatten();
    let file = named.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with(&ending))?;
    port_in(&std::fs::read_to_string(file).ok()?)
}

fn port_in(told: &str) -> Option<u16> {
    let (_, after) = told.split_once("://127.0.0.1:")?;
    // Without the closing quote the file is still being written.
    after.split_once('"')?.0.parse().ok()
}

/// Whether a client is greeted, by a server whose JetStream is up.
fn takes_clients(port: u16) -> bool {
    greeting(port).is_ok_and(|info| info.contains("\"jetstream\":true"))
}

fn greeting(port: u16) -> Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, LOOK_MAX)?;
    stream.set_read_timeout(Some(LOOK_MAX))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if !line.starts_with("INFO ") {
        bail!("port {port} is not a nats-server's");
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::process::runs;

    /// Sends `words` and returns what comes back up to and with `until`.
    fn talk(server: &NatsServer, words: &str, until: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(format!("CONNECT {{\"verbose\":false}}\r\n{words}").as_bytes()).unwrap();
        let (mut heard, mut piece) = (String::new(), [0; 4096]);
        while !heard.contains(until) {
            let read = stream.read(&mut piece).unwrap();
            assert_ne!(read, 0, "closed after {heard}");
            heard.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        heard
    }

    fn request(server: &NatsServer, subject: &str, body: &str) -> String {
        let words = format!("SUB back 1\r\nPUB {subject} back {}\r\n{body}\r\n", body.len());
        talk(server, &words, "}\r\n")
    }

    #[test]
    fn a_stream_outlives_a_kill_and_a_restart_on_the_same_port() {
        let folder = place::scratch("nats-test").unwrap();
        let mut server = NatsServer::start(folder.path()).unwrap();
        let url = server.url();
        request(&server, "$JS.API.STREAM.CREATE.KEPT", r#"{"name":"KEPT","subjects":["kept.>"]}"#);
        let first = server.id().unwrap();
        server.kill().unwrap();
        assert!(!runs(first));
        assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
        server.restart().unwrap();
        assert_eq!(server.url(), url);
        assert_ne!(server.id().unwrap(), first);
        server.restart().unwrap();
        let told = request(&server, "$JS.API.STREAM.INFO.KEPT", "");
        assert!(told.contains(r#""name":"KEPT""#), "{told}");
    }

    #[test]
    fn dropped_servers_leave_no_process_and_no_files() {
        let one = NatsServer::temporary().unwrap();
        let other = NatsServer::temporary().unwrap();
        assert_ne!(one.port(), other.port());
        let (id, folder) = (one.id().unwrap(), one.folder().to_path_buf());
        assert!(runs(id) && folder.join("nats-server.log").exists());
        drop(one);
        assert!(!runs(id) && !folder.exists());
        assert!(greeting(other.port()).is_ok());
    }

    #[test]
    fn more_configuration_is_obeyed_and_a_bad_one_is_quoted() {
        let server = NatsServer::builder().config("max_payload: 4096").start().unwrap();
        let info = greeting(server.port()).unwrap();
        assert!(info.contains("\"max_payload\":4096"), "{info}");
        let words = NatsServer::builder().config("max_payload: [").start().err().unwrap().to_string();
        assert!(words.contains("nats-server ended") && words.contains("Parse error"), "{words}");
    }

    #[test]
    fn the_ports_file_is_read_only_when_whole() {
        assert_eq!(port_in(r#"{"nats":["nats://127.0.0.1:46421"]}"#), Some(46421));
        assert_eq!(port_in(r#"{"nats":["nats://127.0.0.1:464"#), None);
        assert_eq!(port_in(""), None);
    }
}
