//! The JetStream source: where an event's journey begins. The only place that knows NATS.
//!
//! In the order in which a reader comes to be:
//!
//! 1. `connect` makes the connection, refuses servers before 2.10, and remembers losses and refused permissions.
//! 2. `api` asks JetStream's API and turns each refusal into what a person can act on.
//! 3. `subjects` is the pattern that cuts a stream into partitions; `stream` is what a stream says of itself;
//!    `definition` makes one (`run --ensure`; without it a source only binds to what is there).
//! 4. `consumer` makes the server-side half of a reader, by the stream's retention.
//! 5. `pull` keeps the account of what was asked for, `arrival` reads what comes, `continuity` vouches that
//!    nothing is missing between; all three are pure.
//! 6. `guard` asks the stream from time to time and at every gap, `batch` counts what one call may bring, `reader` is
//!    the loop over them, and `source` is the [`crate::source::Source`].
//! 7. `plugin_store` is beside the journey: where plugins are kept and pointed at.
//!
//! It never redelivers, never acknowledges before the sink has committed, and keeps no progress at the broker:
//! after any doubt the reader ends, and the lane opens a new one at its checkpoint.
//!
//! # Permissions
//! A user that reads stream `S` needs to publish to these subjects (below another prefix where a domain or an API
//! prefix is set) and to subscribe to its inbox prefix:
//!
//! | subject | for |
//! |---|---|
//! | `$JS.API.STREAM.INFO.S` | facts about the stream, holes |
//! | `$JS.API.CONSUMER.CREATE.S.>` | opening |
//! | `$JS.API.CONSUMER.MSG.NEXT.S.*` | reading |
//! | `$JS.API.CONSUMER.DELETE.S.*` | closing (without it consumers go after some minutes) |
//! | `$JS.API.CONSUMER.NAMES.S` | opening, on streams with interest or work-queue retention |
//! | `$JS.ACK.S.>` | releasing, on streams with interest or work-queue retention |
//! | `$JS.API.STREAM.MSG.GET.S` | `audit`, `dlq redrive` |
//! | the stream's own subjects | `dlq redrive` |
//! | `$JS.API.STREAM.NAMES` | only to name the streams that exist where `S` does not |
//! | `$JS.API.STREAM.CREATE.S` | only for `run --ensure` |
//! | `$JS.API.>`, `$KV.reconverge-*.>`, `$O.reconverge-plugins.>` | only for `plugin deploy` and pipelines that follow it |

mod connect;
mod api;
mod subjects;
mod stream;
mod definition;
mod consumer;
mod arrival;
mod pull;
mod continuity;
mod guard;
mod batch;
mod reader;
mod source;
mod plugin_store;

pub use connect::ConnectOptions;
pub use definition::{Discard, Ensured, StreamDefinition};
pub use plugin_store::{ARTIFACTS, DEPLOYMENTS, Entry, PluginStore, REPORTS, Watch};
pub use reader::JetStreamReader;
pub use source::JetStreamSource;
pub use subjects::FilterPattern;
