//! What comes into a reader's inbox: messages of the stream, heartbeats, and the ends of pulls. Pure reading; what
//! follows from it is the reader's to decide.
//!
//! Source of the forms: the reply subject of a delivery (`$JS.ACK...`) and the statuses of pulls as nats-server
//! writes them (ADR-15, ADR-37), tried on 2.15.1.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use async_nats::{HeaderMap, HeaderValue, Message, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use smallvec::SmallVec;

use super::stream;
use crate::headers::{HeaderWriter, Headers};
use crate::position::Micros;
use crate::source::Delivery;

/// Where a delivery stands, from its reply subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// How often it was delivered, this time included.
    pub times: u64,
    pub stream_sequence: u64,
    pub consumer_sequence: u64,
    /// When the stream took it.
    pub at: Micros,
}

impl Place {
    /// Reads `$JS.ACK.stream.consumer.times.stream_sequence.consumer_sequence.nanos.pending`, or the longer form
    /// with domain and account before the stream and a random token at the end.
    pub fn read(reply: &str) -> Option<Place> {
        let mut tokens = [b"".as_slice(); 12];
        let mut count = 0;
        // By bytes: twelve searches for one character cost more than one walk over so short a text.
        for token in reply.as_bytes().split(|byte| *byte == b'.') {
            *tokens.get_mut(count)? = token;
            count += 1;
        }
        let at = match count {
            9 => 4,
            11 | 12 => 6,
            _ => return None,
        };
        if tokens[0] != b"$JS" || tokens[1] != b"ACK" {
            return None;
        }
        let number = |index: usize| std::str::from_utf8(tokens[at + index]).ok()?.parse::<u64>().ok();
        Some(Place {
            times: number(0)?,
            stream_sequence: number(1)?,
            consumer_sequence: number(2)?,
            at: Micros::try_from(number(3)? / 1000).ok()?,
        })
    }
}

/// One message of the inbox, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// A message of the stream.
    Event(Place),
    /// Nothing came for a while, and this is how far the consumer has looked.
    Heartbeat {
        /// Last stream sequence that it looked at.
        stream_sequence: u64,
        /// Last consumer sequence that it gave.
        consumer_sequence: u64,
    },
    /// A pull ended before it was filled.
    PullEnded {
        /// Messages that it still wanted; `None` where the server does not say.
        left: Option<usize>,
        /// It ended because the next message was larger than what it had room for.
        oversize: bool,
    },
    /// Something that this reader cannot go on from.
    Over(String),
}

impl Arrival {
    /// Reads a message of the inbox.
    pub fn read(message: &Message) -> Arrival {
        let Some(status) = message.status else {
            return match message.reply.as_deref().and_then(Place::read) {
                Some(place) => Arrival::Event(place),
                None => Arrival::Over("a delivery does not say where it stands in the stream".to_owned()),
            };
        };
        let number = |name: &str| {
            let value = message.headers.as_ref()?.get(name)?;
            value.as_str().parse::<u64>().ok()
        };
        let words = message.description.as_deref().unwrap_or_default();
        match status {
            StatusCode::IDLE_HEARTBEAT => match (number("Nats-Last-Stream"), number("Nats-Last-Consumer")) {
                (Some(stream_sequence), Some(consumer_sequence)) => {
                    Arrival::Heartbeat { stream_sequence, consumer_sequence }
                }
                _ => Arrival::Over("a heartbeat does not say how far the consumer is".to_owned()),
            },
            StatusCode::NOT_FOUND | StatusCode::TIMEOUT => {
                Arrival::ended(number("Nats-Pending-Messages"), false)
            }
            StatusCode::REQUEST_TERMINATED if words.starts_with("Batch Completed") => {
                Arrival::ended(number("Nats-Pending-Messages"), false)
            }
            StatusCode::REQUEST_TERMINATED if words.starts_with("Message Size Exceeds MaxBytes") => {
                Arrival::ended(number("Nats-Pending-Messages"), true)
            }
            // "Consumer Deleted", "Leadership Change", "Server Shutdown", "Exceeded Max..": asking again at once would
            // be refused again at once, so the reader ends and the lane's backoff decides when.
            other => Arrival::Over(format!("the server ended a pull with {other} {words}")),
        }
    }

