//! The recorded outage, message by message.

use std::{collections::BTreeMap, io::Read as _, path::Path};

use reconverge_streams::source::{Delivery, Pulled};

use crate::{
    batch::{Batch, ItemKind, Op},
    decode::Decoder,
    plan::TablePlan,
};

use super::setup::{debezium, decoder, rectangular, table};

#[derive(serde::Deserialize)]
struct Line {
    seq: u64,
    subject: String,
    headers: BTreeMap<String, String>,
    data: String,
}

/// The messages of a recording, relative to this crate.
pub(super) fn deliveries(path: &str) -> Vec<Delivery> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines()
        .map(|line| {
            let line: Line = serde_json::from_str(line).unwrap();
            Delivery {
                sequence: line.seq,
                subject: line.subject.into(),
                headers: line.headers.into_iter().collect(),
                payload: line.data.into_bytes().into(),
                published_at: 0,
            }
        })
        .collect()
}

/// The tables of `schema.sql`, with the identities of the recording.
pub(super) fn contact_centre() -> Decoder {
    let key_only = |table| TablePlan { full_before_images: false, ..table };
    decoder(
        vec![
            table(
                "agent_schedules",
                "schedule_id",
                "schedule_id:int! agent_id:int! shift_start:timestamp! shift_end:timestamp modification_epoch:int! region_source:text! notes:text overtime_minutes:int=integer",
            ),
            table(
                "wem_audio_metadata",
                "audio_id",
                "audio_id:uuid! call_id:int! duration_ms:int=integer codec:text storage_token:text recorded_at:timestamp",
            ),
            key_only(table(
                "wem_transcription_text",
                "transcript_id",
                "transcript_id:int! audio_id:uuid language:text body:text sentiment:decimal=numeric(5,3) updated_at:timestamp",
            )),
            key_only(table(
                "public.interaction_events",
                "event_id",
                "event_id:text! timestamp:timestamp! queue_id:text event_type:text data_payload:json",
            )),
            table(
                "customer_profiles",
                "customer_id region",
                "customer_id:int! region:text! name:text email:text phone:text consent_regions:text[]",
            ),
            key_only(table("tmp_session_state", "session_id", "session_id:text! state:json")),
        ],
        debezium(),
    )
}

fn decoded(decoder: &Decoder, path: &str) -> Batch {
    let deliveries = deliveries(path);
    let count = deliveries.len();
    let batch = decoder.decode(Pulled { deliveries, scanned: 0 });
    rectangular(&batch, count);
    batch
}

fn codes(batch: &Batch) -> BTreeMap<&'static str, usize> {
    let mut codes = BTreeMap::new();
    for item in &batch.items {
        let word = match &item.kind {
            ItemKind::Change(..) => "change",
            ItemKind::Settled(disposition) => disposition.word(),
            ItemKind::Refused(refusal) => refusal.code,
            ItemKind::Held(_, disposition) => disposition.word(),
        };
        *codes.entry(word).or_insert(0) += 1;
    }
    codes
}

#[test]
fn the_recorded_outage_decodes_but_for_its_truncates() {
    let decoder = contact_centre();
    let batch = decoded(&decoder, "../examples/split-brain/split_brain.jsonl.gz");
    assert_eq!(codes(&batch), BTreeMap::from([("change", 4164), ("truncate", 3)]));
    assert_eq!((batch.through, batch.scanned), (4167, 4167));
    assert!(decoder.tables().iter().all(|t| t.ignored_names() == 0));

    let ops = |op: Op| batch.tables.iter().flat_map(|t| &t.changes).filter(|c| c.op == op).count();
    assert_eq!((ops(Op::Snapshot), ops(Op::Delete)), (658, 169));
    let moved = batch.tables.iter().flat_map(|t| &t.changes).filter(|c| c.moved.is_some()).count();
    assert!(moved >= 16 && moved % 2 == 0, "{moved}");
    assert!(batch.tables.iter().flat_map(|t| &t.changes).all(|c| c.position.is_some()));
}

#[test]
fn with_schemas_and_transaction_markers() {
    let decoder = contact_centre();
    let schemas = decoded(&decoder, "../tests/data/with_schema.jsonl.gz");
    assert_eq!(codes(&schemas), BTreeMap::from([("change", 336)]));
    let transactions = decoded(&decoder, "../tests/data/with_transactions.jsonl.gz");
    let told = codes(&transactions);
    assert!(told.keys().all(|word| matches!(*word, "change" | "control" | "truncate")), "{told:?}");
    assert_eq!(told.values().sum::<usize>(), 545);
    let in_transaction =
        transactions.tables.iter().flat_map(|t| &t.changes).filter(|c| c.transaction.is_some()).count();
    assert!(in_transaction > 50 && told["control"] > 50, "{told:?}");
}

#[test]
fn the_same_changes_with_and_without_schemas_are_the_same_bytes() {
    let decoder = contact_centre();
    let with = deliveries("../tests/data/with_schema.jsonl.gz");
    let bare: Vec<Delivery> = with
        .iter()
        .map(|delivery| {
            let whole: BTreeMap<&str, &serde_json::value::RawValue> =
                serde_json::from_slice(&delivery.payload).unwrap();
            Delivery { payload: whole["payload"].get().as_bytes().to_vec().into(), ..delivery.clone() }
        })
        .collect();
    let with = decoder.decode(Pulled { deliveries: with, scanned: 0 });
    let bare = decoder.decode(Pulled { deliveries: bare, scanned: 0 });
    for (a, b) in with.tables.iter().zip(&bare.tables) {
        assert!(a.table == b.table && a.keys == b.keys && a.after == b.after && a.before == b.before);
    }
}
