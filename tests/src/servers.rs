//! The servers that the tests of one binary share. They are stopped by their watchers when the binary ends; what a
//! test needs to itself it starts itself.

use std::sync::OnceLock;

use async_nats::jetstream::Context;
use reconverge_servers::{NatsServer, Postgres};

/// A nats-server.
pub fn nats() -> &'static NatsServer {
    static SERVER: OnceLock<NatsServer> = OnceLock::new();
    SERVER.get_or_init(|| NatsServer::temporary().unwrap())
}

/// A PostgreSQL that keeps commit times.
pub fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::builder().commit_timestamps().start().unwrap())
}

/// A client of a nats-server, on the runtime of the caller.
pub async fn jetstream(server: &NatsServer) -> Context {
    async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap())
}
