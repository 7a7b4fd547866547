//! Reconverge's own envelope.

use std::sync::Arc;

use reconverge_streams::source::Delivery;

use crate::{
    batch::{ItemKind, Redrive, Transaction},
    config::Format,
    decode::{Decoder, Options},
    plan::TablePlan,
};

use super::setup::{debezium, decoder, delivery, only, pulled, table, told};

const VERSION: (&str, &str) = ("Reconverge-Version", "1");

fn shifts() -> TablePlan {
    table(
        "public.shifts",
        "id",
        "id:int epoch:int=integer start:timestamp note:text=varchar(8) doc:json tags:text[] rate:decimal=numeric(5,3) owner:text!",
    )
}

fn setup() -> Decoder {
    decoder(vec![shifts(), table("pairs", "a b", "a:text b:uuid c:bytes")], Options::default())
}

fn envelope(rest: &str) -> Delivery {
    let head = r#""v":1,"table":"public.shifts","origin":"east","at":5,"pos":{"source":"east","epoch":2,"commit":"9","ordinal":3}"#;
    delivery("cdc.east.0.public.shifts", &[VERSION], format!("{{{head},{rest}}}"))
}

#[test]
fn rows_become_cells_by_the_columns_type() {
    let row = r#"{"id":"7","epoch":41,"start":"2026-03-02T08:30:00+02:00","note":"late","doc":{"b":1,"a":"x"},"tags":["x",null],"rate":"1.5","owner":"o","elsewhere":{"x":[1]}}"#;
    for (rest, line) in [
        (
            format!(r#""op":"c","key":{{"id":7}},"after":{row}"#),
            r#"c 7 {"id":7,"epoch":41,"start":"2026-03-02T06:30:00.000000Z","note":"late","doc":{"a":"x","b":1},"tags":["x",null],"rate":"1.500","owner":"o"} before -"#,
        ),
        (
            r#""op":"u","key":{"id":"7"},"before":{"id":"7","epoch":1},"after":{"epoch":null,"start":1000000,"owner":"o"},"absent":["doc","nowhere"]"#.into(),
            r#"u 7 {"id":7,"epoch":null,"start":"1970-01-01T00:00:01.000000Z","owner":"o"}?doc!note,tags,rate before {"id":7,"epoch":1}?start,note,doc,tags,rate,owner"#,
        ),
        (
            r#""op":"u","key":{"id":"7"},"before":null,"after":{"owner":"o"}"#.into(),
            r#"u 7 {"id":7,"owner":"o"}!epoch,start,note,doc,tags,rate before ?"#,
        ),
        (
            r#""op":"r","key":{"id":"7"},"after":{"owner":"o"}"#.into(),
            r#"r 7 {"id":7,"owner":"o"}!epoch,start,note,doc,tags,rate before -"#,
        ),
        (
            r#""op":"d","key":{"id":"7"},"before":{"epoch":4}"#.into(),
            r#"d 7 {"id":7}-epoch,start,note,doc,tags,rate,owner before {"id":7,"epoch":4}?start,note,doc,tags,rate,owner"#,
        ),
        (
            r#""op":"d","key":{"id":"7"}"#.into(),
            r#"d 7 {"id":7}-epoch,start,note,doc,tags,rate,owner before {"id":7}?epoch,start,note,doc,tags,rate,owner"#,
        ),
        (
            r#""op":"c","key":{"id":"7"},"after":{"owner":"o","doc":"{\"b\":1, \"a\":2}","start":"-infinity"}"#.into(),
            r#"c 7 {"id":7,"start":"-infinity","doc":{"a":2,"b":1},"owner":"o"}!epoch,note,tags,rate before -"#,
        ),
    ] {
        assert_eq!(told(&setup(), vec![envelope(&rest)]), [line], "{rest}");
    }
}

#[test]
fn logical_clocks_are_read_and_kept_with_the_change() {
    let rest =
        |clocks: &str| format!(r#""op":"c","key":{{"id":"7"}},"after":{{"id":7,"owner":"a"}},{clocks}"#);
    let change =
        only(&setup(), envelope(&rest(r#""clock":{"us":5,"eu":2,"ap":0},"hlc":"1760000000100000-3""#)));
    let clocks = change.changes[0].clocks.clone();
    assert_eq!(clocks.vector, Some(Arc::new(crate::clock::VectorClock::new([("us", 5), ("eu", 2)]))));
    assert_eq!(clocks.hlc.map(|hlc| hlc.to_string()).as_deref(), Some("1760000000100000-3"));
    let many: Vec<String> = (0..257).map(|n| format!(r#""r{n}":1"#)).collect();
    for (wrong, word) in [
        (r#""hlc":"yesterday""#.to_owned(), "bad-clock"),
        (format!(r#""clock":{{{}}}"#, many.join(",")), "bad-clock"),
        (r#""clock":{"us":-1}"#.to_owned(), "not-an-envelope"),
        (r#""clock":"us""#.to_owned(), "not-an-envelope"),
    ] {
        let batch = setup().decode(pulled(vec![envelope(&rest(&wrong))]));
        let ItemKind::Refused(refusal) = &batch.items[0].kind else { panic!("{wrong} was taken") };
        assert_eq!(refusal.code, word, "{wrong}");
    }
}

#[test]
fn a_changed_key_is_a_delete_and_a_create() {
    let rest = r#""op":"u","key":{"id":"8"},"before":{"id":7,"owner":"a"},"after":{"id":8,"owner":"b"},"absent":["doc"]"#;
    let unchanged = r#""op":"u","key":{"id":"7"},"before":{"id":7},"after":{"id":7,"owner":"b"}"#;
    assert_eq!(
        told(&setup(), vec![envelope(unchanged), envelope(rest), envelope(unchanged)]),
        [
            r#"u 7 {"id":7,"owner":"b"}!epoch,start,note,doc,tags,rate before {"id":7}?epoch,start,note,doc,tags,rate,owner"#,
            r#"d 7 {"id":7}-epoch,start,note,doc,tags,rate,owner before {"id":7,"owner":"a"}?epoch,start,note,doc,tags,rate moved 8"#,
            r#"c 8 {"id":8,"owner":"b"}?doc!epoch,start,note,tags,rate before - moved 7"#,
            r#"u 7 {"id":7,"owner":"b"}!epoch,start,note,doc,tags,rate before {"id":7}?epoch,start,note,doc,tags,rate,owner"#,
        ]
    );
}

#[test]
fn without_full_images_only_the_key_of_before_is_believed() {
    let plan = TablePlan { full_before_images: false, ..shifts() };
    let rest =
        r#""op":"d","key":{"id":"7"},"before":{"id":"7","epoch":0,"owner":"","start":"no time at all"}"#;
    assert_eq!(
        told(&decoder(vec![plan], Options::default()), vec![envelope(rest)]),
        [
            r#"d 7 {"id":7}-epoch,start,note,doc,tags,rate,owner before {"id":7}?epoch,start,note,doc,tags,rate,owner"#
        ]
    );
}

#[test]
fn every_fault_has_its_word_and_tells_no_value() {
    let secret = "hunter2hunter2";
    let write = |cells: &str| format!(r#""op":"c","key":{{"id":7}},"after":{{"owner":"o",{cells}}}"#);
    for (rest, told_as) in [
        (r#""op":"t""#.into(), "truncate"),
        (r#""op":"x""#.into(), "unknown-op"),
        (r#""key":{"id":7}"#.into(), "not-an-envelope"),
        (r#""op":5"#.into(), "not-an-envelope"),
        (r#""op":"c","key":{"id":7}"#.into(), "not-an-envelope"),
        (r#""op":"c","key":{"id":7},"after":[1]"#.into(), "not-an-envelope"),
        (r#""op":"c","key":{"id":7},"after":{"owner":"o","owner":"p"}"#.into(), "not-an-envelope"),
        (r#""op":"c","key":{"id":7},"after":{"owner":"o"},"pos":{"commit":"-1"}"#.into(), "not-an-envelope"),
        (r#""op":"c","after":{"id":7,"owner":"o"}"#.into(), "missing-key"),
        (r#""op":"c","key":{},"after":{"id":7,"owner":"o"}"#.into(), "missing-key"),
        (r#""op":"d","key":{}"#.into(), "missing-key"),
        (r#""op":"c","key":{"id":null},"after":{"owner":"o"}"#.into(), "null-key"),
        (r#""op":"c","key":{"id":7},"after":{"id":8,"owner":"o"}"#.into(), "key-mismatch"),
        (r#""op":"d","key":{"id":7},"before":{"id":8}"#.into(), "key-mismatch"),
        (r#""op":"c","key":{"id":7},"after":{"id":7,"owner":null}"#.into(), "null-in-not-null"),
        (format!(r#""op":"c","key":{{"id":"{secret}"}},"after":{{"owner":"o"}}"#), "wrong-type"),
        (write(&format!(r#""epoch":"{secret}""#)), "wrong-type"),
        (write(r#""epoch":1.5"#), "wrong-type"),
        (write(r#""epoch":true"#), "wrong-type"),
        (write(r#""epoch":2147483648"#), "out-of-range"),
        (write(r#""epoch":99999999999999999999"#), "out-of-range"),
        (write(&format!(r#""start":"{secret}""#)), "wrong-type"),
        (write(r#""start":"+294276-12-31T23:59:59Z""#), "out-of-range"),
        (write(r#""note":"ninechars""#), "too-long"),
        (write(r#""note":5"#), "wrong-type"),
        (write(r#""note":"a\u0000b""#), "nul-in-text"),
        (write(r#""doc":{"a":"\u0000"}"#), "nul-in-text"),
        (write(&format!(r#""doc":"{secret}""#)), "wrong-type"),
        (write(r#""tags":["a",["b"]]"#), "wrong-type"),
        (write(r#""tags":["\u0000"]"#), "nul-in-text"),
        (write(&format!(r#""tags":"{secret}""#)), "wrong-type"),
        (write(r#""rate":"100.5""#), "out-of-range"),
        (write(r#""rate":"1.2345""#), "out-of-range"),
        (write(&format!(r#""rate":"{secret}""#)), "wrong-type"),
        (write(&format!(r#""doc":{}1{}"#, "[".repeat(200), "]".repeat(200))), "too-deep"),
        (write(&format!(r#""doc":"{}""#, "x".repeat(2 << 20))), "too-large"),
    ] {
        let lines = told(&setup(), vec![envelope(&rest)]);
        assert!(
            lines.len() == 1 && lines[0].starts_with(&format!("{told_as}: ")),
            "{lines:?} from {rest:.200}"
        );
        assert!(!lines[0].contains(secret), "{lines:?}");
    }
    assert_eq!(
        told(&setup(), vec![envelope(&write(r#""epoch":"x""#))]),
        [
            "wrong-type: table `public.shifts`: column `epoch`: expected an integer of 64 bits, found other text (with key)"
        ]
    );
}

#[test]
fn messages_that_are_no_change() {
    let bare = |payload: &str| delivery("cdc.east.0.public.shifts", &[VERSION], payload);
    let position =
        r#"{"v":1,"table":"public.shifts","origin":"e","at":5,"op":"d","key":{"id":1},"pos":{"commit":"x"}}"#;
    for (message, told_as) in [
        (delivery("cdc.east.0._.heartbeat", &[VERSION], "{}"), "control"),
        (delivery("cdc.east.0._.window", &[VERSION], "no JSON"), "control"),
        (bare(""), "not-json"),
        (bare("{"), "not-json"),
        (bare("[]"), "not-an-envelope"),
        (bare("{}"), "not-an-envelope"),
        (bare(position), "bad-position"),
        (bare(r#"{"v":2,"table":"public.shifts"}"#), "unknown-version"),
        (bare(r#"{"table":"nobody.knows","op":"t"}"#), "unlisted"),
        (bare(r#"{"table":"other.shifts","op":"t"}"#), "unlisted"),
        (bare(r#"{"table":"any.pairs","op":"t"}"#), "truncate"),
        (
            bare(r#"{"table":"pairs","op":"c","key":{"a":"x"},"at":1,"origin":"e","after":{"a":"x"}}"#),
            "missing-key",
        ),
        (bare(r#"{"table":"pairs","op":"c"}"#), "not-an-envelope"),
        (delivery("s", &[("Reconverge-Version", "2")], "{}"), "unknown-version"),
        (delivery("s", &[], r#"{"table":"pairs","op":"t"}"#), "unknown-version"),
        (delivery("s", &[], r#"{"v":1,"table":"pairs","op":"t"}"#), "truncate"),
        (delivery("s", &[VERSION], b"\xff\xfe".to_vec()), "not-json"),
        (delivery("s", &[VERSION, ("Content-Type", "application/msgpack")], b"\x81".to_vec()), "not-msgpack"),
    ] {
        let lines = told(&setup(), vec![message]);
        assert!(lines[0].split(':').next() == Some(told_as), "{lines:?}, wanted {told_as}");
    }
    // A native message in a stream of Debezium's is told by its header.
    let lines =
        told(&decoder(vec![shifts()], debezium()), vec![bare(r#"{"table":"public.shifts","op":"t"}"#)]);
    assert!(lines[0].starts_with("truncate"), "{lines:?}");
}

#[test]
fn our_own_writes_are_echoes_unless_their_key_is_incomplete() {
    let with_origin = |origin: &str, rest: &str| {
        delivery("s", &[VERSION], format!(r#"{{"table":"public.shifts","at":1,"origin":"{origin}",{rest}}}"#))
    };
    let row = r#""op":"c","key":{"id":1},"after":{"owner":"o","epoch":"not read"}"#;
    let hops = format!(r#"{row},"hops":["east","home"]"#);
    let mut relayed = with_origin("east", row);
    relayed.headers = relayed.headers.with("Reconverge-Hops", "east, home");
    let delete = r#""op":"d","key":{"id":1},"before":{"owner":"home"}"#;
    let by_column = r#""op":"u","key":{"id":1},"after":{"epoch":"not read","owner":"home"}"#;
    let mut plan = shifts();
    plan.origin_column = plan.column("owner");
    let decoder = decoder(vec![plan], Options::default());
    for (message, told_as) in [
        (with_origin("home", row), "echo"),
        (with_origin("east", &hops), "echo"),
        (relayed, "echo"),
        (with_origin("east", by_column), "echo"),
        (with_origin("home", r#""op":"d","key":{}"#), "missing-key"),
        (with_origin("east", row), "wrong-type"),
        (with_origin("east", delete), "d 1 {\"id\""),
    ] {
        let lines = told(&decoder, vec![message]);
        assert!(lines[0].split(':').next() == Some(told_as), "{lines:?}, wanted {told_as}");
    }
}

#[test]
fn facts_of_the_change_are_kept() {
    let decoder = setup();
    let rest = r#""op":"c","key":{"id":1},"after":{"owner":"o"},"schema":3,"txn":{"id":"991","n":2,"end":true},"event_id":"b7c1","clock":{"east":5},"hlc":"1-2""#;
    let mut message = envelope(rest);
    message.headers = message.headers.with("Reconverge-Redrive", "CDC/US/41");
    let batch = only(&decoder, message);
    let change = &batch.changes[0];
    let position = change.position.unwrap();
    assert_eq!((position.epoch, position.commit, position.ordinal), (2, 9, 3));
    assert_eq!((change.at, change.published_at, change.schema), (5, 77, 3));
    assert_eq!(&*decoder.plan().names.get(change.source), "east");
    assert_eq!(change.event_id.as_deref(), Some("b7c1"));
    assert_eq!(change.transaction, Some(Transaction { id: "991".into(), number: 2, end: true }));
    assert_eq!(change.redriven.as_deref(), Some(&Redrive { stream: "CDC/US".into(), sequence: 41 }));
}

#[test]
fn sources_fall_back_to_the_configured_origin() {
    let options = Options { origin: Some("north".into()), ..Options::default() };
    let decoder = decoder(vec![shifts()], options);
    let message = delivery(
        "s",
        &[VERSION],
        r#"{"table":"public.shifts","at":1,"op":"d","key":{"id":1},"pos":{"commit":"5"}}"#,
    );
    let change = only(&decoder, message).changes.remove(0);
    assert_eq!(&*decoder.plan().names.get(change.origin), "north");
    assert_eq!(change.position.unwrap().ordinal, 0);
}

#[test]
fn key_columns_may_have_another_name_at_the_source() {
    let mut plan = table("audio", "audio_id", "audio_id:int id:text");
    plan.key_from = vec![("nr".into(), 0)];
    let decoder = decoder(vec![plan], Options::default());
    let message = delivery(
        "s",
        &[VERSION],
        r#"{"table":"audio","at":1,"origin":"e","op":"c","key":{"nr":5},"after":{"nr":5,"id":"x","audio_id":"ignored"}}"#,
    );
    assert_eq!(told(&decoder, vec![message]), [r#"c 5 {"audio_id":5,"id":"x"} before -"#]);
    assert_eq!(decoder.tables()[0].ignored_names(), 1);
}

#[test]
fn versions_and_payload_schemas_are_checked() {
    let mut plan = shifts();
    plan.accept = vec![2, 3];
    let schema = serde_json::json!({
        "required": ["owner"],
        "properties": { "owner": { "maxLength": 3 }, "doc": { "properties": { "n": { "type": "integer" } } } },
    });
    plan.payload_schema = Some(Arc::new(jsonschema::validator_for(&schema).unwrap()));
    let decoder = decoder(vec![plan], Options::default());
    let message = |schema: &str, after: &str| {
        envelope(&format!(r#""op":"c","key":{{"id":1}},"after":{after},"schema":{schema}"#))
    };
    for (message, told_as) in [
        (message("3", r#"{"owner":"o"}"#), "c 1 {\"id\""),
        (message("1", r#"{"owner":"o"}"#), "schema-version"),
        (message("null", r#"{"owner":"o"}"#), "schema-version"),
        (message("3", "{}"), "schema-violation"),
        (message("3", r#"{"owner":"hunter2"}"#), "schema-violation"),
    ] {
        let lines = told(&decoder, vec![message]);
        assert!(lines[0].split(':').next() == Some(told_as), "{lines:?}, wanted {told_as}");
        assert!(!lines[0].contains("hunter2"));
    }
    let lines = told(&decoder, vec![message("2", r#"{"owner":"o","doc":{"n":"x"}}"#)]);
    assert!(lines[0].contains("`/doc/n`") && lines[0].contains("type"), "{lines:?}");
}

#[test]
fn messagepack_says_the_same() {
    let json = serde_json::json!({
        "v": 1, "op": "u", "table": "pairs", "key": {"a": "x", "b": "0B0E4F2A-8D6E-4C1B-9C55-2F6F2F6B0001"},
        "after": {"c": null}, "pos": {"commit": "9", "ordinal": 1}, "origin": "east", "at": 5,
    });
    let packed = rmp_serde::to_vec_named(&json).unwrap();
    let headers = [VERSION, ("Content-Type", "application/msgpack")];
    let lines =
        told(&setup(), vec![delivery("s", &headers, packed), delivery("s", &[VERSION], json.to_string())]);
    assert_eq!(
        lines[0],
        r#"u x/0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001 {"a":"x","b":"0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001","c":null} before ?"#
    );
    assert_eq!(lines[0], lines[1]);
}

#[test]
fn a_refused_row_leaves_its_neighbours_alone() {
    let good = r#""op":"c","key":{"id":1},"after":{"owner":"o"}"#;
    let bad = r#""op":"u","key":{"id":2},"before":{"epoch":"x"},"after":{"owner":"o","note":"half"}"#;
    let lines = told(&setup(), vec![envelope(good), envelope(bad), envelope(good)]);
    assert!(lines[0] == lines[2] && lines[1].starts_with("wrong-type"), "{lines:?}");
}

#[test]
fn an_empty_pull_is_an_empty_batch() {
    let batch = setup().decode(reconverge_streams::source::Pulled { deliveries: Vec::new(), scanned: 12 });
    assert!(batch.items.is_empty() && batch.tables.is_empty());
    assert_eq!((batch.through, batch.scanned), (12, 12));
    assert_eq!(Options::default().format, Format::Native);
}
