//! Who stands where two changes meet: a table's policy, from its words to a value.

mod words;

use std::fmt;

/// A table's order. One per table, whatever the kind of conflict: rules that differ by kind form cycles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The table has one writer: the incoming change always takes and no versions are kept.
    None,
    /// The incoming change takes only where no row stands.
    KeepCurrent,
    /// The incoming change always takes; versions are kept.
    TakeIncoming,
    /// The later commit time at the source wins. The default.
    LwwCommitTime,
    /// The later hybrid logical clock wins.
    LwwHlc,
    /// The greater value of a column of time wins.
    Lww(String),
    /// The greater value of a column wins.
    Max(String),
    /// The greater row of values wins, the first column first.
    Columns(Vec<String>),
    /// The region that stands earlier in the list wins; one that is not listed loses against all that are.
    OriginPriority(Vec<String>),
    /// The change that has seen the other wins; of two that have not, the greater by this order, or else the one that
    /// has seen more.
    Vector(Option<Box<Policy>>),
    /// Each column by itself: the greatest change to it by this order wins.
    ColumnMerge(Box<Policy>),
    /// These columns are sums of what every change added; of the rest of the row the greatest by this order wins.
    Counter {
        /// The summed columns.
        counters: Vec<String>,
        /// Who stands otherwise.
        by: Box<Policy>,
    },
    /// The merge plugin of this name decides.
    Plugin(String),
}

impl Policy {
    /// Reads a policy's words; else what is wrong with them and what to write.
    pub(super) fn parse(words: &str) -> Result<Self, (String, String)> {
        words::parse(words)
    }

    /// The columns that order the rows, in the order of comparison. A merge plugin's are in its contract.
    pub fn order_columns(&self) -> &[String] {
        match self {
            Self::Lww(column) | Self::Max(column) => std::slice::from_ref(column),
            Self::Columns(columns) => columns,
            Self::Vector(Some(by)) | Self::ColumnMerge(by) | Self::Counter { by, .. } => by.order_columns(),
            Self::None
            | Self::KeepCurrent
            | Self::TakeIncoming
            | Self::LwwCommitTime
            | Self::LwwHlc
            | Self::OriginPriority(_)
            | Self::Vector(None)
            | Self::Plugin(_) => &[],
        }
    }

    /// The columns that are sums.
    pub fn counters(&self) -> &[String] {
        if let Self::Counter { counters, .. } = self { counters } else { &[] }
    }

    /// Whether changes are put in an order: else `deletes` does not apply and regions may end differently.
    pub fn is_ordering(&self) -> bool {
        !matches!(self, Self::None | Self::KeepCurrent | Self::TakeIncoming)
    }

    /// Whether a row that stands may be put together from several changes: that takes whole before images, and
    /// columns that outlive the row.
    pub fn puts_together(&self) -> bool {
        matches!(self, Self::ColumnMerge(_) | Self::Counter { .. })
    }

    /// The logical clock that changes must carry, by the envelope's word; `None` where they need none.
    pub fn needs_clock(&self) -> Option<&'static str> {
        match self {
            Self::LwwHlc => Some("hlc"),
            Self::Vector(_) => Some("clock"),
            Self::ColumnMerge(by) | Self::Counter { by, .. } => by.needs_clock(),
            _ => None,
        }
    }

    /// Whether versions are kept per row; without them local writes are not seen.
    pub fn keeps_versions(&self) -> bool {
        *self != Self::None
    }
}

/// In the words of the file; a plugin as `plugin:name`.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::KeepCurrent => f.write_str("keep-current"),
            Self::TakeIncoming => f.write_str("take-incoming"),
            Self::LwwCommitTime => f.write_str("lww:commit-time"),
            Self::LwwHlc => f.write_str("lww:hlc"),
            Self::Lww(column) => write!(f, "lww:{column}"),
            Self::Max(column) => write!(f, "max:{column}"),
            Self::Columns(columns) => write!(f, "max:{}", columns.join(",")),
            Self::OriginPriority(regions) => write!(f, "origin-priority:{}", regions.join(",")),
            Self::Vector(None) => f.write_str("vector"),
            Self::Vector(Some(by)) => write!(f, "vector by {by}"),
            Self::ColumnMerge(by) => write!(f, "column-merge by {by}"),
            Self::Counter { counters, by } => write!(f, "counter:{} by {by}", counters.join(",")),
            Self::Plugin(name) => write!(f, "plugin:{name}"),
        }
    }
}
