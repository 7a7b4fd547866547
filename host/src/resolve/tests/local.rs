//! Local writes against the rules that keep more than a row and its version (promise 13).

use reconverge_streams::disposition::Disposition;

use super::{
    history::{Event, Kind, Policy},
    model::ModelSink,
};

fn event(source: usize, commit: u64, at: i64, row: (i64, i64), before: Option<(i64, i64)>) -> Event {
    Event {
        source,
        commit,
        key: 1,
        kind: if before.is_some() { Kind::Update } else { Kind::Create },
        at,
        rank: Some(row.0),
        big: Some(row.1),
        before: before.map(|(rank, big)| (Some(rank), big)),
        let_go: false,
        clock: Some([commit, 0]),
        hlc: Some((at, 0)),
    }
}

/// us-east creates (1, 5) at 100; the application writes `local` at `at`; then the change comes.
fn after(policy: Policy, local: (i64, i64), at: Option<i64>, change: Event) -> ((i64, i64), Disposition) {
    let mut sink = ModelSink::new(policy);
    sink.apply(&[event(0, 1, 100, (1, 5), None)]);
    sink.write_locally(1, (Some(local.0), local.1), at);
    sink.apply(&[change]);
    let (rank, big) = sink.rows()[&1];
    ((rank.unwrap(), big), sink.dispositions()[1])
}

#[test]
fn hybrid_clocks_meet_the_time_of_a_local_write() {
    let change = |at| event(0, 2, at, (2, 6), Some((1, 5)));
    for (local_at, at, row) in [(Some(200), 150, (9, 9)), (Some(200), 250, (2, 6)), (None, 150, (2, 6))] {
        assert_eq!(after(Policy::HlcOrdered, (9, 9), local_at, change(at)).0, row, "{local_at:?} {at}");
    }
}

/// A local write has seen what it replaced, and is one more write of our own region: nobody else has seen it.
#[test]
fn a_local_write_is_concurrent_to_what_comes_after_it() {
    let seen = Event { clock: Some([1, 0]), ..event(1, 1, 150, (2, 6), Some((1, 5))) };
    assert_eq!(after(Policy::VectorOrdered, (9, 9), None, seen).0, (9, 9), "the local write had seen it");
    let conflict = |clock| Event { clock: Some(clock), ..event(0, 2, 150, (2, 6), Some((1, 5))) };
    assert_eq!(after(Policy::VectorOrdered, (9, 9), None, conflict([3, 0])).0, (2, 6), "it has seen more");
    let (row, disposition) = after(Policy::VectorOrdered, (9, 9), Some(200), conflict([2, 0]));
    assert_eq!((row, disposition), ((9, 9), Disposition::KeptCurrent), "seen as much, written earlier");
}

/// What the application changed is told by what the incoming change's writer saw.
#[test]
fn column_by_column_a_local_write_keeps_what_it_changed() {
    for policy in [Policy::ColumnsByTimeOrdered, Policy::ColumnsByHlcOrdered] {
        let other_column = event(0, 2, 150, (1, 6), Some((1, 5)));
        assert_eq!(after(policy, (9, 5), Some(200), other_column).0, (9, 6), "{policy:?}");
        let same_column = |at| event(0, 2, at, (2, 5), Some((1, 5)));
        assert_eq!(after(policy, (9, 5), Some(200), same_column(150)).0, (9, 5), "{policy:?}");
        assert_eq!(after(policy, (9, 5), Some(200), same_column(250)).0, (2, 5), "{policy:?}");
        assert_eq!(after(policy, (9, 5), None, same_column(150)).0, (2, 5), "an unknown time never wins");
    }
}

#[test]
fn a_local_addition_stays_in_the_sum() {
    for (local_at, rank) in [(None, 2), (Some(200), 9)] {
        let change = event(0, 2, 150, (2, 8), Some((1, 5)));
        let (row, disposition) = after(Policy::CounterByTimeOrdered, (9, 7), local_at, change);
        assert_eq!((row, disposition), ((rank, 10), Disposition::Merged));
    }
}

/// A row that no change has brought yet is one write of our own region.
#[test]
fn a_row_that_only_the_application_wrote_has_a_clock_of_its_own() {
    let mut sink = ModelSink::new(Policy::VectorOrdered);
    sink.write_locally(1, (Some(9), 9), Some(200));
    sink.apply(&[event(0, 1, 150, (2, 6), None)]);
    assert_eq!(
        sink.dispositions(),
        [Disposition::KeptCurrent],
        "neither has seen the other; written earlier"
    );
    sink.apply(&[event(0, 3, 160, (3, 7), None)]);
    assert_eq!(sink.rows()[&1], (Some(3), 7), "it has seen more writes");
}

