//! Tables of messages and what they become, real captures, and hostile bytes.

mod capture;
mod debezium;
mod hostile;
mod native;
mod setup;
mod zoo;
