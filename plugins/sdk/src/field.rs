//! The types that a field of a `#[derive(Columns)]` struct may have, and how each is read from its column.

use crate::{
    block::{Bits, Block, BlockError, Column, Floats, Ints, Packed, State, Texts},
    value::{Date, Decimal, Json, TextArray, Time, Timestamp, Uuid},
};

/// Why a cell is not what its field promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The cell is null, and the field is no `Option`.
    Null,
    /// The source did not send the cell, and the field is no [`Sent`].
    Unsent,
    /// There is no such row.
    NoRow,
    /// The cell is not of the field's form (a uuid that has not 16 bytes).
    Malformed,
}

impl From<State> for Missing {
    fn from(state: State) -> Self {
        match state {
            State::Null => Missing::Null,
            State::Unavailable => Missing::Unsent,
            State::NoRow => Missing::NoRow,
            State::Value => Missing::Malformed,
        }
    }
}

/// A field of a row: `i64`, `f64`, `bool`, `&str`, `&[u8]`, the types of [`crate::value`], and of those
/// `Option<T>` (may be null) and [`Sent<T>`] (may be unavailable), in either order.
pub trait Field<'a>: Sized {
    /// The logical type that the contract asks for, unless the field says otherwise.
    const LOGICAL: &'static str;
    /// Whether a cell that the source did not send has a form in this type.
    const MAY_BE_UNSENT: bool = false;
    /// Whether a null cell has a form in this type.
    const MAY_BE_NULL: bool = false;
    /// The column that it is read from.
    type Column: Column;

    /// Opens column `k`.
    ///
    /// # Errors
    /// The column does not fit the contract.
    fn column(block: &Block<'a>, k: usize) -> Result<Self::Column, BlockError>;

    /// Reads the cell of row `i`.
    ///
    /// # Errors
    /// The cell has no form in this type.
    fn read(column: &Self::Column, i: usize) -> Result<Self, Missing>;

    /// What stands for a row that is not there, where the type has a form for it.
    #[must_use]
    fn of_no_row() -> Option<Self> {
        None
    }
}

macro_rules! field {
    ($($type:ty: $logical:literal, $column:ty, $open:ident, $of:expr;)+) => {$(
        impl<'a> Field<'a> for $type {
            const LOGICAL: &'static str = $logical;
            type Column = $column;
            #[inline]
            fn column(block: &Block<'a>, k: usize) -> Result<$column, BlockError> {
                block.$open(k)
            }
            #[inline]
            fn read(column: &$column, i: usize) -> Result<Self, Missing> {
                match column.state(i) {
                    State::Value => Ok($of(column.get(i))),
                    state => Err(state.into()),
                }
            }
        }
    )+};
}

field! {
    bool: "bool", Bits<'a>, bits, std::convert::identity;
    i64: "int", Ints<'a>, ints, std::convert::identity;
    f64: "float", Floats<'a>, floats, std::convert::identity;
    &'a str: "text", Texts<'a>, texts, std::convert::identity;
    &'a [u8]: "bytes", Packed<'a>, packed, std::convert::identity;
    Timestamp: "timestamp", Ints<'a>, ints, Timestamp;
    Date: "date", Ints<'a>, ints, Date;
    Time: "time", Ints<'a>, ints, Time;
    Decimal<'a>: "decimal", Texts<'a>, texts, Decimal;
    Json<'a>: "json", Texts<'a>, texts, Json;
    TextArray<'a>: "text[]", Texts<'a>, texts, TextArray;
}

impl<'a> Field<'a> for Uuid {
    const LOGICAL: &'static str = "uuid";
    type Column = Packed<'a>;
    #[inline]
    fn column(block: &Block<'a>, k: usize) -> Result<Packed<'a>, BlockError> {
        block.packed(k)
    }
    #[inline]
    fn read(column: &Packed<'a>, i: usize) -> Result<Self, Missing> {
        match column.state(i) {
            State::Value => column.get(i).try_into().map(Uuid).map_err(|_| Missing::Malformed),
            state => Err(state.into()),
        }
    }
}

impl<'a, T: Field<'a>> Field<'a> for Option<T> {
    const LOGICAL: &'static str = T::LOGICAL;
    const MAY_BE_UNSENT: bool = T::MAY_BE_UNSENT;
    const MAY_BE_NULL: bool = true;
    type Column = T::Column;
    #[inline]
    fn column(block: &Block<'a>, k: usize) -> Result<T::Column, BlockError> {
        T::column(block, k)
    }
    #[inline]
    fn read(column: &T::Column, i: usize) -> Result<Self, Missing> {
        match T::read(column, i) {
            Ok(value) => Ok(Some(value)),
            Err(Missing::Null) => Ok(None),
            Err(missing) => Err(missing),
        }
    }
    fn of_no_row() -> Option<Self> {
        Some(None)
    }
}

/// A cell that the source may not have sent: an unchanged big column, or one that its table does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sent<T> {
    /// Not sent. As a written cell: leave it as it is.
    No,
    /// Sent.
    Yes(T),
}

impl<T> Sent<T> {
    /// The cell where it was sent.
    pub fn ok(self) -> Option<T> {
        match self {
            Sent::Yes(cell) => Some(cell),
            Sent::No => None,
        }
    }
}

impl<'a, T: Field<'a>> Field<'a> for Sent<T> {
    const LOGICAL: &'static str = T::LOGICAL;
    const MAY_BE_UNSENT: bool = true;
    const MAY_BE_NULL: bool = T::MAY_BE_NULL;
    type Column = T::Column;
    #[inline]
    fn column(block: &Block<'a>, k: usize) -> Result<T::Column, BlockError> {
        T::column(block, k)
    }
    #[inline]
    fn read(column: &T::Column, i: usize) -> Result<Self, Missing> {
        match T::read(column, i) {
            Ok(value) => Ok(Sent::Yes(value)),
            Err(Missing::Unsent) => Ok(Sent::No),
            Err(missing) => Err(missing),
        }
    }
    fn of_no_row() -> Option<Self> {
        T::of_no_row().map(Sent::Yes)
    }
}
