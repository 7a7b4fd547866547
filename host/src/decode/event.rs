//! A change as its envelope tells it, before its rows are read: what both envelopes come down to.

use std::{borrow::Cow, sync::Arc};

use reconverge_streams::{
    names::NameId,
    position::{Micros, Position},
    table::TableId,
};
use serde::Deserialize;

use crate::{
    batch::{Op, Transaction},
    clock::Clocks,
};

use super::{
    cell::Wire,
    refusal::{Aside, Code, Fault},
    source_schema::SourceSchema,
};

/// One message that is a row change of a listed table. Rows are JSON texts inside of the message.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) table: TableId,
    pub(super) op: Op,
    pub(super) wire: Wire,
    /// Object of key columns, where the envelope has one.
    pub(super) key: Option<&'a str>,
    pub(super) before: Option<&'a str>,
    pub(super) after: Option<&'a str>,
    /// Columns that were not sent.
    pub(super) absent: Vec<Cow<'a, str>>,
    pub(super) source: NameId,
    pub(super) position: Option<Position>,
    pub(super) origin: NameId,
    /// Whether the change passed our own region before.
    pub(super) came_by_here: bool,
    pub(super) at: Micros,
    /// Version of the table's schema; `None` where the format cannot say one.
    pub(super) schema: Option<u32>,
    pub(super) event_id: Option<Arc<str>>,
    pub(super) clocks: Clocks,
    pub(super) transaction: Option<Transaction>,
    /// What the message's own schema says of its columns.
    pub(super) facts: Option<Arc<SourceSchema>>,
    /// Object of the other key of a key change that arrives as two messages.
    pub(super) other_key: Option<Cow<'a, str>>,
}

/// A text field that is borrowed where the message allows it. (Serde borrows a `Cow` only where it is the
/// field's own type.)
#[derive(Debug, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The operation behind a letter.
///
/// # Errors
/// A truncate, and letters that are none.
pub(super) fn op_of(letter: Option<&str>) -> Result<Op, Fault> {
    match letter {
        Some("c") => Ok(Op::Create),
        Some("u") => Ok(Op::Update),
        Some("d") => Ok(Op::Delete),
        Some("r") => Ok(Op::Snapshot),
        Some("t") => Err(Fault::new(
            Code::Truncate,
            "a truncate is never applied; hint: delete the rows at the source, or truncate the sink's table by hand",
        )),
        Some(_) => Err(Fault::new(Code::UnknownOp, "`op` is none of c, u, d, r, t")),
        None => Err(Fault::new(Code::NotAnEnvelope, "no `op`")),
    }
}

/// What serde says of a message, without the value that it would print.
pub(super) fn unreadable(error: &serde_json::Error) -> Aside {
    let place = format!("line {}, column {}", error.line(), error.column());
    let fault = match error.classify() {
        serde_json::error::Category::Data => Fault::new(
            Code::NotAnEnvelope,
            format!("a field of the envelope is of another kind than it should be ({place})"),
        ),
        _ => Fault::new(Code::NotJson, format!("the body is no JSON ({place})")),
    };
    fault.into()
}
