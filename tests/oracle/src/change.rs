//! What arrives, and what a table is: the oracle's own words for both.

/// A row that stands: one cell per column of its table, the key in the first.
pub type Row = Vec<Option<i64>>;

/// Where the source says a change stands: epoch, commit, ordinal.
pub type Position = (i32, u64, u64);

/// A cell as a source sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// A number or null.
    Sent(Option<i64>),
    /// The source's table has the column, and the source did not send it.
    Unavailable,
}

/// How a table decides who stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One writer: the newest change is written, and the gate is the lane's.
    None,
    /// The first row stays.
    KeepCurrent,
    /// The newest delivered change stands.
    TakeIncoming,
    /// The later commit time stands.
    CommitTime,
    /// The greater value of these columns stands, the first column first.
    Greatest(Vec<usize>),
}

/// What a delete does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletes {
    /// It takes part in the table's order with the columns of its before image.
    Ordered,
    /// It beats everything of other sources.
    Win,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Who stands.
    pub rule: Rule,
    /// What a delete does.
    pub deletes: Deletes,
    /// Its parents: the column that names one, and the parent's table.
    pub parents: Vec<(usize, usize)>,
}

/// What a change does to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The row is now so.
    Write,
    /// The row is gone.
    Delete,
    /// A row as a snapshot read it.
    Snapshot,
}

/// One change, or one half of a key change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its table.
    pub table: usize,
    /// Its key.
    pub key: i64,
    /// What it does.
    pub op: Op,
    /// Who sends it, which is also where it began.
    pub source: String,
    /// Where it stands there.
    pub position: Position,
    /// Commit time, microseconds since 1970.
    pub at: i64,
    /// The row after it; empty for a delete.
    pub after: Vec<Cell>,
    /// The row before it, where the source sent one.
    pub before: Option<Row>,
    /// Of the create half of a key change: the key that the row had.
    pub moved_from: Option<i64>,
    /// [`Fate::Filtered`] or [`Fate::Suppressed`] where a stage lets the row go.
    pub let_go: Option<Fate>,
}

/// What a message turns out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A change; both halves of a key change.
    Changes(Vec<Change>),
    /// No row change: control, echo, unlisted.
    Settled(Fate),
    /// From here on in this lane, positions of a source that name no greater epoch are of this one.
    Epoch(String, i32),
    /// It cannot be read; its table and key, where they can be told.
    Refused(Option<(usize, i64)>),
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It stands, in the sink or kept beside it.
    Applied,
    /// It lost.
    KeptCurrent,
    /// The row went.
    Deleted,
    /// Nothing to change.
    NoOp,
    /// Seen before.
    Duplicate,
    /// Older than what was seen of its source.
    Regressed,
    /// A filter let it go.
    Filtered,
    /// A residency rule let it go.
    Suppressed,
    /// It cannot be applied.
    DeadLettered,
    /// A control message.
    Control,
    /// Our own write come back.
    Echo,
    /// Of a table that nobody listed.
    Unlisted,
}