/// To the columns that it left as the next writer saw them a local write is a witness, not their author.
#[test]
fn what_a_local_write_left_alone_is_carried_along() {
    let mut sink = ModelSink::new(Policy::ColumnsByTimeOrdered);
    sink.write_locally(1, (Some(1), 5), Some(90));
    sink.apply(&[event(0, 1, 100, (2, 5), Some((1, 5)))]);
    sink.apply(&[event(1, 1, 110, (3, 7), Some((2, 7)))]);
    assert_eq!(sink.rows()[&1], (Some(3), 7), "of those that carried it the greatest origin's stands");
    let stamps = r#""$columns":[[{"origin":"us-west","carried":true},["big"]],[{"origin":"us-west","at":110},["rank"]]]"#;
    assert_eq!(sink.clock(1), Some(&*format!("{{{stamps}}}")), "the key is no column of its own");
}

/// A row that comes back where deletes win is of the change that brings it, but for what the application wrote later.
#[test]
fn a_return_does_not_take_columns_from_a_later_local_write() {
    let mut sink = ModelSink::new(Policy::ColumnsByTimeWin);
    let gone = Event { kind: Kind::Delete, rank: None, big: None, ..event(0, 2, 200, (1, 5), Some((1, 5))) };
    sink.apply(&[event(0, 1, 100, (1, 5), None), gone]);
    sink.write_locally(1, (Some(9), 9), Some(500));
    sink.apply(&[event(0, 3, 300, (2, 6), None)]);
    assert_eq!(sink.rows()[&1], (Some(9), 9));
    assert_eq!(sink.dispositions()[2], Disposition::Merged);
    sink.apply(&[event(0, 4, 600, (2, 6), Some((9, 9)))]);
    assert_eq!((sink.rows()[&1], sink.dispositions()[3]), ((Some(2), 6), Disposition::Applied));
}

/// Where deletes win nothing of a row outlives it.
#[test]
fn where_deletes_win_a_tombstone_keeps_nothing_of_the_row() {
    for policy in [Policy::ColumnsByTimeWin, Policy::GreatestWin] {
        let mut sink = ModelSink::new(policy);
        let gone =
            Event { kind: Kind::Delete, rank: None, big: None, ..event(0, 2, 200, (1, 5), Some((1, 5))) };
        sink.apply(&[event(0, 1, 100, (1, 5), None), gone]);
        assert_eq!((sink.rows().len(), sink.ordered_by(1)), (0, None));
        sink.apply(&[event(1, 1, 300, (2, 6), None)]);
        assert_eq!(sink.dispositions()[2], Disposition::KeptCurrent);
        assert_eq!((sink.rows().len(), sink.ordered_by(1)), (0, None));
    }
}

/// us-east creates a row, the application deletes it, another change comes.
fn after_local_delete(policy: Policy, region: Option<&str>, change: Event) -> (usize, Disposition) {
    let mut sink = ModelSink::new(policy);
    if let Some(region) = region {
        sink.plan_mut().region = sink.plan().names.intern(region).unwrap();
    }
    sink.apply(&[event(0, 1, 100, (1, 5), None)]);
    sink.delete_locally(1, Some(200));
    sink.apply(&[change]);
    (sink.rows().len(), sink.dispositions()[1])
}

/// SURFACE (g) 6: where deletes win, what the application deleted is gone for the others; where they are ordered, its
/// order value went with the row.
#[test]
fn a_row_that_the_application_deleted() {
    let change = |source, commit| event(source, commit, 300, (2, 6), None);
    let (lost, stands) = ((0, Disposition::KeptCurrent), (1, Disposition::Applied));
    for (policy, region, change, expected) in [
        (Policy::GreatestWin, None, change(0, 2), lost),
        (Policy::GreatestWin, None, change(1, 1), lost),
        (Policy::GreatestOrdered, None, change(0, 2), stands),
        (Policy::GreatestOrdered, None, change(1, 1), stands),
        (Policy::CommitTimeOrdered, None, event(0, 2, 150, (2, 6), None), stands),
        // Where a region publishes what its application does, it may bring back what it deleted.
        (Policy::GreatestWin, Some("us-east"), change(0, 2), stands),
        (Policy::GreatestWin, Some("us-east"), change(1, 1), lost),
        (Policy::GreatestWin, Some("us-west"), change(0, 2), lost),
        (Policy::GreatestWin, Some("us-west"), change(1, 1), stands),
    ] {
        let told = format!("{policy:?}, {region:?}, source {}", change.source);
        assert_eq!(after_local_delete(policy, region, change), expected, "{told}");
    }
}

/// What the application wrote again is no deleted row of its region any more.
#[test]
fn a_row_that_the_application_brought_back() {
    for (region, expected) in [("us-east", (Some(2), 6)), ("us-west", (Some(9), 9))] {
        let mut sink = ModelSink::new(Policy::CommitTimeWin);
        sink.plan_mut().region = sink.plan().names.intern(region).unwrap();
        let gone =
            Event { kind: Kind::Delete, rank: None, big: None, ..event(0, 2, 200, (1, 5), Some((1, 5))) };
        sink.apply(&[event(0, 1, 100, (1, 5), None), gone]);
        sink.write_locally(1, (Some(9), 9), Some(250));
        sink.apply(&[event(1, 1, 300, (2, 6), None)]);
        assert_eq!(sink.rows()[&1], expected, "the delete was that of us-east, the region is {region}");
    }
}
