//! Parents and children: what a batch asks about rows besides its own keys, once it is decided who stands.
//!
//! Who stands is decided without regard to parents; a row that stands is in the sink only while every parent that
//! it names is. Until then it is kept in `parked` as what stands. Asked between `begin` and `commit`, under
//! the same locks.

use crate::{columns::Columns, keys::KeyList, standing::StandingTable, table::TableId};

/// Keys of one table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keys {
    /// Canonical key bytes, distinct, ascending.
    pub keys: KeyList,
    /// The same keys as cells: one column per key column, in key order.
    pub cells: Columns,
}

/// What is asked. Every parent that is named is locked first (an advisory lock in key order, where the sink has several
/// writers), so that neither a child that is kept back nor a parent that comes can miss the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FamilyWanted {
    /// Whether these parents stand in the sink.
    pub parents: Vec<(TableId, Keys)>,
    /// The kept rows that wait for these parents.
    pub waiting: Vec<(TableId, Keys)>,
    /// The rows in the sink that name one of these parents.
    pub children: Vec<ChildrenWanted>,
    /// How many of them each [`ChildrenWanted`] is to find at most: a sink reads one more, which says that there are, and
    /// no further. `None`: all.
    pub children_max: Option<u32>,
}

impl FamilyWanted {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parents.is_empty() && self.waiting.is_empty() && self.children.is_empty()
    }
}

/// See [`FamilyWanted::children`].
#[derive(Clone, Debug, PartialEq)]
pub struct ChildrenWanted {
    /// The child's table.
    pub child: TableId,
    /// Its columns that name the parent, in the order of the parent's key.
    pub columns: Vec<usize>,
    /// The parent's table.
    pub parent: TableId,
    /// The parents.
    pub parents: Keys,
}

/// Canonical keys by table: kept rows whose parent stands by now.
pub type Swept = Vec<(TableId, Vec<Vec<u8>>)>;

/// Where a parent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It stands in the sink.
    In,
    /// It is known not to come by itself: a tombstone, an absence, or an open dead letter of its key.
    Gone,
    /// It may come.
    Unknown,
}

/// The answer.
#[derive(Clone, Debug, Default)]
pub struct Family {
    /// In the order of [`FamilyWanted::parents`] and of the keys.
    pub parents: Vec<Vec<Presence>>,
    /// Kept rows, by their own table: [`crate::standing::StandingKey::kept`] is set.
    pub waiting: Vec<Relatives>,
    /// Rows in the sink, by their own table.
    pub children: Vec<Relatives>,
}

/// Rows of one table that a batch has to do with through their parents; locked.
#[derive(Clone, Debug)]
pub struct Relatives {
    /// The table.
    pub table: TableId,
    /// Canonical keys, one per entry of `standing.keys`.
    pub keys: KeyList,
    /// What stands for them.
    pub standing: StandingTable,
}
