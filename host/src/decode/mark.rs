//! Which source transaction a message is of, read ahead of everything else: batches are cut by it before they are
//! decoded.

use std::sync::Arc;

use reconverge_streams::source::Delivery;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Decoder, event::Text};

/// What a message says of its source's transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The source; `None` where the message names none.
    pub source: Option<Arc<str>>,
    /// The transaction that it is of; `None`: of none.
    pub transaction: Option<Arc<str>>,
    /// Whether nothing more of that transaction follows.
    pub end: bool,
}

/// The fields of either envelope that matter here.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    pos: Option<Named<'a>>,
    #[serde(borrow)]
    origin: Option<Text<'a>>,
    #[serde(borrow)]
    txn: Option<Txn<'a>>,
    #[serde(borrow)]
    source: Option<Named<'a>>,
    #[serde(borrow)]
    transaction: Option<Txn<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
}

/// `source` of a native position, `name` of a Debezium source.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    source: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Txn<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(default)]
    end: bool,
}

impl Decoder {
    /// What a message says of its source's transactions; `None` where it does not read.
    #[must_use]
    pub fn mark(&self, delivery: &Delivery) -> Option<Mark> {
        let mut json = String::new();
        let text = self.body(delivery, &mut json).text().ok()?;
        let mut envelope: Envelope<'_> = serde_json::from_str(text).ok()?;
        if let Some(payload) = envelope.payload {
            envelope = serde_json::from_str(payload.get()).ok()?;
        }
        Some(of(&envelope))
    }
}

fn of(envelope: &Envelope<'_>) -> Mark {
    let shared = |text: &Text<'_>| Arc::<str>::from(&*text.0);
    // Debezium's id is `txId:lsn` with the position of the event itself.
    let id = |text: &Text<'_>| Arc::<str>::from(text.0.split(':').next().unwrap_or_default());
    if let Some(status) = &envelope.status {
        let end = status.0 == "END";
        return Mark { source: None, transaction: envelope.id.as_ref().filter(|_| end).map(id), end };
    }
    if let Some(txn) = &envelope.transaction {
        let source = envelope.source.as_ref().and_then(|s| s.name.as_ref());
        return Mark { source: source.map(shared), transaction: Some(id(&txn.id)), end: false };
    }
    let position = envelope.pos.as_ref().and_then(|pos| pos.source.as_ref());
    let source = position.or(envelope.origin.as_ref());
    let source = source.or(envelope.source.as_ref().and_then(|s| s.name.as_ref()));
    Mark {
        source: source.map(shared),
        transaction: envelope.txn.as_ref().map(|txn| shared(&txn.id)),
        end: envelope.txn.as_ref().is_some_and(|txn| txn.end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(text: &str) -> (Option<String>, Option<String>, bool) {
        let mark = of(&serde_json::from_str(text).unwrap());
        (mark.source.map(|s| s.to_string()), mark.transaction.map(|t| t.to_string()), mark.end)
    }

    #[test]
    fn both_envelopes_are_read() {
        let own = |s: &str| Some(s.to_owned());
        let native = r#"{"v":1,"pos":{"source":"east","commit":"5"},"origin":"west","txn":{"id":"9","n":3,"end":true}}"#;
        assert_eq!(mark(native), (own("east"), own("9"), true));
        assert_eq!(mark(r#"{"v":1,"origin":"west"}"#), (own("west"), None, false));
        let debezium =
            r#"{"source":{"name":"east","table":"t"},"transaction":{"id":"571:53195832","total_order":1}}"#;
        assert_eq!(mark(debezium), (own("east"), own("571"), false));
        assert_eq!(mark(r#"{"source":{"name":"east"},"transaction":null}"#), (own("east"), None, false));
        assert_eq!(mark(r#"{"status":"BEGIN","id":"571:1"}"#), (None, None, false));
        assert_eq!(mark(r#"{"status":"END","id":"571:2","event_count":2}"#), (None, own("571"), true));
    }
}
