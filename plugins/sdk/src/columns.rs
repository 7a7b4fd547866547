//! A struct as a contract: what `#[derive(Columns)]` and `#[derive(Writes)]` implement.
//!
//! `Columns` says which columns the host hands over and reads a row of them; `Writes` says which columns a
//! plugin may put in place, and puts them.

use crate::{
    bindings::base::reconverge::plugin::types::{ColumnSpec, Contract},
    block::{Block, BlockError, State},
    field::{Missing, Sent},
    kind::Kind,
    value::{Date, Decimal, Json, TextArray, Time, Timestamp, Uuid},
    writer::BlockWriter,
};

/// Which field of a row has no value, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Index into [`Columns::NAMES`].
    pub field: usize,
    /// What is wrong with its cell.
    pub missing: Missing,
}

/// A row of a contract. Derived; see the crate's documentation for the attributes of fields.
pub trait Columns<'a>: Sized {
    /// The columns, opened.
    type Reader;
    /// The columns' names, in the order of the fields.
    const NAMES: &'static [&'static str];
    /// Whether a field asks for a fact (`#[meta(..)]`) or names a side of its own.
    const HAS_OWN_SIDES: bool;
    /// Of each field of the row itself its name, whether it may be null, and whether it may not have been sent.
    const FORMS: &'static [(&'static str, bool, bool)];

    /// The columns that the contract asks for, those of the row itself on `side`.
    fn specs(side: &str) -> Vec<ColumnSpec>;

    /// Opens the columns of a block from column `first` on.
    ///
    /// # Errors
    /// The block does not fit the contract.
    fn reader(block: &Block<'a>, first: usize) -> Result<Self::Reader, BlockError>;

    /// Reads row `i`.
    ///
    /// # Errors
    /// A field has no value.
    fn row(reader: &Self::Reader, i: usize) -> Result<Self, Gap>;

    /// Whether there is no row `i` on the row's side: a column that is not part of the key says so.
    fn is_absent(reader: &Self::Reader, i: usize) -> bool;
}

/// Columns that a plugin puts in place. Derived; the fields' types are those of [`Cell`].
pub trait Writes {
    /// The columns that the contract declares.
    fn specs() -> Vec<ColumnSpec>;
    /// Their kinds, in the same order.
    fn kinds() -> Vec<Kind>;
    /// Puts the cells of row `row`.
    fn put(&self, block: &mut BlockWriter, row: usize);
}

/// No columns to write. There is no value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWrites {}

impl Writes for NoWrites {
    fn specs() -> Vec<ColumnSpec> {
        Vec::new()
    }
    fn kinds() -> Vec<Kind> {
        Vec::new()
    }
    fn put(&self, _: &mut BlockWriter, _: usize) {
        match *self {}
    }
}

/// A cell that can be written: the types of fields, `String`, `Option<T>` (null) and [`Sent<T>`] (left as it is).
pub trait Cell {
    /// Its logical type, unless the field says otherwise.
    const LOGICAL: &'static str;
    /// The kind of its column.
    const KIND: Kind;
    /// Puts it.
    fn put(&self, block: &mut BlockWriter, column: usize, row: usize);
}

macro_rules! cell {
    ($($type:ty: $logical:literal, $kind:ident, |$cell:ident| $put:ident($value:expr);)+) => {$(
        impl Cell for $type {
            const LOGICAL: &'static str = $logical;
            const KIND: Kind = Kind::$kind;
            #[inline]
            fn put(&self, block: &mut BlockWriter, column: usize, row: usize) {
                let $cell = self;
                block.$put(column, row, $value);
            }
        }
    )+};
}

cell! {
    bool: "bool", Bits, |it| bit(*it);
    i64: "int", Int64, |it| int(*it);
    f64: "float", Float64, |it| float(*it);
    &str: "text", Packed, |it| packed(it.as_bytes());
    String: "text", Packed, |it| packed(it.as_bytes());
    &[u8]: "bytes", Packed, |it| packed(it);
    Timestamp: "timestamp", Int64, |it| int(it.0);
    Date: "date", Int64, |it| int(it.0);
    Time: "time", Int64, |it| int(it.0);
    Decimal<'_>: "decimal", Packed, |it| packed(it.0.as_bytes());
    Json<'_>: "json", Packed, |it| packed(it.0.as_bytes());
    TextArray<'_>: "text[]", Packed, |it| packed(it.0.as_bytes());
    Uuid: "uuid", Packed, |it| packed(&it.0);
}

impl<T: Cell> Cell for Option<T> {
    const LOGICAL: &'static str = T::LOGICAL;
    const KIND: Kind = T::KIND;
    #[inline]
    fn put(&self, block: &mut BlockWriter, column: usize, row: usize) {
        match self {
            Some(cell) => cell.put(block, column, row),
            None => block.null(column, row),
        }
    }
}

impl<T: Cell> Cell for Sent<T> {
    const LOGICAL: &'static str = T::LOGICAL;
    const KIND: Kind = T::KIND;
    #[inline]
    fn put(&self, block: &mut BlockWriter, column: usize, row: usize) {
        match self {
            Sent::Yes(cell) => cell.put(block, column, row),
            Sent::No => block.state(column, row, State::Unavailable),
        }
    }
}

/// A column of a contract.
#[must_use]
pub fn column(side: &str, name: &str, logical: &str, required: bool) -> ColumnSpec {
    ColumnSpec { side: side.into(), name: name.into(), logical: logical.into(), required }
}

/// What a contract says of its columns beyond their types, as its `extensions`: those that are never null, and those
/// that are always sent, where the rule is to decide. `reconverge plugin laws` makes its rows by it.
#[must_use]
pub fn promises<'a, R: Columns<'a>>() -> String {
    let names = |of: fn(&(&'static str, bool, bool)) -> bool| {
        let named = R::FORMS.iter().filter(|form| of(form)).map(|(name, ..)| text(name));
        named.collect::<Vec<_>>().join(",")
    };
    format!(r#"{{"not-null":[{}],"sent":[{}]}}"#, names(|form| !form.1), names(|form| !form.2))
}

/// A name as JSON text.
fn text(name: &str) -> String {
    let mut out = String::from('"');
    for letter in name.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// A contract: the columns that a plugin reads and writes of a table, which is an index into the tables given to
/// [`Plugin::open`](crate::Plugin::open).
///
/// # Panics
/// Where there are more than 2^32 tables.
#[must_use]
pub fn contract(table: usize, reads: Vec<ColumnSpec>, writes: Vec<ColumnSpec>) -> Contract {
    let table = u32::try_from(table).expect("the host counts tables in 32 bits");
    Contract { table, reads, writes, extensions: String::new() }
}
