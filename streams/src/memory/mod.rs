//! Both ends in memory: the models that tests compare the real ones with. They keep the same contracts.

pub mod source;
pub mod database;
pub mod sink;
mod fresh;
mod epochs;
mod events;
mod generation;
mod family;
mod waiting;
mod by_hand;
mod retention;
mod write;
mod records;
mod roster;
mod shapes;
mod holes;
