//! Debezium's envelope.

use reconverge_streams::source::Delivery;

use crate::{
    config::{BinaryText, Format},
    decode::{Decoder, Options},
    plan::TablePlan,
};

use super::setup::{debezium, decoder, delivery, only, table, told};

fn shifts() -> TablePlan {
    table(
        "public.shifts",
        "id",
        "id:int rate:decimal=numeric(5,3) body:text blob:bytes tags:text[] ints:int[]",
    )
}

fn setup() -> Decoder {
    decoder(vec![shifts()], debezium())
}

fn source(rest: &str) -> String {
    format!(
        r#""source":{{"connector":"postgresql","name":"us-east","schema":"public","table":"shifts","ts_us":5,{rest}}}"#
    )
}

fn message(rest: &str) -> Delivery {
    let source = source(r#""sequence":"[\"26\",\"27\"]","snapshot":"false""#);
    delivery("us-east.public.shifts", &[], format!("{{{rest},{source}}}"))
}

#[test]
fn events_become_changes() {
    for (rest, line) in [
        (
            r#""op":"c","before":null,"after":{"id":1,"rate":"BOI=","body":"x","blob":"AAH/","tags":["a",null],"ints":[1]}"#,
            r#"c 1 {"id":1,"rate":"1.250","body":"x","blob":"AAH/","tags":["a",null],"ints":[1]} before -"#,
        ),
        (
            r#""op":"u","before":null,"after":{"id":1,"body":"__debezium_unavailable_value","blob":"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==","tags":["__debezium_unavailable_value"]}"#,
            r#"u 1 {"id":1}?body,blob,tags!rate,ints before ?"#,
        ),
        (
            r#""op":"d","before":{"id":1,"rate":"AA==","body":""},"after":null"#,
            r#"d 1 {"id":1}-rate,body,blob,tags,ints before {"id":1,"rate":"0.000","body":""}?blob,tags,ints"#,
        ),
        (
            r#""op":"u","before":{"id":1,"body":"a"},"after":{"id":2,"body":"b"}"#,
            r#"d 1 {"id":1}-rate,body,blob,tags,ints before {"id":1,"body":"a"}?rate,blob,tags,ints moved 2"#,
        ),
    ] {
        assert_eq!(told(&setup(), vec![message(rest)])[0], line);
    }
    let change = only(&setup(), message(r#""op":"c","after":{"id":1}"#)).changes.remove(0);
    let position = change.position.unwrap();
    assert_eq!((position.epoch, position.commit, position.ordinal, change.at), (0, 26, 27, 5));
}

#[test]
fn arrays_of_integers_have_a_placeholder_too() {
    let bytes: Vec<String> = b"__debezium_unavailable_value".iter().map(ToString::to_string).collect();
    let rest = format!(r#""op":"c","after":{{"id":1,"ints":[{}]}}"#, bytes.join(","));
    assert_eq!(told(&setup(), vec![message(&rest)]), [r#"c 1 {"id":1}?ints!rate,body,blob,tags before -"#]);
}

const ASIDE: [(&str, &str, &str); 23] = [
    ("us-east.public.shifts", "", "control"),
    ("us-east.public.shifts", " null ", "control"),
    ("us-east.public.shifts", r#"{"schema":{"type":"struct"},"payload":null}"#, "control"),
    (
        "us-east.transaction",
        r#"{"status":"BEGIN","id":"729:1","event_count":null,"data_collections":null,"ts_ms":1}"#,
        "control",
    ),
    (
        "us-east.transaction",
        r#"{"status":"END","id":"729:1","event_count":1,"data_collections":[],"ts_ms":1}"#,
        "control",
    ),
    ("__debezium-heartbeat.us-east", r#"{"ts_ms":1}"#, "control"),
    ("__debezium-heartbeat.us-east", r#"{"schema":{},"payload":{"ts_ms":1}}"#, "control"),
    ("elsewhere", r#"{"ts_ms":1}"#, "control"),
    (
        "us-east.message",
        r#"{"op":"m","ts_ms":1,"source":{"name":"us-east","schema":"","table":""},"message":{"prefix":"p","content":"AA=="}}"#,
        "control",
    ),
    (
        "us-east",
        r#"{"source":{"name":"us-east"},"databaseName":"d","ddl":"CREATE","tableChanges":[]}"#,
        "control",
    ),
    ("us-east.public.shifts", r#"{"id":1,"body":"x"}"#, "not-an-envelope"),
    ("us-east.public.shifts", r#"{"op":"c","after":{"id":1}}"#, "not-an-envelope"),
    ("us-east.public.shifts", r#"{"status":"BEGIN"#, "not-json"),
    ("us-east.public.shifts", r#"{"op":"c","source":5}"#, "not-an-envelope"),
    ("s", r#"{"op":"c","source":{"name":"n","schema":"other","table":"shifts","ts_ms":1}}"#, "unlisted"),
    ("s", r#"{"op":"t","source":{"name":"n","schema":"public","table":"shifts","ts_ms":1}}"#, "truncate"),
    ("s", r#"{"op":"z","source":{"name":"n","schema":"public","table":"shifts","ts_ms":1}}"#, "unknown-op"),
    ("s", r#"{"op":"d","source":{"name":"n","schema":"public","table":"shifts","ts_ms":1}}"#, "missing-key"),
    (
        "s",
        r#"{"op":"c","source":{"name":"n","schema":"public","table":"shifts","ts_ms":1}}"#,
        "not-an-envelope",
    ),
    (
        "s",
        r#"{"op":"c","after":{"body":"x"},"source":{"name":"n","schema":"public","table":"shifts","ts_ms":1}}"#,
        "missing-key",
    ),
    (
        "s",
        r#"{"op":"c","after":{"id":1},"source":{"name":"n","schema":"public","table":"shifts"}}"#,
        "not-an-envelope",
    ),
    (
        "s",
        r#"{"op":"c","after":{"id":1},"source":{"name":"n","schema":"public","table":"shifts","ts_ms":1,"sequence":"[7]"}}"#,
        "bad-position",
    ),
    (
        "s",
        r#"{"op":"c","after":{"id":1},"source":{"name":"home","schema":"public","table":"shifts","ts_ms":1}}"#,
        "echo",
    ),
];

#[test]
fn what_brings_no_change_is_told_by_its_form() {
    for (subject, payload, told_as) in ASIDE {
        let lines = told(&setup(), vec![delivery(subject, &[], payload)]);
        assert!(lines[0].split(':').next() == Some(told_as), "{lines:?}, wanted {told_as} of {payload}");
    }
}

#[test]
fn snapshots_positions_and_times_of_other_connectors() {
    for (source_rest, op, position, at) in [
        (r#""snapshot":"first","sequence":"[null,\"9\"]""#, "r", Some((9, 9)), 5),
        (r#""snapshot":"true","sequence":"[null,\"9\"]""#, "r", Some((9, 9)), 5),
        (r#""snapshot":false"#, "c", None, 5),
        (r#""snapshot":"false","file":"binlog.1","pos":4"#, "c", None, 5),
    ] {
        let payload = format!(r#"{{"op":"c","after":{{"id":1}},{}}}"#, source(source_rest));
        let change = only(&setup(), delivery("s", &[], payload)).changes.remove(0);
        assert_eq!(change.op.letter(), op, "{source_rest}");
        assert_eq!((change.position.map(|p| (p.commit, p.ordinal)), change.at), (position, at));
    }
    let mysql = r#"{"op":"c","after":{"id":1},"source":{"connector":"mysql","name":"m","db":"public","table":"shifts","ts_ms":7,"sequence":null}}"#;
    assert_eq!(only(&setup(), delivery("s", &[], mysql)).changes[0].at, 7000);
    let nameless = r#"{"op":"c","after":{"id":1},"source":{"db":"public","table":"shifts","ts_ms":7}}"#;
    assert!(told(&setup(), vec![delivery("s", &[], nameless)])[0].starts_with("not-an-envelope"));
    let named = decoder(vec![shifts()], Options { origin: Some("north".into()), ..debezium() });
    let change = only(&named, delivery("s", &[], nameless)).changes.remove(0);
    assert_eq!(&*named.plan().names.get(change.origin), "north");
}

#[test]
fn headers_link_the_halves_of_a_key_change() {
    let header = |id: &str| format!(r#"{{"schema":{{"type":"struct"}},"payload":{id}}}"#);
    let delete = r#""op":"d","before":{"id":1},"after":null"#;
    let create = r#""op":"c","before":null,"after":{"id":2,"body":"__debezium_unavailable_value"}"#;
    let with = |rest: &str, name: &str, id: &str| {
        let mut message = message(rest);
        message.headers = message.headers.with(name, &header(id));
        message
    };
    let lines = told(
        &setup(),
        vec![
            with(delete, "__debezium.newkey", r#"{"id":2}"#),
            with(create, "__debezium.oldkey", r#"{"id":1}"#),
            with(create, "__debezium.oldkey", r#"{"other":1}"#),
            with(create, "__debezium.newkey", r#"{"id":9}"#),
        ],
    );
    assert!(lines[0].starts_with("d 1 ") && lines[0].ends_with(" moved 2"), "{lines:?}");
    assert!(lines[1].starts_with("c 2 ") && lines[1].ends_with(" moved 1"), "{lines:?}");
    assert!(!lines[2].contains("moved") && !lines[3].contains("moved"), "{lines:?}");
}

#[test]
fn transactions_are_told_by_what_stands_before_the_colon() {
    let rest = r#""op":"c","after":{"id":1},"transaction":{"id":"729:26514512","total_order":3,"data_collection_order":1}"#;
    let change = only(&setup(), message(rest)).changes.remove(0);
    let transaction = change.transaction.unwrap();
    assert_eq!((&*transaction.id, transaction.number, transaction.end), ("729", 3, false));
}

#[test]
fn a_schema_gives_scales_and_units() {
    let schema = r#"{"type":"struct","fields":[{"type":"struct","field":"after","fields":[
        {"type":"int64","field":"id"},
        {"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"},"field":"rate"}]}]}"#;
    let payload =
        format!(r#"{{"op":"c","after":{{"id":1,"rate":"BOI="}},{}}}"#, source(r#""sequence":null"#));
    let wrapped = format!(r#"{{"schema":{schema},"payload":{payload}}}"#);
    let lines = told(&setup(), vec![delivery("s", &[], wrapped), delivery("s", &[], payload)]);
    assert!(lines[0].contains(r#""rate":"12.500""#) && lines[1].contains(r#""rate":"1.250""#), "{lines:?}");
}

#[test]
fn handling_modes() {
    let row = |cells: &str| message(&format!(r#""op":"c","after":{{"id":1,{cells}}}"#));
    let hex = decoder(vec![shifts()], Options { binary: BinaryText::Hex, ..debezium() });
    assert!(told(&hex, vec![row(r#""blob":"0001ff""#)])[0].contains(r#""blob":"AAH/""#));
    let absent = "5f5f646562657a69756d5f756e617661696c61626c655f76616c7565";
    assert!(told(&hex, vec![row(&format!(r#""blob":"{absent}""#))])[0].contains("?blob"));
    let safe = decoder(vec![shifts()], Options { binary: BinaryText::Base64UrlSafe, ..debezium() });
    assert!(told(&safe, vec![row(r#""blob":"AAH_""#)])[0].contains(r#""blob":"AAH/""#));

    let whole = || table("public.shifts", "id", "id:int n:decimal=numeric(38,0)");
    let precise = decoder(vec![whole()], debezium());
    assert!(told(&precise, vec![row(r#""n":"1234""#)])[0].contains(r#""n":"-2658824""#));
    let texts = decoder(vec![whole()], Options { decimals_as_text: true, ..debezium() });
    assert!(told(&texts, vec![row(r#""n":"1234""#)])[0].contains(r#""n":"1234""#));
    for number in ["1.2", "2", "-3e0"] {
        assert!(told(&setup(), vec![row(&format!(r#""rate":{number}"#))])[0].starts_with("c 1"), "{number}");
    }
    let free = decoder(vec![table("public.shifts", "id", "id:int n:decimal=numeric")], debezium());
    let lines = told(&free, vec![row(r#""n":"BOI=""#)]);
    assert!(lines[0].contains("needs a scale"), "{lines:?}");
}

#[test]
fn what_was_cut_off_at_the_source_is_refused() {
    let times =
        "id:int iv:text=interval ts:timestamp d:date bit:text=bit(8) mood:text p:text=point t:time=time(0)";
    let mut plan = table("public.shifts", "id", times);
    plan.columns[5].labels = vec!["calm".into()];
    let decoder = decoder(vec![plan], debezium());
    for (cell, told_as) in [
        (r#""iv":9223372036854775807"#, "out-of-range"),
        (r#""iv":-2802600000000"#, r#""iv":"-2802600000000 microseconds""#),
        (r#""ts":-9223372036853775810"#, "out-of-range"),
        (r#""ts":-9223372036832400000"#, r#""ts":"-infinity""#),
        (r#""d":-2147472691"#, r#""d":"-infinity""#),
        (r#""d":2145042906"#, "out-of-range"),
        (r#""d":"-292275055-05-16Z""#, r#""d":"-infinity""#),
        (r#""bit":"AQE=""#, "too-long"),
        (r#""bit":"?""#, "wrong-type"),
        (r#""bit":"BQ==""#, r#""bit":"00000101""#),
        (r#""mood":"angry""#, "bad-label"),
        (r#""mood":"calm""#, r#""mood":"calm""#),
        (r#""p":{"x":1}"#, "wrong-type"),
        (r#""p":{"x":-1e3,"y":"NaN"}"#, r#""p":"(-1e3,NaN)""#),
        (r#""t":1500"#, r#""t":"00:00:02.000000""#),
        (r#""t":"00:00:01.4Z""#, r#""t":"00:00:01.000000""#),
        (r#""t":86400001"#, "out-of-range"),
    ] {
        let lines = told(&decoder, vec![message(&format!(r#""op":"c","after":{{"id":1,{cell}}}"#))]);
        assert!(lines[0].contains(told_as), "{lines:?}, wanted {told_as} of {cell}");
    }
}

#[test]
fn another_placeholder_can_be_configured() {
    let decoder = decoder(vec![shifts()], Options { unavailable_value: "<gone>".into(), ..debezium() });
    let lines =
        told(&decoder, vec![message(r#""op":"c","after":{"id":1,"body":"<gone>","tags":["<gone>","x"]}"#)]);
    assert!(lines[0].starts_with("wrong-type"), "{lines:?}");
    let lines = told(&decoder, vec![message(r#""op":"c","after":{"id":1,"body":"<gone>"}"#)]);
    assert!(lines[0].contains("?body"), "{lines:?}");
}

#[test]
fn messagepack_says_the_same() {
    #[derive(serde::Serialize)]
    struct Row<'a> {
        id: i64,
        rate: serde_bytes_like::Bytes<'a>,
        blob: serde_bytes_like::Bytes<'a>,
    }
    mod serde_bytes_like {
        /// Bytes as MessagePack's bin.
        pub(super) struct Bytes<'a>(pub(super) &'a [u8]);
        impl serde::Serialize for Bytes<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(self.0)
            }
        }
    }
    #[derive(serde::Serialize)]
    struct Whole<'a> {
        op: &'a str,
        after: Row<'a>,
        source: serde_json::Value,
    }
    let whole = Whole {
        op: "c",
        after: Row {
            id: 1,
            rate: serde_bytes_like::Bytes(&[4, 226]),
            blob: serde_bytes_like::Bytes(&[0, 1, 255]),
        },
        source: serde_json::json!({"name": "us-east", "schema": "public", "table": "shifts", "ts_us": 5}),
    };
    let packed = rmp_serde::to_vec_named(&whole).unwrap();
    let decoder = decoder(vec![shifts()], Options { format: Format::DebeziumMsgpack, ..debezium() });
    let lines =
        told(&decoder, vec![delivery("s", &[], packed), delivery("s", &[], "{}"), delivery("s", &[], "")]);
    assert_eq!(lines[0], r#"c 1 {"id":1,"rate":"1.250","blob":"AAH/"}!body,tags,ints before -"#);
    assert!(lines[1].starts_with("not-msgpack") && lines[2] == "control", "{lines:?}");
}
