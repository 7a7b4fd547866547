//! Vector and hybrid clocks through resolve: all four outcomes of a comparison, and what is kept.

use reconverge_streams::disposition::Disposition;

use super::{
    history::{Event, Kind, Policy},
    model::ModelSink,
};

/// A write of `rank` by a source whose clock is (writes by us-east, writes by us-west).
fn write(source: usize, commit: u64, at: i64, rank: i64, clock: [u64; 2]) -> Event {
    Event {
        source,
        commit,
        key: 1,
        kind: Kind::Update,
        at,
        rank: Some(rank),
        big: Some(0),
        before: Some((None, 0)),
        let_go: false,
        clock: Some(clock),
        hlc: None,
    }
}

fn rank_after(policy: Policy, events: &[Event]) -> (Option<i64>, Disposition, String) {
    let mut sink = ModelSink::new(policy);
    events.iter().for_each(|e| sink.apply(std::slice::from_ref(e)));
    let clock = sink.clock(1).unwrap_or_default().to_owned();
    (sink.rows()[&1].0, *sink.dispositions().last().unwrap(), clock)
}

/// What stands has seen two writes of us-east and one of us-west. Times say the contrary of the clocks.
#[test]
fn all_four_outcomes_of_vector_clocks() {
    let standing = write(0, 1, 200, 1, [2, 1]);
    for (told, incoming, rank, disposition, clock) in [
        ("it has seen what stands", write(1, 2, 100, 9, [2, 2]), 9, Disposition::Applied, (4, 2, 2)),
        ("what stands has seen it", write(1, 2, 300, 9, [1, 1]), 1, Disposition::KeptCurrent, (3, 2, 1)),
        (
            "the same has been seen, and it is later",
            write(1, 2, 300, 9, [2, 1]),
            9,
            Disposition::Applied,
            (3, 2, 1),
        ),
        (
            "the same has been seen, and it is earlier",
            write(1, 2, 100, 9, [2, 1]),
            1,
            Disposition::KeptCurrent,
            (3, 2, 1),
        ),
        ("conflict, and it has seen more", write(1, 2, 100, 9, [1, 4]), 9, Disposition::Applied, (5, 2, 4)),
        (
            "conflict, and it has seen less",
            write(1, 2, 300, 9, [0, 2]),
            1,
            Disposition::KeptCurrent,
            (3, 2, 2),
        ),
    ] {
        let (weight, us_east, us_west) = clock;
        let kept = format!(r#"{{"$weight":{weight},"us-east":{us_east},"us-west":{us_west}}}"#);
        let after = rank_after(Policy::VectorOrdered, &[standing.clone(), incoming]);
        assert_eq!(after, (Some(rank), disposition, kept), "{told}");
    }
}

/// Of a conflict both clocks are kept: what had seen the loser, and not the winner, is not newer than both.
#[test]
fn a_merged_clock_remembers_the_loser() {
    let (ours, theirs) = (write(0, 1, 100, 1, [3, 0]), write(1, 1, 100, 2, [0, 2]));
    let (rank, _, clock) = rank_after(Policy::VectorOrdered, &[ours.clone(), theirs.clone()]);
    assert_eq!((rank, &*clock), (Some(1), r#"{"$weight":3,"us-east":3,"us-west":2}"#));
    let has_seen_both = write(1, 2, 50, 7, [3, 3]);
    assert_eq!(rank_after(Policy::VectorOrdered, &[ours, theirs, has_seen_both]).0, Some(7));
}

#[test]
fn a_change_without_the_clock_that_its_table_goes_by_is_a_dead_letter() {
    for policy in [Policy::VectorOrdered, Policy::HlcOrdered] {
        let mut sink = ModelSink::new(policy);
        sink.apply(&[Event { clock: None, ..write(0, 1, 100, 1, [0, 0]) }]);
        assert_eq!(sink.dispositions(), [Disposition::DeadLettered]);
        sink.apply(&[Event { clock: None, kind: Kind::Snapshot, ..write(0, 2, 100, 1, [0, 0]) }]);
        assert_eq!(
            sink.dispositions()[1],
            Disposition::Applied,
            "a snapshot row is as old as what it repeats"
        );
    }
}

#[test]
fn hybrid_clocks_go_before_commit_times() {
    let at =
        |source, commit, at, rank, hlc| Event { hlc: Some(hlc), ..write(source, commit, at, rank, [0, 0]) };
    let later = at(0, 1, 100, 1, (300, 1));
    for (incoming, rank) in [
        (at(1, 1, 200, 9, (300, 0)), 1),
        (at(1, 1, 200, 9, (300, 2)), 9),
        (at(1, 1, 50, 9, (301, 0)), 9),
        (at(1, 1, 99, 9, (300, 1)), 1),
    ] {
        let told = format!("{:?}", incoming.hlc);
        let (found, _, clock) = rank_after(Policy::HlcOrdered, &[later.clone(), incoming.clone()]);
        assert_eq!(found, Some(rank), "{told}");
        let (time, counter) = if rank == 9 { incoming.hlc.unwrap() } else { (300, 1) };
        assert_eq!(clock, format!(r#"{{"$hlc":"{time}-{counter}"}}"#), "nothing else is kept");
    }
}