    fn ended(left: Option<u64>, oversize: bool) -> Arrival {
        Arrival::PullEnded { left: left.and_then(|left| usize::try_from(left).ok()), oversize }
    }
}

/// Most subjects that are remembered to be shared.
const SUBJECTS_MAX: usize = 4_096;

/// Makes deliveries of messages, and has those share what they have in common.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    subjects: HashSet<Arc<str>>,
    headers: HeaderWriter,
}

impl Deliveries {
    /// A message of the stream, as the lane gets it.
    pub fn delivery(&mut self, message: Message, place: &Place) -> Delivery {
        Delivery {
            sequence: place.stream_sequence,
            subject: self.subject(&message.subject),
            headers: message.headers.as_ref().map(|map| self.headers(map)).unwrap_or_default(),
            payload: message.payload,
            published_at: place.at,
        }
    }

    fn subject(&mut self, subject: &str) -> Arc<str> {
        if let Some(known) = self.subjects.get(subject) {
            return Arc::clone(known);
        }
        if self.subjects.len() >= SUBJECTS_MAX {
            self.subjects.clear();
        }
        let subject: Arc<str> = subject.into();
        self.subjects.insert(Arc::clone(&subject));
        subject
    }

    fn headers(&mut self, map: &HeaderMap) -> Headers {
        let mut sorted: SmallVec<[(&str, &[HeaderValue]); 4]> =
            map.iter().map(|(name, values)| (name.as_ref(), values.as_slice())).collect();
        sorted.sort_unstable_by_key(|(name, _)| *name);
        for (name, values) in sorted {
            self.headers.header(name, values.iter().map(HeaderValue::as_str));
        }
        self.headers.finish()
    }
}

/// A message as `STREAM.MSG.GET` answers it.
#[derive(Debug, Deserialize)]
pub(super) struct Stored {
    pub message: StoredMessage,
}

#[derive(Debug, Deserialize)]
pub(super) struct StoredMessage {
    subject: String,
    seq: u64,
    /// Headers as they go over the wire, base64.
    #[serde(default)]
    hdrs: String,
    /// The body, base64.
    #[serde(default)]
    data: String,
    #[serde(deserialize_with = "stream::timestamp")]
    time: Timestamp,
}

impl StoredMessage {
    /// The message as a consumer would have delivered it; an error says what of the answer is broken.
    pub fn delivery(self) -> Result<Delivery, String> {
        let decoded = |text: &str| STANDARD.decode(text).map_err(|error| error.to_string());
        let head = String::from_utf8(decoded(&self.hdrs)?).map_err(|error| error.to_string())?;
        Ok(Delivery {
            sequence: self.seq,
            subject: self.subject.into(),
            headers: header_lines(&head),
            payload: Bytes::from(decoded(&self.data)?),
            published_at: self.time.as_microsecond(),
        })
    }
}

