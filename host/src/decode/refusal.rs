//! Why decode refuses a message: fixed words for machines, a sentence for people.
//!
//! A sentence names tables, columns, fields and kinds of JSON, never a value: refusals are stored, listed and
//! logged, and a residency rule has not seen the message yet.

use std::borrow::Cow;

use reconverge_streams::{disposition::Disposition, table::TableId, text::Unreadable};

use crate::batch::Refusal;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// The fixed words of refusals at decode.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All of them.
            pub const ALL: &[Code] = &[$(Code::$name,)*];

            /// The word, as dead letters carry it.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Code::$name => $word,)* }
            }
        }
    };
}

codes! {
    /// The body is no JSON, or no UTF-8.
    NotJson = "not-json",
    /// The body is no MessagePack, or ends early.
    NotMsgpack = "not-msgpack",
    /// JSON, but no envelope: a field is missing or of another kind.
    NotAnEnvelope = "not-an-envelope",
    /// A `Reconverge-Version` or `v` that this program does not know, or none.
    UnknownVersion = "unknown-version",
    /// An `op` that is none of c, u, d, r, t.
    UnknownOp = "unknown-op",
    /// A truncate, which is never applied.
    Truncate = "truncate",
    /// A key column is missing: applying it would touch more rows than one, or none.
    MissingKey = "missing-key",
    /// A key column is null.
    NullKey = "null-key",
    /// `key` and `after` name different rows.
    KeyMismatch = "key-mismatch",
    /// A position that is no pair of unsigned numbers.
    BadPosition = "bad-position",
    /// A `clock` or `hlc` that is none, or a clock of too many regions.
    BadClock = "bad-clock",
    /// A control message of an epoch that does not read.
    BadEpoch = "bad-epoch",
    /// More names of sources and origins than a pipeline can have.
    TooManyNames = "too-many-names",
    /// A schema version that the table does not accept.
    SchemaVersion = "schema-version",
    /// `after` breaks the table's payload schema.
    SchemaViolation = "schema-violation",
    /// A cell of another type than its column.
    WrongType = "wrong-type",
    /// A value beyond what the column holds.
    OutOfRange = "out-of-range",
    /// A text with more characters than the column takes.
    TooLong = "too-long",
    /// A value over `limits.value_bytes`.
    TooLarge = "too-large",
    /// JSON nested too deep.
    TooDeep = "too-deep",
    /// The character NUL in text or JSON, which PostgreSQL cannot store.
    NulInText = "nul-in-text",
    /// A text that is no label of the column's enum.
    BadLabel = "bad-label",
    /// Null in a column that takes none.
    NullInNotNull = "null-in-not-null",
}

/// What is wrong, before it is known where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) what: Cow<'static, str>,
}

impl Fault {
    pub(super) fn new(code: Code, what: impl Into<Cow<'static, str>>) -> Self {
        Fault { code, what: what.into() }
    }

    pub(super) fn wrong_type(expected: &str, found: &str) -> Self {
        Fault::new(Code::WrongType, format!("expected {expected}, found {found}"))
    }

    /// The same fault, in a column.
    pub(super) fn in_column(self, column: &str) -> Self {
        Fault { code: self.code, what: format!("column `{column}`: {}", self.what).into() }
    }

    pub(super) fn refusal(self, table: Option<(TableId, &str)>, key: Option<Vec<u8>>) -> Refusal {
        let reason = match table {
            Some((_, name)) => format!("table `{name}`: {}", self.what),
            None => self.what.into_owned(),
        };
        Refusal { stage: "decode", code: self.code.word(), reason, table: table.map(|(id, _)| id), key }
    }
}

impl From<Unreadable> for Fault {
    fn from(unreadable: Unreadable) -> Self {
        let code = match &unreadable {
            Unreadable::Kind { .. } | Unreadable::Column { .. } => Code::WrongType,
            Unreadable::Range(_) => Code::OutOfRange,
            Unreadable::TooDeep => Code::TooDeep,
        };
        Fault::new(code, unreadable.to_string())
    }
}

/// Why a message brings no change.
#[derive(Debug)]
pub(super) enum Aside {
    /// It is settled without a look at a row.
    Settled(Disposition),
    /// It is a dead letter.
    Refused(Refusal),
}

impl From<Fault> for Aside {
    fn from(fault: Fault) -> Self {
        Aside::Refused(fault.refusal(None, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_distinct_and_lower_case() {
        let mut words: Vec<_> = Code::ALL.iter().map(|c| c.word()).collect();
        assert!(words.iter().all(|w| w.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
    }
}
