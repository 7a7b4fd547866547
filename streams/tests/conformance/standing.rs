//! What stands: rows, versions, and whether the application was there.

use reconverge_streams::{
    columns::State,
    logical::Logical,
    position::{Position, Seen},
    sink::Claim,
    standing::StandingKind,
};

use crate::{
    fixture::{Fixture, Table},
    world::{World, cell},
};

fn shifts() -> Vec<Table> {
    vec![Table::new("shifts", &[("id", Logical::Int), ("epoch", Logical::Int), ("name", Logical::Text)])]
}

pub async fn nothing_stands_in_an_empty_table<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let found = world.stands(&mut claim, 0, &[&["1"]], &[]).await;
    let key = &found.keys[0];
    assert!(key.row.is_none() && key.version.is_none() && key.ordered_by.is_none() && key.local.is_none());
    assert_eq!((found.rows.rows(), found.gate.len()), (0, 0));
}

pub async fn what_was_written_stands_with_its_version<F: Fixture>() {
    let mut world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("epoch", Some("5")), ("name", None)]);
    let mut version = world.version(StandingKind::Absence, 2);
    version.clock = Some(r#"{"us-east":5}"#.into());
    version.origin = world.name("eu-north");
    version.seen.push(Seen {
        source: world.name("us-west"),
        position: Position { epoch: 3, commit: u64::MAX, ordinal: 0 },
        deleted: true,
        live_at: i64::MIN,
    });
    batch.version(0, &["2"], version.clone(), None);
    batch.run(&mut claim).await;
    world.restart().await;
    // Names get other numbers in another process.
    world.name("us-west");
    let mut claim = world.claim().await;
    let found = world.stands(&mut claim, 0, &[&["1"], &["2"]], &[]).await;
    let key = &found.keys[0];
    assert_eq!(key.version.as_ref(), Some(&world.version(StandingKind::Row, 1)));
    assert!(key.local.is_none());
    let row = key.row.expect("a row");
    assert_eq!([0, 1, 2].map(|c| cell(&found, row, c)), [Some("1".into()), Some("5".into()), None]);
    assert_eq!(found.rows.columns[2].state(row as usize), State::Null);
    let other = found.keys[1].version.as_ref().expect("a version");
    assert_eq!(&*world.names.get(other.origin), "eu-north");
    assert_eq!(
        (other.standing, other.committed_at, &other.clock),
        (version.standing, version.committed_at, &version.clock)
    );
    assert_eq!(other.seen.len(), 2);
    let west = other.seen.iter().find(|s| s.source == world.name("us-west")).expect("both sources");
    assert_eq!((west.position, west.deleted, west.live_at), (version.seen[1].position, true, i64::MIN));
}

pub async fn a_tombstone_keeps_its_order_columns<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("epoch", Some("5")), ("name", Some("x"))]);
    batch.run(&mut claim).await;
    let mut batch = world.batch(1);
    batch.delete(0, &["1"], Some(r#"{"epoch":9007199254740993}"#));
    batch.run(&mut claim).await;
    let found = world.stands(&mut claim, 0, &[&["1"], &["2"]], &["epoch"]).await;
    let key = &found.keys[0];
    assert!(key.row.is_none() && key.local.is_none());
    assert_eq!(key.version.as_ref().map(|v| v.standing), Some(StandingKind::Tombstone));
    let kept = key.ordered_by.expect("order columns");
    assert_eq!(cell(&found, kept, 1).as_deref(), Some("9007199254740993"));
    assert_eq!(found.rows.columns[2].state(kept as usize), State::NoRow);
    assert!(found.keys[1].ordered_by.is_none());
}

pub async fn an_absence_stands_as_one<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.version(0, &["1"], world.version(StandingKind::Absence, 1), Some(r#"{"epoch":7}"#));
    batch.version(0, &["2"], world.version(StandingKind::Nothing, 2), None);
    batch.run(&mut claim).await;
    let found = world.stands(&mut claim, 0, &[&["1"], &["2"]], &["epoch"]).await;
    let kinds: Vec<_> = found.keys.iter().map(|k| k.version.as_ref().map(|v| v.standing)).collect();
    assert_eq!(kinds, [Some(StandingKind::Absence), Some(StandingKind::Nothing)]);
    assert!(found.keys.iter().all(|k| k.local.is_none() && k.row.is_none()));
    assert_eq!(cell(&found, found.keys[0].ordered_by.expect("kept"), 1).as_deref(), Some("7"));
}

/// A world in which we wrote row 1.
async fn with_row_one<F: Fixture>() -> World<F> {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("epoch", Some("5")), ("name", Some("ours"))]);
    batch.run(&mut claim).await;
    world
}

