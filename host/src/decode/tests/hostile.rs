//! Bytes that mean harm, or nothing.

use proptest::prelude::*;
use reconverge_streams::source::Delivery;

use crate::{
    config::Format,
    decode::{Decoder, Options},
    plan::TablePlan,
};

use super::{
    capture::{contact_centre, deliveries},
    setup::{debezium, decoder, delivery, pulled, rectangular, table},
};

const COLUMNS: &str = "id:int=smallint b:bool f:float=real n:decimal=numeric(5,3) t:text=varchar(3) y:bytes ts:timestamp=timestamp(3) \
    d:date c:time u:uuid j:json a:decimal[]=numeric(5,3)[] bit:text=bit(8) m:text=money i:text=interval p:text=point";

fn formats() -> [Decoder; 3] {
    let plan = || TablePlan { origin_column: Some(4), ..table("t", "id", COLUMNS) };
    [Format::Native, Format::DebeziumJson, Format::DebeziumMsgpack]
        .map(|format| decoder(vec![plan()], Options { format, ..debezium() }))
}

fn survives(decoder: &Decoder, deliveries: Vec<Delivery>) {
    let count = deliveries.len();
    rectangular(&decoder.decode(pulled(deliveries)), count);
}

/// Any JSON value, small, with numbers and texts that decoders look at twice.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(|f| format!("{f:?}")),
        Just("1e999999".to_owned()),
        Just(r#""infinity""#.to_owned()),
        Just(r#""AAH/""#.to_owned()),
        Just(r#""\u0000""#.to_owned()),
        Just(r#""2026-03-02T06:30:00Z""#.to_owned()),
        Just(r#""__debezium_unavailable_value""#.to_owned()),
        Just(r#"{"scale":-9999999999,"value":"AAAA"}"#.to_owned()),
        Just(r#"{"scale":3,"value":"BOI="}"#.to_owned()),
        Just(r#"{"x":1,"y":"NaN"}"#.to_owned()),
        any::<String>().prop_map(|s| serde_json::Value::from(s).to_string()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|v| format!("[{}]", v.join(","))),
            inner.prop_map(|v| format!(r#"{{"a":{v}}}"#)),
        ]
    })
}

/// A row of the table, with some cells replaced.
fn row() -> impl Strategy<Value = String> {
    let names: Vec<&str> = COLUMNS.split_whitespace().map(|c| c.split(':').next().unwrap()).collect();
    prop::collection::vec((prop::sample::select(names), value()), 0..8).prop_map(|cells| {
        let cells: Vec<String> = cells.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
        format!("{{{}}}", cells.join(","))
    })
}

proptest! {
    #[test]
    fn any_bytes(payload: Vec<u8>, subject in "[a-z_.]{0,12}", packed: bool) {
        let headers = [("Reconverge-Version", "1"), ("Content-Type", "application/msgpack")];
        for decoder in formats() {
            let headers = if packed { &headers[..] } else { &[] };
            survives(&decoder, vec![delivery(&subject, headers, payload.clone()), delivery(&subject, &[], "{}")]);
        }
    }

    #[test]
    fn envelopes_with_any_rows(op in "[cudrtmx]", key in row(), before in row(), after in row(), other in value()) {
        let native = format!(r#"{{"v":1,"table":"t","op":"{op}","key":{key},"before":{before},"after":{after},"at":1,"origin":"e","absent":["j","j"],"schema":{other}}}"#);
        let foreign = format!(r#"{{"op":"{op}","before":{before},"after":{after},"transaction":null,"source":{{"name":"e","table":"t","ts_us":1,"sequence":{other}}}}}"#);
        let wrapped = format!(r#"{{"schema":{other},"payload":{foreign}}}"#);
        for decoder in formats() {
            let mut messages = Vec::new();
            for body in [&native, &foreign, &wrapped] {
                messages.push(delivery("e.t", &[("__debezium.newkey", body)], body.as_bytes()));
                if let Ok(value) = serde_json::from_str::<serde_json::Value>(body) {
                    messages.push(delivery("e.t", &[], rmp_serde::to_vec_named(&value).unwrap()));
                }
            }
            survives(&decoder, messages);
        }
    }
}

#[test]
fn cut_and_bent_messages_of_a_recording() {
    let decoder = contact_centre();
    let recorded = deliveries("../tests/data/type_zoo/type_zoo_schema.jsonl.gz");
    let zoo = formats();
    for message in recorded.iter().take(6) {
        for step in 0..200 {
            let at = message.payload.len() * step / 200;
            let mut bent = message.payload.to_vec();
            bent[at] = bent[at].wrapping_add(u8::try_from(step).unwrap() | 1);
            let cut = message.payload.slice(..at);
            for decoder in zoo.iter().chain([&decoder]) {
                let bodies = [bent.clone().into(), cut.clone()];
                let messages = bodies.map(|payload| Delivery { payload, ..message.clone() });
                survives(decoder, messages.into());
            }
        }
    }
}
