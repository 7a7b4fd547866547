//! Holes: what a stream does not hold any more although a lane had not applied it, or what it holds anew under
//! numbers that were used before. Found by the lane, recorded in the sink before anything is read on, closed by an
//! operator or by a mirror.

use std::fmt;

use serde::Serialize;

use crate::position::Micros;

/// What happened to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoleKind {
    /// It begins behind what was applied: its limits, or a purge, took what was not.
    Trimmed,
    /// It ends before what was applied: its server came back with less.
    RolledBack,
    /// It was deleted and made anew: its numbers begin again.
    Recreated,
}

impl HoleKind {
    /// The word in the sink, in the log and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            HoleKind::Trimmed => "trimmed",
            HoleKind::RolledBack => "rolled-back",
            HoleKind::Recreated => "recreated",
        }
    }

    /// The kind of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<HoleKind> {
        [HoleKind::Trimmed, HoleKind::RolledBack, HoleKind::Recreated].into_iter().find(|k| k.word() == word)
    }
}

impl fmt::Display for HoleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A hole before a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// What happened.
    pub kind: HoleKind,
    /// First sequence of it. Rolled back: the first that the stream may give a second time.
    pub first: u64,
    /// Last sequence of it; `None` where nobody knows (how far a stream went that is not there any more).
    pub last: Option<u64>,
}

/// Where a lane goes on behind a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// In the same stream, behind this sequence. What is before it is as good as applied.
    Behind(u64),
    /// In a stream whose sequences do not mean what they meant: behind `sequence` of the one made at
    /// `stream_created`. Dead letters of the lane keep the old stream's name with the hole's number behind an `@`, so
    /// that a new message never meets an old one's letter.
    Anew {
        /// When the stream that is there now was made, microseconds since 1970.
        stream_created: Micros,
        /// Everything up to here is not there, or not wanted.
        sequence: u64,
    },
}

/// How a hole was passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// As its state says: accepted, or still open where the pipeline goes on over holes.
    AsItIs,
    /// A mirror had it: nothing is missing.
    Filled {
        /// The mirror's name.
        mirror: String,
    },
}

/// A recorded hole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HoleRecord {
    /// Its number.
    pub id: i64,
    /// The lane before which it is.
    pub lane: String,
    /// The stream.
    pub stream: String,
    /// See [`Hole::first`].
    pub first: u64,
    /// See [`Hole::last`].
    pub last: Option<u64>,
    /// `trimmed`, `rolled-back` or `recreated`.
    pub kind: String,
    /// `open`: nobody has looked at it. `accepted`: somebody took the loss. `filled`: a mirror had it.
    pub state: String,
    /// When it was found, RFC 3339.
    pub at: String,
    /// When the lane went on behind it; `None` while it waits before it.
    pub passed_at: Option<String>,
    /// When it was accepted or filled.
    pub closed_at: Option<String>,
    /// Who accepted it, or the mirror that filled it.
    pub by: Option<String>,
    /// Why.
    pub note: Option<String>,
}

impl HoleRecord {
    /// Whether somebody took the loss.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.state == ACCEPTED
    }
}

/// Nobody has looked at it.
pub const OPEN: &str = "open";
/// Somebody took the loss.
pub const ACCEPTED: &str = "accepted";
/// A mirror had it.
pub const FILLED: &str = "filled";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_their_kinds() {
        for kind in [HoleKind::Trimmed, HoleKind::RolledBack, HoleKind::Recreated] {
            assert_eq!(HoleKind::of(kind.word()), Some(kind));
        }
        assert_eq!(HoleKind::of("lost"), None);
    }
}