pub async fn a_changed_row_is_a_local_write<F: Fixture>() {
    let world = with_row_one::<F>().await;
    let mut claim = world.claim().await;
    assert!(world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].local.is_none());
    world.fixture.app_write(&world.tables[0], &[("id", Some("1")), ("name", Some("theirs"))]).await;
    let found = world.stands(&mut claim, 0, &[&["1"]], &[]).await;
    assert!(found.keys[0].local.is_some() && found.keys[0].version.is_some());
    assert_eq!(cell(&found, found.keys[0].row.expect("a row"), 2).as_deref(), Some("theirs"));
    // Written over by us, it is ours again.
    let mut batch = world.batch(1);
    batch.upsert(0, &[("id", Some("1")), ("epoch", Some("6"))]);
    batch.run(&mut claim).await;
    let found = world.stands(&mut claim, 0, &[&["1"]], &[]).await;
    assert!(found.keys[0].local.is_none());
    assert_eq!(cell(&found, found.keys[0].row.expect("a row"), 2).as_deref(), Some("theirs"));
}

pub async fn a_new_row_is_a_local_write<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    world.fixture.app_write(&world.tables[0], &[("id", Some("1")), ("name", Some("theirs"))]).await;
    let mut claim = world.claim().await;
    let found = world.stands(&mut claim, 0, &[&["1"]], &[]).await;
    let key = &found.keys[0];
    assert!(key.local.is_some() && key.version.is_none() && key.row.is_some());
}

pub async fn a_deleted_row_is_a_local_write<F: Fixture>() {
    let world = with_row_one::<F>().await;
    world.fixture.app_delete(&world.tables[0], &["1"]).await;
    let mut claim = world.claim().await;
    let found = world.stands(&mut claim, 0, &[&["1"]], &[]).await;
    let key = &found.keys[0];
    assert!(key.local.is_some() && key.row.is_none());
    assert_eq!(key.version.as_ref().map(|v| v.standing), Some(StandingKind::Row));
}

pub async fn a_row_that_came_back_under_a_tombstone_is_a_local_write<F: Fixture>() {
    let world = with_row_one::<F>().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(1);
    batch.delete(0, &["1"], None);
    batch.run(&mut claim).await;
    // The very row that we had written before, so that only the tombstone can tell.
    let row = [("id", Some("1")), ("epoch", Some("5")), ("name", Some("ours"))];
    world.fixture.app_write(&world.tables[0], &row).await;
    let found = world.stands(&mut claim, 0, &[&["1"]], &[]).await;
    assert!(found.keys[0].local.is_some() && found.keys[0].row.is_some());
    // A version of a row that the batch does not write takes nothing for ours.
    let mut batch = world.batch(2);
    batch.version(0, &["1"], world.version(StandingKind::Row, 3), None);
    batch.run(&mut claim).await;
    assert!(world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].local.is_some());
}

pub async fn our_own_writes_are_not_local<F: Fixture>() {
    let mut world = with_row_one::<F>().await;
    world.restart().await;
    let mut claim = world.claim().await;
    for from in 1..4 {
        let mut batch = world.batch(from);
        let epoch = from.to_string();
        batch.upsert(0, &[("id", Some("1")), ("epoch", Some(&epoch))]);
        let standing = batch.run(&mut claim).await;
        assert!(standing.tables[0].keys[0].local.is_none(), "{from}");
    }
    let mut batch = world.batch(4);
    batch.delete(0, &["1"], None);
    batch.run(&mut claim).await;
    let mut batch = world.batch(5);
    batch.upsert(0, &[("id", Some("1")), ("name", Some("back"))]);
    let standing = batch.run(&mut claim).await;
    assert!(standing.tables[0].keys[0].local.is_none());
    assert!(world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].local.is_none());
}

pub async fn an_added_column_makes_no_local_write<F: Fixture>() {
    let mut world = with_row_one::<F>().await;
    world.fixture.add_column(&world.tables[0], "overtime", Logical::Int).await;
    world.restart().await;
    assert_eq!(world.shapes[0].columns.len(), 4);
    let mut claim = world.claim().await;
    let found = world.stands(&mut claim, 0, &[&["1"]], &[]).await;
    assert!(found.keys[0].local.is_none());
    assert_eq!(found.rows.columns[3].state(0), State::Null);
}

