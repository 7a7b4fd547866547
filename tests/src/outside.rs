//! What stands around a running pipeline: its port for metrics and health, and others who keep the sink busy.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use reconverge_capture::Database;
use tokio_postgres::{Client, NoTls};

use crate::Scene;

/// How often to look whether somebody waits.
const LOOK: Duration = Duration::from_millis(10);

/// A free port of this machine. Another process could take it before the program does; then that fails loudly.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// What the program answers on its port, head and body.
#[must_use]
pub fn http(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    told
}

/// A session that holds a lock on a table; it lets go when it is dropped.
#[derive(Debug)]
pub struct Blocker {
    _session: Client,
}

/// Looks whether somebody waits for a lock in a database.
#[derive(Debug)]
pub struct Waits {
    client: Client,
}

impl Waits {
    /// Until a session waits for a lock.
    pub async fn until_it_waits(&self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND wait_event_type = 'Lock'";
        while self.client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Locks the table `goods` of a scene's PostgreSQL against writes, as a migration that hangs would.
pub async fn held_up(scene: &Scene) -> (Blocker, Waits) {
    let Database::Postgres(url) = &scene.sink else { panic!("only PostgreSQL has table locks") };
    let session = connect(url).await;
    session.batch_execute("BEGIN; LOCK TABLE goods IN SHARE MODE").await.unwrap();
    (Blocker { _session: session }, Waits { client: connect(url).await })
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    // It ends with the client.
    drop(tokio::spawn(connection));
    client
}
