//! Source epochs: which run of a source's positions a change belongs to.
//!
//! A source that was restored, or failed over and lost a part of its log, counts its positions anew. Without an epoch
//! before them its new changes would look older than what was seen. An epoch begins at a sequence of the stream: a
//! control message says so, or the operator does after the changes themselves have raised the suspicion.

use crate::{
    names::NameId,
    position::{Micros, Position},
    table::TableId,
};

/// From a sequence of the stream on, the positions of a source are of this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The source.
    pub source: NameId,
    /// The first sequence.
    pub from_sequence: u64,
    /// The epoch, greater than 0.
    pub epoch: i32,
}

/// A change at a lower position and with a later commit time than what its key has seen of its source: no
/// repetition can be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// The source.
    pub source: NameId,
    /// The table.
    pub table: TableId,
    /// The canonical key.
    pub key: Vec<u8>,
    /// The sequence that the change was delivered with.
    pub sequence: u64,
    /// Its position.
    pub position: Position,
    /// Its commit time.
    pub at: Micros,
    /// The newest position that the key has seen of the source.
    pub newest: Position,
}

/// What a sink knows of the epochs of a lane's stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceEpochs {
    /// Beginnings of epochs that hold for the lane.
    pub starts: Vec<EpochStart>,
    /// The distinct keys of the stream's open suspicions, whichever lane found them.
    pub suspected: Vec<(NameId, TableId, Vec<u8>)>,
    /// By source: up to this sequence the operator has said that what is suspected is older after all.
    pub dismissed: Vec<(NameId, u64)>,
}
