//! What is a conflict, what kind it is, and what the history shows of it.

use reconverge_streams::{disposition::Disposition, writes::Decision};

use super::{
    history::{Event, Kind, Policy},
    model::ModelSink,
};
use crate::resolve::Resolved;

const EAST: usize = 0;
const WEST: usize = 1;

/// A change of key 1 by rank, which is also its time.
fn change(source: usize, kind: Kind, rank: i64) -> Event {
    let (commit, deletes) = (u64::try_from(rank).unwrap(), kind == Kind::Delete);
    Event {
        source,
        commit,
        key: 1,
        kind,
        at: rank,
        rank: (!deletes).then_some(rank),
        big: (!deletes).then_some(7),
        before: Some((Some(rank), 3)).filter(|_| matches!(kind, Kind::Update | Kind::Delete)),
        let_go: false,
        clock: None,
        hlc: None,
    }
}

/// Applies changes, one batch each; what the last one came to.
fn last(sink: &mut ModelSink, changes: &[Event]) -> Resolved {
    let mut resolved = Resolved::default();
    for change in changes {
        resolved = sink.apply_batch(sink.batch(std::slice::from_ref(change)));
    }
    resolved
}

/// The kind and outcome that are counted, and the kind that the history has.
type Told = (Option<(&'static str, Disposition)>, Option<&'static str>);

fn told(resolved: &Resolved) -> Told {
    let counted = resolved.conflicts.last_key_value().map(|((_, kind, outcome), n)| {
        assert_eq!(*n, 1);
        (*kind, *outcome)
    });
    let decisions = &resolved.writes.decisions;
    assert!(decisions.len() < 2);
    let kept = decisions.first().map(|decision| {
        assert_eq!(resolved.conflicts.keys().next().map(|told| told.2), Some(decision.outcome));
        decision.kind
    });
    (counted, kept)
}

#[test]
fn each_kind_of_conflict() {
    use Disposition::{Applied, Deleted, KeptCurrent, NoOp};
    use Kind::{Create, Delete, Snapshot, Update};
    let stands = change(EAST, Create, 5);
    let gone = [stands.clone(), change(EAST, Delete, 6)];
    let away = [Event { let_go: true, ..stands.clone() }];
    let stands = [stands];
    let (counted, conflict) =
        (|kind, outcome| (Some((kind, outcome)), None), |kind, outcome| (Some((kind, outcome)), Some(kind)));
    let cases: [(&str, &[Event], Event, Told); 25] = [
        ("a new row", &[], change(EAST, Create, 5), (None, None)),
        ("a row from before", &[], change(EAST, Update, 5), counted("update_missing", Applied)),
        ("a delete from before", &[], change(EAST, Delete, 5), counted("delete_missing", NoOp)),
        ("its next version", &stands, change(EAST, Update, 6), (None, None)),
        ("its end", &stands, change(EAST, Delete, 6), (None, None)),
        (
            "lower",
            &stands,
            Event { commit: 6, ..change(EAST, Update, 4) },
            conflict("update_superseded", KeptCurrent),
        ),
        (
            "lower",
            &stands,
            Event { commit: 6, ..change(EAST, Delete, 4) },
            conflict("delete_superseded", KeptCurrent),
        ),
        ("another's", &stands, change(WEST, Update, 6), conflict("update_origin_differs", Applied)),
        (
            "another's, lower",
            &stands,
            change(WEST, Update, 4),
            conflict("update_origin_differs", KeptCurrent),
        ),
        ("another's", &stands, change(WEST, Delete, 6), conflict("delete_origin_differs", Deleted)),
        (
            "another's, lower",
            &stands,
            change(WEST, Delete, 4),
            conflict("delete_origin_differs", KeptCurrent),
        ),
        ("another's", &stands, change(WEST, Create, 6), conflict("insert_exists", Applied)),
        ("another's", &stands, change(WEST, Snapshot, 6), conflict("insert_exists", Applied)),
        ("let go", &stands, Event { let_go: true, ..change(WEST, Update, 6) }, (None, None)),
        ("its own return", &gone, change(EAST, Create, 7), (None, None)),
        (
            "its own, lower",
            &gone,
            Event { commit: 7, ..change(EAST, Update, 4) },
            conflict("update_deleted", KeptCurrent),
        ),
        ("another's", &gone, change(WEST, Update, 7), conflict("update_deleted", Applied)),
        ("another's, lower", &gone, change(WEST, Create, 4), conflict("update_deleted", KeptCurrent)),
        ("deleted by both", &gone, change(WEST, Delete, 7), conflict("delete_missing", NoOp)),
        ("deleted by both", &gone, change(WEST, Delete, 4), conflict("delete_missing", KeptCurrent)),
        ("its own return", &away, change(EAST, Update, 6), (None, None)),
        ("another brings it", &away, change(WEST, Update, 6), conflict("update_missing", Applied)),
        ("another's, lower", &away, change(WEST, Update, 4), (None, None)),
        ("another's", &away, change(WEST, Delete, 6), (None, None)),
        ("another's, lower", &away, change(WEST, Delete, 4), (None, None)),
    ];
    for (name, before, change, expected) in cases {
        let mut sink = ModelSink::new(Policy::GreatestOrdered);
        last(&mut sink, before);
        let resolved = last(&mut sink, std::slice::from_ref(&change));
        assert_eq!(told(&resolved), expected, "{name}: {:?} {:?}", change.kind, change.rank);
    }
}

/// A row that the application wrote is nobody's own.
#[test]
fn a_local_write_is_in_conflict_with_whatever_comes() {
    let mut sink = ModelSink::new(Policy::GreatestOrdered);
    last(&mut sink, &[change(EAST, Kind::Create, 5)]);
    sink.write_locally(1, (Some(6), 7), None);
    let resolved = last(&mut sink, &[change(EAST, Kind::Update, 7)]);
    assert_eq!(told(&resolved).1, Some("update_origin_differs"));
    assert_eq!((resolved.local_writes, resolved.writes.decisions[0].current_at), (1, None));
    assert_eq!(last(&mut sink, &[change(EAST, Kind::Update, 8)]).local_writes, 0, "it is ours by then");
}

fn shown(decision: &Decision) -> [Option<&str>; 3] {
    [&decision.incoming, &decision.current, &decision.applied].map(|row| row.as_deref())
}

#[test]
fn the_history_shows_both_sides() {
    let (row, six) = (r#"{"id":1,"rank":5,"big":7}"#, r#"{"id":1,"rank":6,"big":7}"#);
    let mut sink = ModelSink::new(Policy::GreatestOrdered);
    let mut batch = sink.batch(&[change(EAST, Kind::Create, 5), change(WEST, Kind::Update, 6)]);
    batch.0.deliveries[1].sequence = 42;
    let resolved = sink.apply_batch(batch);
    let [decision] = &resolved.writes.decisions[..] else { panic!("one conflict") };
    assert_eq!(shown(decision), [Some(six), Some(row), None]);
    let name = |id| sink.plan().names.get(id).to_string();
    assert_eq!((decision.sequence, &*decision.decided_by, decision.generation), (42, "rule", 1));
    assert_eq!(
        (name(decision.source), decision.current_origin.map(name)),
        ("us-west".into(), Some("us-east".into()))
    );
    assert_eq!((decision.position.commit, decision.incoming_at, decision.current_at), (6, Some(6), Some(5)));
    let deleted = last(&mut sink, &[change(EAST, Kind::Delete, 8)]);
    let before = r#"{"id":1,"rank":8,"big":3}"#;
    assert_eq!(
        shown(&deleted.writes.decisions[0]),
        [Some(before), Some(six), None],
        "a delete's row is that before it"
    );
    let back = last(&mut sink, &[change(WEST, Kind::Update, 9)]);
    let kept = r#"{"rank":8}"#;
    assert_eq!(shown(&back.writes.decisions[0])[1], Some(kept), "of a tombstone, what the sink keeps of it");
}

/// What the sink keeps of a tombstone is shown, also where the batch knows more.
#[test]
fn a_tombstone_is_shown_alike_in_its_own_batch() {
    let mut sink = ModelSink::new(Policy::GreatestOrdered);
    let changes = [change(EAST, Kind::Delete, 5), change(WEST, Kind::Update, 6)];
    let resolved = sink.apply_batch(sink.batch(&changes));
    assert_eq!(shown(&resolved.writes.decisions[0])[1], Some(r#"{"rank":5}"#));
}

/// Of a row that does not belong here nothing is shown, and a table that does not archive shows no row at all.
#[test]
fn rows_are_shown_where_they_may_be() {
    let away = Event { let_go: true, ..change(EAST, Kind::Create, 5) };
    let mut sink = ModelSink::new(Policy::GreatestOrdered);
    let resolved = last(&mut sink, &[away, change(WEST, Kind::Update, 6)]);
    assert_eq!(shown(&resolved.writes.decisions[0])[1], None);
    for before in [Kind::Create, Kind::Delete] {
        let mut sink = ModelSink::new(Policy::GreatestOrdered);
        sink.plan_mut().tables[0].archive_losers = false;
        let resolved = last(&mut sink, &[change(EAST, before, 5), change(WEST, Kind::Update, 6)]);
        assert_eq!(shown(&resolved.writes.decisions[0]), [None, None, None]);
    }
}

/// Where rows are put together, the kind tells whether both sides had changed the same column.
#[test]
fn columns_that_both_sides_changed() {
    let start = Event { before: None, rank: Some(1), big: Some(5), ..change(EAST, Kind::Snapshot, 1) };
    let update = |source, commit, at, rank, big| Event {
        at,
        rank: Some(rank),
        big: Some(big),
        before: Some((Some(1), 5)),
        ..change(source, Kind::Update, commit)
    };
    for (name, ours, theirs, kind, row) in [
        (
            "other columns",
            update(EAST, 2, 110, 2, 5),
            update(WEST, 2, 120, 1, 6),
            "update_origin_differs",
            (2, 6),
        ),
        (
            "the same, later",
            update(EAST, 2, 110, 2, 5),
            update(WEST, 2, 120, 3, 5),
            "update_differing",
            (3, 5),
        ),
        (
            "the same, earlier",
            update(EAST, 2, 120, 2, 5),
            update(WEST, 2, 110, 3, 5),
            "update_differing",
            (2, 5),
        ),
        (
            "the same to the same",
            update(EAST, 2, 110, 2, 5),
            update(WEST, 2, 120, 2, 6),
            "update_origin_differs",
            (2, 6),
        ),
        (
            "the same of its own",
            update(EAST, 2, 120, 2, 5),
            update(EAST, 3, 110, 3, 5),
            "update_superseded",
            (2, 5),
        ),
    ] {
        let mut sink = ModelSink::new(Policy::ColumnsByTimeOrdered);
        let resolved = last(&mut sink, &[start.clone(), ours, theirs]);
        assert_eq!(told(&resolved).1, Some(kind), "{name}");
        assert_eq!(sink.rows()[&1], (Some(row.0), row.1), "{name}");
    }
}

/// Who decided is told: the rule, or the step of the tie chain.
#[test]
fn the_step_that_decided_is_named() {
    for (kind, at, origin, by) in [
        (Kind::Update, 6, WEST, "tie:commit-time"),
        (Kind::Delete, 4, WEST, "tie:delete"),
        (Kind::Update, 5, WEST, "tie:origin"),
    ] {
        let mut sink = ModelSink::new(Policy::GreatestOrdered);
        let equal = Event { at, before: Some((Some(5), 3)), ..change(origin, kind, 5) };
        let resolved = last(&mut sink, &[change(EAST, Kind::Create, 5), equal]);
        assert_eq!(&*resolved.writes.decisions[0].decided_by, by);
    }
}

/// SURFACE (g) 4: a row that stands keeps its place, and nothing else does: not what does not belong here, however new.
#[test]
fn where_the_current_row_is_kept_only_a_row_is() {
    let older = change(WEST, Kind::Create, 4);
    for (let_go, fate) in [(true, Disposition::Applied), (false, Disposition::KeptCurrent)] {
        let mut sink = ModelSink::new(Policy::KeepCurrent);
        sink.apply(&[Event { let_go, ..change(EAST, Kind::Create, 5) }, older.clone()]);
        assert_eq!(sink.dispositions()[1], fate, "let go: {let_go}");
    }
}

/// SURFACE (g) 4: among equals the later position counts against the same source's; another source that passes on what
/// began at the same origin has no later one, and the rows' bytes decide.
#[test]
fn a_source_that_is_new_to_a_row_has_no_later_position() {
    let stands = change(EAST, Kind::Create, 5);
    let equal = |source| Event { commit: 6, big: Some(3), ..change(source, Kind::Update, 5) };
    let not_here = Event { let_go: true, big: Some(9), ..equal(WEST) };
    let here = Event { big: Some(9), ..equal(WEST) };
    for (told, change, big) in [
        ("its own source", equal(EAST), 3),
        ("another source, lesser bytes", equal(WEST), 7),
        ("another source, greater bytes", here, 9),
        ("what does not belong here has no bytes", not_here, 7),
    ] {
        let mut sink = ModelSink::new(Policy::GreatestOrdered);
        sink.apply(std::slice::from_ref(&stands));
        let mut batch = sink.batch(&[change]);
        batch.0.tables[0].changes[0].origin = sink.plan().names.intern("us-east").unwrap();
        sink.apply_batch(batch);
        assert_eq!(sink.rows().get(&1), Some(&(Some(5), big)), "{told}");
    }
}
