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
    let policy = Policy::ColumnsByTimeOrdered;
    let other_column = event(0, 2, 150, (1, 6), Some((1, 5)));
    assert_eq!(after(policy, (9, 5), Some(200), other_column).0, (9, 6));
    let same_column = |at| event(0, 2, at, (2, 5), Some((1, 5)));
    assert_eq!(after(policy, (9, 5), Some(200), same_column(150)).0, (9, 5));
    assert_eq!(after(policy, (9, 5), Some(200), same_column(250)).0, (2, 5));
    assert_eq!(after(policy, (9, 5), None, same_column(150)).0, (2, 5), "an unknown time never wins");
}

#[test]
fn a_local_addition_stays_in_the_sum() {
    for (local_at, rank) in [(None, 2), (Some(200), 9)] {
        let change = event(0, 2, 150, (2, 8), Some((1, 5)));
        let (row, disposition) = after(Policy::CounterByTimeOrdered, (9, 7), local_at, change);
        assert_eq!((row, disposition), ((rank, 10), Disposition::Merged));
    }
}
