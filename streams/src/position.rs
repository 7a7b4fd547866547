//! Where the source says that a change stands. Not the JetStream sequence, which a republished change gets anew.

use crate::names::NameId;

/// A commit time or `now`: microseconds since 1970 UTC.
pub type Micros = i64;

/// The commit time of a snapshot row that repeats nothing seen: older than every change.
pub const BEFORE_ALL: Micros = i64::MIN;

/// A position within one source. The order is that of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Raised by the operator when the source's positions begin anew (restore, failover).
    pub epoch: i32,
    /// Commit position, an unsigned 64-bit number as the source counts.
    pub commit: u64,
    /// Order within the commit.
    pub ordinal: u64,
}

impl Position {
    /// In place of a position where the source gives none: before every position that a source can give.
    pub const UNKNOWN: Position = Position { epoch: -1, commit: 0, ordinal: 0 };
}

/// The newest change of one source that a key has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The source.
    pub source: NameId,
    /// Position of its newest change that had one, else [`Position::UNKNOWN`].
    pub position: Position,
    /// Whether that change was a delete.
    pub deleted: bool,
    /// Commit time of its newest live change, for snapshot rows; [`BEFORE_ALL`] where there was none.
    pub live_at: Micros,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_epoch_commit_ordinal() {
        let p = |epoch, commit, ordinal| Position { epoch, commit, ordinal };
        assert!(p(1, 0, 0) > p(0, u64::MAX, 9));
        assert!(p(0, 5, 1) > p(0, 4, 9));
        assert!(p(0, 5, 2) > p(0, 5, 1));
        assert!(p(0, 0, 0) > Position::UNKNOWN, "a source may begin at nothing");
    }
}
