//! A proxy in front of a server that can swallow the server's answers, and cut its connections: how an answer
//! gets lost after its question took effect.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

pub struct Proxy {
    /// The server's URL by way of the proxy.
    pub url: String,
    swallow: Arc<AtomicBool>,
    cut: Arc<Notify>,
}

impl Proxy {
    /// A proxy before the server of a URL of the form `postgres://user@host:port/database`.
    pub async fn before(url: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address").to_string();
        let server =
            url.split('@').nth(1).and_then(|r| r.split('/').next()).expect("host and port").to_owned();
        let proxy = Proxy { url: url.replace(&server, &own), swallow: Arc::default(), cut: Arc::default() };
        let (swallow, cut) = (Arc::clone(&proxy.swallow), Arc::clone(&proxy.cut));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("the server");
                tokio::spawn(carry(client, server, Arc::clone(&swallow), Arc::clone(&cut)));
            }
        });
        proxy
    }

    /// From now on nothing that the server says arrives; what it is told still does.
    pub fn swallow_answers(&self) {
        self.swallow.store(true, Ordering::SeqCst);
    }

    /// Cuts all connections; later ones are carried as usual.
    pub fn cut(&self) {
        self.swallow.store(false, Ordering::SeqCst);
        self.cut.notify_waiters();
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, swallow: Arc<AtomicBool>, cut: Arc<Notify>) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let asked = tokio::io::copy(&mut from_client, &mut to_server);
    let answered = async {
        let mut bytes = [0; 8192];
        while let Ok(n @ 1..) = from_server.read(&mut bytes).await {
            if !swallow.load(Ordering::SeqCst) && to_client.write_all(&bytes[..n]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        _ = asked => {}
        () = answered => {}
        () = cut.notified() => {}
    }
}