pub async fn a_version_written_alone_keeps_what_the_sink_remembers<F: Fixture>() {
    let world = with_row_one::<F>().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(1);
    batch.version(0, &["1"], world.version(StandingKind::Row, 9), None);
    batch.run(&mut claim).await;
    let found = world.stands(&mut claim, 0, &[&["1"]], &[]).await;
    assert!(found.keys[0].local.is_none());
    assert_eq!(found.keys[0].version, Some(world.version(StandingKind::Row, 9)));
}

pub async fn keys_come_back_in_the_order_asked<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    for id in ["30", "-2", "7"] {
        batch.upsert(0, &[("id", Some(id)), ("name", Some(id))]);
    }
    batch.run(&mut claim).await;
    let keys: &[&[&str]] = &[&["7"], &["8"], &["-2"], &["30"], &["-9"]];
    let found = world.stands(&mut claim, 0, keys, &[]).await;
    let texts: Vec<_> = found.keys.iter().map(|k| k.row.and_then(|r| cell(&found, r, 2))).collect();
    let expected = [None, Some("-2"), Some("7"), None, Some("30")];
    assert_eq!(texts, expected.map(|e| e.map(String::from)));
}

pub async fn keys_of_several_columns<F: Fixture>() {
    let columns = [("name", Logical::Text), ("region", Logical::Text), ("id", Logical::Int)];
    let table = Table::new("profiles", &columns).key(&["id", "region"]);
    let world = World::<F>::new(vec![table]).await;
    assert_eq!(world.shapes[0].key, [2, 1]);
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("region", Some("eu")), ("name", Some("a"))]);
    batch.upsert(0, &[("id", Some("1")), ("region", Some("us")), ("name", Some("b"))]);
    batch.upsert(0, &[("id", Some("2")), ("region", Some("eu")), ("name", Some("c"))]);
    batch.run(&mut claim).await;
    let mut batch = world.batch(3);
    batch.delete(0, &["1", "us"], None);
    batch.upsert(0, &[("id", Some("2")), ("region", Some("eu")), ("name", Some("d"))]);
    batch.run(&mut claim).await;
    let found = world.stands(&mut claim, 0, &[&["1", "eu"], &["1", "us"], &["2", "eu"]], &[]).await;
    let texts: Vec<_> = found.keys.iter().map(|k| k.row.and_then(|r| cell(&found, r, 0))).collect();
    assert_eq!(texts, [Some("a".into()), None, Some("d".into())]);
}

pub async fn the_gate_of_a_table_without_versions<F: Fixture>() {
    let mut world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let seen = |world: &World<F>, source, commit| Seen {
        source: world.name(source),
        position: Position { epoch: 1, commit, ordinal: 2 },
        deleted: false,
        live_at: 77,
    };
    for commit in [5, u64::MAX] {
        let mut batch = world.batch(claim.checkpoint().sequence).without_versions();
        batch.upsert(0, &[("id", Some("1")), ("name", Some("x"))]);
        batch.gate(0, seen(&world, "us-east", commit));
        batch.gate(0, seen(&world, "us-west", 3));
        batch.run(&mut claim).await;
    }
    world.restart().await;
    world.name("us-west");
    let mut claim = world.claim().await;
    let (mut wanted, _) = world.batch(2).done();
    wanted.tables.push(world.wanted(0, &[&["1"]], &[], false));
    let standing = claim.begin(wanted).await.expect("ours");
    claim.abandon().await;
    let found = &standing.tables[0];
    assert!(found.keys[0].row.is_some() && found.keys[0].version.is_none() && found.keys[0].local.is_none());
    let mut gate = found.gate.clone();
    gate.sort_by_key(|s| world.names.get(s.source).to_string());
    assert_eq!(gate, [seen(&world, "us-east", u64::MAX), seen(&world, "us-west", 3)]);
    // The gate is the lane's own.
    let mut request = world.request("one");
    request.lane.partition = 1;
    let mut other = reconverge_streams::sink::Sink::claim(&world.sink, request).await.expect("another lane");
    let (mut wanted, _) = world.batch(0).done();
    wanted.tables.push(world.wanted(0, &[], &[], false));
    assert!(other.begin(wanted).await.expect("ours").tables[0].gate.is_empty());
    other.abandon().await;
}
