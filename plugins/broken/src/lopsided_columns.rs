//! A column merge that prefers what comes: each region keeps the other's value.

use reconverge_sdk::{Columns, Verdict, Writes};

#[derive(Columns)]
pub(crate) struct Row<'a> {
    email: Option<&'a str>,
    phone: Option<&'a str>,
}

#[derive(Writes)]
pub(crate) struct Merged {
    email: Option<String>,
    phone: Option<String>,
}

pub(crate) fn decide(incoming: &Row, current: &Row) -> Verdict<Merged> {
    let either = |new: Option<&str>, old: Option<&str>| new.or(old).map(str::to_owned);
    Verdict::write(Merged {
        email: either(incoming.email, current.email),
        phone: either(incoming.phone, current.phone),
    })
}
