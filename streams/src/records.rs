//! The sidecar tables as people read them: `status`, `explain`, `conflicts`, `dlq`, `holes`, `audit`. Reads that take
//! no lock, and the writes that an operator makes: closing a dead letter, accepting a hole.

use std::future::Future;

use bytes::Bytes;
use serde::Serialize;

use crate::{by_hand::HandWord, checkpoint::Checkpoint, hole::HoleRecord, sink::SinkError};

/// A conflict as it is listed. Times are RFC 3339 text in UTC; keys are the JSON object of the key columns'
/// canonical text forms.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "each field is the column of reconverge.decision of the same name")]
pub struct DecisionRecord {
    pub id: String,
    pub at: String,
    pub lane: String,
    pub sequence: u64,
    pub table: String,
    pub key: String,
    pub kind: String,
    pub outcome: String,
    pub decided_by: String,
    pub generation: i64,
    pub reason: Option<String>,
    pub source: String,
    pub commit_position: u64,
    pub ordinal: u64,
    pub incoming_at: Option<String>,
    pub current_origin: Option<String>,
    pub current_at: Option<String>,
    pub incoming: Option<serde_json::Value>,
    pub current: Option<serde_json::Value>,
    pub applied: Option<serde_json::Value>,
}

/// A dead letter as it is listed.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "each field is the column of reconverge.dead_letter of the same name")]
pub struct DeadLetterRecord {
    pub id: i64,
    pub lane: String,
    pub stream: String,
    pub sequence: u64,
    pub subject: String,
    pub table: Option<String>,
    pub key: Option<String>,
    pub stage: String,
    pub code: String,
    pub reason: String,
    pub generation: Option<i64>,
    pub headers: Option<serde_json::Value>,
    #[serde(skip)]
    pub bytes: Option<Bytes>,
    /// SHA-256 of the original bytes, in hex.
    pub digest: String,
    pub state: String,
    pub at: String,
    pub closed_at: Option<String>,
    pub closed_by: Option<String>,
    pub note: Option<String>,
}

/// A row that stands and is kept beside until its parents do, or a change that waits on time.
#[derive(Clone, Debug, Serialize)]
pub struct ParkedRecord {
    /// Its table.
    pub table: String,
    /// Its key.
    pub key: String,
    /// `parent`, or `orphaned` where the parent is known not to come by itself; `skew` or `paused` for a change.
    pub why: String,
    /// The table of the parent that is missing.
    pub waits_table: Option<String>,
    /// Its key.
    pub waits_key: Option<String>,
    /// The lane that keeps it.
    pub lane: String,
    /// The lane that counts it as parked: the one that brought the change which stands.
    pub counted_by: String,
    /// The sequence of the change that stands, or of the one that took its parent away.
    pub sequence: u64,
    /// The source of the change that stands.
    pub source: String,
    /// Its position: source epoch.
    pub epoch: i32,
    /// Its position: commit.
    pub commit_position: u64,
    /// Its position: order within the commit.
    pub ordinal: u64,
    /// Since when it is kept.
    pub parked_at: String,
    /// What waits on time: the commit time that has to pass first, where it is that.
    pub until: Option<String>,
    /// What waits on time: how often it was released in vain.
    pub attempts: u32,
    /// `release` or `discard`, where an operator has asked for it and the lane has not done it yet.
    pub asked: Option<String>,
    /// Who asked.
    pub asked_by: Option<String>,
    /// Why; of something asked for that could not be done: why not.
    pub note: Option<String>,
    /// The row; `None` for what waits on time, which is a change and no row yet.
    pub row: Option<serde_json::Value>,
}

/// A table of the sink that a pipeline writes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableRecord {
    /// Its name.
    pub name: String,
    /// Why it is paused; `None` where it is not.
    pub paused: Option<String>,
}

/// What to list of `conflicts`, `dlq` or `parked`: newest first.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Only of this pipeline (the first part of the lane's name).
    pub pipeline: Option<String>,
    /// Only of this table.
    pub table: Option<String>,
    /// Only of this canonical key.
    pub key: Option<Vec<u8>>,
    /// Conflicts: only this kind. Dead letters: only this state. Kept rows: only this reason.
    pub word: Option<String>,
    /// Only this id (of a conflict: a prefix is enough).
    pub id: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// All that is known of one key.
#[derive(Clone, Debug, Serialize)]
pub struct KeyRecord {
    /// The row as a JSON object of canonical text forms; `None` where none stands in the sink.
    pub row: Option<serde_json::Value>,
    /// The version row, if there is one.
    pub version: Option<VersionRecord>,
    /// Whether the row is not as we wrote it: the application wrote it last.
    pub local: bool,
}

/// A version row for people.
#[derive(Clone, Debug, Serialize)]
pub struct VersionRecord {
    /// `row`, `tombstone`, `absence` or `kept`.
    pub standing: String,
    /// Origin of the value that stands.
    pub origin: String,
    /// Its commit time, RFC 3339.
    pub committed_at: String,
    /// The newest position of every source.
    pub seen: Vec<SeenRecord>,
    /// The order columns of a tombstone or an absence.
    pub ordered_by: Option<serde_json::Value>,
}

/// The newest change of one source that a key has seen, for people.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of a position, see crate::position")]
pub struct SeenRecord {
    pub source: String,
    pub epoch: i32,
    pub commit: u64,
    pub ordinal: u64,
    pub deleted: bool,
}

/// A source or origin that the sink knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceRecord {
    /// Its name.
    pub name: String,
    /// Its epoch: raised where its positions began anew.
    pub epoch: i32,
    /// How well its changes can be told apart: `A`, `B` or `C`.
    pub grade: String,
}

