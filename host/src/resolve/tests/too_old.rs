//! What comes after its tombstone has gone never brings a deleted row back.

use reconverge_streams::disposition::Disposition;

use crate::batch::Redrive;

use super::{
    history::{Event, Kind, Policy},
    model::ModelSink,
};

fn event(kind: Kind, source: usize, commit: u64, at: i64) -> Event {
    let row = (Some(1), 1);
    let deletes = kind == Kind::Delete;
    Event {
        source,
        commit,
        key: 1,
        kind,
        at,
        rank: row.0.filter(|_| !deletes),
        big: Some(row.1).filter(|_| !deletes),
        before: Some(row).filter(|_| kind != Kind::Create),
        let_go: false,
        clock: None,
        hlc: None,
    }
}

#[test]
fn older_than_a_tombstone_that_went_is_too_old() {
    let mut sink = ModelSink::new(Policy::CommitTimeOrdered);
    sink.apply(&[event(Kind::Create, 0, 1, 100), event(Kind::Delete, 0, 2, 200)]);
    sink.forget_through(200);
    for (change, told) in [
        (event(Kind::Create, 0, 1, 100), "published again"),
        (event(Kind::Update, 1, 7, 150), "from another source, older than the delete"),
        (event(Kind::Update, 1, 8, 200), "as old as the delete"),
        (event(Kind::Delete, 1, 9, 150), "a delete tells as little"),
    ] {
        sink.apply(&[change]);
        assert_eq!(sink.dispositions().last(), Some(&Disposition::TooOld), "{told}");
        assert!(sink.rows().is_empty(), "{told}");
        assert_eq!(sink.clock(1), None);
    }
    sink.apply(&[event(Kind::Create, 0, 3, 201)]);
    assert_eq!(sink.dispositions().last(), Some(&Disposition::Applied), "after the delete");
    sink.apply(&[event(Kind::Update, 1, 10, 150)]);
    assert_eq!(sink.dispositions().last(), Some(&Disposition::KeptCurrent), "what is known is compared");
}

#[test]
fn a_snapshot_row_is_of_now() {
    let mut sink = ModelSink::new(Policy::CommitTimeOrdered);
    sink.forget_through(200);
    sink.apply(&[event(Kind::Snapshot, 0, 1, 150)]);
    assert_eq!(sink.dispositions(), [Disposition::Applied]);
}

/// An operator looked at it: what is sent again from the dead letters is compared with nothing.
#[test]
fn what_is_sent_again_by_hand_is_taken() {
    let mut sink = ModelSink::new(Policy::CommitTimeOrdered);
    sink.forget_through(200);
    let mut batch = sink.batch(&[event(Kind::Update, 0, 1, 150)]);
    batch.0.tables[0].changes[0].redriven = Some(Redrive { stream: "S".into(), sequence: 1 }.into());
    sink.apply_batch(batch);
    assert_eq!(sink.rows().len(), 1);
}
