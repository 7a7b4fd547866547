//! A way between a client and a server that can be cut: every byte goes through until somebody says otherwise, then all
//! connections end at once, as when a cable is pulled.

use std::io::copy;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};

/// The way to one server on this machine. Cut and closed when dropped.
pub struct Proxy {
    port: u16,
    connections: Arc<Connections>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Connections {
    open: Mutex<Vec<TcpStream>>,
    closed: AtomicBool,
}

impl Connections {
    fn cut(&self) -> usize {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has ended by itself cannot be ended again, and need not be.
        open.drain(..).filter(|stream| stream.shutdown(Shutdown::Both).is_ok()).count()
    }

    fn hold(&self, streams: [TcpStream; 2]) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).extend(streams);
    }
}

impl Proxy {
    /// Opens a way to the server at `port` of this machine.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub fn to(port: u16) -> Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
        let own = listener.local_addr().context("asking for the port")?.port();
        let connections = Arc::new(Connections::default());
        let held = Arc::clone(&connections);
        let accepting = std::thread::spawn(move || accept(&listener, port, &held));
        Ok(Proxy { port: own, connections, accepting: Some(accepting) })
    }

    /// Where clients connect in place of the server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends all connections; new ones go through. Returns how many ends were closed.
    pub fn cut(&self) -> usize {
        self.connections.cut()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.connections.closed.store(true, Ordering::Relaxed);
        // The listener sees that it is over when the next client comes.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(accepting) = self.accepting.take() {
            // Nobody is left to tell that the thread panicked.
            let _ = accepting.join();
        }
        self.connections.cut();
    }
}

fn accept(listener: &TcpListener, port: u16, held: &Connections) {
    for client in listener.incoming() {
        if held.closed.load(Ordering::Relaxed) {
            return;
        }
        // A client that is gone, or a server that is down, ends that connection and no other.
        if let Ok(client) = client {
            let _ = join(client, port, held);
        }
    }
}

/// Joins a client and the server, each way in a thread of its own that ends with the connection.
fn join(client: TcpStream, port: u16, held: &Connections) -> std::io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    held.hold([client.try_clone()?, server.try_clone()?]);
    for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        std::thread::spawn(move || pass(from, to));
    }
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    // However one direction ends, the other has nobody to talk to any more.
    let _ = copy(&mut from, &mut to);
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// A server that says everything again.
    fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let mut back = client.try_clone().unwrap();
                std::thread::spawn(move || copy(&mut client, &mut back));
            }
        });
        port
    }

    fn says(client: &mut TcpStream, word: &[u8; 4]) -> bool {
        let mut heard = [0; 4];
        client.write_all(word).is_ok() && client.read_exact(&mut heard).is_ok() && heard == *word
    }

    #[test]
    fn what_is_cut_is_cut_and_the_next_goes_through() {
        let proxy = Proxy::to(echo()).unwrap();
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        let mut first = connect();
        assert!(says(&mut first, b"here"));
        assert!(proxy.cut() > 0);
        assert!(!says(&mut first, b"gone"));
        assert!(says(&mut connect(), b"back"));
    }

    #[test]
    fn a_server_that_is_down_ends_one_connection_and_not_the_proxy() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let proxy = Proxy::to(free).unwrap();
        for _ in 0..3 {
            let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
            assert!(!says(&mut client, b"down"));
        }
    }
}