/// A suspicion that a source's positions began anew. Positions are `epoch/commit/ordinal`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "each field is the column of reconverge.suspicion of the same name")]
pub struct SuspicionRecord {
    pub source: String,
    pub lane: String,
    pub stream: String,
    pub sequence: u64,
    pub table: String,
    pub key: String,
    pub position: String,
    pub committed_at: String,
    /// The newest position that the key has seen of the source.
    pub newest: String,
    pub noted_at: String,
}

/// What the operator says of a source.
#[derive(Clone, Debug)]
pub struct EpochWord {
    /// The source.
    pub source: String,
    /// The stream that the sequences are of.
    pub stream: String,
    /// Where the epoch begins, or up to where (exclusive) suspicions are dismissed; `None`: an epoch begins at the first
    /// open suspicion, where there is one, else at `otherwise`.
    pub from_sequence: Option<u64>,
    /// One behind the stream's last sequence.
    pub otherwise: u64,
    /// No epoch began: what looks so is older after all.
    pub dismiss: bool,
    /// Who says it.
    pub by: String,
}

/// What the operator's word came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EpochRecord {
    /// The source.
    pub source: String,
    /// The stream.
    pub stream: String,
    /// Its epoch from now on.
    pub epoch: i32,
    /// From this sequence on; of a dismissal: up to before it.
    pub from_sequence: u64,
    /// How many suspicions were closed.
    pub suspicions: u64,
}

/// A generation of plugins.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "each field is the column of reconverge.generation of the same name")]
pub struct GenerationRecord {
    pub id: i64,
    pub lane: String,
    pub from_sequence: u64,
    pub plugins: serde_json::Value,
    pub at: String,
    pub by: String,
}

/// Reads of the sidecar.
pub trait Records: Send + Sync {
    /// All checkpoints, by lane; of one pipeline where it is named.
    fn checkpoints(
        &self,
        pipeline: Option<&str>,
    ) -> impl Future<Output = Result<Vec<Checkpoint>, SinkError>> + Send;

    /// History of conflicts, newest first.
    fn decisions(&self, query: &Query)
    -> impl Future<Output = Result<Vec<DecisionRecord>, SinkError>> + Send;

    /// How many conflicts there are by (table, kind, outcome), of one pipeline where it is named.
    fn conflict_counts(
        &self,
        pipeline: Option<&str>,
    ) -> impl Future<Output = Result<Vec<(String, String, String, u64)>, SinkError>> + Send;

    /// Dead letters, newest first.
    fn dead_letters(
        &self,
        query: &Query,
    ) -> impl Future<Output = Result<Vec<DeadLetterRecord>, SinkError>> + Send;

    /// Rows that are kept until their parents stand, and changes that wait on time, newest first. An id is that of none.
    fn parked(&self, query: &Query) -> impl Future<Output = Result<Vec<ParkedRecord>, SinkError>> + Send;

    /// Asks for all that is kept under a key, with the other halves of its key changes; how many that are. The lane that
    /// keeps it does what is asked.
    fn ask(&self, word: &HandWord) -> impl Future<Output = Result<u64, SinkError>> + Send;

    /// How many are kept by (table, why), of one pipeline where it is named.
    fn parked_counts(
        &self,
        pipeline: Option<&str>,
    ) -> impl Future<Output = Result<Vec<(String, String, u64)>, SinkError>> + Send;

    /// All tables that a pipeline of this sink ever wrote to, by name.
    fn tables(&self) -> impl Future<Output = Result<Vec<TableRecord>, SinkError>> + Send;

    /// Pauses a table for a reason, or lets it run (`None`); false where that changes nothing, or there is no such
    /// table.
    fn set_paused(
        &self,
        table: &str,
        reason: Option<&str>,
    ) -> impl Future<Output = Result<bool, SinkError>> + Send;

    /// Closes an open dead letter as `discarded`; false where it was not open.
    fn discard(
        &self,
        id: i64,
        by: &str,
        note: Option<&str>,
    ) -> impl Future<Output = Result<bool, SinkError>> + Send;

    /// Holes, newest first; of the query only pipeline, id, state (as its word) and limit count.
    fn holes(&self, query: &Query) -> impl Future<Output = Result<Vec<HoleRecord>, SinkError>> + Send;

    /// Accepts an open hole: a lane that waits before it may go on; false where it was not open.
    fn accept_hole(
        &self,
        id: i64,
        by: &str,
        note: Option<&str>,
    ) -> impl Future<Output = Result<bool, SinkError>> + Send;

    /// What stands for a key: its canonical bytes, and its cells (one row).
    fn key(
        &self,
        shape: &crate::table::TableShape,
        key: &[u8],
        cells: &crate::columns::Columns,
    ) -> impl Future<Output = Result<KeyRecord, SinkError>> + Send;

    /// All sources and origins, by name.
    fn sources(&self) -> impl Future<Output = Result<Vec<SourceRecord>, SinkError>> + Send;

    /// Open suspicions that a source's positions began anew, by sequence; of one pipeline where it is named.
    fn suspicions(
        &self,
        pipeline: Option<&str>,
    ) -> impl Future<Output = Result<Vec<SuspicionRecord>, SinkError>> + Send;

    /// The operator's word about a source's open suspicions in a stream, which are closed by it: a new epoch, or none.
    /// `None` where the source is not known.
    fn say_epoch(
        &self,
        word: &EpochWord,
    ) -> impl Future<Output = Result<Option<EpochRecord>, SinkError>> + Send;

    /// The generations of a lane, newest first.
    fn generations(
        &self,
        pipeline: Option<&str>,
    ) -> impl Future<Output = Result<Vec<GenerationRecord>, SinkError>> + Send;
}
