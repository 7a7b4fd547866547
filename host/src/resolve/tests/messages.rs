//! What a batch comes to besides rows: messages without a change, dead letters, what is left out of it.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use reconverge_streams::{disposition::Disposition, source::Delivery, table::TableId, writes::DeadLetter};

use super::{
    history::{Event, Kind, Policy},
    model::ModelSink,
};
use crate::{
    batch::{Batch, Item, ItemKind, Refusal},
    resolve::{LeftOut, SOURCE_EPOCH},
    stages::{Passed, Prepared},
};

fn change(source: usize, commit: u64, at: i64) -> Event {
    Event {
        source,
        commit,
        key: 1,
        kind: Kind::Update,
        at,
        rank: Some(at),
        big: Some(1),
        before: None,
        let_go: false,
        clock: None,
        hlc: None,
    }
}

fn refusal(stage: &'static str, code: &'static str, table: Option<TableId>) -> Refusal {
    Refusal { stage, code, reason: "by the test".into(), table, key: table.map(|_| vec![1, 2]) }
}

/// A message that is no change.
fn add(batch: &mut Batch, kind: ItemKind) {
    batch.items.push(Item { delivery: u32::try_from(batch.deliveries.len()).unwrap(), kind });
    batch.deliveries.push(Delivery {
        sequence: 70 + batch.deliveries.len() as u64,
        subject: "cdc.t".into(),
        headers: [("a", "1"), ("b", "2")].into_iter().collect(),
        payload: Bytes::from_static(b"what was sent"),
        published_at: 0,
    });
}

#[test]
fn messages_without_a_change_are_counted() {
    let mut sink = ModelSink::new(Policy::GreatestOrdered);
    let mut batch = sink.batch(&[change(0, 1, 100)]);
    let again = Disposition::Duplicate;
    let settled = [Disposition::Control, again, again, again, Disposition::Unlisted];
    settled.into_iter().for_each(|fate| add(&mut batch.0, ItemKind::Settled(fate)));
    add(&mut batch.0, ItemKind::Held(TableId(0), Disposition::Parked));
    let resolved = sink.apply_batch(batch);
    let of = |table, fate| resolved.counts[&table].get(fate);
    assert_eq!(settled.map(|fate| of(None, fate)), [1, 3, 3, 3, 1]);
    let table = Some(TableId(0));
    assert_eq!([Disposition::Parked, Disposition::Applied].map(|fate| of(table, fate)), [1, 1]);
    assert_eq!(resolved.writes.counts.sum(), 7);
    assert_eq!((resolved.repeats_told_by_window, resolved.repeats_told_by_sink), (3, 0));
}

/// A change that another lane counted when it came is counted there again, whatever becomes of it; so are messages.
#[test]
fn what_another_lane_counted_is_counted_there() {
    let mut sink = ModelSink::new(Policy::GreatestOrdered);
    let mut batch = sink.batch(&[change(0, 1, 100), change(0, 2, 200), change(0, 3, 300)]);
    batch.1.tables[0].passed[2] = Passed::Refused(refusal("mapping", "rejected", Some(TableId(0))));
    add(&mut batch.0, ItemKind::Settled(Disposition::Duplicate));
    add(&mut batch.0, ItemKind::Refused(refusal("decode", "not-json", None)));
    let other: Arc<str> = "p/s/other/0".into();
    batch.0.counted_by =
        [false, true, true, true, true].map(|is_other| is_other.then(|| other.clone())).into();
    let resolved = sink.apply_batch(batch);
    let counts: Vec<_> = resolved.elsewhere[&other].present().collect();
    assert_eq!(
        counts,
        [(Disposition::Applied, 1), (Disposition::Duplicate, 1), (Disposition::DeadLettered, 2)]
    );
    assert_eq!((resolved.elsewhere.len(), resolved.writes.counts.sum()), (1, 5));
}

/// The letter of a message that did not decode, where residency is bound to the table or is not.
fn undecoded(residency: bool, table: Option<TableId>) -> DeadLetter {
    let mut sink = ModelSink::new(Policy::GreatestOrdered);
    sink.plan_mut().tables[0].residency = residency;
    let mut batch = sink.batch(&[]);
    add(&mut batch.0, ItemKind::Refused(refusal("decode", "not-json", table)));
    let mut resolved = sink.apply_batch(batch);
    assert_eq!(resolved.counts[&table].get(Disposition::DeadLettered), 1);
    resolved.writes.dead.pop().unwrap()
}