/// Reads `NATS/1.0\r\nName: value\r\n..`, as [`Deliveries`] does.
fn header_lines(head: &str) -> Headers {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    let mut headers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in lines {
        headers.entry(name.trim()).or_default().push(value.trim());
    }
    headers.into_iter().map(|(name, values)| (name, values.join(","))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: StatusCode, words: &str, headers: &[(&str, &str)]) -> Message {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        Message {
            subject: "inbox".into(),
            reply: None,
            payload: Bytes::new(),
            headers: Some(map),
            status: Some(code),
            description: Some(words.to_owned()),
            length: 0,
        }
    }

    #[test]
    fn both_forms_of_a_reply_subject_say_where_a_delivery_stands() {
        let place = Place { times: 1, stream_sequence: 70, consumer_sequence: 7, at: 1_760_000_000_000_001 };
        for (reply, read) in [
            ("$JS.ACK.CDC.lane.1.70.7.1760000000000001999.3", Some(place)),
            ("$JS.ACK.hub.hash.CDC.lane.1.70.7.1760000000000001999.3", Some(place)),
            ("$JS.ACK._.hash.CDC.lane.1.70.7.1760000000000001999.3.random", Some(place)),
            ("$JS.ACK.CDC.lane.1.70.7.1760000000000001999", None),
            ("$JS.ACK.CDC.lane.1.x.7.1760000000000001999.3", None),
            ("$JS.NAK.CDC.lane.1.70.7.1760000000000001999.3", None),
            ("_INBOX.a.b", None),
            ("", None),
            ("a.b.c.d.e.f.g.h.i.j.k.l.m.n", None),
        ] {
            assert_eq!(Place::read(reply), read, "{reply}");
        }
    }

    #[test]
    fn statuses_are_told_apart() {
        let ended = |left, oversize| Arrival::PullEnded { left, oversize };
        let rest = [("Nats-Pending-Messages", "12")];
        let heart = [("Nats-Last-Stream", "90"), ("Nats-Last-Consumer", "4")];
        for (message, arrival) in [
            (
                status(StatusCode::IDLE_HEARTBEAT, "Idle Heartbeat", &heart),
                Arrival::Heartbeat { stream_sequence: 90, consumer_sequence: 4 },
            ),
            (status(StatusCode::TIMEOUT, "Request Timeout", &rest), ended(Some(12), false)),
            (status(StatusCode::TIMEOUT, "Request Timeout", &[]), ended(None, false)),
            (status(StatusCode::REQUEST_TERMINATED, "Batch Completed", &rest), ended(Some(12), false)),
            (
                status(StatusCode::REQUEST_TERMINATED, "Message Size Exceeds MaxBytes", &rest),
                ended(Some(12), true),
            ),
        ] {
            assert_eq!(Arrival::read(&message), arrival);
        }
        for (code, words) in [
            (StatusCode::REQUEST_TERMINATED, "Consumer Deleted"),
            (StatusCode::REQUEST_TERMINATED, "Leadership Change"),
            (StatusCode::REQUEST_TERMINATED, "Server Shutdown"),
            (StatusCode::REQUEST_TERMINATED, "Exceeded MaxRequestBatch of 10"),
            (StatusCode::NO_RESPONDERS, ""),
            (StatusCode::IDLE_HEARTBEAT, "Idle Heartbeat"),
        ] {
            let Arrival::Over(why) = Arrival::read(&status(code, words, &[])) else { panic!("{words}") };
            assert!(why.contains(words) || why.contains("heartbeat"), "{why}");
        }
    }

    #[test]
    fn a_message_is_the_same_delivered_and_fetched() {
        let mut map = HeaderMap::new();
        map.insert("Reconverge-Version", "1");
        map.append("A", "x");
        map.append("A", "y");
        let message = Message {
            subject: "cdc.a".into(),
            reply: Some("$JS.ACK.CDC.lane.1.70.7.1760000000000001999.3".into()),
            payload: Bytes::from_static(b"{}"),
            headers: Some(map),
            status: None,
            description: None,
            length: 2,
        };
        let Arrival::Event(place) = Arrival::read(&message) else { panic!() };
        let mut deliveries = Deliveries::default();
        let delivered = deliveries.delivery(message.clone(), &place);
        let again = deliveries.delivery(message, &place);
        assert!(Arc::ptr_eq(&delivered.subject, &again.subject), "the subject is shared");
        let hdrs = STANDARD.encode("NATS/1.0\r\nReconverge-Version: 1\r\nA: x\r\nA: y\r\n\r\n");
        let stored: StoredMessage = serde_json::from_value(serde_json::json!({
            "subject": "cdc.a", "seq": 70, "hdrs": hdrs, "data": "e30=", "time": "2025-10-09T08:53:20.000001999Z",
        }))
        .unwrap();
        let fetched = stored.delivery().unwrap();
        assert_eq!(delivered.headers.iter().collect::<Vec<_>>(), [("A", "x,y"), ("Reconverge-Version", "1")]);
        assert_eq!(format!("{delivered:?}"), format!("{fetched:?}"));
    }
}
