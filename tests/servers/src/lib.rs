//! Private servers for the tests, the demo and the benchmarks, in the order in which one comes up: where its files
//! go, the binary that is found or brought, the process that cannot outlive its owner, the server itself.
//!
//! Blocking and without a runtime, so that any test, async or not, and any command can use it. Never a part of the
//! product: nothing here is in the life of an event, and no server here is reachable from another machine.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let nats = reconverge_servers::NatsServer::temporary()?;
//! let postgres = reconverge_servers::Postgres::temporary()?;
//! let sink = postgres.create_database("us_west")?;
//! println!("{} {sink}", nats.url());
//! # Ok(())
//! # }
//! ```

mod place;
pub mod tools;

mod process;

mod authority;
mod nats;
mod postgres;
mod proxy;

pub use authority::{Authority, Certified};
pub use nats::{NatsServer, NatsServerBuilder};
pub use place::{project_root, scratch, target_dir};
pub use postgres::{Postgres, PostgresBuilder};
pub use proxy::Proxy;