/// Promise 10: bytes that residency may still object to are kept nowhere.
#[test]
fn a_message_that_did_not_decode_is_kept_where_no_residency_rule_may_object() {
    for table in [Some(TableId(0)), None] {
        let letter = undecoded(false, table);
        assert_eq!(letter.bytes.as_deref(), Some(&b"what was sent"[..]));
        assert_eq!(letter.headers.as_deref(), Some(r#"{"a":"1","b":"2"}"#));
        assert_eq!(letter.key, table.map(|_| vec![1, 2]));
        assert_eq!((letter.sequence, &*letter.subject, letter.code), (70, "cdc.t", "not-json"));
        let bare = undecoded(true, table);
        assert_eq!((bare.bytes, bare.headers, bare.key), (None, None, None), "{table:?}");
        assert_eq!(bare.digest, letter.digest);
    }
}

/// A change that a step refused: what its letter keeps.
fn refused(stage: &'static str, residency_passed: bool) -> DeadLetter {
    let mut sink = ModelSink::new(Policy::GreatestOrdered);
    let mut batch = sink.batch(&[change(0, 1, 100)]);
    batch.1.tables[0].passed[0] = Passed::Refused(refusal(stage, "rejected", Some(TableId(0))));
    batch.1.tables[0].residency_passed[0] = residency_passed;
    let mut resolved = sink.apply_batch(batch);
    assert_eq!(resolved.writes.counts.get(Disposition::DeadLettered), 1);
    resolved.writes.dead.pop().unwrap()
}

#[test]
fn a_letter_names_the_generation_where_a_plugin_refused() {
    for (stage, generation) in
        [("mapping", Some(1)), ("residency", Some(1)), ("filter", Some(1)), ("write", None)]
    {
        let letter = refused(stage, true);
        assert_eq!((letter.stage, letter.generation), (stage, generation));
        assert!(letter.bytes.is_some() && letter.headers.is_none(), "there are no headers");
        assert_eq!(refused(stage, false).bytes, None);
    }
}

/// What comes before the newest position and was committed later, alone in a batch.
fn suspicious(sink: &ModelSink) -> (Batch, Prepared) {
    let mut batch = sink.batch(&[change(0, 4, 200)]);
    batch.0.deliveries[0].sequence = 42;
    batch
}

#[test]
fn a_suspicion_is_told_and_is_kept_where_the_lane_leaves_the_change_out() {
    let left_out = |code| {
        let refusal = refusal("write", code, Some(TableId(0)));
        LeftOut { changes: HashMap::from([(0, refusal)]), ..LeftOut::default() }
    };
    for (left_out, fate, kept) in [
        (LeftOut::default(), Disposition::Regressed, 0),
        (left_out("unique-violation"), Disposition::Regressed, 0),
        (left_out(SOURCE_EPOCH), Disposition::DeadLettered, 1),
    ] {
        let mut sink = ModelSink::new(Policy::GreatestOrdered);
        sink.apply(&[change(0, 9, 100)]);
        let resolved = sink.apply_without(suspicious(&sink), &left_out);
        assert_eq!(resolved.writes.counts.get(fate), 1, "{fate}");
        let [told] = &resolved.suspicions[..] else { panic!("one suspicion") };
        assert_eq!((told.change, told.suspicion.sequence, told.suspicion.at), (0, 42, 200));
        assert_eq!((told.suspicion.position.commit, told.suspicion.newest.commit), (4, 9));
        assert_eq!(resolved.writes.suspicions.len(), kept);
        assert_eq!(sink.rows()[&1].0, Some(100));
    }
}

/// A change that the sink would not take: a dead letter, and everything else as if it had not been sent.
#[test]
fn what_is_left_out_is_a_dead_letter_and_has_no_effect() {
    let mut sink = ModelSink::new(Policy::GreatestOrdered);
    let refusal = refusal("write", "unique-violation", Some(TableId(0)));
    let left_out = LeftOut { changes: HashMap::from([(1, refusal)]), ..LeftOut::default() };
    let batch = sink.batch(&[change(0, 1, 100), change(0, 2, 200), change(1, 1, 150)]);
    let resolved = sink.apply_without(batch, &left_out);
    assert_eq!(sink.rows()[&1].0, Some(150));
    let counts: Vec<_> = resolved.writes.counts.present().collect();
    assert_eq!(counts, [(Disposition::Applied, 2), (Disposition::DeadLettered, 1)]);
    assert_eq!(resolved.writes.committed_at, Some(150), "what was not applied is not the newest that was");
}

/// What the gate stops writes nothing, not even a version.
#[test]
fn a_repetition_writes_nothing() {
    let mut sink = ModelSink::new(Policy::GreatestOrdered);
    sink.apply(&[change(0, 2, 100)]);
    let resolved = sink.apply_batch(sink.batch(&[change(0, 2, 100), change(0, 1, 90)]));
    let table = &resolved.writes.tables[0];
    assert!(table.versions.is_empty() && table.upserts.is_empty() && table.deletes.changes.is_empty());
}

/// Promise 10: of rows that residency keeps out the keys are told, and of no others.
#[test]
fn the_keys_of_suppressed_rows_are_told() {
    let mut sink = ModelSink::new(Policy::GreatestOrdered);
    let mut batch = sink.batch(&[change(0, 1, 100), Event { key: 2, ..change(0, 2, 100) }]);
    batch.1.tables[0].passed[1] = Passed::Suppressed;
    let key = batch.0.tables[0].key(1).to_vec();
    let resolved = sink.apply_batch(batch);
    assert_eq!(resolved.writes.suppressed, [(TableId(0), key)]);
    assert_eq!(resolved.writes.counts.get(Disposition::Suppressed), 1);
}

/// Where deletes win a row comes back by whatever its deleter writes next, whenever that was.
#[test]
fn a_deleter_brings_its_row_back_although_its_first_try_was_refused() {
    let mut sink = ModelSink::new(Policy::CommitTimeWin);
    let gone = Event { kind: Kind::Delete, rank: None, big: None, ..change(0, 2, 200) };
    sink.apply(&[change(0, 1, 100), gone]);
    let refusal = refusal("write", "unique-violation", Some(TableId(0)));
    let left_out = LeftOut { changes: HashMap::from([(0, refusal)]), ..LeftOut::default() };
    sink.apply_without(sink.batch(&[change(0, 3, 210)]), &left_out);
    assert!(sink.rows().is_empty());
    sink.apply(&[change(0, 4, 150)]);
    assert_eq!(sink.rows()[&1].0, Some(150));
}
